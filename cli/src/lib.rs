//! The `hedgerow` command: one grammar, `hedgerow VERB STORE [ARGS] [--FLAGS]`, for the shell and for its console.
//!
//! A library so that the benchmarks in `tests/bench` run the command, print as it does, and measure the graphs that it
//! generates. It promises nothing to other hosts: these use the crate `hedgerow`.
//!
//! `command` is the table of verbs and `verbs` does them; `session` holds the open store; `output` prints results and `core`
//! failures; `input` reads files, `transfer` imports and exports; `repl` is the console. The command asks everything about graphs
//! and embeddings of the library, through its public interface alone.

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

pub use command_line::run;
pub use output::printer::{Mode, print_rows};
