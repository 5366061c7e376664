//! What Hedgerow keeps on disk: durable batches, the log, checkpoints, snapshots and the dirty set.
//!
//! A [`Store`] is a folder. A [`Batch`] of changes is committed whole and is durable when [`Store::commit`] returns; a
//! [`Load`] is a whole graph for an empty store. A [`Snapshot`] is the graph as of one epoch, frozen. Settled lists, keys and features lie in immutable mapped files;
//! what came since the last checkpoint lies in the log, and in memory in pages that snapshots share.
//!
//! ```
//! use hedgerow_storage::{Batch, Edge, NodeRef, RelationIx, Store};
//!
//! # fn main() -> Result<(), hedgerow_storage::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("graph");
//! let store = Store::options().create(true).open(&path)?;
//! let (pin, board) = (NodeRef::parse("pin:1")?, NodeRef::parse("board:7")?);
//! let mut batch = Batch::new();
//! batch.link(pin, board, Edge::default())?;
//! store.commit(&batch)?;
//!
//! let graph = store.snapshot();
//! let relation = graph.relation_ix("board-pin").expect("named by its kinds");
//! let list = graph.list(relation, graph.require(pin)?);
//! assert_eq!(graph.name(list.neighbor(0)).to_string(), "board:7");
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! 255 kinds, 65,535 relations, 2^32 - 1 nodes over the life of a store (numbers of removed nodes are kept for their keys),
//! 2^30 - 1,000,001 neighbours of a node in a relation; kinds of 64 bytes, keys of 512, 4096 tokens and 16 KiB of them a node,
//! 4096 numbers a dense row; a batch has at most 1,000,000 operations and 256 MiB; positions of
//! 256 inputs, with names of 4096 bytes. A change at a node costs time in proportion to the root of its degree: at a million neighbours a commit takes 30 microseconds more. Two changes take longer:
//! the first since a checkpoint, some 3 ms there, and one that leads past a power of two, 0.1 s at 500,000. Little-endian
//! machines only.
//!
//! # Durability
//! One writer, guarded by a lock file. FORMAT.md describes every file byte by byte; what is damaged is named, never guessed.

mod apart;
mod apply;
mod aside;
mod backup;
mod base;
mod batch;
mod cancel;
mod changes;
mod check;
mod checkpoint;
pub mod codec;
mod commit;
mod derived;
mod disk;
mod dump;
mod edits;
mod error;
#[cfg(test)]
mod faults;
mod flat;
mod ids;
#[cfg(test)]
mod lies;
mod list;
mod list_buf;
mod lists;
mod load;
mod lock;
mod log;
mod manifest;
mod map;
mod marks;
mod name;
mod op;
mod open;
mod overlay;
mod pages;
mod pieces;
mod plan;
mod position;
mod prefetch;
mod progress;
mod record;
mod recover;
mod repair;
mod section;
mod settle;
mod slots;
mod snapshot;
mod spans;
mod store;
mod tail;
mod trust;
mod view;
mod writing;

pub use backup::Backup;
pub use batch::{
    Batch, Edge, MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_DENSE_WIDTH, MAX_TOKEN_BYTES, MAX_TOKENS,
    MAX_TOKENS_BYTES,
};
pub use cancel::CancelToken;
pub use changes::Changes;
pub use check::{CheckOptions, Checkup};
pub use commit::Commit;
pub use derived::{Derived, Publish};
pub use error::Error;
pub use flat::FlatLists;
pub use ids::{Epoch, Generation, KindIx, NodeIx, RelationIx, StableId};
pub use list::{List, MAX_DEGREE, Place};
pub use list_buf::{Entry, ListBuf};
pub use lists::Lists;
pub use load::{Links, Load};
pub use log::is_engine_panic;
pub use marks::TokenMarks;
pub use name::{MAX_KEY_BYTES, MAX_KIND_BYTES, MAX_RELATION_BYTES, NodeName, NodeRef, check_relation};
pub use open::OpenOptions;
pub use position::{MAX_POSITIONS, MAX_SOURCE_BYTES, Position};
pub use progress::{Progress, Stage};
pub use repair::Repair;
pub use section::{AsBytes, SectionFile, SectionWriter};
pub use snapshot::Snapshot;
pub use spans::Spans;
pub use store::{Sizes, Store};
