//! The table of a file of sections: where they are, and when each is verified.
//! Knows nothing of their content.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::fs::header::{HEADER, Header, WITHOUT_BLOCKS};
use crate::fs::mmap::Map;
use crate::types::error::Error;

pub(super) const TABLE_ENTRY: usize = 32;
pub(super) const ALIGN: usize = 64;
/// Bytes of a block, the least that is verified. A process that reads single rows from random places verifies little else, and the
/// checksums of all blocks are a five hundredth of the file.
pub(super) const BLOCK: usize = 4096;
pub(super) const SUM: usize = size_of::<u64>();
const NO_MATCH: &str = "its checksum does not match";
/// Bytes that a thread verifies before their pages are given back; whole blocks.
const CHUNK: usize = 4 << 20;

/// The time at which the sections of a file are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    /// By the thread that opens the file, which may hold a lock.
    AtOpening,
    /// Each when it is first used.
    AtUse,
    /// Before, when the file was opened another time.
    Before,
}

/// The threads that verify a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    /// Those of the rayon pool. A caller who holds a lock that a task may wait for would wait forever.
    All,
}

/// The place of a section and its checksums.
pub(super) struct Section {
    pub(super) bytes: Range<usize>,
    /// The checksum of the checksums of its blocks.
    sum: u64,
    /// The place of the checksums of its blocks. Before version 2 there are none, and `sum` is that of all bytes.
    block_sums: Option<Range<usize>>,
    is_verified: AtomicBool,
    /// A bit for each block that was verified. Made when a part of the section is first used.
    verified_blocks: OnceLock<Box<[AtomicU64]>>,
}

