//! The storage layer of Hedgerow: durable batches, the log, checkpoints, snapshots and the dirty set.
//!
//! A [`Store`] is a folder. A [`Batch`] of changes is committed as a whole and is durable when [`Store::commit`]
//! returns.
//! A [`BulkLoad`] is a complete graph for an empty store. A [`Snapshot`] is the graph as of one epoch, frozen.
//! Lists, keys and features of the last checkpoint are in immutable mapped files. Later changes are in the log, and in
//! memory in pages that snapshots share.
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
//! 255 kinds, 65,535 relations, 2^32 - 1 nodes over the life of a store (numbers of removed nodes are kept for their
//! keys), 2^30 - 1,000,001 neighbors of a node in a relation, or 2^28 where weights fade.
//! Kinds of 64 bytes, keys of 512 bytes, 4096 tokens and 16 KiB of tokens a node, 4096 numbers a dense row.
//! 4096 properties, with values of 16 KiB. A batch has
//! at most 1,000,000 operations and 256 MiB. Positions of 256 inputs, with names of 4096 bytes.
//! A change at a node costs time in proportion to the square root of its degree: at a million neighbors a commit takes
//! 30 microseconds more. Two changes take longer: the first one since a checkpoint, some 3 ms there, and one that
//! crosses a power of two, 0.1 s at 500,000.
//! Little-endian machines only.
//!
//! # Durability
//! One writer, guarded by a lock file. FORMAT.md describes every file byte by byte. Damage is reported with its place,
//! never guessed around.

mod adjacency;
mod bulk;
mod checkpoint;
mod fs;
mod graph;
mod segments;
mod store;
mod types;
mod wal;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(test)]
#[path = "../tests/internal/mod.rs"]
mod internal_tests;

pub use adjacency::list::{List, MAX_DEGREE, Place};
pub use adjacency::list_builder::{ListBuilder, ListEntry};
pub use adjacency::lists::Lists;
pub use adjacency::neighbor_offsets::NeighborOffsets;
pub use adjacency::weight_classes::{WeightClass, WeightClasses};
pub use bulk::edge_buffer::EdgeBuffer;
pub use bulk::load::BulkLoad;
pub use checkpoint::derived::{Derived, Publish};
pub use checkpoint::published::{MAIN_SET, MAX_SET_NAME};
pub use fs::mmap::SharedNumbers;
pub use fs::private_section::PrivateSection;
pub use fs::section::SectionFile;
pub use fs::section_writer::{AsBytes, SectionWriter};
pub use graph::flattened::FlattenedLists;
pub use graph::property_values::PropertyReader;
pub use graph::snapshot::{Property, Snapshot};
pub use graph::token_mask::TokenMask;
pub use store::backup::Backup;
pub use store::check::{CheckOptions, CheckReport};
pub use store::handle::{DerivedSet, Sizes, Store};
pub use store::open::OpenOptions;
pub use types::batch::{
    Batch, Edge, MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_DENSE_VALUE, MAX_DENSE_WIDTH, MAX_TOKEN_BYTES,
    MAX_TOKENS, MAX_TOKENS_BYTES, Savepoint,
};
pub use types::cancel::CancelToken;
pub use types::commit_summary::Commit;
pub use types::damage::Damage;
pub use types::error::Error;
pub use types::ids::{Epoch, Generation, KindIx, NodeIx, PropertyIx, RelationIx, StableId};
pub use types::names::{
    MAX_KEY_BYTES, MAX_KIND_BYTES, MAX_RELATION_BYTES, NodeName, NodeRef, check_relation,
};
pub use types::position::{MAX_POSITIONS, MAX_SOURCE_BYTES, Position};
pub use types::progress::{Progress, Stage};
pub use types::property::{MAX_PROPERTIES, MAX_VALUE_BYTES, PropertyType, PropertyValue};
pub use types::weights::relation_options::{MAX_HALF_LIFE, MIN_HALF_LIFE, RelationOptions, TimeUnit};
pub use types::weights::repeat::Repeat;
pub use wal::changes::Changes;
pub use wal::engine::is_engine_panic;
