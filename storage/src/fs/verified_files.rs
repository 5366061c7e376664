//! The file `CHECKED`: the files that were read in full and found intact, with their metadata at that time.
//! Decides whether a file must be read again before it is mapped; knows nothing of the content.
//!
//! A file that a manifest names never changes, so its size, inode and times stay as they were when it was verified. A
//! program that writes to it changes its times. Bits that change below the file system go unseen here:
//! [`Store::check`](crate::Store::check) finds them, and so does opening a store without `low_memory`, which reads
//! every file in full.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::fs::disk::Disk;
use crate::fs::section_table::Verification;
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};

const NAME: &str = "CHECKED";
/// No more is read: many times what the files of two manifests take.
const MAX_BYTES: u64 = 1 << 20;

/// The metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct FileStamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// The current metadata of a file; `None` where the system does not provide it.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let modified = (found.mtime(), found.mtime_nsec());
            let changed = (found.ctime(), found.ctime_nsec());
            Some(Self { bytes: found.len(), inode: found.ino(), modified, changed })
        }
        #[cfg(not(unix))]
        {
            drop(found);
            None
        }
    }
}

/// The mode in which the files of a store are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenMode<'a> {
    /// True if lists are mapped, not read into memory.
    pub(crate) is_mapped: bool,
    /// Files in this set are not read. Every byte of others is verified.
    pub(crate) verified: Option<&'a VerifiedFiles>,
    /// Checked between any two files.
    pub(crate) cancel: &'a CancelToken,
}

impl OpenMode<'_> {
    /// The time to verify a file: never again if it is known.
    pub(crate) fn verification(self, path: &Path) -> Verification {
        let is_known = self.verified.is_some_and(|verified| verified.is_unchanged(path));
        if is_known { Verification::Before } else { Verification::AtUse }
    }
}

/// The files that were verified, with their metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct VerifiedFiles(BTreeMap<String, FileStamp>);

impl VerifiedFiles {
    /// Reads the set; empty where the file is missing or damaged.
    pub(crate) fn read(disk: &Disk) -> Self {
        let read = || {
            let bytes = Self::bytes(disk)?;
            let (sum, body) = bytes.split_at_checked(8)?;
            if xxh3_64(body).to_le_bytes() != sum {
                return None;
            }
            codec::decode::<Vec<(String, FileStamp)>>(body).ok()
        };
        Self(read().unwrap_or_default().into_iter().collect())
    }

    fn bytes(disk: &Disk) -> Option<Vec<u8>> {
        let file = disk.read(&disk.folder().join(NAME)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// True for a file whose metadata is the same as when it was verified.
    pub(crate) fn is_unchanged(&self, path: &Path) -> bool {
        let known = path.file_name().and_then(|name| self.0.get(name.to_str()?));
        known.is_some_and(|known| FileStamp::of(path).as_ref() == Some(known))
    }

    /// Records files as verified. Where that fails, the only effect is that they are read again at the next open.
    pub(crate) fn write<'a>(disk: &Disk, files: impl Iterator<Item = &'a Path>) {
        let stamp = |path: &Path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, FileStamp::of(path)?))
        };
        let checked: Vec<(String, FileStamp)> = files.filter_map(stamp).collect();
        let body = codec::encode(&checked);
        let bytes = [&xxh3_64(&body).to_le_bytes()[..], &body].concat();
        if Self::bytes(disk).is_some_and(|before| before == bytes) {
            return;
        }
        let (path, new) = (disk.folder().join(NAME), disk.folder().join("CHECKED.tmp"));
        let put = || {
            disk.create(&new)?.write_all(&bytes)?;
            disk.rename(&new, &path)
        };
        // The store is as good without it.
        let _ = put();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    #[test]
    fn a_file_is_known_until_somebody_writes_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (folder.path().join("one.hg"), folder.path().join("other.hg"));
        fs::write(&one, "one").expect("written");
        fs::write(&other, "other").expect("written");
        let disk = Disk::of(folder.path());
        VerifiedFiles::write(&disk, [one.as_path(), other.as_path()].into_iter());
        let verified = VerifiedFiles::read(&disk);
        assert!(
            verified.is_unchanged(&one)
                && verified.is_unchanged(&other)
                && !verified.is_unchanged(folder.path())
        );
        // The same length as before. The time is set, because a system may give two writes in a row the same time.
        fs::write(&one, "eno").expect("written");
        let written = fs::File::options().write(true).open(&one).expect("opened");
        let later = written.metadata().and_then(|found| found.modified()).expect("a time") + LATER;
        written.set_modified(later).expect("set");
        assert!(!verified.is_unchanged(&one) && verified.is_unchanged(&other));
        for bit in 0..fs::read(folder.path().join(NAME)).expect("readable").len() * 8 {
            let mut torn = fs::read(folder.path().join(NAME)).expect("readable");
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join("CHECKED"), &torn).expect("written");
            assert!(!VerifiedFiles::read(&disk).is_unchanged(&other), "bit {bit}");
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join("CHECKED"), &torn).expect("written");
        }
    }
}
