//! The verbs: one file for each verb or small family, with its arguments and its work.
//! A verb must not print except through `output`, and must not use another verb's file for anything but shared options.

pub(crate) mod answer_explanation;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod dump;
pub(crate) mod edit;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod neighbors;
pub(crate) mod ranking;
pub(crate) mod recommend;
pub(crate) mod refresh;
pub(crate) mod report;
pub(crate) mod similar;
pub(crate) mod stats;
pub(crate) mod train;
pub(crate) mod walk;
