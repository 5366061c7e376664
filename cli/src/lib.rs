//! The `hedgerow` command: one grammar, `hedgerow VERB STORE [ARGS] [--FLAGS]`, for the shell and for its console.
//!
//! A library so that the benchmarks in `tests/bench` run the command, print as it does, and measure the graphs that it
//! generates. It promises nothing to other hosts: these use the crate `hedgerow`.
//!
//! `command` is the table of verbs. The folders build on one another in this order: `core`, `output`, `input`, `session`,
//! `transfer`, `report`, `verbs`, `repl`. The command uses the library through its public interface only.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a verb owns its arguments, whether it consumes them or not"
)]

mod command;
mod command_line;
mod core;
mod input;
mod output;
mod repl;
mod report;
mod session;
pub mod synthetic;
mod transfer;
mod verbs;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use command_line::run;
pub use output::printer::{Mode, print_rows};
