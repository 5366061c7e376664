//! What a host may choose about the model and its training.

use hedgerow_walker::WalkOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::error::Error;
use crate::config::json;
use crate::config::model_config::StoredWalkOptions;

/// The embedding dimension.
pub const DIM: usize = 64;
/// Convolution layers (the paper's K).
pub const LAYERS: usize = 2;
/// Epochs, of [`EXAMPLES`] examples each.
pub const EPOCHS: u32 = 20;
/// Examples in a minibatch.
pub const BATCH: usize = 2048;
/// Negatives that a minibatch's examples share.
pub const NEGATIVES: usize = 4000;
/// The largest learning rate, reached at the end of the first epoch.
pub const LEARNING_RATE: f32 = 0.003;
/// Examples of an epoch at most: an epoch is what lies between two looks at the held-out recall, not a pass.
pub const EXAMPLES: usize = 200_000;

/// How a node's vector is renewed from its neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conv {
    /// The vector plus the pooled vectors of the neighbourhood. No weights of its own, so it does not
    /// overfit identity embeddings (LightGCN, arXiv 2002.02126).
    Light,
    /// The paper's layer with its two dense products and the dense head.
    PinSage,
}

/// How the messages of a neighbourhood become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their sum, each by its share of the visits (PinSage, section 3.1).
    #[default]
    Importance,
    /// Their mean, however often each was visited.
    Mean,
    /// The largest of them, number by number.
    Max,
}

/// What training minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Max-margin over all negatives (PinSage, section 3.3).
    Margin,
    /// Softmax over the positive and the sampled negatives.
    Softmax,
}

/// Whether nodes have a learned vector of their own beside their features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ids {
    /// For the kinds none of whose nodes has features.
    Auto,
    /// For all target kinds.
    On,
    /// For none: embeddings depend on features and structure only.
    Off,
}

/// Where positives come from when the caller gives no pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positives {
    /// A node's neighbours belong together: one of them is to be found from the others.
    Edges,
    /// A node and one that its walks visit.
    Walks,
}

