//! Rounded rows that refreshes and readers share as long as they are equal. Knows nothing of what rows mean.

use std::sync::Arc;

use hedgerow_storage::Error as StoreError;
use rayon::prelude::*;

use crate::linalg::rounded_rows::{RoundedRow, RoundedRows, RoundedRowsView, stored_width};

/// Rows of a block.
pub(crate) const ROWS_PER_BLOCK: usize = 64;

/// Rounded rows whose clones share memory.
///
/// New rows wait until [`Self::apply_changes`]. If no clone shares the rows by then, they are changed in place. Otherwise clones keep
/// theirs: the rows are divided into blocks of [`ROWS_PER_BLOCK`], and blocks that change are copied.
///
/// Rows of a mapped file are shared only after they were verified.
#[derive(Clone, Debug)]
pub(crate) struct SharedRows {
    /// With those that wait.
    rows: usize,
    dim: usize,
    storage: Storage,
    /// Rows that wait, and their numbers as files have them.
    changes: (Vec<u32>, Vec<f32>),
}

#[derive(Clone, Debug)]
enum Storage {
    Whole(Arc<RoundedRows>),
    /// The last block has zeros behind the rows.
    Blocks(Vec<Arc<[f32]>>),
}

impl From<RoundedRows> for SharedRows {
    fn from(rows: RoundedRows) -> Self {
        let (count, dim) = (rows.rows(), rows.dim());
        Self { rows: count, dim, storage: Storage::Whole(Arc::new(rows)), changes: Default::default() }
    }
}

impl Default for SharedRows {
    fn default() -> Self {
        RoundedRows::default().into()
    }
}

impl SharedRows {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The width of a row in numbers of four bytes.
    pub(crate) fn width(&self) -> usize {
        stored_width(self.dim)
    }

