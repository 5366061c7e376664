//! A file of sections, open for reading: the container of all of the store's own files.
//! Knows nothing of the content of sections.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::AnyBitPattern;

use crate::fs::disk::Disk;
use crate::fs::header::{Fingerprint, Header};
use crate::fs::mmap::{Map, PrivateNumbers, Residence, SharedNumbers};
use crate::types::error::Error;
use crate::types::ids::StoreId;

use crate::fs::private_section::PrivateSection;
use crate::fs::section_table::{Section, Threads, Verification, check, tag_text};

/// A file of sections, open for reading. Clones share it, and it stays readable after the file is removed.
#[derive(Clone)]
pub struct SectionFile {
    path: Arc<Path>,
    header: Header,
    map: Arc<Map>,
    /// To map parts of it again.
    file: Arc<File>,
    verification: Verification,
    /// True after a section was used whose checksum did not match.
    is_damaged: Arc<AtomicBool>,
    sections: Arc<BTreeMap<[u8; 8], Section>>,
}

impl SectionFile {
    /// Opens a file. Header and table are verified always, sections at the given time.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the header, the table or the section; [`Error::NewerVersion`] for a newer container.
    ///
    /// # Cost
    /// Nothing is read or mapped before the header vouches for the file's length.
    pub(crate) fn open(
        disk: &Disk,
        path: &Path,
        residence: Residence,
        verification: Verification,
    ) -> Result<Self, Error> {
        Self::open_as(disk, path, None, residence, verification)
    }

