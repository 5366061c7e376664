//! The verbs, one file each or one per small family: their arguments and what they do.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a verb owns its arguments, whether it uses them up or not"
)]

pub(crate) mod answer_explanation;

pub(crate) mod apply;
pub(crate) mod demo;
pub(crate) mod edit;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod keep;
pub(crate) mod neighbors;
pub(crate) mod recommend;
pub(crate) mod refresh;
pub(crate) mod report;
pub(crate) mod similar;
pub(crate) mod stats;
pub(crate) mod train;
pub(crate) mod walk;
