//! Rounded rows that refreshes and readers share as long as they are equal. Knows nothing of what rows mean.

use std::sync::Arc;

use hedgerow_storage::Error as StoreError;
use rayon::prelude::*;

use crate::linalg::rounded_rows::{RoundedRow, RoundedRows, RoundedRowsView, stored_width};

/// Rows of a block.
pub(crate) const ROWS_PER_BLOCK: usize = 64;

/// Rounded rows whose clones share memory. A change to one clone copies the blocks of [`ROWS_PER_BLOCK`] rows that it changes; the first
/// change divides all rows into blocks.
///
/// Rows of a mapped file are shared only after they were verified.
#[derive(Clone, Debug)]
pub(crate) struct SharedRows {
    rows: usize,
    dim: usize,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    /// In one piece. Rows are changed in place while no clone shares them.
    Whole(Arc<RoundedRows>),
    /// The last block has zeros behind the rows.
    Blocks(Vec<Arc<[f32]>>),
}

impl From<RoundedRows> for SharedRows {
    fn from(rows: RoundedRows) -> Self {
        Self { rows: rows.rows(), dim: rows.dim(), storage: Storage::Whole(Arc::new(rows)) }
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

    /// A row as files have it.
    pub(crate) fn stored_row(&self, row: usize) -> &[f32] {
        match &self.storage {
            Storage::Whole(rows) => rows.stored().row(row),
            Storage::Blocks(blocks) => {
                let (block, start) = (row / ROWS_PER_BLOCK, row % ROWS_PER_BLOCK * self.width());
                &blocks[block][start..start + self.width()]
            }
        }
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

    /// Replaces a row. Clones keep theirs.
    pub(crate) fn set_stored_row(&mut self, row: usize, stored: &[f32]) {
        let width = self.width();
        if let Some(rows) = self.whole_mut() {
            return rows.stored_mut().row_mut(row).copy_from_slice(stored);
        }
        let start = row % ROWS_PER_BLOCK * width;
        let block = &mut self.blocks_mut()[row / ROWS_PER_BLOCK];
        Arc::make_mut(block)[start..start + width].copy_from_slice(stored);
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

    /// Appends rows of zeros up to `rows` rows.
    pub(crate) fn grow(&mut self, rows: usize) {
        if rows <= self.rows {
            return;
        }
        if let Some(whole) = self.whole_mut() {
            whole.grow(rows);
        } else {
            let zeros: Arc<[f32]> = vec![0.0; ROWS_PER_BLOCK * self.width()].into();
            self.blocks_mut().resize(rows.div_ceil(ROWS_PER_BLOCK), zeros);
        }
        self.rows = rows;
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
        all.iter().enumerate().for_each(|(at, row)| whole.stored_mut().row_mut(at).copy_from_slice(row));
        // Each with the rows that it must have.
        let mut copies = vec![(SharedRows::from(whole), all)];
        for step in 0..400 {
            let at = rng.random_range(0..copies.len());
            if copies.len() < 3 || rng.random_bool(0.1) {
                let copy = copies[at].clone();
                if copies.len() == 5 { copies[(at + 1) % 5] = copy } else { copies.push(copy) }
            }
            let (rows, expected) = &mut copies[at];
            for _ in 0..rng.random_range(1..4) {
                let (place, new) = (rng.random_range(0..expected.len()), row(&mut rng));
                rows.set_stored_row(place, &new);
                expected[place] = new;
            }
            if rng.random_bool(0.1) {
                expected.resize(expected.len() + rng.random_range(0..70), vec![0.0; width]);
                rows.grow(expected.len());
            }
            let (from, into) = (rng.random_range(0..copies.len()), rng.random_range(0..copies.len()));
            if copies[from].1.len() >= copies[into].1.len() {
                let (source, expected) = copies[from].clone();
                let is_changed = |row: &u32| copies[into].1.get(*row as usize) != expected.get(*row as usize);
                let changed: Vec<u32> = (0..expected.len() as u32).filter(is_changed).collect();
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

    #[test]
    fn rows_of_one_owner_are_changed_in_place_and_those_of_two_in_blocks() {
        let mut rows = SharedRows::from(RoundedRows::zeros(200, 8));
        rows.set_stored_row(3, &[1.0; 9]);
        assert!(rows.whole_mut().is_some());
        let mut copy = rows.clone();
        copy.set_stored_row(150, &[2.0; 9]);
        copy.set_stored_row(151, &[2.0; 9]);
        let again = copy.clone();
        copy.set_stored_row(0, &[3.0; 9]);
        let (Storage::Blocks(before), Storage::Blocks(after)) = (&again.storage, &copy.storage) else {
            panic!("both were divided")
        };
        let shared: Vec<bool> = before.iter().zip(after).map(|(one, two)| Arc::ptr_eq(one, two)).collect();
        assert_eq!(shared, [false, true, true, true]);
        assert_eq!((rows.row(150).unit, copy.row(150).unit, again.row(0).unit), (0.0, 2.0, 0.0));
    }
}