impl Section {
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified.load(Ordering::Acquire)
    }

    /// Verifies the section, unless that was done before. Gives pages back on the way: a process would need memory for a whole file
    /// otherwise.
    ///
    /// # Errors
    /// A description of the damage.
    /// # Cost
    /// Reads the section.
    pub(super) fn verify(&self, map: &Map, threads: Threads) -> Result<(), &'static str> {
        if self.is_verified() {
            return Ok(());
        }
        let is_intact = if let Some(sums) = &self.block_sums {
            let sums = &map[sums.clone()];
            let is_chunk = |start: usize| {
                let chunk = start..self.bytes.end.min(start + CHUNK);
                let first = (start - self.bytes.start) / BLOCK;
                let mut blocks = map[chunk.clone()].chunks(BLOCK).enumerate();
                let is_intact = blocks.all(|(at, block)| is_block(sums, first + at, block));
                map.release_range(chunk);
                is_intact
            };
            let bytes = self.bytes.clone();
            xxh3_64(sums) == self.sum
                && match threads {
                    Threads::All if bytes.len() > CHUNK => bytes.into_par_iter().step_by(CHUNK).all(is_chunk),
                    _ => bytes.step_by(CHUNK).all(is_chunk),
                }
        } else {
            checksum(map, self.bytes.clone()) == self.sum
        };
        if !is_intact {
            return Err(NO_MATCH);
        }
        self.is_verified.store(true, Ordering::Release);
        Ok(())
    }

    /// True if the blocks of a range of bytes of the section were verified.
    pub(super) fn is_part_verified(&self, part: Range<usize>) -> bool {
        let is_verified = |verified: &[AtomicU64], block: usize| {
            verified[block / 64].load(Ordering::Acquire) >> (block % 64) & 1 == 1
        };
        self.is_verified()
            || self
                .verified_blocks
                .get()
                .is_some_and(|bits| blocks_of(part).all(|block| is_verified(bits, block)))
    }

    /// Verifies the blocks of a range of bytes of the section, unless that was done before. Without checksums of blocks, all bytes.
    ///
    /// # Errors
    /// A description of the damage.
    pub(super) fn verify_part(&self, map: &Map, part: Range<usize>) -> Result<(), &'static str> {
        let Some(sums) = self.block_sums.as_ref().filter(|_| !self.is_verified()) else {
            return self.verify(map, Threads::One);
        };
        let sums = &map[sums.clone()];
        if self.verified_blocks.get().is_none() {
            if xxh3_64(sums) != self.sum {
                return Err(NO_MATCH);
            }
            let words = (sums.len() / SUM).div_ceil(64);
            self.verified_blocks.get_or_init(|| (0..words).map(|_| AtomicU64::new(0)).collect());
        }
        let verified = self.verified_blocks.get().expect("it was made above");
        let section = &map[self.bytes.clone()];
        for block in blocks_of(part) {
            let (word, bit) = (&verified[block / 64], 1 << (block % 64));
            if word.load(Ordering::Acquire) & bit == 0 {
                if !is_block(sums, block, &section[block * BLOCK..section.len().min((block + 1) * BLOCK)]) {
                    return Err(NO_MATCH);
                }
                word.fetch_or(bit, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// The blocks of a range of bytes.
fn blocks_of(part: Range<usize>) -> Range<usize> {
    part.start / BLOCK..part.end.div_ceil(BLOCK)
}

/// True if a block has its checksum.
fn is_block(sums: &[u8], block: usize, bytes: &[u8]) -> bool {
    xxh3_64(bytes) == read_u64(sums, block * SUM)
}

/// Validates the table, verifies the sections if it is time, and returns them by tag.
pub(super) fn check(
    path: &Path,
    map: &Map,
    header: &Header,
    verification: Verification,
) -> Result<BTreeMap<[u8; 8], Section>, Error> {
    let bytes: &[u8] = map;
    let damaged = |place: &str, what: &str| Error::damaged(path, place, what);
    // The file is still the one whose header was read.
    if bytes.get(..HEADER) != Some(&header.encode()) || bytes.len() as u64 != header.bytes {
        return Err(damaged("header", "it changed while it was read"));
    }
    // The table of sections.
    let table = (header.sections as usize).checked_mul(TABLE_ENTRY);
    let table = table.and_then(|size| bytes.get(HEADER..HEADER + size));
    let table = table.ok_or_else(|| damaged("table", "it is longer than the file"))?;
    if xxh3_64(table) != header.table {
        return Err(damaged("table", NO_MATCH));
    }
    // The sections: in order, without gaps but padding, each with its checksum.
    let has_blocks = header.container > WITHOUT_BLOCKS;
    let mut sections = BTreeMap::new();
    let (mut end, mut sums) = (HEADER + table.len(), Vec::new());
    for entry in table.chunks_exact(TABLE_ENTRY) {
        let tag: [u8; 8] = entry[..8].try_into().expect("eight bytes");
        let (start, len) = (read_u64(entry, 8), read_u64(entry, 16));
        let stop = usize::try_from(start.saturating_add(len)).unwrap_or(usize::MAX);
        // Sections follow one another with only zero padding between, so every byte of the file is covered.
        if start != end.next_multiple_of(ALIGN) as u64 || stop > bytes.len() {
            return Err(damaged(&tag_text(&tag), "its position is wrong"));
        }
        let start = start as usize;
        if bytes[end..start].iter().any(|&byte| byte != 0) {
            return Err(damaged(&tag_text(&tag), "the bytes before it are not zero"));
        }
        let section = Section {
            bytes: start..stop,
            sum: read_u64(entry, 24),
            block_sums: None,
            is_verified: AtomicBool::new(verification == Verification::Before),
            verified_blocks: OnceLock::new(),
        };
        if sections.insert(tag, section).is_some() {
            return Err(damaged(&tag_text(&tag), "its tag occurs twice"));
        }
        sums.push((tag, (stop - start).div_ceil(BLOCK) * SUM));
        end = stop;
    }
    // The checksums of the blocks of all sections.
    if has_blocks {
        let start = end.next_multiple_of(ALIGN);
        if bytes.get(end..start).is_none_or(|gap| gap.iter().any(|&byte| byte != 0)) {
            return Err(damaged("end", "the bytes before the checksums are not zero"));
        }
        end = start;
        for (tag, len) in &sums {
            sections.get_mut(tag).expect("it was inserted").block_sums = Some(end..end + len);
            end += len;
        }
    }
    if end != bytes.len() {
        return Err(damaged("end", "the file does not end with its last section or checksum"));
    }
    if verification == Verification::AtOpening {
        for (tag, _) in &sums {
            sections[tag].verify(map, Threads::One).map_err(|what| damaged(&tag_text(tag), what))?;
        }
    }
    Ok(sections)
}

/// The checksum of a range of a file, whose pages are given back on the way.
fn checksum(map: &Map, bytes: Range<usize>) -> u64 {
    let mut sum = Xxh3::new();
    for start in bytes.clone().step_by(CHUNK) {
        let chunk = start..bytes.end.min(start + CHUNK);
        sum.update(&map[chunk.clone()]);
        map.release_range(chunk);
    }
    sum.digest()
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(super) fn tag_text(tag: &[u8]) -> String {
    // Tags are padded with zero bytes, which are left out.
    format!("section '{}'", tag.escape_ascii()).replace("\\x00", "")
}
