//! The changed lists of a relation.
//! Owns the fast test for unchanged lists; knows nothing of the encoding of lists.

use std::sync::Arc;

use crate::adjacency::list_builder::ListBuilder;
use crate::adjacency::persistent_map::PersistentMap;

/// The number of nodes whose bits share a page.
const NODES_PER_PAGE: usize = 32_768;

/// Changed lists by node. A clone costs one pointer for every 32,768 nodes and shares all unchanged pages.
///
/// Most hops of a walk are at a node without a changed list. One bit for each node tells so in a read that stays in the
/// cache; the page table would take three or four reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    lists: PersistentMap<ListBuilder>,
    present: Vec<Option<Arc<[u64; NODES_PER_PAGE / 64]>>>,
}

impl Overlay {
    /// True if no list changed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// True if the list of a node differs from the checkpointed one.
    #[inline]
    pub(crate) fn contains(&self, node: u32) -> bool {
        let at = node as usize;
        match self.present.get(at / NODES_PER_PAGE) {
            Some(Some(page)) => page[at % NODES_PER_PAGE / 64] >> (at % 64) & 1 == 1,
            Some(None) | None => false,
        }
    }

    /// The list of a node, if it differs from the checkpointed one.
    pub(crate) fn get(&self, node: u32) -> Option<&ListBuilder> {
        self.lists.get(node)
    }

    /// Calls `visit` with every changed list, nodes ascending.
    pub(crate) fn for_each<'a>(&'a self, visit: &mut impl FnMut(u32, &'a ListBuilder)) {
        self.lists.for_each(visit);
    }

    /// Replaces the list of a node.
    pub(crate) fn set(&mut self, node: u32, list: ListBuilder) {
        let at = node as usize;
        if self.present.len() <= at / NODES_PER_PAGE {
            self.present.resize(at / NODES_PER_PAGE + 1, None);
        }
        let page =
            self.present[at / NODES_PER_PAGE].get_or_insert_with(|| Arc::new([0; NODES_PER_PAGE / 64]));
        let word = at % NODES_PER_PAGE / 64;
        if page[word] >> (at % 64) & 1 == 0 {
            Arc::make_mut(page)[word] |= 1 << (at % 64);
        }
        self.lists.set(node, list);
    }
}