    /// Bytes of the rows. Clones count them again.
    pub(crate) fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Whole(rows) => rows.bytes(),
            Storage::Blocks(blocks) => blocks.iter().map(|block| size_of_val(&**block)).sum(),
        }
    }

    pub(crate) fn row(&self, row: usize) -> RoundedRow<'_> {
        match &self.storage {
            Storage::Whole(rows) => rows.row(row),
            Storage::Blocks(_) => self.block(row - row % ROWS_PER_BLOCK).row(row % ROWS_PER_BLOCK),
        }
    }

    /// The numbers of a row. Shape: (D).
    pub(crate) fn numbers(&self, row: usize) -> Vec<f32> {
        self.row(row).numbers().take(self.dim).collect()
    }

    /// A row as files have it, without a change that waits. `None` for a new row that waits.
    pub(crate) fn stored_row_before(&self, row: usize) -> Option<&[f32]> {
        match &self.storage {
            Storage::Whole(rows) => (row < rows.rows()).then(|| rows.stored().row(row)),
            Storage::Blocks(blocks) => {
                let start = row % ROWS_PER_BLOCK * self.width();
                Some(&blocks.get(row / ROWS_PER_BLOCK)?[start..start + self.width()])
            }
        }
    }

    /// A row as files have it.
    pub(crate) fn stored_row(&self, row: usize) -> &[f32] {
        debug_assert!(self.changes.0.is_empty(), "changes are applied before rows are read");
        self.stored_row_before(row).expect("it does not wait")
    }

    /// The rows of the block from `first` on. All of a mapped file were verified.
    #[inline]
    pub(crate) fn block(&self, first: usize) -> RoundedRowsView<'_> {
        debug_assert_eq!(first % ROWS_PER_BLOCK, 0, "a block starts at a multiple of its rows");
        match &self.storage {
            Storage::Whole(rows) => rows.view_from(first),
            Storage::Blocks(blocks) => {
                RoundedRowsView::of_stored(&blocks[first / ROWS_PER_BLOCK], self.width())
            }
        }
    }

    /// All rows as files have them, one piece after another.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[f32]> {
        let (whole, blocks) = match &self.storage {
            Storage::Whole(rows) => (Some(rows.stored().values()), &[][..]),
            Storage::Blocks(blocks) => (None, &blocks[..]),
        };
        let (rows, width) = (self.rows, self.width());
        let blocks = blocks.iter().enumerate().map(move |(at, block)| {
            let left = rows.saturating_sub(at * ROWS_PER_BLOCK).min(ROWS_PER_BLOCK);
            &block[..left * width]
        });
        whole.into_iter().chain(blocks)
    }

    /// As [`HugeMatrix::verify_rows`](crate::linalg::huge_matrix::HugeMatrix::verify_rows).
    ///
    /// # Errors
    /// Damage of the file.
    pub(crate) fn verify_rows(&self, rows: &[u32]) -> Result<(), StoreError> {
        if let Storage::Whole(whole) = &self.storage { whole.stored().verify_rows(rows) } else { Ok(()) }
    }

    /// As [`HugeMatrix::verify`](crate::linalg::huge_matrix::HugeMatrix::verify).
    ///
    /// # Errors
    /// Damage of the file.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        if let Storage::Whole(whole) = &self.storage { whole.stored().verify() } else { Ok(()) }
    }

    /// The rows in one piece, to change them in place. `None` if they are shared, or in blocks.
    pub(crate) fn whole_mut(&mut self) -> Option<&mut RoundedRows> {
        if let Storage::Whole(rows) = &mut self.storage { Arc::get_mut(rows) } else { None }
    }

    /// Changes a row at the next [`Self::apply_changes`].
    pub(crate) fn set_later(&mut self, row: u32, stored: &[f32]) {
        self.changes.0.push(row);
        self.changes.1.extend_from_slice(stored);
    }

    /// Changes the rows that wait. Clones keep theirs.
    pub(crate) fn apply_changes(&mut self) {
        let (rows, width) = (self.rows, self.width());
        let (changed, stored) = std::mem::take(&mut self.changes);
        let changes = changed.iter().map(|&row| row as usize).zip(stored.chunks_exact(width.max(1)));
        if let Some(whole) = self.whole_mut() {
            whole.grow(rows);
            for (row, stored) in changes {
                whole.stored_mut().row_mut(row).copy_from_slice(stored);
            }
        } else if !changed.is_empty() || rows > 0 && self.stored_row_before(rows - 1).is_none() {
            let blocks = self.blocks_mut();
            if blocks.len() < rows.div_ceil(ROWS_PER_BLOCK) {
                blocks.resize(rows.div_ceil(ROWS_PER_BLOCK), vec![0.0; ROWS_PER_BLOCK * width].into());
            }
            for (row, stored) in changes {
                let start = row % ROWS_PER_BLOCK * width;
                let block = Arc::make_mut(&mut blocks[row / ROWS_PER_BLOCK]);
                block[start..start + width].copy_from_slice(stored);
            }
        }
    }

    /// Gives up rows in one piece, so that a clone may change them in place. [`Self::follow`] comes next.
    pub(crate) fn release(&mut self) {
        if matches!(self.storage, Storage::Whole(_)) {
            *self = Self::default();
        }
    }

    /// Becomes equal to a clone that differs in the listed rows only, and perhaps has more. Cost: those rows; a pointer for each block
    /// if the other has more blocks, or was divided since.
    pub(crate) fn follow(&mut self, other: &Self, changed: &[u32]) {
        match (&mut self.storage, &other.storage) {
            (Storage::Blocks(own), Storage::Blocks(blocks)) if own.len() == blocks.len() => {
                for block in changed.iter().map(|&row| row as usize / ROWS_PER_BLOCK) {
                    if !Arc::ptr_eq(&own[block], &blocks[block]) {
                        own[block] = Arc::clone(&blocks[block]);
                    }
                }
                self.rows = other.rows;
            }
            _ => *self = other.clone(),
        }
    }

    /// True if the rows grow to `rows` rows without a copy of all.
    pub(crate) fn has_room(&self, rows: usize) -> bool {
        if let Storage::Whole(whole) = &self.storage { whole.stored().has_room(rows) } else { true }
    }

    /// Appends rows of zeros up to `rows` rows. Rows that are shared wait until [`Self::apply_changes`].
    pub(crate) fn grow(&mut self, rows: usize) {
        self.rows = self.rows.max(rows);
        if let Some(whole) = self.whole_mut() {
            whole.grow(rows);
        }
    }

    /// The rows in blocks. Cost: the first time a copy of all.
    fn blocks_mut(&mut self) -> &mut Vec<Arc<[f32]>> {
        let width = self.width();
        if let Storage::Whole(whole) = &self.storage {
            let size = ROWS_PER_BLOCK * width;
            let block = |values: &[f32]| {
                let mut block = vec![0.0; size];
                block[..values.len()].copy_from_slice(values);
                block.into()
            };
            let blocks = whole.stored().values().par_chunks(size.max(1)).map(block).collect();
            self.storage = Storage::Blocks(blocks);
        }
        match &mut self.storage {
            Storage::Blocks(blocks) => blocks,
            Storage::Whole(_) => unreachable!("they were divided"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn clones_keep_their_rows_while_others_change_grow_and_follow() {
        const DIM: usize = 8;
        let mut rng = StdRng::seed_from_u64(8);
        let width = stored_width(DIM);
        let row = |rng: &mut StdRng| vec![f32::from(rng.random_range(1..2000_u16)); width];
        let all: Vec<Vec<f32>> = (0..150).map(|_| row(&mut rng)).collect();
        let mut whole = RoundedRows::zeros(150, DIM);
        for (at, row) in all.iter().enumerate() {
            whole.stored_mut().row_mut(at).copy_from_slice(row);
        }
        // Each with the rows that it must have.
        let mut copies = vec![(SharedRows::from(whole), all)];
        for step in 0..400 {
            let at = rng.random_range(0..copies.len());
            if copies.len() < 3 || rng.random_bool(0.1) {
                let copy = copies[at].clone();
                if copies.len() == 5 { copies[(at + 1) % 5] = copy } else { copies.push(copy) }
            }
            let (rows, expected) = &mut copies[at];
            if rng.random_bool(0.1) {
                expected.resize(expected.len() + rng.random_range(0..70), vec![0.0; width]);
                rows.grow(expected.len());
            }
            for _ in 0..rng.random_range(0..4) {
                let (place, new) = (rng.random_range(0..expected.len()), row(&mut rng));
                rows.set_later(place as u32, &new);
                expected[place] = new;
            }
            rows.apply_changes();
            let (from, into) = (rng.random_range(0..copies.len()), rng.random_range(0..copies.len()));
            if copies[from].1.len() >= copies[into].1.len() {
                let (source, expected) = copies[from].clone();
                let is_changed = |row: &u32| copies[into].1.get(*row as usize) != expected.get(*row as usize);
                let changed: Vec<u32> = (0..expected.len() as u32).filter(is_changed).collect();
                if rng.random_bool(0.5) {
                    copies[into].0.release();
                }
                copies[into].0.follow(&source, &changed);
                copies[into].1 = expected;
            }
            for (rows, expected) in &copies {
                assert_eq!(rows.rows(), expected.len(), "step {step}");
                assert!(rows.pieces().collect::<Vec<_>>().concat() == expected.concat(), "step {step}");
                for (at, row) in expected.iter().enumerate() {
                    let of_block = rows.block(at - at % ROWS_PER_BLOCK).row(at % ROWS_PER_BLOCK);
                    let integers: &[i8] = bytemuck::cast_slice(&row[..width - 1]);
                    assert_eq!((rows.stored_row(at), of_block.integers), (&row[..], integers), "step {step}");
                }
            }
        }
    }

    /// The rows of a refresh: readers share them until its end, and give them up for the change.
    #[test]
    fn rows_that_readers_give_up_are_changed_in_place() {
        let mut rows = SharedRows::from(RoundedRows::zeros(200, 8));
        let mut readers = rows.clone();
        rows.grow(300);
        rows.set_later(3, &[1.0; 9]);
        rows.set_later(299, &[2.0; 9]);
        assert_eq!((rows.stored_row_before(3), rows.stored_row_before(299)), (Some(&[0.0; 9][..]), None));
        assert_eq!((readers.rows(), readers.row(3).unit), (200, 0.0));
        readers.release();
        rows.apply_changes();
        assert!(rows.whole_mut().is_some());
        readers.follow(&rows, &[3, 299]);
        assert_eq!((readers.rows(), readers.row(3).unit, readers.row(299).unit), (300, 1.0, 2.0));
        assert!(matches!(&readers.storage, Storage::Whole(_)));
    }

    #[test]
    fn rows_that_somebody_keeps_are_changed_in_blocks() {
        let mut rows = SharedRows::from(RoundedRows::zeros(200, 8));
        let kept = rows.clone();
        rows.set_later(150, &[2.0; 9]);
        rows.apply_changes();
        let again = rows.clone();
        rows.set_later(0, &[3.0; 9]);
        rows.apply_changes();
        let (Storage::Blocks(before), Storage::Blocks(after)) = (&again.storage, &rows.storage) else {
            panic!("both were divided")
        };
        let shared: Vec<bool> = before.iter().zip(after).map(|(one, two)| Arc::ptr_eq(one, two)).collect();
        assert_eq!(shared, [false, true, true, true]);
        assert_eq!((kept.row(150).unit, rows.row(150).unit, again.row(0).unit), (0.0, 2.0, 0.0));
    }
}
