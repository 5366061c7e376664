//! The header of a section file, and the fingerprint by which a manifest vouches for the whole file.
//! Owns the first 64 bytes; knows nothing of what follows.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::fs::disk::Disk;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::StoreId;

const MAGIC: [u8; 8] = *b"HEDGEROW";
/// The version of the container; each kind of file has a version of its own as well.
pub(super) const CONTAINER_VERSION: u32 = 2;
/// The last version in which a section has one checksum.
pub(super) const WITHOUT_BLOCKS: u32 = 1;
pub(super) const HEADER: usize = 64;

/// Length and checksum of a file. The checksum is that of the header, which holds the checksum of the table, which holds
/// those of the sections. So it stands for every byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    pub(crate) checksum: u64,
}

/// The header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The version of the container.
    pub(super) container: u32,
    pub(super) kind: [u8; 4],
    /// The version of the kind.
    pub(super) version: u32,
    pub(super) sections: u32,
    /// The length of the file.
    pub(super) bytes: u64,
    /// The checksum of the table.
    pub(super) table: u64,
    pub(super) store: StoreId,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        head[0..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&self.container.to_le_bytes());
        head[12..16].copy_from_slice(&self.kind);
        head[16..20].copy_from_slice(&self.version.to_le_bytes());
        head[20..24].copy_from_slice(&self.sections.to_le_bytes());
        head[24..32].copy_from_slice(&self.bytes.to_le_bytes());
        head[32..40].copy_from_slice(&self.table.to_le_bytes());
        head[40..56].copy_from_slice(&self.store.to_bytes());
        let checksum = xxh3_64(&head[..56]);
        head[56..64].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    /// Decodes the header at the start of a file.
    ///
    /// # Errors
    /// [`Error::Damaged`], or [`Error::NewerVersion`] for a newer container.
    pub(super) fn decode(path: &Path, head: &[u8; HEADER]) -> Result<Self, Error> {
        let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        if head[0..8] != MAGIC {
            return Err(Error::damaged(path, "header", "it does not begin with HEDGEROW"));
        }
        if xxh3_64(&head[..56]) != u64_at(56) {
            return Err(Error::damaged(path, "header", "its checksum does not match"));
        }
        if u32_at(8) > CONTAINER_VERSION {
            let (path, found) = (path.to_path_buf(), u32_at(8));
            return Err(Error::NewerVersion { path, found, supported: CONTAINER_VERSION });
        }
        Ok(Self {
            container: u32_at(8),
            kind: head[12..16].try_into().expect("four bytes"),
            version: u32_at(16),
            sections: u32_at(20),
            bytes: u64_at(24),
            table: u64_at(32),
            store: StoreId::from_bytes(head[40..56].try_into().expect("sixteen bytes")),
        })
    }

    /// Reads the header of a file, and compares the length in it with that of the file.
    ///
    /// # Cost
    /// Reads 64 bytes, however long the file is. Nothing else may be read before it.
    pub(super) fn read(path: &Path, file: &mut File) -> Result<Self, Error> {
        let bytes = file.metadata().map_err(|e| Error::io(path, "read", e))?.len();
        if bytes < HEADER as u64 {
            let what = format!("the file has {bytes} bytes, its header has {HEADER}");
            return Err(Error::damaged(path, "header", what));
        }
        let mut head = [0; HEADER];
        file.read_exact(&mut head).map_err(|e| Error::io(path, "read", e))?;
        let header = Self::decode(path, &head)?;
        if header.bytes != bytes {
            let what = format!("the file has {bytes} bytes, it was written with {}", header.bytes);
            return Err(Error::damaged(path, "header", what));
        }
        Ok(header)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let checksum = u64::from_le_bytes(self.encode()[56..].try_into().expect("eight bytes"));
        Fingerprint { bytes: self.bytes, checksum }
    }
}

impl Fingerprint {
    /// The fingerprint of a file as it is; zeros where it cannot be read, which no file has.
    pub(crate) fn of(disk: &Disk, path: &Path) -> Self {
        let header = disk.read(path).ok().and_then(|mut file| Header::read(path, &mut file).ok());
        header.map_or_else(Self::default, |header| header.fingerprint())
    }
}
