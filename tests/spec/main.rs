//! The promises, a module each; test names are sentences. Each module opens with the promise it holds to.

mod affected_sources;
mod bad_graphs;
mod chi_square;
mod command;
mod crash;
mod examples;
mod explain;
mod format;
mod holding;
mod interests;
mod learning;
mod npy;
mod pixie;
mod quality;
mod readers;
mod readme;
mod reference;
mod refresh_equals_rebuild;
mod same_content_same_digest;
mod stable_draws;
mod structure;
mod training;
mod updater;
mod walks;
mod warm_start;
mod world;
