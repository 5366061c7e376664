//! A growable matrix with a row for each node of the graph. Knows nothing of what its rows mean.

use std::fmt;
use std::ops::Range;

use hedgerow_storage::{Error, PrivateSection};
use memmap2::MmapMut;
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::linalg::matrix::BAND;

/// The size in bytes from which a matrix uses huge pages; smaller ones would waste most of a page.
const HUGE_FROM: usize = 8 << 20;
/// A matrix that must move gets one part in this many more rows than requested.
const ROOM: usize = 8;

/// A row-major matrix in huge pages where the system has them.
///
/// Rows are read from random places. With small pages each read takes a walk of the page table, and each first touch
/// of a page a system call. A rebuild of 100,000 nodes embeds 134,000 nodes/s with huge pages and 98,000 without.
/// Memory that nobody wrote yet is zero and costs nothing.
///
/// Rows of a file are read only after [`Self::verify_rows`] or [`Self::verify`] found them intact. Builds with debug assertions
/// check that.
pub(crate) struct HugeMatrix {
    rows: usize,
    width: usize,
    memory: Memory,
}

enum Memory {
    Small(Vec<f32>),
    /// Has room for more rows.
    Huge(MmapMut),
    /// Rows of a file, in small pages. Has room for more rows.
    Mapped(PrivateSection),
}

impl HugeMatrix {
    /// A matrix of zeros. Shape: (rows, width).
    pub(crate) fn zeros(rows: usize, width: usize) -> Self {
        Self { rows, width, memory: Memory::zeros(rows * width) }
    }

    /// A copy of the values. `None` if their number is not `rows x width`.
    pub(crate) fn from_values(rows: usize, width: usize, values: &[f32]) -> Option<Self> {
        if values.len() != rows * width {
            return None;
        }
        let mut matrix = Self::zeros(rows, width);
        matrix.values_mut().copy_from_slice(values);
        Some(matrix)
    }

    /// The numbers of a file; those after `rows x width` are zeros, and room for more rows. `None` if there are fewer.
    pub(crate) fn mapped(rows: usize, width: usize, values: PrivateSection) -> Option<Self> {
        (values.len() >= rows * width).then_some(Self { rows, width, memory: Memory::Mapped(values) })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Bytes of the rows, without the room for more.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.unverified_values())
    }

    /// Verifies the listed rows of a file. Cost: reads the blocks that were not verified before.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn verify_rows(&self, rows: &[u32]) -> Result<(), Error> {
        match &self.memory {
            Memory::Mapped(section) if !section.is_verified() => {
                let verify = |&row: &u32| section.verify_part(self.range(row as usize));
                rows.par_chunks(BAND).try_for_each(|rows| rows.iter().try_for_each(verify))?;
                // Random pages bring others with them, so nearly all would be in memory twice.
                section.release_verified_pages();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Verifies all rows of a file. Cost: reads them, unless that was done before.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn verify(&self) -> Result<(), Error> {
        if let Memory::Mapped(section) = &self.memory { section.verify() } else { Ok(()) }
    }

    /// True if no row is left that must be verified before it is read.
    pub(crate) fn is_verified(&self) -> bool {
        !matches!(&self.memory, Memory::Mapped(section) if !section.is_verified())
    }

    /// All rows, row-major.
    pub(crate) fn values(&self) -> &[f32] {
        debug_assert!(self.is_verified(), "rows are verified before they are read");
        self.unverified_values()
    }

    /// All rows, row-major, for callers that read the rows that they verified.
    pub(crate) fn unverified_values(&self) -> &[f32] {
        &self.memory.values()[..self.rows * self.width]
    }

    /// Panics in builds with debug assertions if a row was not verified.
    #[inline]
    pub(crate) fn debug_assert_verified(&self, row: usize) {
        debug_assert!(
            !matches!(&self.memory, Memory::Mapped(section) if !section.is_part_verified(self.range(row))),
            "row {row} is verified before it is read"
        );
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.memory.values_mut()[..self.rows * self.width]
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        self.debug_assert_verified(row);
        &self.unverified_values()[self.range(row)]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let range = self.range(row);
        &mut self.values_mut()[range]
    }

    /// All rows, for callers that read the rows that they verified.
    pub(crate) fn view(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.rows, self.width), self.unverified_values())
            .expect("as many values as rows hold")
    }

    /// Calls `fill` in parallel with bands of rows, which it must write, and the number of the first row of each.
    pub(crate) fn fill_bands(&mut self, fill: impl Fn(usize, &mut [f32]) + Sync) {
        let width = self.width;
        if width > 0 {
            let bands = self.values_mut().par_chunks_mut(BAND * width).enumerate();
            bands.for_each(|(band, rows)| fill(band * BAND, rows));
        }
    }

    /// True if the matrix grows to `rows` rows without a copy of all.
    pub(crate) fn has_room(&self, rows: usize) -> bool {
        rows * self.width <= self.memory.values().len()
    }

    /// Appends rows of zeros up to `rows` rows. Cost: copies all rows each time the matrix has grown by an eighth.
    pub(crate) fn grow(&mut self, rows: usize) {
        let values = rows * self.width;
        if !self.has_room(rows) {
            let room = if self.rows == 0 { rows } else { rows + rows / ROOM };
            let mut memory = Memory::zeros(room * self.width);
            memory.values_mut()[..self.values().len()].copy_from_slice(self.values());
            self.memory = memory;
        } else if matches!(self.memory, Memory::Mapped(_)) {
            // A file may hold anything there.
            let start = self.rows * self.width;
            self.memory.values_mut()[start..values.max(start)].fill(0.0);
        }
        self.rows = self.rows.max(rows);
    }

    fn range(&self, row: usize) -> Range<usize> {
        row * self.width..(row + 1) * self.width
    }
}