    /// Opens a file that a manifest names with its fingerprint. A missing file, and one of another store or another
    /// time, is damage.
    pub(crate) fn open_named(
        disk: &Disk,
        path: &Path,
        fingerprint: Fingerprint,
        residence: Residence,
        verification: Verification,
    ) -> Result<Self, Error> {
        Self::open_as(disk, path, Some(fingerprint), residence, verification).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                Error::damaged(path, "file", "it is missing")
            }
            other => other,
        })
    }

    fn open_as(
        disk: &Disk,
        path: &Path,
        named: Option<Fingerprint>,
        residence: Residence,
        verification: Verification,
    ) -> Result<Self, Error> {
        let mut file = disk.read(path).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Error::damaged(path, "file", e.to_string()),
            _ => Error::io(path, "open", e),
        })?;
        let header = Header::read(path, &mut file)?;
        let found = header.fingerprint();
        if let Some(named) = named.filter(|named| *named != found) {
            let what = format!(
                "it is a file of another store or another time: found {} bytes with checksum {:016x}, the manifest \
                 names {} with {:016x}",
                found.bytes, found.checksum, named.bytes, named.checksum
            );
            return Err(Error::damaged(path, "header", what));
        }
        let read = file.rewind().and_then(|()| Map::open(&mut file, residence));
        let map = Arc::new(read.map_err(|e| Error::io(path, "read", e))?);
        let sections = Arc::new(check(path, &map, &header, verification)?);
        map.release_pages();
        Ok(Self {
            path: path.into(),
            header,
            map,
            file: Arc::new(file),
            verification,
            is_damaged: Arc::default(),
            sections,
        })
    }

    /// The length and the checksum that a manifest names for the file.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.header.fingerprint()
    }

    /// True if the file was verified before, so that its content need not be validated again.
    pub(crate) fn was_verified(&self) -> bool {
        self.verification == Verification::Before
    }

    /// True if a section that was used is damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    /// True if every section was verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.sections.values().all(Section::is_verified)
    }

    /// The tag of the kind of file.
    pub fn kind(&self) -> [u8; 4] {
        self.header.kind
    }

    /// The version of the kind of file.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// The identity of the store that wrote the file.
    pub(crate) fn store(&self) -> StoreId {
        self.header.store
    }

    /// Refuses a file of another kind, or of a version above `supported`.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::NewerVersion`].
    pub fn require(&self, kind: [u8; 4], supported: u32) -> Result<(), Error> {
        if self.kind() != kind {
            let what = format!("a file of kind {}, expected {}", tag_text(&self.kind()), tag_text(&kind));
            return Err(Error::damaged(&self.path, "header", what));
        }
        if self.version() > supported {
            return Err(Error::NewerVersion {
                path: self.path.to_path_buf(),
                found: self.version(),
                supported,
            });
        }
        Ok(())
    }

    /// True if there is a section with that tag.
    pub fn has(&self, tag: [u8; 8]) -> bool {
        self.sections.contains_key(&tag)
    }

    /// The tags of all sections.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn tags(&self) -> impl Iterator<Item = [u8; 8]> {
        self.sections.keys().copied()
    }

    /// The bytes of a section; they start at a multiple of 64.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no such section, or its checksum does not match.
    /// # Cost
    /// Reads the section, in parallel, if it is not verified yet.
    pub fn section(&self, tag: [u8; 8]) -> Result<&[u8], Error> {
        let section = self.find(tag)?;
        self.note_damage(tag, section.verify(&self.map, Threads::All))?;
        Ok(&self.map[section.bytes.clone()])
    }

    /// Verifies all sections. Cost: reads the file in parallel, so no caller may hold a lock that a task of the pool waits for.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        self.sections.keys().try_for_each(|tag| self.section(*tag).map(drop))
    }

    /// Verifies the blocks of a range of bytes of a section.
    pub(crate) fn verify_part(&self, tag: [u8; 8], part: Range<usize>) -> Result<(), Error> {
        self.note_damage(tag, self.find(tag)?.verify_part(&self.map, part))
    }

    /// Returns the memory of a section to the system, as [`Self::release_pages`].
    pub(crate) fn release_section(&self, tag: [u8; 8]) {
        if let Some(section) = self.sections.get(&tag) {
            self.map.release_range(section.bytes.clone());
        }
    }

    /// True if the blocks of a range of bytes of a section were verified.
    pub(crate) fn is_part_verified(&self, tag: [u8; 8], part: Range<usize>) -> bool {
        self.sections.get(&tag).is_some_and(|section| section.is_part_verified(part))
    }

    /// True if every byte of the section was verified together with the others.
    pub(crate) fn is_section_verified(&self, tag: [u8; 8]) -> bool {
        self.sections.get(&tag).is_some_and(Section::is_verified)
    }

    fn find(&self, tag: [u8; 8]) -> Result<&Section, Error> {
        self.sections.get(&tag).ok_or_else(|| self.damaged(tag_text(&tag), "is missing"))
    }

    fn note_damage(&self, tag: [u8; 8], verified: Result<(), &str>) -> Result<(), Error> {
        verified.map_err(|what| {
            self.is_damaged.store(true, Ordering::Release);
            self.damaged(tag_text(&tag), what)
        })
    }

    /// A section as `u32` numbers.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no such section, or its length is not a multiple of 4.
    pub fn section_u32(&self, tag: [u8; 8]) -> Result<&[u32], Error> {
        self.numbers(tag)
    }

    /// A section as `u64` numbers.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no such section, or its length is not a multiple of 8.
    pub fn section_u64(&self, tag: [u8; 8]) -> Result<&[u64], Error> {
        self.numbers(tag)
    }

    /// A section as `f32` numbers, which may be infinite or NaN.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no such section, or its length is not a multiple of 4.
    pub fn section_f32(&self, tag: [u8; 8]) -> Result<&[f32], Error> {
        self.numbers(tag)
    }

    /// A section as bytes that outlive the open file.
    ///
    /// # Errors
    /// As for [`Self::section`].
    pub fn shared_bytes(&self, tag: [u8; 8]) -> Result<SharedNumbers<u8>, Error> {
        self.section(tag)?;
        self.slice(tag)
    }

    /// A section as `u32` numbers that outlive the open file.
    ///
    /// # Errors
    /// As for [`Self::section_u32`].
    pub fn shared_u32(&self, tag: [u8; 8]) -> Result<SharedNumbers<u32>, Error> {
        self.section_u32(tag)?;
        self.slice(tag)
    }

    /// A section as `u64` numbers that outlive the open file.
    ///
    /// # Errors
    /// As for [`Self::section_u64`].
    pub fn shared_u64(&self, tag: [u8; 8]) -> Result<SharedNumbers<u64>, Error> {
        self.section_u64(tag)?;
        self.slice(tag)
    }

    /// A section as `f32` numbers that outlive the open file.
    ///
    /// # Errors
    /// As for [`Self::section_f32`].
    pub fn shared_f32(&self, tag: [u8; 8]) -> Result<SharedNumbers<f32>, Error> {
        self.section_f32(tag)?;
        self.slice(tag)
    }

    /// A section as `f32` numbers that may be changed in memory, where the file keeps its bytes. They are verified as far as the caller
    /// asks for it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no such section, it is empty, or its length is not a multiple of 4; an error of the system.
    pub fn private_f32(&self, tag: [u8; 8]) -> Result<PrivateSection, Error> {
        let bytes = self.find(tag)?.bytes.clone();
        if bytes.is_empty() || bytes.len() % size_of::<f32>() != 0 {
            return Err(self.damaged(tag_text(&tag), "does not hold numbers"));
        }
        let numbers = PrivateNumbers::map(&self.file, bytes).map_err(|e| Error::io(&self.path, "map", e))?;
        Ok(PrivateSection::new(numbers, self.clone(), tag))
    }

    /// The length of a section in bytes, without reading it. `None` if there is no such section.
    pub fn section_len(&self, tag: [u8; 8]) -> Option<usize> {
        Some(self.sections.get(&tag)?.bytes.len())
    }

    fn numbers<T: AnyBitPattern>(&self, tag: [u8; 8]) -> Result<&[T], Error> {
        let bytes = self.section(tag)?;
        bytemuck::try_cast_slice(bytes)
            .map_err(|_| self.damaged(tag_text(&tag), "has a length that is no multiple of its numbers"))
    }

    /// A section as numbers, with shared ownership of the file.
    pub(crate) fn slice<T: AnyBitPattern>(&self, tag: [u8; 8]) -> Result<SharedNumbers<T>, Error> {
        self.section(tag)?;
        SharedNumbers::new(&self.map, self.sections[&tag].bytes.clone())
            .ok_or_else(|| self.damaged(tag_text(&tag), "has a length that is no multiple of its numbers"))
    }

    /// The error for damage that only the reader of a section can see.
    pub fn damaged(&self, place: impl Into<String>, what: impl Into<String>) -> Error {
        Error::damaged(&self.path, place, what)
    }

    /// Returns the memory of the file to the system until it is read again. Later reads give the same bytes.
    pub fn release_pages(&self) {
        self.map.release_pages();
    }

    /// True for a clone, which shares the open file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.map, &other.map)
    }

    /// The path from which the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

