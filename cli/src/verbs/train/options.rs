//! The options of training as flags. Every default is read from `TrainOptions::default()` of the library.

use std::fmt;

use clap::{Args, ValueEnum};
use hedgerow::{TrainOptions, WalkOptions};

fn preset() -> TrainOptions {
    TrainOptions::default()
}

/// Declares an enum of clap for an enum of the library, and the conversions between them.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        #[value(rename_all = "lower")]
        enum $name { $($(#[$value_doc])* $value),+ }

        impl From<$name> for hedgerow::$name {
            fn from(choice: $name) -> Self {
                match choice { $($name::$value => Self::$value),+ }
            }
        }

        impl From<hedgerow::$name> for $name {
            fn from(choice: hedgerow::$name) -> Self {
                match choice { $(hedgerow::$name::$value => Self::$value),+ }
            }
        }
    };
}

choice! {
    /// The computation of a node's vector from its neighborhood.
    Conv {
        /// The vector plus the pooled vectors of the neighborhood
        Light,
        /// The layer of PinSage, with dense products and an output network
        PinSage,
    }
}

choice! {
    /// The loss that training minimizes.
    Loss {
        /// Max-margin over all negatives
        Margin,
        /// Softmax over the positive and the sampled negatives
        Softmax,
    }
}

choice! {
    /// The pooling of a neighborhood's messages.
    Pooling {
        /// Their sum, each weighted by its share of the visits
        Importance,
        /// Their mean
        Mean,
        /// Their maximum, number by number
        Max,
    }
}

choice! {
    /// The kinds whose nodes have a learned vector of their own.
    Ids {
        /// The kinds without features
        Auto,
        /// All target kinds
        On,
        /// No kind
        Off,
    }
}

choice! {
    /// The source of positives.
    Positives {
        /// Neighbors of the same node belong together
        Edges,
        /// A node and the nodes that its walks visit belong together
        Walks,
    }
}

/// A range of ranks, written `50-250`.
#[derive(Clone, Copy, Debug)]
struct Ranks((u32, u32));

impl Ranks {
    fn parse(text: &str) -> Result<Self, String> {
        let span = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        span.map(Self).ok_or_else(|| "expected two numbers such as 50-250".to_owned())
    }
}

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.0, self.0.1)
    }
}

/// A relation and its weight, written `buys=1` or `buys`.
#[derive(Clone, Debug)]
struct RelationWeight(String, f32);

impl RelationWeight {
    fn parse(text: &str) -> Result<Self, String> {
        // A name may hold the character, a weight does not.
        let (name, weight) = match text.rsplit_once('=') {
            None => (text, Ok(1.0)),
            Some((name, weight)) => (name, weight.parse()),
        };
        let weight = weight.map_err(|_| "expected a weight behind the name, such as views=0.2".to_owned())?;
        Ok(Self(name.to_owned(), weight))
    }
}

