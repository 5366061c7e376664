//! The table of a file of sections: where they are, and when each is verified.
//! Knows nothing of their content.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::fs::header::{HEADER, Header};
use crate::fs::mmap::Map;
use crate::types::error::Error;

pub(super) const TABLE_ENTRY: usize = 32;
pub(super) const ALIGN: usize = 64;
const NO_MATCH: &str = "its checksum does not match";
/// Bytes that are verified before their pages are given back.
const CHUNK: usize = 8 << 20;

/// The time at which the sections of a file are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    AtOpening,
    /// Each when it is first used.
    AtUse,
    /// Before, when the file was opened another time.
    Before,
}

/// The place of a section and its checksum.
pub(super) struct Section {
    pub(super) bytes: Range<usize>,
    sum: u64,
    is_verified: AtomicBool,
}

impl Section {
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified.load(Ordering::Acquire)
    }

    /// Verifies the section, unless that was done before.
    ///
    /// # Errors
    /// A description of the damage.
    pub(super) fn verify(&self, map: &Map) -> Result<(), &'static str> {
        if self.is_verified() {
            return Ok(());
        }
        if checksum(map, self.bytes.clone()) != self.sum {
            return Err(NO_MATCH);
        }
        self.is_verified.store(true, Ordering::Release);
        Ok(())
    }
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
    let mut sections = BTreeMap::new();
    let mut end = HEADER + table.len();
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
        let is_verified = AtomicBool::new(verification == Verification::Before);
        let section = Section { bytes: start..stop, sum: read_u64(entry, 24), is_verified };
        if verification == Verification::AtOpening {
            section.verify(map).map_err(|what| damaged(&tag_text(&tag), what))?;
        }
        if sections.insert(tag, section).is_some() {
            return Err(damaged(&tag_text(&tag), "its tag occurs twice"));
        }
        end = stop;
    }
    if end != bytes.len() {
        return Err(damaged("end", "there are bytes after the last section"));
    }
    Ok(sections)
}

/// The checksum of a range of a file, whose pages are given back on the way: a process would need memory for a whole file otherwise.
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
