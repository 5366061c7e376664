//! What is on disk when, and who sees it when.
//!
//! # When
//!
//! | after | durable | seen in this process | seen by other processes |
//! | --- | --- | --- | --- |
//! | [`Store::commit`](crate::Store::commit) | the batch, whole | snapshots taken from then on | not yet |
//! | [`Store::load`](crate::Store::load) | the graph | snapshots taken from then on | from their next open |
//! | [`Store::checkpoint`](crate::Store::checkpoint) | as before; opening is fast again | as before | the graph, from their next open |
//! | [`Engine::refresh`](crate::Engine::refresh) | nothing new: it can be computed again | all refreshed embeddings at once | not yet |
//! | [`Engine::persist`](crate::Engine::persist), the end of a training | the embeddings, with the graph that they are of | as before | both, from their next open |
//!
//! Durable means synced: it survives a kill and a power cut. A call that fails says so before anything is acknowledged, and what was
//! acknowledged before stays. An epoch of a training that was interrupted is kept too:
//! [`Engine::resuming`](crate::Engine::resuming) goes on to the bytes that it would have had.
//!
//! # One writer, any readers
//!
//! One process opens a store for writing, and holds its lock until the [`Store`](crate::Store) is dropped; a lock of a process that is gone is
//! free. Within the process any number of threads commit, and share their syncs.
//!
//! Other processes open it [`read_only`](crate::OpenOptions::read_only): without a lock, without the right to write. They see what
//! the last publish made visible and keep seeing it, whatever the writer does. To go on to the next:
//!
//! ```
//! use hedgerow::{Batch, CancelToken, Edge, Store};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("store");
//! let writer = Store::options().create(true).open(&path)?; // in another process, perhaps
//! let mut reader = Store::options().read_only(true).open(&path)?;
//!
//! let mut batch = Batch::new();
//! batch.link(("user", "1"), ("item", "2"), Edge::default())?;
//! writer.commit(&batch)?;
//! assert!(!reader.is_outdated()?, "a commit is the writer's own until it is published");
//!
//! writer.checkpoint(&CancelToken::new())?;
//! if reader.is_outdated()? {
//!     reader = Store::options().read_only(true).open(&path)?;
//! }
//! assert_eq!(reader.snapshot().node_count(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! The example `read_only_server` does so while it answers.
//!
//! # Taking an input in exactly once
//!
//! A batch can carry how far its input was read ([`Batch::set_position`](crate::Batch::set_position)). Both are durable or neither
//! is, so whoever goes on after a crash from [`Store::position`](crate::Store::position) takes every event in once:
//!
//! ```
//! use hedgerow::{Batch, Edge, Position, Store};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let store = Store::options().create(true).open(folder.path().join("store"))?;
//! let events = [("1", "7"), ("2", "7"), ("1", "8")]; // of a queue that counts its messages
//! for _start in 0..2 {
//!     let done = store.position("clicks").unwrap_or_default().offset;
//!     for (at, (user, item)) in (1..).zip(events).skip(done as usize) {
//!         let mut batch = Batch::new();
//!         batch.link(("user", user), ("item", item), Edge::default())?;
//!         batch.set_position("clicks", Position::from(at))?;
//!         store.commit(&batch)?;
//!     }
//! }
//! assert_eq!(store.snapshot().epoch().get(), 3, "the second start found nothing to do");
//! # Ok(())
//! # }
//! ```
//!
//! # Stopping what takes long
//!
//! A [`CancelToken`](crate::CancelToken) is looked at every few milliseconds, in long reads and writes between files or megabytes.
//! What a stop leaves:
//!
//! | call | after a stop |
//! | --- | --- |
//! | opening, checks, dumps, questions | everything as it was |
//! | a load | an empty store |
//! | a checkpoint, a persist | the store as before; what was written is removed or written over |
//! | a backup | a folder that is no store yet |
//! | a refresh | readers see the embeddings of before, and the next refresh is a rebuild where it had begun to compute |
//! | a training | the best whole epoch published, if there is one, and its state to go on from |
//!
//! The last part of a training, embedding all nodes with what was learned and storing it, goes on to its end.
//!
//! # Keeping it
//!
//! Two checkpoints, the log since the older one, and two copies of the manifest are kept, every file with checksums. Opening for
//! writing makes good what can be made good without losing anything, and [`Store::damage`](crate::Store::repairs) says what.
//! [`Store::check`](crate::Store::check) looks at everything, [`Store::backup`](crate::Store::backup) copies a store in use.
