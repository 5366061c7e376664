//! The lists of a relation that differ from the settled ones.
//! Owns the quick answer that a list does not; knows nothing of how lists are encoded.

use std::sync::Arc;

use crate::adjacency::list_builder::ListBuilder;
use crate::adjacency::persistent_map::PersistentMap;

/// Nodes whose bits share a page.
const NODES_PER_PAGE: usize = 32_768;

/// Lists by node; a clone costs a pointer for every 32,768 nodes, and shares what does not change.
///
/// Most hops of a walk stand on a node that is not here. A bit for each node says so in one read that stays in the
/// cache, where the page table takes three or four.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    lists: PersistentMap<ListBuilder>,
    present: Vec<Option<Arc<[u64; NODES_PER_PAGE / 64]>>>,
}

impl Overlay {
    /// Whether it holds no list.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Whether the list of a node differs from the settled one.
    #[inline]
    pub(crate) fn contains(&self, node: u32) -> bool {
        let at = node as usize;
        match self.present.get(at / NODES_PER_PAGE) {
            Some(Some(page)) => page[at % NODES_PER_PAGE / 64] >> (at % 64) & 1 == 1,
            Some(None) | None => false,
        }
    }

    /// The list of a node, if it differs from the settled one.
    pub(crate) fn get(&self, node: u32) -> Option<&ListBuilder> {
        self.lists.get(node)
    }

    /// Calls `visit` with every list, nodes ascending.
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
