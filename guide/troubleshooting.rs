//! Troubleshooting: the meaning and remedy of each error; damage, slow refreshes, unexpected answers.
//!
//! # Errors by kind
//!
//! A program decides by [`Error::kind`](crate::Error::kind). The text is for people: what happened, what was found and expected,
//! and what to do.
//!
//! | [`ErrorKind`](crate::ErrorKind) | meaning | remedy |
//! | --- | --- | --- |
//! | `NotFound` | no such node, kind or relation | [`Error::missing_node`](crate::Error::missing_node) and [`Error::missing_relation`](crate::Error::missing_relation) have the name; report it to your caller |
//! | `Invalid` | an invalid value: a NaN, a name, an option | correct the input; nothing was changed |
//! | `Limit` | more than the maximum | smaller batches; see [`limits`](super::limits) |
//! | `Locked` | another handle writes to the store | open read-only, or wait; the text has process and time |
//! | `NotAStore` | the folder holds other files | [`create(true)`](crate::OpenOptions::create), or another folder |
//! | `NewerVersion` | a newer version of the library wrote it | use that version |
//! | `NotEmpty` | a bulk load into a store that holds data | commit batches instead |
//! | `ReadOnly` | a change through a read-only handle | open for writing |
//! | `NotTrained` | no model yet | train; [`pixie()`](crate::pixie()) needs no model |
//! | `NotEmbedded` | the node came after the last refresh, or its kind is no target | refresh, or call [`Engine::embedding_now`](crate::Engine::embedding_now); or train with its kind |
//! | `Diverged` | the loss of a training is not a number | a lower `learning_rate`; the epochs before are published |
//! | `Refused` | the state does not allow it: nothing to resume, another graph, a cursor of before, an ended updater | see the text; train anew, ask for the first page, or start another updater |
//! | `Cancelled` | your token was raised, or its deadline passed | none; see [`durability`](super::durability) for the state |
//! | `Damaged` | a file does not hold what was written | see below |
//! | `Io` | the operating system refused an operation | see below |
//! | `Broken` | an earlier write or sync failed | close the store and open it again |
//!
//! ```
//! use hedgerow::{Error, ErrorKind, Store};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("store");
//! fn open(path: &std::path::Path) -> Result<Store, Error> {
//!     match Store::options().create(true).open(path).map_err(Error::from) {
//!         Err(error) if error.kind() == ErrorKind::Locked => {
//!             // The writer is another process: answer from what it publishes.
//!             Ok(Store::options().read_only(true).open(path)?)
//!         }
//!         other => other,
//!     }
//! }
//! let writer = open(&path).expect("nobody has it open");
//! assert!(!writer.is_read_only());
//! assert!(open(&path).expect("beside the writer").is_read_only());
//! ```
//!
//! # A damaged store
//!
//! 1. Open it for writing. This repairs whatever can be repaired without loss, and [`Store::damage`](crate::Store::damage)
//!    lists it. A read-only handle changes nothing, so it fails on any damage.
//! 2. If it does not open, call [`Store::check`](crate::Store::check). It lists every file and place, each with its remedy.
//! 3. If the end of the log is damaged and has no copy, use [`OpenOptions::repair`](crate::OpenOptions::repair). It gives up the
//!    batches from there on, and keeps their bytes in `log.damaged`.
//! 4. If a model cannot be read, [`DerivedSet::discard`](crate::DerivedSet::discard) removes it and keeps the graph and other models.
//!    Train again.
//! 5. Otherwise restore a backup. Files that are the same in both checkpoints have no second copy, so back up stores that cannot
//!    be made again.
//!
//! # `Io` and `Broken`
//!
//! A full disk fails the call with `Io`, and earlier batches are intact. After a failed *write or sync* the content of the disk
//! is unknown. Every later change then fails with `Broken` until the store is closed and opened again. Readers continue.
//!
//! # A training that does not improve
//!
//! | sign | likely cause | try |
//! | --- | --- | --- |
//! | [`Alarm::Collapsed`](crate::Alarm::Collapsed): random pairs have a cosine near 1 | all vectors are alike | a lower `learning_rate`; more negatives |
//! | [`Alarm::Zeros`](crate::Alarm::Zeros), `Collapsed`: embeddings are zeros or all alike, and nothing is published | steps that switch off all units; features that are the same for all nodes | a lower `learning_rate`; `Ids::On` |
//! | `NotFinite`: a parameter or an embedding is infinite, and nothing is published | large dense features; steps are far too large | scaled features; a lower `learning_rate` |
//! | [`Alarm::LossGrew`](crate::Alarm::LossGrew) | steps are too large | a lower `learning_rate` |
//! | `Diverged` | steps are far too large | a lower `learning_rate` |
//! | recall falls from the first epochs on | overfitting to the edges | fewer epochs; `Ids::Off` where there are tokens |
//! | `NoInputs` | no node of the target kinds has features, and `Ids::Off` | `Ids::Auto`; tokens or dense features |
//! | `NoPositives` | no node has two neighbors of the target kinds | correct `targets`; pairs |
//!
//! # A slow refresh
//!
//! [`RefreshReport`](crate::RefreshReport) shows the cause.
//!
//! - `full`: everything was computed. The changes were many, the last refresh was stopped, or the handle is read-only.
//! - Many `rows` for few changes: popular nodes are in many neighborhoods. `min_visits` 3 leaves out nodes that were visited by
//!   chance.
//! - A refresh that waits: it queues behind tasks of the same rayon pool. Give the updater threads of its own.
//!
//! # An unexpected answer
//!
//! - **An old answer.** Compare `epoch` and `dirty_nodes` of the answer with the store's epoch, and refresh.
//! - **A missing node.** It came after the last refresh, its kind is no target, or it is excluded. Seen nodes are excluded unless
//!   `include_seen` is set. [`Ranked::ignored`](crate::Ranked::ignored) lists nodes of a history without an embedding.
//! - **Popular nodes everywhere.** Scores add popularity; [`Query::cosine`](crate::Query::cosine) leaves it out.
//! - **The reason for a node.** [`Query::explain`](crate::Query::explain) gives it.
//!   [`Engine::refresh_explained`](crate::Engine::refresh_explained) says why an embedding changed, down to the edge.
//! - **Two stores that disagree.** Equal digests mean equal bytes. If digests differ, compare epochs, generations and options
//!   ([`Engine::model_config`](crate::Engine::model_config)), and the kinds of the processors.
