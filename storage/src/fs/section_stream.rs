//! Writes a file of sections in order, in constant memory.

use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::fs::disk::{Disk, DiskFile, Target};
use crate::types::error::Error;

use crate::fs::header::{CONTAINER_VERSION, Fingerprint, HEADER, Header};
use crate::fs::section_table::{ALIGN, BLOCK, SUM, TABLE_ENTRY};

const BUFFER: usize = 1 << 20;

/// A file of sections under construction. Memory: the checksums of blocks, a five hundredth of the file.
pub(crate) struct SectionStream {
    disk: Disk,
    path: PathBuf,
    out: BufWriter<DiskFile>,
    kind: [u8; 4],
    version: u32,
    table: Vec<u8>,
    /// The checksums of the blocks of each section in the table.
    sums: Vec<Vec<u64>>,
    count: usize,
    /// The length of the file so far.
    at: u64,
    /// Tag, start and checksums of the section that is being written.
    current: Option<([u8; 8], u64, BlockSums)>,
}

/// The checksums of the blocks of a section, while its bytes come.
#[derive(Default)]
struct BlockSums {
    whole: Vec<u64>,
    /// The block that is not full yet, and its length.
    last: Xxh3,
    filled: usize,
}

impl BlockSums {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (some, rest) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            if some.len() == BLOCK {
                self.whole.push(xxh3_64(some));
            } else {
                self.last.update(some);
                self.filled += some.len();
            }
            if self.filled == BLOCK {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        self.whole.push(self.last.digest());
        (self.last, self.filled) = (Xxh3::new(), 0);
    }

    fn finish(mut self) -> Vec<u64> {
        if self.filled > 0 {
            self.end_block();
        }
        self.whole
    }
}

