//! The promises, a module each; test names are sentences. Each module opens with the promise it holds to.

mod bad_graphs;
mod command;
mod crash;
mod draws;
mod explain;
mod fairness;
mod format;
mod interests;
mod learning;
mod npy;
mod pixie;
mod quality;
mod reach;
mod readers;
mod readme;
mod reference;
mod refresh_equals_rebuild;
mod rounds;
mod same_content_same_digest;
mod structure;
mod training;
mod updater;
mod walks;
mod warm_start;
mod world;
