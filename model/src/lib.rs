//! The model of Hedgerow: PinSage (arXiv 1806.01973), its training, exact refresh and retrieval.
//!
//! K convolutions compute a node's embedding from its features and its walk neighborhood. The computation is deterministic row by
//! row. So [`Engine::refresh`] recomputes only the rows that an edge change affects, and gives the bits of a full rebuild.
//!
//! # Limits
//! All rows of all layers are in memory: (K + 2) x D numbers of 4 bytes for a node, more with PinSage layers.
//! Publishing writes them all.

mod cold_items;
mod config;
mod engine;
mod evaluate;
mod factors;
mod linalg;
mod network;
mod query;
mod state;
mod train;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use config::error::Error;
pub use config::options;
pub use config::options::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};
pub use config::report::{RefreshReport, RefreshTimes};
pub use engine::embedding::Embedder;
pub use engine::export::{EmbeddingExport, EmbeddingRow};
pub use engine::handle::{Engine, Status};
pub use engine::models::ModelStatus;
pub use engine::persist::Digest;
pub use engine::rebuild::RebuildReport;
pub use engine::refresh_history::RefreshRecord;
pub use engine::training::{TrainReport, Training, UnfinishedTraining};
pub use engine::updater::options::UpdaterOptions;
pub use engine::updater::{Update, Updater, UpdaterReport};
pub use evaluate::baselines::Baseline;
pub use evaluate::comparison::{BaselineQuality, Comparison, EvaluateOptions, PartQuality, Verdict};
pub use evaluate::cosines::RandomCosines;
pub use evaluate::mean::Mean;
pub use evaluate::recommend_quality::RecommendQuality;
pub use evaluate::related_quality::RelatedQuality;
pub use factors::embedding_weight::WeighedEmbeddings;
pub use factors::fit::FittedScore;
pub use network::parameters::{Model, Tensor, Values};
pub use query::answer::{AnswerSource, Interest, Ranked, Scored};
pub use query::answer_explanation::{AnswerExplanation, Connection};
pub use query::filter::only_new::OnlyNew;
pub use query::filter::{Filter, FilterComparison, FilterTerm};
pub use query::interests;
pub use query::interests::Interests;
pub use query::node::inductive::NewNode;
pub use query::node::neighborhood::Importance;
pub use query::node::node_vector::Embedded;
pub use query::query::{Query, Recipient};
pub use query::question::cursor::Cursor;
pub use query::recommend::batch::Recommender;
pub use query::recommend::model_choice::choose_model;
pub use query::score_part::ScorePart;
pub use query::similar::batch::SimilarFinder;
pub use state::learning_curve::{EpochQuality, LearningCurve};
pub use state::refresh_explanation::{RefreshExplanation, RefreshReason};
pub use state::row_comparison::{RowComparison, RowPart};
pub use train::estimate::{Estimate, EstimatedBytes, EstimatedSeconds};
pub use train::event::{Alarm, EpochReport, EpochTimes, TrainEvent};
