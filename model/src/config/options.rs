//! The options of a training, their defaults and their ranges.

use hedgerow_walker::{RelationWeights, WalkOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::error::Error;
use crate::config::json;
use crate::config::model_config::StoredWalkOptions;

/// The embedding dimension.
pub const DIM: usize = 64;
/// Convolution layers (the paper's K).
pub const LAYERS: usize = 2;
/// Epochs at most.
pub const EPOCHS: u32 = 20;
/// Examples per minibatch.
pub const BATCH: usize = 2048;
/// Negatives shared by the examples of a minibatch.
pub const NEGATIVES: usize = 4000;
/// The highest learning rate, reached at the end of the first epoch.
pub const LEARNING_RATE: f32 = 0.003;
/// Examples per epoch at most. An epoch is the interval between two measurements of the held-out recall, not a pass
/// over the data.
pub const EXAMPLES: usize = 200_000;

/// The convolution: the rule that updates a node's vector from its neighborhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conv {
    /// The node's vector plus the pooled vectors of its neighbors (LightGCN, arXiv 2002.02126). It has no weights, so
    /// it does not overfit identity embeddings.
    Light,
    /// PinSage's layer with two dense products, and its dense head.
    PinSage,
}

/// The operation that combines the messages of a neighborhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The sum of messages, each weighted by its share of the visits (PinSage, section 3.1).
    #[default]
    Importance,
    /// The mean of messages, regardless of visits.
    Mean,
    /// The maximum of each number over all messages.
    Max,
}

/// The loss that training minimizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Max-margin over all negatives (PinSage, section 3.3).
    Margin,
    /// Softmax over the positive and the sampled negatives.
    Softmax,
}

/// The kinds whose nodes have a learned vector of their own, in addition to their features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ids {
    /// The kinds of which no node has features.
    Auto,
    /// All target kinds.
    On,
    /// No kind: embeddings depend on features and structure only.
    Off,
}

/// The source of positive examples when the caller gives no pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positives {
    /// Neighbors of one node are related: one of them is the positive, the others are the query.
    Edges,
    /// A node is related to the nodes that its walks visit.
    Walks,
}

