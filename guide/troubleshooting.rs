//! What each error means and what to do; damage, slow refreshes, odd answers.
//!
//! # By kind
//!
//! [`Error::kind`](crate::Error::kind) is for deciding, the text for people: it says what happened, what was found and expected,
//! and what to do.
//!
//! | [`ErrorKind`](crate::ErrorKind) | means | do |
//! | --- | --- | --- |
//! | `NotFound` | no such node, kind or relation | [`Error::missing_node`](crate::Error::missing_node) says which; answer your caller |
//! | `Invalid` | a value that cannot be: a NaN, a name, an option | mend the input; nothing was changed |
//! | `Limit` | more than can be held or taken at once | smaller batches; see [`limits`](super::limits) |
//! | `Locked` | another handle writes to the store | open read-only, or wait: the text names process and time |
//! | `NotAStore` | the folder holds something else | [`create(true)`](crate::OpenOptions::create), another folder |
//! | `NewerVersion` | a newer version of the library wrote it | use that version |
//! | `NotEmpty` | a load into a store that holds something | commit batches instead |
//! | `ReadOnly` | a change asked of a read-only handle | open for writing |
//! | `NotTrained` | no model yet | train; [`pixie()`](crate::pixie()) needs none |
//! | `NotEmbedded` | this node came after the last refresh, or its kind is no target | refresh, or [`Engine::embedding_now`](crate::Engine::embedding_now); train with its kind |
//! | `Diverged` | the loss of a training stopped being a number | a lower `learning_rate`; the epochs before are published |
//! | `Refused` | not as things are: nothing to resume, another graph, an updater that ended | the text says; train anew, start another |
//! | `Cancelled` | your token was raised | nothing; see [`durability`](super::durability) for what it left |
//! | `Damaged` | a file is not as it was written | below |
//! | `Io` | the system refused something | below |
//! | `Broken` | a write or sync failed before | close the store and open it again |
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
//! 1. Open it for writing: what can be made good without losing anything is, and
//!    [`Store::damage`](crate::Store::repairs) says what it was. A read-only handle changes nothing, so it fails on any damage.
//! 2. If it does not open, [`Store::check`](crate::Store::check) lists every file and place, each with its remedy.
//! 3. Damage at the end of the log that no copy makes good: [`OpenOptions::repair`](crate::OpenOptions::repair) gives up the batches from
//!    there on, and keeps what held them in `log.damaged`.
//! 4. A model that cannot be read: [`Store::discard_derived`](crate::Store::discard_derived) gives it up, the graph stays; train
//!    again.
//! 5. Otherwise put back a backup. Files that are the same in both checkpoints are there once: back up stores that cannot be made again.
//!
//! # `Io`, and a store that writes no more
//!
//! A full disk fails the call with `Io`, and earlier batches are intact. After a *write or sync* failed it is not known what the disk has: every later
//! change fails with `Broken` until the store is closed and opened again, which finds out. Readers go on.
//!
//! # A training that does not get better
//!
//! | sign | likely | try |
//! | --- | --- | --- |
//! | [`Alarm::Collapsed`](crate::Alarm::Collapsed): random pairs have a cosine near 1 | all vectors alike | a lower `learning_rate`; more negatives |
//! | [`Alarm::LossGrew`](crate::Alarm::LossGrew) | too large steps | a lower `learning_rate` |
//! | `Diverged` | the same, further on | the same |
//! | recall falls from the first epochs on | it learns the edges by heart | fewer epochs; `Ids::Off` where there are tokens |
//! | `NoPositives` | no node has two neighbours of the target kinds | the right `targets`; pairs |
//!
//! # A slow refresh
//!
//! [`RefreshReport`](crate::RefreshReport) says why. `full`: the changes were many, the last refresh was stopped, or the handle is
//! read-only, so everything was computed. Many `rows` for few changes: popular nodes are in many neighbourhoods; `min_visits` 3 leaves those out that were
//! visited by chance. Waiting and not working: it queues behind tasks of the same rayon pool; give the updater threads of its own.
//!
//! # An odd answer
//!
//! - **An old one.** Compare `epoch` and `dirty_nodes` of the answer with the store's epoch; refresh.
//! - **A node is missing.** It came after the last refresh, its kind is no target, or it is excluded: seen nodes are, unless
//!   `include_seen`. [`Ranked::ignored`](crate::Ranked::ignored) lists what of a history has no embedding.
//! - **Popular nodes everywhere.** Scores add popularity; [`Query::cosine`](crate::Query::cosine) leaves it out.
//! - **Why that node?** [`Query::explain`](crate::Query::explain) says; [`Engine::refresh_explained`](crate::Engine::refresh_explained) says why an embedding
//!   changed, down to the edge.
//! - **Two stores disagree.** Equal digests are equal bytes. Without, compare epochs, generations and options
//!   ([`Engine::recipe`](crate::Engine::recipe)), and whether both processors are of one kind.