impl Memory {
    fn zeros(values: usize) -> Self {
        let bytes = values * size_of::<f32>();
        if bytes >= HUGE_FROM
            && let Ok(memory) = MmapMut::map_anon(bytes)
        {
            #[cfg(target_os = "linux")]
            // A kernel without huge pages refuses. The matrix then works too, but slower.
            let _ = memory.advise(memmap2::Advice::HugePage);
            return Self::Huge(memory);
        }
        Self::Small(vec![0.0; values])
    }

    fn values(&self) -> &[f32] {
        match self {
            Self::Small(values) => values,
            Self::Huge(memory) => bytemuck::cast_slice(memory),
            Self::Mapped(numbers) => numbers,
        }
    }

    fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(values) => values,
            Self::Huge(memory) => bytemuck::cast_slice_mut(memory),
            Self::Mapped(numbers) => numbers,
        }
    }
}

impl Default for HugeMatrix {
    fn default() -> Self {
        Self::zeros(0, 0)
    }
}

impl Clone for HugeMatrix {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.rows, self.width);
        copy.values_mut().copy_from_slice(self.values());
        copy
    }
}

impl fmt::Debug for HugeMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HugeMatrix")
            .field("rows", &self.rows)
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{SectionWriter, Store};

    use super::{HUGE_FROM, HugeMatrix, Memory};

    #[test]
    fn a_matrix_keeps_its_rows_while_it_grows_from_small_pages_into_huge_ones() {
        const WIDTH: usize = 64;
        let mut matrix = HugeMatrix::zeros(0, WIDTH);
        let rows = HUGE_FROM / size_of::<f32>() / WIDTH;
        for step in 1..=30 {
            let before = matrix.rows();
            matrix.grow(rows * step / 20 + 1);
            assert!(matrix.values()[before * WIDTH..].iter().all(|value| *value == 0.0));
            for row in before..matrix.rows() {
                matrix.row_mut(row).fill(row as f32);
            }
        }
        assert!(matches!(matrix.memory, Memory::Huge(_)));
        let copy = matrix.clone();
        assert_eq!((copy.rows(), copy.view().dim()), (rows * 30 / 20 + 1, (rows * 30 / 20 + 1, WIDTH)));
        assert!((0..copy.rows()).all(|row| copy.row(row) == [row as f32; WIDTH]));
        assert!(HugeMatrix::from_values(2, 3, &[0.0; 5]).is_none());
    }
    /// A file may hold anything behind its rows. A new row is zeros nevertheless, and the file keeps its bytes.
    #[test]
    fn a_mapped_matrix_grows_into_the_room_of_the_file_and_changes_in_memory_only() {
        const TAG: [u8; 8] = *b"numbers\0";
        let values = [1.0_f32, 2.0, 3.0, 4.0, 9.0, 9.0];
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("created");
        let mut writer = SectionWriter::new(*b"TEST", 1);
        writer.section(TAG, values.to_vec());
        store.write_sidecar("matrix", &writer).expect("written");
        let file = store.sidecar("matrix").expect("sound").expect("there");
        let mapped = |rows| HugeMatrix::mapped(rows, 2, file.private_f32(TAG).expect("mapped"));
        assert!(mapped(4).is_none());
        let mut matrix = mapped(2).expect("it has two rows");
        matrix.grow(3);
        assert!(matches!(matrix.memory, Memory::Mapped(_)));
        assert_eq!(matrix.values(), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
        matrix.row_mut(0).fill(7.0);
        matrix.grow(4);
        assert_eq!(matrix.values(), [7.0, 7.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(file.section_f32(TAG).expect("there"), values);
    }
}
