//! The engine as hosts see it: the methods of `Engine`, and the updater thread.
//! The methods take locks and call `query`, `evaluate`, `state` and `train`, which compute the results.

pub(crate) mod embedding;
mod evaluate;
pub(crate) mod export;
pub(crate) mod handle;
mod merge_changes;
pub(crate) mod models;
pub(crate) mod persist;
pub(crate) mod rebuild;
mod recommend;
mod refresh;
pub(crate) mod refresh_history;
mod similar;
pub(crate) mod training;
pub(crate) mod updater;
mod working_state;
