//! What a node means: PinSage (arXiv 1806.01973), its training, exact refresh, and retrieval.
//!
//! A node's embedding comes from its features and its walk neighbourhood through K convolutions. All of it is
//! deterministic row by row, so that recomputing only what an edge change reaches gives the bits that
//! recomputing everything would ([`Engine::refresh`]).
//!
//! # Limits
//! All rows of all layers are in memory: (K + 2) x D numbers of 4 bytes for a node, more with PinSage layers.
//! Publishing writes them all.

mod config;
mod engine;
mod evaluate;
mod linalg;
mod network;
mod query;
mod state;
mod train;

pub use config::error::Error;
pub use config::options;
pub use config::options::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};
pub use config::report::{RefreshReport, RefreshTimes};
pub use engine::embedder::Embedder;
pub use engine::export::{EmbeddingExport, EmbeddingRow};
pub use engine::handle::{Digest, Engine, Status};
pub use engine::history::RefreshRecord;
pub use engine::inductive::NewNode;
pub use engine::training::{TrainReport, Training, UnfinishedTraining};
pub use engine::updater::options::UpdaterOptions;
pub use engine::updater::{Update, Updater, UpdaterReport};
pub use evaluate::baselines::Baseline;
pub use evaluate::comparison::{BaselineQuality, COMPARED, Comparison, EvaluateOptions, Verdict};
pub use evaluate::cosines::RandomCosines;
pub use evaluate::mean::Mean;
pub use evaluate::recommend_quality::RecommendQuality;
pub use evaluate::related_quality::RelatedQuality;
pub use network::parameters::{Model, Tensor, Values};
pub use query::answer_explanation::{AnswerExplanation, Connection};
pub use query::filter::Filter;
pub use query::interests;
pub use query::interests::{Interests, MOST_INTERESTS};
pub use query::query::{Embedded, Importance, Query, Ranked, Recipient, Scored};
pub use query::recommend::batch::Recommender;
pub use query::recommend::{AnswerSource, Interest};
pub use state::learning_curve::{EpochQuality, LearningCurve};
pub use state::refresh_explanation::{RefreshExplanation, RefreshReason};
pub use train::estimate::{Estimate, EstimatedBytes, EstimatedSeconds};
pub use train::event::{Alarm, EpochReport, EpochTimes, TrainEvent};
