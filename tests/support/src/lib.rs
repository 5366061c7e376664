//! Shared by the tests of several crates: a random generator, the configuration of random tests, inputs of fuzz targets, and
//! a runner of commands.
//! Depends on no crate of the project, so that each of them can test with it.

mod cli;
pub mod fuzz_config;
mod random;
mod section_input;
mod seeds;

pub use cli::{Cli, Run};
pub use random::Random;
pub use section_input::SectionInput;
pub use seeds::{for_each_seed, write_seed};
