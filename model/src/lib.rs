//! What a node means: PinSage (arXiv 1806.01973), its training, exact refresh, and retrieval.
//!
//! A node's embedding comes from its features and its walk neighbourhood through K convolutions. All of it is
//! deterministic row by row, so that recomputing only what an edge change reaches gives the bits that
//! recomputing everything would ([`Engine::refresh`]).
//!
//! # Limits
//! All rows of all layers are in memory: (K + 2) x D numbers of 4 bytes for a node, more with PinSage layers.
//! Publishing writes them all.

mod adam;
mod advance;
mod ask;
mod checkpoint;
mod curve;
mod degree;
mod embedder;
mod embeddings;
mod encoder;
mod engine;
mod error;
mod estimate;
mod evaluate;
mod event;
mod explain;
mod filter;
mod fresh;
mod frontier;
mod generation;
mod hard;
mod inputs;
pub mod interests;
mod layer;
mod lists;
mod loss;
mod matrix;
mod minibatch;
mod negatives;
mod neighborhoods;
pub mod options;
mod packed;
mod parameters;
mod positives;
mod recipe;
mod recommend;
#[cfg(test)]
mod reference;
mod report;
mod rows;
mod scan;
mod settings;
mod simd;
mod spare;
mod sparse;
mod start;
mod state;
mod table;
mod tall;
mod train;
mod unseen;
mod updater;
mod weights;
mod why;

pub use ask::{Audience, Embedded, Importance, Query, Ranked, Scored};
pub use curve::{EpochQuality, LearningCurve};
pub use embedder::Embedder;
pub use engine::{
    Digest, Engine, Learned, LearnedRow, PastRefresh, Status, TrainReport, Training, Unfinished,
};
pub use error::Error;
pub use estimate::{Estimate, EstimatedBytes, EstimatedSeconds};
pub use evaluate::{
    Baseline, BaselineQuality, COMPARED, Comparison, EvaluateOptions, Mean, RandomCosines, RecommendQuality,
    RelatedQuality, Verdict,
};
pub use event::{Alarm, COLLAPSED, EpochReport, GROWN, Spent, TrainEvent};
pub use explain::{Explanation, Reason};
pub use filter::Filter;
pub use interests::{Interests, MOST_INTERESTS};
pub use options::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};
pub use parameters::{Model, Tensor, Values};
pub use recommend::{Basis, Interest, Recommender};
pub use report::{RefreshReport, Stages};
pub use unseen::Unseen;
pub use updater::{Update, Updater, UpdaterOptions, UpdaterReport};
pub use why::{Beside, Why};
