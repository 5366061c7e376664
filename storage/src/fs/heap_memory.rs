//! Memory of the heap in place of maps, for Miri, which has no maps of files. Owns the part of the interface of memmap2
//! that `mmap` uses.

use std::fs::File;
use std::io::{self, Read};
use std::ops::{Deref, DerefMut};

/// The bytes of a file. Whole words, so that they are aligned as far as numbers need it.
#[derive(Debug)]
pub(super) struct Mmap {
    words: Vec<u64>,
    len: usize,
}

/// Bytes that are still written.
#[derive(Debug)]
pub(super) struct MmapMut(Mmap);

impl Mmap {
    pub(super) fn map(mut file: &File) -> io::Result<Self> {
        let mut memory = MmapMut::map_anon(file.metadata()?.len() as usize)?;
        file.read_exact(&mut memory)?;
        memory.make_read_only()
    }
}

impl MmapMut {
    #[expect(clippy::unnecessary_wraps, reason = "a map may fail")]
    pub(super) fn map_anon(len: usize) -> io::Result<Self> {
        Ok(Self(Mmap { words: vec![0; len.div_ceil(8)], len }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "a map may fail")]
    pub(super) fn make_read_only(self) -> io::Result<Mmap> {
        Ok(self.0)
    }
}

impl Deref for Mmap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl Deref for MmapMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for MmapMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0.words)[..self.0.len]
    }
}
