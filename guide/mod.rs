//! The guide to embedding Hedgerow in a host, page by page. Its code is compiled and run with the tests.
//!
//! - [`concepts`]: the terms, and how they relate.
//! - [`durability`]: when a change is on disk, and who sees it when.
//! - [`limits`]: maximum counts, memory and disk, supported machines.
//! - [`scores`]: what recommendations and related items are ranked by.
//! - [`tuning`]: the options, by goal.
//! - [`troubleshooting`]: the meaning and remedy of each error; damage, slow refreshes, unexpected answers.

pub mod concepts;
pub mod durability;
pub mod limits;
#[cfg(feature = "model")]
pub mod scores;
pub mod troubleshooting;
pub mod tuning;
