//! Numeric ids: nodes, kinds, relations, properties, epochs and generations.
//! Each is a type of its own, so that the compiler tells them apart. Knows nothing of names or of stores.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        pub struct $name($int);

        impl $name {
            /// Wraps the bare number.
            #[inline]
            pub const fn new(value: $int) -> Self {
                Self(value)
            }

            /// The bare number.
            #[inline]
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The dense number of a node in its store, assigned at first appearance and never reused.
    ///
    /// It depends on the order of arrival, so no visible result may depend on it: see [`StableId`].
    NodeIx(u32)
}

id! {
    /// The 64-bit hash of a node's kind and key: the same in every store that holds the node.
    StableId(u64)
}

id! {
    /// A version of the graph: one more per committed batch that changed something.
    Epoch(u64)
}

id! {
    /// A version of the model that computed embeddings.
    Generation(u64)
}

id! {
    /// The number of a kind in its store, in order of first appearance.
    KindIx(u8)
}

id! {
    /// The number of a relation in its store, in order of first appearance.
    RelationIx(u16)
}

id! {
    /// The number of a property in its store, in order of first appearance over all kinds.
    PropertyIx(u16)
}

/// The identity of a store, drawn when it is created. Every file of the store carries it, so that a file of another
/// store is recognized. [`StoreId::NONE`] in files of versions that knew no identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreId([u8; 16]);

impl StoreId {
    pub(crate) const NONE: Self = Self([0; 16]);

    /// A new identity, different from all others: from the random keys of the standard library, the process and the
    /// time.
    #[expect(clippy::disallowed_methods, reason = "the time makes the identity different, not later")]
    pub(crate) fn random() -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let half = || RandomState::new().hash_one((time, std::process::id())).to_le_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half());
        bytes[8..].copy_from_slice(&half());
        // An identity of zeros would count as none.
        bytes[0] |= 1;
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The checksum that the first record of the log names as that of the record before it.
    pub(crate) fn first_checksum(self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("eight bytes"))
    }

    /// True if a file with this identity may belong to a store with the other one.
    pub(crate) fn may_be(self, other: Self) -> bool {
        self == other || self == Self::NONE || other == Self::NONE
    }
}

impl NodeIx {
    /// The number as an index into per-node arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl KindIx {
    /// The number as an index into per-kind arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl RelationIx {
    /// The number as an index into per-relation arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl PropertyIx {
    /// The number as an index into per-property arrays.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