impl fmt::Debug for SectionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SectionFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::section_writer::SectionWriter;
    use crate::types::cancel::CancelToken;

    fn sample(path: &Path) {
        let mut writer = SectionWriter::new(*b"TEST", 3);
        writer.section(*b"numbers\0", vec![1_u32, 2, 3]);
        writer.section(*b"nothing\0", Vec::<u8>::new());
        writer.section(*b"vectors\0", Arc::new(vec![1.5_f32, -2.0]));
        let disk = Disk::of(path.parent().expect("a folder"));
        writer.write_to(disk.target(path), &CancelToken::new()).expect("written");
    }

    #[test]
    fn sections_come_back_aligned() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.hg");
        sample(&path);
        for residence in [Residence::Mapped, Residence::Loaded] {
            let file = SectionFile::open(&Disk::of(folder.path()), &path, residence, Verification::AtOpening)
                .expect("intact");
            assert_eq!(file.section_u32(*b"numbers\0").expect("there"), [1, 2, 3]);
            assert_eq!(file.section_f32(*b"vectors\0").expect("there"), [1.5, -2.0]);
            assert!(file.section(*b"nothing\0").expect("there").is_empty());
            assert!(file.section_u64(*b"numbers\0").is_err());
            assert!(matches!(file.section(*b"absent\0\0"), Err(Error::Damaged { .. })));
            assert!(file.require(*b"TEST", 3).is_ok());
            assert!(matches!(file.require(*b"TEST", 2), Err(Error::NewerVersion { .. })));
            assert!(matches!(file.require(*b"TSET", 3), Err(Error::Damaged { .. })));
        }
    }

    /// A file with a section of two whole blocks and a part of a third.
    fn blocks(path: &Path) {
        let mut writer = SectionWriter::new(*b"TEST", 3);
        writer.section(*b"numbers\0", (0..2500).map(|at| at as f32).collect::<Vec<f32>>());
        writer.section(*b"others\0\0", vec![7_u32; 40]);
        let disk = Disk::of(path.parent().expect("a folder"));
        writer.write_to(disk.target(path), &CancelToken::new()).expect("written");
    }

    #[test]
    fn a_part_is_verified_by_its_blocks_and_damage_elsewhere_is_found_when_it_is_used() {
        const TAG: [u8; 8] = *b"numbers\0";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.hg");
        blocks(&path);
        let intact = std::fs::read(&path).expect("readable");
        let disk = Disk::of(folder.path());
        let open =
            || SectionFile::open(&disk, &path, Residence::Mapped, Verification::AtUse).expect("it opens");
        let section = open().find(TAG).expect("there").bytes.clone();
        // A bit of the second block.
        let mut torn = intact.clone();
        torn[section.start + 5000] ^= 4;
        std::fs::write(&path, &torn).expect("writable");
        let (file, mut numbers) = (open(), open().private_f32(TAG).expect("mapped"));
        let parts = [0..1024, 1023..1025, 2048..2500];
        let verified = |numbers: &PrivateSection| parts.clone().map(|part| numbers.is_part_verified(part));
        assert_eq!(verified(&numbers), [false; 3]);
        for _ in 0..2 {
            numbers.verify_part(0..1024).expect("the first block is intact");
            numbers.verify_part(2048..2500).expect("the third block is intact");
            numbers.verify_part(2500..2500).expect("nothing is intact");
            numbers.verify_part(1023..1025).expect_err("the second block is damaged");
            numbers.verify_part(1024..1025).expect_err("the second block is damaged");
            numbers.verify().expect_err("the second block is damaged");
            assert_eq!(verified(&numbers), [true, false, true]);
        }
        assert!(!file.is_damaged() && file.section_u32(*b"others\0\0").is_ok());
        assert!(file.section(TAG).is_err() && file.is_damaged());
        // Memory that was changed does not count, the file does.
        numbers[1250] = 1250.0;
        numbers[3] = 9.0;
        numbers.verify_part(1250..1251).expect_err("the file is damaged");
        numbers.verify_part(3..4).expect("the file is intact there");
    }

    #[test]
    fn every_flipped_bit_of_a_file_with_several_blocks_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.hg");
        blocks(&path);
        let intact = std::fs::read(&path).expect("readable");
        let disk = Disk::of(folder.path());
        let step = if cfg!(miri) { 7001 } else { 61 };
        for bit in (0..intact.len() * 8).step_by(step).chain((intact.len() - 64) * 8..intact.len() * 8) {
            let mut torn = intact.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &torn).expect("writable");
            for verification in [Verification::AtOpening, Verification::AtUse] {
                let read =
                    SectionFile::open(&disk, &path, Residence::Mapped, verification).and_then(|file| {
                        let all = file.private_f32(*b"numbers\0")?;
                        all.verify_part(0..all.len())?;
                        file.section(*b"others\0\0").map(drop)
                    });
                assert!(matches!(read, Err(Error::Damaged { .. })), "bit {bit}, {verification:?}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.hg");
        sample(&path);
        let intact = std::fs::read(&path).expect("readable");
        let is_damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("writable");
            let disk = Disk::of(folder.path());
            matches!(
                SectionFile::open(&disk, &path, Residence::Mapped, Verification::AtOpening),
                Err(Error::Damaged { .. })
            )
        };
        // Miri takes its time.
        let step = if cfg!(miri) { 61 } else { 1 };
        for bit in (0..intact.len() * 8).step_by(step) {
            let mut torn = intact.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&torn), "bit {bit}");
        }
        for len in (0..intact.len()).step_by(step) {
            assert!(is_damaged(&intact[..len]), "length {len}");
        }
        let mut longer = intact.clone();
        longer.push(0);
        assert!(is_damaged(&longer));
    }
}
