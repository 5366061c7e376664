//! A persistent page table from numbers to values: a clone copies one pointer, a change copies one path.
//! Owns the sharing between snapshots; knows nothing of the values.

use std::sync::Arc;

/// A change copies a leaf, and each value copied costs a reference count, so leaves are small.
const LEAF_BITS: u32 = 4;
const INNER_BITS: u32 = 6;
const LEAF: usize = 1 << LEAF_BITS;
const INNER: usize = 1 << INNER_BITS;

/// A map from `u32` to `T` whose clones share all pages until one of them changes.
///
/// # Cost
/// Clone: constant. Read: one step per 6 bits of the largest key. Write: the pages on the path, when they are shared.
#[derive(Clone, Debug)]
pub(crate) struct PersistentMap<T> {
    root: Option<Arc<Page<T>>>,
    /// Inner levels above the leaves.
    height: u32,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "pages lie behind pointers, and a leaf of values is as large")]
enum Page<T> {
    Inner([Option<Arc<Page<T>>>; INNER]),
    Leaf([Option<T>; LEAF]),
}

impl<T> Page<T> {
    fn new(height: u32) -> Self {
        if height == 0 { Self::Leaf([const { None }; LEAF]) } else { Self::Inner([const { None }; INNER]) }
    }
}

impl<T> Default for PersistentMap<T> {
    fn default() -> Self {
        Self { root: None, height: 0 }
    }
}

fn covers(height: u32, key: u32) -> bool {
    u64::from(key) >> (LEAF_BITS + INNER_BITS * height) == 0
}

fn child(height: u32, key: u32) -> usize {
    (key >> (LEAF_BITS + INNER_BITS * (height - 1))) as usize % INNER
}

impl<T> PersistentMap<T> {
    /// True if no value was ever stored.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The value at `key`.
    #[inline]
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        let mut page = self.root.as_ref()?;
        if !covers(self.height, key) {
            return None;
        }
        let mut height = self.height;
        loop {
            match &**page {
                Page::Inner(children) => page = children[child(height, key)].as_ref()?,
                Page::Leaf(values) => return values[key as usize % LEAF].as_ref(),
            }
            height -= 1;
        }
    }

    /// Calls `visit` with every key and value, keys ascending.
    pub(crate) fn for_each<'a>(&'a self, visit: &mut impl FnMut(u32, &'a T)) {
        if let Some(root) = &self.root {
            walk(root, self.height, 0, visit);
        }
    }
}

fn walk<'a, T>(page: &'a Page<T>, height: u32, start: u32, visit: &mut impl FnMut(u32, &'a T)) {
    match page {
        Page::Inner(children) => {
            for (at, below) in children.iter().enumerate() {
                if let Some(below) = below {
                    let step = (at as u32) << (LEAF_BITS + INNER_BITS * (height - 1));
                    walk(below, height - 1, start | step, visit);
                }
            }
        }
        Page::Leaf(values) => {
            for (at, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    visit(start | at as u32, value);
                }
            }
        }
    }
}

impl<T: Clone> PersistentMap<T> {
    /// Stores `value` at `key`; earlier clones keep their values.
    pub(crate) fn set(&mut self, key: u32, value: T) {
        // The root grows until it covers the key.
        while !covers(self.height, key) {
            self.height += 1;
            if let Some(below) = self.root.take() {
                let mut page = Page::new(self.height);
                if let Page::Inner(children) = &mut page {
                    children[0] = Some(below);
                }
                self.root = Some(Arc::new(page));
            }
        }
        // The pages on the path are copied where they are shared.
        let mut height = self.height;
        let mut page = self.root.get_or_insert_with(|| Arc::new(Page::new(height)));
        loop {
            match Arc::make_mut(page) {
                Page::Inner(children) => {
                    let slot = &mut children[child(height, key)];
                    height -= 1;
                    page = slot.get_or_insert_with(|| Arc::new(Page::new(height)));
                }
                Page::Leaf(values) => {
                    values[key as usize % LEAF] = Some(value);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn clones_keep_what_they_had() {
        let mut pages = PersistentMap::default();
        let mut model = BTreeMap::new();
        let mut frozen = Vec::new();
        let mut key = 1_u32;
        for round in 0..3000_u32 {
            key = key.wrapping_mul(2_654_435_761).wrapping_add(round);
            // Mostly small keys, so that the table grows late and pages are shared.
            let at = if round % 7 == 0 { key } else { key % 5000 };
            pages.set(at, round);
            model.insert(at, round);
            if round % 500 == 0 {
                frozen.push((pages.clone(), model.clone()));
            }
        }
        frozen.push((pages, model));
        for (pages, model) in frozen {
            let mut seen = BTreeMap::new();
            let mut order = Vec::new();
            pages.for_each(&mut |key, value| {
                order.push(key);
                seen.insert(key, *value);
            });
            assert!(order.is_sorted());
            assert_eq!(seen, model);
            assert!(model.iter().all(|(&key, value)| pages.get(key) == Some(value)));
            assert_eq!(pages.get(u32::MAX - 5), None);
        }
    }
}
