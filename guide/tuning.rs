//! Tuning: the options, by goal. Figures are of two shared x86-64 cores; docs/figures.md has more, each with its command.
//!
//! # Current answers
//!
//! A refresh of one edge takes 2 to 4 ms at p50 and 14 to 19 ms at p99, both at 100,000 pins and at a million. Batches share
//! work. A hundred edges take 168 ms at 100,000 pins, where a rebuild takes 1.4 s. At a million pins they take 311 ms, and a
//! rebuild 27 s.
//!
//! | goal | option |
//! | --- | --- |
//! | a maximum age of answers | [`UpdaterOptions::max_age`](crate::UpdaterOptions::max_age), [`max_dirty`](crate::UpdaterOptions::max_dirty) |
//! | more events a second | larger batches; a longer `max_age` |
//! | cheaper refreshes | `min_visits` 3 or a smaller `top` in [`WalkOptions`](crate::WalkOptions): fewer rows depend on an edge |
//! | a refresh that leaves threads to others | [`UpdaterOptions::threads`](crate::UpdaterOptions::threads) |
//! | one current node, now | [`Engine::embedding_now`](crate::Engine::embedding_now): 3 to 4 ms, with any number of dirty nodes |
//!
//! A refresh becomes a rebuild if more than one list in 12 rows changed. It then takes up to a third longer than a requested
//! rebuild, because it reads the changes first.
//!
//! # Good answers
//!
//! The defaults are those of the README's figures. Try in this order:
//!
//! 1. **Targets and positives.** [`TrainOptions::targets`](crate::TrainOptions::targets) are the kinds to rank. Pairs that belong
//!    together in your application are worth more than edges: [`Training::pairs`](crate::Training::pairs).
//! 2. **[`relations`](crate::TrainOptions::relations).** Name those that say what you recommend for, and give the others a weight
//!    below 1. A relation that says the opposite is one of dislikes.
//! 3. **Features.** Nodes without edges are found by tokens only. [`Ids`](crate::Ids) gives each node a vector of its own beside
//!    them.
//! 4. **[`dim`](crate::TrainOptions::dim)** 128 instead of 64 takes twice the memory and time, and found about as much in the
//!    README's data.
//! 5. **[`epochs`](crate::TrainOptions::epochs)** and [`patience`](crate::TrainOptions::patience): training stops by itself once
//!    an epoch no longer makes the answers better. [`TrainReport::is_improving`](crate::TrainReport::is_improving) says that more may help.
//! 6. **[`Conv::PinSage`](crate::Conv::PinSage)** if features such as a picture describe a node well; light layers otherwise.
//! 7. **[`Interests`](crate::Interests)** 2 or 3 for answers that show several sides of a user; one interest finds more held-out
//!    nodes.
//!
//! Measure the answers that you serve with [`Engine::evaluate_recommend`](crate::Engine::evaluate_recommend) and
//! [`Engine::evaluate_related`](crate::Engine::evaluate_related), on data that was not trained on.
//!
//! ```
//! # #[cfg(feature = "model")] {
//! use hedgerow::{Ids, TrainOptions, WalkOptions};
//!
//! let options = TrainOptions {
//!     dim: 128,
//!     ids: Ids::On,
//!     walks: WalkOptions { min_visits: 3, ..WalkOptions::default() },
//!     ..TrainOptions::new(["item"])
//! };
//! assert!(options.validate().is_ok());
//! # }
//! ```
//!
//! # Memory
//!
//! | goal | option |
//! | --- | --- |
//! | a process that does one thing | [`OpenOptions::map_files`](crate::OpenOptions::map_files): lists and rows are mapped, not read |
//! | opening without reading | [`OpenOptions::low_memory`](crate::OpenOptions::low_memory): 10 to 20 ms instead of 1.2 s for 96 million edges; walks are slower |
//! | smaller rows | `dim`, then `layers`, then light layers |
//! | smaller neighborhoods | `top` of [`WalkOptions`](crate::WalkOptions) |
//! | figures in advance | [`Engine::estimate`](crate::Engine::estimate), [`Engine::memory`](crate::Engine::memory), [`Store::sizes`](crate::Store::sizes) |
//!
//! # Filling a store
//!
//! - A whole graph: [`BulkLoad`](crate::BulkLoad), 9 to 13 million edges a second, into an empty store.
//! - A stream: batches of some hundred to ten thousand changes. A commit takes about 1.4 times a sync of the disk, so commits of
//!   one edge are limited by the disk. Threads that commit at once share syncs.
//! - Call [`Store::checkpoint_if_worthwhile`](crate::Store::checkpoint_if_worthwhile) now and then. It keeps opening fast, and
//!   commits go on beside it.
//!
//! # Threads
//!
//! Parallel work runs on the caller's rayon pool; wrap a call in `pool.install` to choose another. Training and updater take a
//! number of threads of their own. The results have the same bytes with any number of threads.
//!
//! # Progress of long calls
//!
//! ```
//! use hedgerow::{CancelToken, CheckOptions, Store};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("store");
//! # drop(Store::options().create(true).open(&path)?);
//! let token = CancelToken::new(); // keep a clone where Ctrl-C can raise it; `with_deadline` sets a time
//! let watched = token.observed(|at| println!("{} {} of {}", at.stage, at.done, at.of));
//! let found = Store::check(&path, CheckOptions::default(), &watched)?;
//! assert!(found.problems.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! [`RefreshReport`](crate::RefreshReport) has the number of walks, neighborhoods and rows that a refresh computed, and the time
//! of each part. [`Engine::refresh_history`](crate::Engine::refresh_history) has the last reports.