/// The flags of `TrainOptions`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct OptionArgs {
    /// The relations that count and their weights, such as buys=1,views=.2; a name alone has the weight 1 [default: all alike]
    #[arg(long, value_name = "NAME=WEIGHT,..", value_delimiter = ',', value_parser = RelationWeight::parse)]
    relations: Vec<RelationWeight>,
    /// Numbers in an embedding, without the one of popularity
    #[arg(long, default_value_t = preset().dim)]
    dim: usize,
    /// Convolution layers, 0 to 4
    #[arg(long, default_value_t = preset().layers)]
    layers: usize,
    /// The kind of layer
    #[arg(long, value_enum, default_value_t = preset().conv.into())]
    conv: Conv,
    /// The kinds whose nodes have a learned vector of their own beside their features
    #[arg(long, value_enum, default_value_t = preset().ids.into())]
    ids: Ids,
    /// The most passes over the positives
    #[arg(long, default_value_t = preset().epochs)]
    epochs: u32,
    /// The loss
    #[arg(long, value_enum, default_value_t = preset().loss.into())]
    loss: Loss,
    /// The source of positives without --pairs
    #[arg(long, value_enum, default_value_t = preset().positives.into())]
    positives: Positives,
    /// The most positives in an epoch
    #[arg(long, value_name = "N", default_value_t = preset().pairs_per_epoch)]
    pairs_per_epoch: usize,
    /// The most neighbors in a query, with positives from edges
    #[arg(long, value_name = "N", default_value_t = preset().history)]
    history: usize,
    /// Examples in a minibatch
    #[arg(long, default_value_t = preset().batch)]
    batch: usize,
    /// Negatives that all examples of a minibatch share
    #[arg(long, value_name = "N", default_value_t = preset().negatives)]
    negatives: usize,
    /// The power of a node's degree to which its probability as a negative is proportional; 0 makes all equal
    #[arg(long, value_name = "POWER", default_value_t = preset().negative_power)]
    negative_power: f32,
    /// The pooling of a neighborhood's messages
    #[arg(long, value_enum, default_value_t = preset().pooling.into())]
    pooling: Pooling,
    /// Give the network the logarithm of a node's degree as a feature
    #[arg(long)]
    degree_input: bool,
    /// The most hard negatives of an example; epoch n has n - 1 of them
    #[arg(long, value_name = "N", default_value_t = preset().hard_negatives)]
    hard_negatives: u32,
    /// Ranks by visit count that hard negatives are drawn from, without the last
    #[arg(long, value_name = "FROM-TO", default_value_t = Ranks(preset().hard_ranks), value_parser = Ranks::parse)]
    hard_ranks: Ranks,
    /// The margin of the margin loss
    #[arg(long, default_value_t = preset().margin)]
    margin: f32,
    /// The temperature of the softmax
    #[arg(long, default_value_t = preset().temperature)]
    temperature: f32,
    /// The learning rate; the first epoch warms up to it
    #[arg(long, value_name = "RATE", default_value_t = preset().learning_rate)]
    learning_rate: f32,
    /// The factor on the learning rate after every epoch
    #[arg(long, value_name = "FACTOR", default_value_t = preset().decay)]
    decay: f32,
    /// Positives that are held out to measure recall
    #[arg(long, value_name = "N", default_value_t = preset().held_out)]
    held_out: usize,
    /// Stop after this number of epochs that make the answers no better; 0 never stops
    #[arg(long, value_name = "EPOCHS", default_value_t = preset().patience)]
    patience: u32,
    /// Leave out the number that raises popular nodes
    #[arg(long)]
    no_popularity: bool,
    /// Do not divide a neighbor's importance by the square root of its degree
    #[arg(long)]
    no_damping: bool,
    /// Leave out the graph filter and the residual factors, by which recommend and similar rank
    #[arg(long)]
    no_factors: bool,
    /// The seed of all random draws; the same seed and data give the same bytes
    #[arg(long, default_value_t = preset().seed)]
    seed: u64,
    /// Threads; 0 uses all processors
    #[arg(long, value_name = "N", default_value_t = preset().threads)]
    threads: usize,
    /// Walks from every node
    #[arg(long, value_name = "N", default_value_t = preset().walks.walks)]
    walks: u32,
    /// The most node visits of a walk
    #[arg(long, value_name = "N", default_value_t = preset().walks.visits)]
    visits: u32,
    /// The probability that a walk ends after a visit
    #[arg(long, value_name = "P", default_value_t = preset().walks.stop)]
    stop: f32,
    /// The most nodes in a neighborhood
    #[arg(long, value_name = "N", default_value_t = preset().walks.top)]
    top: u32,
    /// The fewest visits of a node in a neighborhood
    #[arg(long, value_name = "N", default_value_t = preset().walks.min_visits)]
    min_visits: u32,
    /// The seed of the walks
    #[arg(long, value_name = "SEED", default_value_t = preset().walks.seed)]
    walk_seed: u64,
    /// Start from the weights and vectors of the last generation, which must have the same --dim, --layers, --conv and dense blocks
    #[arg(long)]
    warm: bool,
}

impl OptionArgs {
    pub(super) fn into_options(self, targets: Vec<String>) -> TrainOptions {
        TrainOptions {
            targets,
            relations: self
                .relations
                .into_iter()
                .map(|RelationWeight(name, weight)| (name, weight))
                .collect(),
            dim: self.dim,
            layers: self.layers,
            conv: self.conv.into(),
            walks: WalkOptions {
                seed: self.walk_seed,
                walks: self.walks,
                visits: self.visits,
                stop: self.stop,
                top: self.top,
                min_visits: self.min_visits,
            },
            ids: self.ids.into(),
            popularity: !self.no_popularity,
            damping: !self.no_damping,
            epochs: self.epochs,
            pairs_per_epoch: self.pairs_per_epoch,
            batch: self.batch,
            negatives: self.negatives,
            hard_negatives: self.hard_negatives,
            hard_ranks: self.hard_ranks.0,
            positives: self.positives.into(),
            history: self.history,
            loss: self.loss.into(),
            margin: self.margin,
            temperature: self.temperature,
            learning_rate: self.learning_rate,
            decay: self.decay,
            held_out: self.held_out,
            patience: self.patience,
            seed: self.seed,
            threads: self.threads,
            negative_power: self.negative_power,
            pooling: self.pooling.into(),
            degree_input: self.degree_input,
            warm: self.warm,
            factors: !self.no_factors,
        }
    }
}