impl SectionStream {
    /// Starts a file that will have `count` sections; an existing file is replaced.
    pub(crate) fn create(to: Target<'_>, kind: [u8; 4], version: u32, count: usize) -> Result<Self, Error> {
        let (disk, path) = (to.disk.clone(), to.path.to_path_buf());
        let file = disk.create(&path).map_err(|e| Error::io(&path, "create", e))?;
        let out = BufWriter::with_capacity(BUFFER, file);
        let (table, sums) = (Vec::new(), Vec::new());
        let mut stream = Self { disk, path, out, kind, version, table, sums, count, at: 0, current: None };
        stream.put(&vec![0; HEADER + count * TABLE_ENTRY])?;
        Ok(stream)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(|e| Error::io(&self.path, "write", e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Ends the current section and starts the next one.
    pub(crate) fn begin(&mut self, tag: [u8; 8]) -> Result<(), Error> {
        self.end();
        self.align()?;
        self.current = Some((tag, self.at, BlockSums::default()));
        Ok(())
    }

    fn align(&mut self) -> Result<(), Error> {
        let gap = self.at.next_multiple_of(ALIGN as u64) - self.at;
        self.put(&[0; ALIGN][..gap as usize])
    }

    /// Reserves space for a section of known length, whose bytes may be written while later sections are.
    pub(crate) fn reserve(&mut self, tag: [u8; 8], len: u64) -> Result<Reserved, Error> {
        self.begin(tag)?;
        let (_, start, sums) = self.current.take().expect("it was begun");
        let entry = self.sums.len();
        self.push_entry(tag, start, len, Vec::new());
        let skip = i64::try_from(len).expect("a file is shorter than 2^63 bytes");
        self.out.seek(SeekFrom::Current(skip)).map_err(|e| Error::io(&self.path, "write", e))?;
        self.at += len;
        let open = || {
            let mut file = self.disk.open(&self.path, false)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        let file = open().map_err(|e| Error::io(&self.path, "write", e))?;
        let out = BufWriter::with_capacity(len.min(BUFFER as u64) as usize, file);
        Ok(Reserved { path: self.path.clone(), out, entry, missing: len, sums })
    }

    /// Ends a reserved section.
    pub(crate) fn fill(&mut self, mut section: Reserved) -> Result<(), Error> {
        assert_eq!(section.missing, 0, "reserve was told the length");
        section.out.flush().map_err(|e| Error::io(&self.path, "write", e))?;
        self.set_sums(section.entry, section.sums.finish());
        Ok(())
    }

    /// Adds bytes to the current section.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(bytes)?;
        let (_, _, sums) = self.current.as_mut().expect("begin comes before write");
        sums.update(bytes);
        Ok(())
    }

    fn end(&mut self) {
        if let Some((tag, start, sums)) = self.current.take() {
            self.push_entry(tag, start, self.at - start, sums.finish());
        }
    }

    fn push_entry(&mut self, tag: [u8; 8], start: u64, len: u64, sums: Vec<u64>) {
        self.table.extend(tag);
        self.table.extend([start, len, 0].into_iter().flat_map(u64::to_le_bytes));
        self.sums.push(Vec::new());
        self.set_sums(self.sums.len() - 1, sums);
    }

    fn set_sums(&mut self, entry: usize, sums: Vec<u64>) {
        let sum = xxh3_64(bytemuck::cast_slice(&sums)).to_le_bytes();
        self.table[(entry + 1) * TABLE_ENTRY - SUM..(entry + 1) * TABLE_ENTRY].copy_from_slice(&sum);
        self.sums[entry] = sums;
    }

    /// Writes the checksums of blocks, header and table, and syncs the file. Returns what a manifest says of it.
    pub(crate) fn finish(mut self) -> Result<Fingerprint, Error> {
        self.end();
        assert_eq!(self.sums.len(), self.count, "create was told the number of sections");
        self.align()?;
        for sums in std::mem::take(&mut self.sums) {
            self.put(bytemuck::cast_slice(&sums))?;
        }
        let header = Header {
            container: CONTAINER_VERSION,
            kind: self.kind,
            version: self.version,
            sections: self.count as u32,
            bytes: self.at,
            table: xxh3_64(&self.table),
            store: self.disk.store(),
        };
        let write = |out: &mut BufWriter<DiskFile>| {
            out.seek(SeekFrom::Start(0))?;
            out.write_all(&header.encode())?;
            out.write_all(&self.table)?;
            out.flush()
        };
        write(&mut self.out).map_err(|e| Error::io(&self.path, "write", e))?;
        self.out.get_ref().sync_all().map_err(|e| Error::io(&self.path, "sync", e))?;
        Ok(header.fingerprint())
    }
}

/// A reserved section; [`SectionStream::fill`] ends it.
pub(crate) struct Reserved {
    path: PathBuf,
    /// A file handle of its own, so that both places of the file are written in one pass.
    out: BufWriter<DiskFile>,
    /// Its entry in the table.
    entry: usize,
    /// The number of bytes still to be written.
    missing: u64,
    sums: BlockSums,
}

impl Reserved {
    /// Adds bytes to the section.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.missing = self.missing.checked_sub(bytes.len() as u64).expect("reserve was told the length");
        self.sums.update(bytes);
        self.out.write_all(bytes).map_err(|e| Error::io(&self.path, "write", e))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::mmap::Residence;
    use crate::fs::section::SectionFile;
    use crate::fs::section_table::Verification;

    #[test]
    fn a_section_that_was_reserved_is_as_if_it_had_been_written_in_its_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let tags = [*b"first\0\0\0", *b"nobody\0\0", *b"second\0\0", *b"third\0\0\0"];
        let contents: [&[u8]; 4] = [&[1; 100], &[], &[2; 3], &[3; 200]];
        let (one, other) = (folder.path().join("one.hg"), folder.path().join("other.hg"));
        let disk = Disk::of(folder.path());
        let mut stream = SectionStream::create(disk.target(&one), *b"TEST", 1, 4).expect("created");
        for (tag, content) in tags.into_iter().zip(contents) {
            stream.begin(tag).expect("written");
            stream.write(content).expect("written");
        }
        stream.finish().expect("written");
        let mut stream = SectionStream::create(disk.target(&other), *b"TEST", 1, 4).expect("created");
        let reserve = |(tag, content): (_, &[u8])| stream.reserve(tag, content.len() as u64);
        let reserved: Result<Vec<_>, _> = tags.into_iter().zip(contents).take(3).map(reserve).collect();
        stream.begin(tags[3]).expect("written");
        stream.write(contents[3]).expect("written");
        for (mut section, content) in reserved.expect("reserved").into_iter().zip(contents).rev() {
            content.chunks(7).for_each(|some| section.write(some).expect("written"));
            stream.fill(section).expect("written");
        }
        stream.finish().expect("written");
        let bytes = |path: &Path| std::fs::read(path).expect("readable");
        assert_eq!(bytes(&one), bytes(&other));
        assert!(SectionFile::open(&disk, &other, Residence::Mapped, Verification::AtOpening).is_ok());
    }
}