/// Everything that training may be told. `Default` is the preset that the figures in docs/figures.md were made with.
///
/// ```
/// use hedgerow_model::{TrainOptions, options};
/// let default = TrainOptions::default();
/// assert_eq!((default.dim, default.layers, default.epochs), (options::DIM, options::LAYERS, options::EPOCHS));
/// assert!(default.validate().is_err(), "the kinds to embed are the caller's to name");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct TrainOptions {
    /// Kinds to embed. At least one.
    pub targets: Vec<String>,
    /// Length of an embedding without the popularity coordinate; 1 to 4096.
    pub dim: usize,
    /// Convolution layers; 0 to 4.
    pub layers: usize,
    /// The kind of layer.
    pub conv: Conv,
    /// The walks that neighbourhoods are made of.
    #[serde(with = "StoredWalkOptions")]
    pub walks: WalkOptions,
    /// Identity embeddings.
    pub ids: Ids,
    /// Adds to an embedding one coordinate that scores are raised by: learned per token and by log-degree.
    pub popularity: bool,
    /// Divides a neighbour's importance, and what a node counts in a history, by the square root of its degree.
    pub damping: bool,
    /// Epochs at most; 0 leaves the starting weights.
    pub epochs: u32,
    /// Examples of an epoch; at most four times the positives there are, and, where nodes have learned vectors of their own, five
    /// times the nodes to embed or 25 minibatches, whichever is more.
    pub pairs_per_epoch: usize,
    /// Examples in a minibatch.
    pub batch: usize,
    /// Negatives shared by a minibatch.
    pub negatives: usize,
    /// In epoch n each example has n - 1 hard negatives, up to this many (section 3.4: curriculum).
    pub hard_negatives: u32,
    /// The ranks by visit count, from and up to but not including, that hard negatives are drawn from.
    pub hard_ranks: (u32, u32),
    /// Where positives come from when no pairs are given.
    pub positives: Positives,
    /// With positives from edges: at most this many of the other neighbours form a query.
    pub history: usize,
    /// The loss.
    pub loss: Loss,
    /// The gap that the margin loss asks for, in units of the score.
    pub margin: f32,
    /// The temperature of the softmax.
    pub temperature: f32,
    /// The learning rate after the warm-up, which lasts the first epoch.
    pub learning_rate: f32,
    /// The learning rate is multiplied by this after every epoch.
    pub decay: f32,
    /// Positives kept from training to measure recall.
    pub held_out: usize,
    /// Ends training after this many epochs in a row with a recall more than a standard error below the best;
    /// 0 never does.
    pub patience: u32,
    /// The seed of everything random in training.
    pub seed: u64,
    /// Threads; 0 takes the caller's rayon pool.
    #[serde(skip)]
    pub threads: usize,
    /// Negatives are drawn in proportion to their degree, in steps, raised to this: 0 draws all alike. The softmax takes
    /// back what a node is drawn more often, so that it is the same in expectation.
    pub negative_power: f32,
    /// How a neighbourhood's messages become one.
    pub pooling: Pooling,
    /// Gives the network the logarithm of a node's degree, in steps, as one more dense feature (section 3.1).
    pub degree_input: bool,
    /// Starts from the weights and the token table of the last generation, which must have the same shape, instead of random
    /// ones. What the tokens had learned they keep; new ones start as usual.
    pub warm: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            dim: DIM,
            layers: LAYERS,
            conv: Conv::Light,
            walks: WalkOptions::default(),
            ids: Ids::Auto,
            popularity: true,
            damping: true,
            epochs: EPOCHS,
            pairs_per_epoch: EXAMPLES,
            batch: BATCH,
            negatives: NEGATIVES,
            hard_negatives: 0,
            hard_ranks: (50, 250),
            positives: Positives::Edges,
            history: 30,
            loss: Loss::Softmax,
            margin: 0.1,
            temperature: 0.1,
            learning_rate: LEARNING_RATE,
            decay: 0.85,
            held_out: 5000,
            patience: 3,
            seed: 1,
            threads: 0,
            negative_power: 0.0,
            pooling: Pooling::Importance,
            degree_input: false,
            warm: false,
        }
    }
}

impl TrainOptions {
    /// The default options with the kinds to embed.
    pub fn new(targets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { targets: targets.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Checks every value.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, found: String, expected| Err(Error::Option { option, found, expected });
        if self.targets.is_empty() {
            return refuse("targets", "none".into(), "at least one kind to embed");
        }
        if !(1..=4096).contains(&self.dim) {
            return refuse("dim", self.dim.to_string(), "1 to 4096");
        }
        if self.layers > 4 {
            return refuse("layers", self.layers.to_string(), "0 to 4");
        }
        for (option, value) in [
            ("batch", self.batch),
            ("negatives", self.negatives),
            ("history", self.history),
            ("pairs_per_epoch", self.pairs_per_epoch),
        ] {
            if value == 0 {
                return refuse(option, "0".into(), "1 or more");
            }
        }
        for (option, value) in [
            ("margin", self.margin),
            ("temperature", self.temperature),
            ("learning_rate", self.learning_rate),
            ("decay", self.decay),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(option, value.to_string(), "a number above 0");
            }
        }
        if !(0.0..=1.0).contains(&self.negative_power) {
            return refuse("negative_power", self.negative_power.to_string(), "0 to 1");
        }
        if self.hard_ranks.0 >= self.hard_ranks.1 {
            return refuse("hard_ranks", format!("{:?}", self.hard_ranks), "a first rank below the last");
        }
        self.walks.validate()?;
        Ok(())
    }

