//! Durability and visibility: when a change is on disk, and who sees it when.
//!
//! # When a change is durable and visible
//!
//! | after | durable | visible in this process | visible in other processes |
//! | --- | --- | --- | --- |
//! | [`Store::commit`](crate::Store::commit) | the batch, whole | in snapshots taken afterwards | not yet |
//! | [`Store::load`](crate::Store::load) | the graph | in snapshots taken afterwards | after their next open |
//! | [`Store::checkpoint`](crate::Store::checkpoint) | as before; opening is fast again | as before | the graph, after their next open |
//! | [`Engine::refresh`](crate::Engine::refresh) | nothing new; it can be recomputed | all refreshed embeddings at once | not yet |
//! | [`Engine::persist`](crate::Engine::persist), the end of a training | the embeddings, with their graph | as before | both, after their next open |
//!
//! Durable means synced: it survives a kill and a power cut. A call that fails reports it before anything is acknowledged. What
//! was acknowledged before stays. The epochs of an interrupted training are kept too:
//! [`Engine::resuming`](crate::Engine::resuming) continues to the bytes of an uninterrupted one.
//!
//! # One writer, any number of readers
//!
//! One process opens a store for writing. It holds the lock until the [`Store`](crate::Store) is dropped; the lock of an ended
//! process is free. Within the process any number of threads commit, and share their syncs.
//!
//! Other processes open it [`read_only`](crate::OpenOptions::read_only), without a lock and without write permission. They see
//! the last published state and keep seeing it, whatever the writer does. To move on to the next state, open again:
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
//! # Applying an input exactly once
//!
//! A batch can carry the position up to which its input was read ([`Batch::set_position`](crate::Batch::set_position)). Batch and
//! position are durable together. So a host that continues from [`Store::position`](crate::Store::position) after a crash applies
//! every event once:
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
//! # How often to persist
//!
//! Embeddings that are not persisted are never lost: the next open refreshes them from the commits since. Three things depend on
//! [`Engine::persist`](crate::Engine::persist):
//!
//! - *Other processes* see refreshed embeddings only after it.
//! - *The next open* refreshes what was committed since. A refresh costs about 0.1 ms for each edge, and never much more than a rebuild.
//! - *What it writes* is the rows that changed and the graph's records. After one edge in a graph of a million items that is 2 MB and
//!   some syncs. A row that changes again between two calls is written once.
//!
//! So a host that stays persists every one to ten minutes, and before it ends
//! ([`UpdaterOptions::persist_every`](crate::UpdaterOptions::persist_every)). One whose readers must see a change within seconds persists
//! every few seconds. Persisting after each commit costs more than the refresh. A job persists once, at its end, as the command's
//! `refresh` and `apply` do; `apply --follow` persists once a minute too.
//!
//! # Stopping a long call
//!
//! A long call checks its [`CancelToken`](crate::CancelToken) every few milliseconds; in long reads and writes it checks between
//! files or megabytes. A stop leaves:
//!
//! | call | state after a stop |
//! | --- | --- |
//! | opening, checks, dumps, questions | unchanged |
//! | a bulk load | an empty store |
//! | a checkpoint, a persist | the store as before; written files are removed or overwritten |
//! | a backup | a folder that is not a store yet |
//! | a refresh | readers see the embeddings of before; if the refresh had begun to compute, the next one is a rebuild |
//! | a training | the best whole epoch is published, if there is one, and its state can be resumed |
//!
//! The last part of a training embeds all nodes with the learned model and stores the result. It cannot be stopped.
//!
//! # Keeping a store intact
//!
//! A store keeps two checkpoints, the log since the older one, and two copies of the manifest, all with checksums. Opening it for
//! writing repairs whatever can be repaired without loss, and [`Store::damage`](crate::Store::damage) lists it.
//! [`Store::check`](crate::Store::check) verifies everything. [`Store::backup`](crate::Store::backup) copies a store in use.
