//! The verbs: one file for each verb or small family, with its arguments and its work.
//! A verb must not print except through `output`, and must not use another verb's file for anything but shared options.

pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod dump;
pub(crate) mod edit;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod models;
pub(crate) mod query;
pub(crate) mod refresh;
pub(crate) mod report;
pub(crate) mod stats;
pub(crate) mod train;