    /// Every option that decides what a training gives, with its value as text; one entry for each target. The number of threads
    /// is not among them. Names are those of the fields, `walk_seed` for the seed of the walks, and `target`.
    pub fn entries(&self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for (name, value) in json::fields_of(self) {
            match value {
                Value::Array(targets) if name == "targets" => {
                    entries.extend(targets.iter().map(|target| ("target".to_owned(), json::shown(target))));
                }
                Value::Array(ranks) => {
                    let ranks: Vec<_> = ranks.iter().map(json::shown).collect();
                    entries.push((name, ranks.join("-")));
                }
                Value::Object(walks) => {
                    let name = |field: String| if field == "seed" { "walk_seed".to_owned() } else { field };
                    entries
                        .extend(walks.into_iter().map(|(field, value)| (name(field), json::shown(&value))));
                }
                value => entries.push((name, json::shown(&value))),
            }
        }
        entries
    }

    /// The learning rate after a share of an epoch, which is counted from 1: linear to the full rate over the first epoch, then
    /// multiplied by the decay over each (section 3.3).
    pub(crate) fn learning_rate_at(&self, epoch: u32, share: f32) -> f32 {
        let rate = self.learning_rate;
        if epoch == 1 { rate * share } else { rate * self.decay.powf((epoch - 2) as f32 + share) }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_walker::WalkOptions;

    use super::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};
    use crate::config::json;

    /// No value is the default's, so that a line that is not read back shows.
    fn unusual() -> TrainOptions {
        TrainOptions {
            targets: vec!["pin".into(), "a board".into()],
            dim: 7,
            layers: 3,
            conv: Conv::PinSage,
            walks: WalkOptions { seed: 9, walks: 8, visits: 7, stop: 0.3, top: 6, min_visits: 5 },
            ids: Ids::Off,
            popularity: false,
            damping: false,
            epochs: 99,
            pairs_per_epoch: 98,
            batch: 97,
            negatives: 96,
            hard_negatives: 95,
            hard_ranks: (94, 1093),
            positives: Positives::Walks,
            history: 92,
            loss: Loss::Margin,
            margin: 0.91,
            temperature: 1e-7,
            learning_rate: 0.1 + 0.2,
            decay: 0.88,
            held_out: 87,
            patience: 86,
            seed: u64::MAX,
            threads: 0,
            negative_power: 0.75,
            pooling: Pooling::Max,
            degree_input: true,
            warm: true,
        }
    }

    #[test]
    fn the_text_holds_every_option() {
        let options = unusual();
        let (fields, default) = (json::fields_of(&options), json::fields_of(&TrainOptions::default()));
        for (name, value) in &fields {
            assert_ne!(value, &default[name], "{name} is the default, so this shows nothing");
        }
        let read: TrainOptions = serde_json::from_str(&json::text_of(&options)).expect("its own text");
        assert_eq!(read, options);
        assert!(serde_json::from_str::<TrainOptions>(r#"{"no such option": 1}"#).is_err());
    }

    #[test]
    fn every_option_is_shown_by_its_name() {
        let entries = unusual().entries();
        for (name, value) in [
            ("target", "a board"),
            ("conv", "pinsage"),
            ("walk_seed", "9"),
            ("stop", "0.3"),
            ("hard_ranks", "94-1093"),
            ("temperature", "0.0000001"),
            ("warm", "true"),
        ] {
            assert!(entries.contains(&(name.to_owned(), value.to_owned())), "{name} {value} in {entries:?}");
        }
        assert_eq!(entries.iter().filter(|(name, _)| name == "target").count(), 2);
        assert!(!entries.iter().any(|(name, _)| name == "threads"));
    }

    #[test]
    fn the_learning_rate_warms_up_over_an_epoch_and_falls_by_the_decay_over_each_that_follows() {
        let options = TrainOptions { learning_rate: 0.4, decay: 0.25, ..TrainOptions::default() };
        let at = |epoch, share| options.learning_rate_at(epoch, share);
        assert_eq!([at(1, 0.25), at(1, 0.5), at(1, 1.0)], [0.1, 0.2, 0.4]);
        assert_eq!([at(2, 0.5), at(2, 1.0), at(3, 1.0)], [0.2, 0.1, 0.025]);
    }
}
