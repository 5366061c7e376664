//! Numeric ids: nodes, kinds, relations, epochs and generations.
//! Each is a type of its own, so that the compiler tells them apart. Knows nothing of names or of stores.

use std::fmt;

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
