//! File contents in memory: mapped, or read into huge pages; and slices that keep their memory alive.
//! One of the modules of this crate with unsafe code. Knows no format.
#![expect(unsafe_code, reason = "mapping a file, and slices that own a share of the map")]
#![cfg_attr(miri, allow(unused_unsafe, reason = "the stand-in for maps is safe"))]

use std::fs::File;
use std::io::{self, Read};
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::AnyBitPattern;
#[cfg(not(miri))]
use memmap2::{Mmap, MmapMut};

#[cfg(miri)]
use crate::fs::heap_memory::{Mmap, MmapMut};

// Data on disk is little-endian and read in place.
const _: () = assert!(cfg!(target_endian = "little"), "hedgerow needs a little-endian machine");

/// The way in which a file's bytes come into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residence {
    /// Mapped: the system loads pages when they are touched and shares them between processes.
    Mapped,
    /// Read in full into huge pages where the system has them: random reads cost 9.5 ns instead of 36 ns.
    Loaded,
}

/// The bytes of one file, constant for the life of the map.
#[derive(Debug)]
pub(crate) struct Map {
    memory: Mmap,
    #[cfg_attr(any(miri, not(unix)), expect(dead_code, reason = "only pages of a map are released"))]
    residence: Residence,
}

impl Map {
    /// Maps or reads a file. The store never changes a file that a manifest has named: it writes new files and unlinks
    /// old ones, which leaves maps intact. A program that truncates such a file from outside stops the process with a
    /// bus error.
    pub(crate) fn open(file: &mut File, residence: Residence) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if residence == Residence::Mapped {
            // SAFETY: the store does not write to the file while it is mapped, as stated above.
            return Ok(Self { memory: unsafe { Mmap::map(&*file) }?, residence });
        }
        let mut read = Ok(());
        let map = Self::allocate(len, |memory| read = file.read_exact(memory))?;
        read.map(|()| map)
    }

    /// Allocates this many bytes, in huge pages where the system has them, and lets `fill` write them.
    pub(crate) fn allocate(len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        let mut memory = MmapMut::map_anon(len)?;
        #[cfg(all(target_os = "linux", not(miri)))]
        // A kernel without huge pages refuses. Small pages work as well, only slower.
        let _ = memory.advise(memmap2::Advice::HugePage);
        fill(&mut memory);
        Ok(Self { memory: memory.make_read_only()?, residence: Residence::Loaded })
    }

    /// Returns the pages of a mapped file to the system, which reads them again when they are touched. Otherwise a file
    /// that was read once would count as memory of the process for as long as it is mapped.
    pub(crate) fn release_pages(&self) {
        self.release_range(0..self.memory.len());
    }

    /// Returns the pages of a range of bytes, as [`Map::release_pages`].
    pub(crate) fn release_range(&self, bytes: Range<usize>) {
        #[cfg(all(unix, not(miri)))]
        if self.residence == Residence::Mapped {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is of a file that does not change, so reading it again gives the same bytes.
            let left = unsafe { self.memory.unchecked_advise_range(advice, bytes.start, bytes.len()) };
            // Where the system refuses, the pages stay in memory.
            let _ = left;
        }
        #[cfg(any(miri, not(unix)))]
        let _ = bytes;
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

/// Numbers of a file, mapped or read, with shared ownership of its memory.
///
/// A read goes through one pointer. Casting the bytes at each use would add two checks: 2 of the 12 ns of a hop.
///
/// # Invariants
/// 1. `start` points to `len` aligned values inside `map`, whose bytes are a valid `T` whatever they hold.
/// 2. The memory of a map neither moves nor changes while the `Arc` lives.
#[derive(Debug)]
pub struct SharedNumbers<T> {
    start: NonNull<T>,
    len: usize,
    map: Arc<Map>,
}

// SAFETY: by invariants 1 and 2 it is a shared reference to memory that is never written.
unsafe impl<T: Sync> Send for SharedNumbers<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync> Sync for SharedNumbers<T> {}

impl<T: AnyBitPattern> SharedNumbers<T> {
    /// The values in a range of bytes; `None` when they lie outside the map, are not aligned or not a whole number of
    /// values.
    pub(crate) fn new(map: &Arc<Map>, bytes: Range<usize>) -> Option<Self> {
        let values: &[T] = bytemuck::try_cast_slice(map.get(bytes)?).ok()?;
        Some(Self { start: NonNull::from(values).cast(), len: values.len(), map: Arc::clone(map) })
    }

    /// Returns the pages of a range of values, as [`Map::release_pages`].
    pub(crate) fn release(&self, values: Range<usize>) {
        let first = self.start.as_ptr() as usize - self.map.as_ptr() as usize;
        let at = |value: usize| first + value.min(self.len) * size_of::<T>();
        self.map.release_range(at(values.start)..at(values.end));
    }
}

impl<T> Deref for SharedNumbers<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: invariants 1 and 2; the returned borrow keeps `self`, and with it the map, alive.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// Numbers of a file that may be changed in memory. The file keeps its bytes. The system reads the pages that are touched, and copies
/// those that are written.
#[derive(Debug)]
pub(crate) struct PrivateNumbers {
    memory: MmapMut,
}

impl PrivateNumbers {
    /// Maps a range of bytes of a file that the store never changes, as for [`Map::open`]. The range starts at a multiple of 4 and is
    /// not empty.
    #[cfg(not(miri))]
    pub(crate) fn map(file: &File, bytes: Range<usize>) -> io::Result<Self> {
        let mut options = memmap2::MmapOptions::new();
        options.offset(bytes.start as u64).len(bytes.len());
        // SAFETY: the store does not write to the file while it is mapped, and writes to a private map do not reach the file.
        Ok(Self { memory: unsafe { options.map_copy(file) }? })
    }

    #[cfg(miri)]
    pub(crate) fn map(mut file: &File, bytes: Range<usize>) -> io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let mut memory = MmapMut::map_anon(bytes.len())?;
        file.seek(SeekFrom::Start(bytes.start as u64))?;
        file.read_exact(&mut memory)?;
        Ok(Self { memory })
    }
}

impl Deref for PrivateNumbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.memory)
    }
}

impl DerefMut for PrivateNumbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn private_numbers_change_in_memory_only() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        let values = [1.0_f32, 2.0, 3.0];
        file.write_all(&[0; 64]).expect("written");
        file.write_all(bytemuck::cast_slice(&values)).expect("written");
        let mut numbers = PrivateNumbers::map(&file, 64..76).expect("mapped");
        assert_eq!(*numbers, values);
        numbers[1] = 5.0;
        assert_eq!(*numbers, [1.0, 5.0, 3.0]);
        assert_eq!(*PrivateNumbers::map(&file, 64..76).expect("mapped"), values);
    }

    #[test]
    fn both_residences_hold_the_same_and_slices_outlive_the_file() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&[1, 0, 0, 0, 2, 0, 0, 0, 9]).expect("written");
        for residence in [Residence::Mapped, Residence::Loaded] {
            file.rewind().expect("rewound");
            let map = Arc::new(Map::open(&mut file, residence).expect("mapped"));
            assert!(SharedNumbers::<u32>::new(&map, 0..9).is_none());
            assert!(SharedNumbers::<u32>::new(&map, 1..5).is_none());
            assert!(SharedNumbers::<u32>::new(&map, 8..12).is_none());
            let slice = SharedNumbers::<u32>::new(&map, 0..8).expect("aligned and inside");
            drop(map);
            assert_eq!(&*slice, &[1, 2]);
        }
    }
}
