//! Shared by the tests of several crates: a random generator, the configuration of random tests, and a runner of commands.
//! Depends on no crate of the project, so that each of them can test with it.

mod cli;
pub mod fuzz_config;
mod random;

pub use cli::{Cli, Run};
pub use random::Random;