/// The options of a training. `Default` is the preset behind the figures in docs/figures.md.
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
    /// Kinds to embed, at least one.
    pub targets: Vec<String>,
    /// The relations that count, with their weights. Empty: all relations count alike.
    ///
    /// Walks, two-hop sums, factors and positives follow an edge in proportion to its relation's weight. Degrees and histories are those
    /// of these relations.
    pub relations: Vec<(String, f32)>,
    /// Length D of an embedding without the popularity coordinate, 1 to 4096.
    pub dim: usize,
    /// Number K of convolution layers, 0 to 4.
    pub layers: usize,
    /// The convolution.
    pub conv: Conv,
    /// The walks that form neighborhoods.
    #[serde(with = "StoredWalkOptions")]
    pub walks: WalkOptions,
    /// The kinds with identity embeddings.
    pub ids: Ids,
    /// Adds a popularity coordinate to each embedding. It is learned per token and by log-degree, and it is added to
    /// scores.
    pub popularity: bool,
    /// Divides a neighbor's importance, and a node's weight in a history, by the square root of its degree.
    pub damping: bool,
    /// Epochs at most. 0 keeps the starting weights.
    pub epochs: u32,
    /// Examples per epoch at most. Also at most four times the number of positives. With identity embeddings, also at
    /// most five times the nodes to embed or 25 minibatches, whichever is larger.
    pub pairs_per_epoch: usize,
    /// Examples per minibatch.
    pub batch: usize,
    /// Negatives shared by the examples of a minibatch.
    pub negatives: usize,
    /// Hard negatives per example at most: n - 1 of them in epoch n (PinSage, section 3.4, curriculum training).
    pub hard_negatives: u32,
    /// The range of ranks by visit count from which hard negatives are drawn; the end is excluded.
    pub hard_ranks: (u32, u32),
    /// The source of positives when no pairs are given.
    pub positives: Positives,
    /// With positives from edges: the other neighbors in a query, at most.
    pub history: usize,
    /// The loss.
    pub loss: Loss,
    /// The margin of the margin loss, in units of the score.
    pub margin: f32,
    /// The temperature of the softmax.
    pub temperature: f32,
    /// The learning rate at the end of the warm-up, which lasts for the first epoch.
    pub learning_rate: f32,
    /// The factor of the learning rate after every epoch.
    pub decay: f32,
    /// About the number of positives that training does not see. Recall is measured on them, and the weight of embeddings in scores is
    /// fitted to them.
    pub held_out: usize,
    /// Training ends after this many consecutive epochs without progress. 0 disables this.
    ///
    /// An epoch is progress if it makes the answers better: the ranks of held-out items by graph, factors and embeddings together, by
    /// more than half a standard error. Where embeddings answer some questions alone, it is progress unless their recall is more than
    /// one standard error below the best. They do so for kinds with features, for kinds without lists, and without
    /// [`factors`](Self::factors).
    pub patience: u32,
    /// The seed of all random draws of the training.
    pub seed: u64,
    /// Number of threads; 0 uses the caller's rayon pool.
    #[serde(skip)]
    pub threads: usize,
    /// The exponent of the degree in the probability of drawing a negative; 0 draws all nodes alike. The softmax loss
    /// corrects for the unequal probabilities, so its expectation stays the same.
    pub negative_power: f32,
    /// The pooling of messages.
    pub pooling: Pooling,
    /// Adds the logarithm of a node's degree as a dense feature, in coarse steps (PinSage, section 3.1).
    pub degree_input: bool,
    /// Starts from the weights and the token table of the last generation, which must have the same shape. Known
    /// tokens keep their vectors; new tokens start at random.
    pub warm: bool,
    /// Fits the graph filter and the residual factors, by which `recommend` and `similar` rank. Kinds without lists have none.
    pub factors: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            relations: Vec::new(),
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
            patience: 2,
            seed: 1,
            threads: 0,
            negative_power: 0.0,
            pooling: Pooling::Importance,
            degree_input: false,
            warm: false,
            factors: true,
        }
    }
}

impl TrainOptions {
    /// The default options for these kinds to embed.
    pub fn new(targets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { targets: targets.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Checks the range of every value.
    ///
    /// # Errors
    /// [`Error::Option`] or [`Error::Walk`] with the option, its value and the allowed range.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, found: String, expected| Err(Error::Option { option, found, expected });
        if self.targets.is_empty() {
            return refuse("targets", "none".into(), "at least one kind to embed");
        }
        self.relation_weights()?;
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

    /// The chosen relations, checked.
    pub(crate) fn relation_weights(&self) -> Result<RelationWeights, Error> {
        RelationWeights::new(self.relations.iter().cloned()).map_err(|error| match error {
            hedgerow_walker::Error::Option { option, found, expected } => {
                Error::Option { option, found, expected }
            }
            other => other.into(),
        })
    }

    /// Names and values of all options that influence the result, as text. Each target and each chosen relation has an entry. The
    /// number of threads has none. Names are those of the fields, with `target` for each target, `relations` for each relation and
    /// `walk_seed` for the seed of the walks.
    pub fn entries(&self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for (name, value) in json::fields_of(self) {
            match value {
                Value::Array(targets) if name == "targets" => {
                    entries.extend(targets.iter().map(|target| ("target".to_owned(), json::shown(target))));
                }
                Value::Array(_) if name == "relations" => {
                    let weights = self.relations.iter();
                    entries.extend(
                        weights.map(|(relation, weight)| (name.clone(), format!("{relation}={weight}"))),
                    );
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

    /// The learning rate within an epoch, which is counted from 1, after the share `share` of its steps. It rises
    /// linearly in the first epoch, then falls by the decay factor over each epoch (PinSage, section 3.3).
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

    /// Options of which none has its default value, so that a field that is not read back is noticed.
    fn unusual() -> TrainOptions {
        TrainOptions {
            targets: vec!["pin".into(), "a board".into()],
            relations: vec![("buys".into(), 1.0), ("a view".into(), 0.2)],
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
            factors: false,
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
            ("relations", "a view=0.2"),
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
