//! What to know to embed Hedgerow, page by page: pure documentation, whose code is compiled and run with the tests.
//!
//! - [`concepts`]: the words, and how they hang together.
//! - [`durability`]: what is on disk when, and who sees it when.
//! - [`limits`]: how much of everything, in memory and on disk, and on which machines.
//! - [`tuning`]: which option for which wish.
//! - [`troubleshooting`]: what each error means and what to do; damage, slow refreshes, odd answers.

pub mod concepts;
pub mod durability;
pub mod limits;
pub mod troubleshooting;
pub mod tuning;
