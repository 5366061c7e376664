//! The file `CHECKED`: which files were read whole and found intact, and what the system said of them then.
//! Owns when a file need not be read again before it is mapped; knows nothing of what files hold.
//!
//! A file that a manifest names never changes, so its size, number and times of change stay as they were when it was checked;
//! whoever writes to it changes the latter. What changes bits underneath the file system does not: that is for
//! [`Store::check`](crate::Store::check) to find, and for whoever opens a store without `low_memory`, which reads it whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::fs::disk::Disk;
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};

const NAME: &str = "CHECKED";

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Looks {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    /// How a file looks; nothing where the system does not tell.
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

/// How the files of a store are to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    /// Everything is mapped, and what was checked before is not read; without it lists are read into memory, and every byte is
    /// checked.
    pub(crate) mapped: Option<&'a VerifiedFiles>,
    /// Asked between any two files.
    pub(crate) cancel: &'a CancelToken,
}

impl Opening<'_> {
    /// Whether what a file holds need not be read.
    pub(crate) fn trusts(self, path: &Path) -> bool {
        self.mapped.is_some_and(|trust| trust.knows(path))
    }
}

/// The files that were checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct VerifiedFiles(BTreeMap<String, Looks>);

impl VerifiedFiles {
    /// What the file says; nothing where it is missing or damaged, or tells of other files.
    pub(crate) fn read(store: &Path) -> Self {
        let read = || {
            let bytes = fs::read(store.join(NAME)).ok()?;
            let (sum, body) = bytes.split_at_checked(8)?;
            if xxh3_64(body).to_le_bytes() != sum {
                return None;
            }
            codec::decode::<Vec<(String, Looks)>>(body).ok()
        };
        Self(read().unwrap_or_default().into_iter().collect())
    }

    /// Whether a file looks as it did when it was checked.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        let known = path.file_name().and_then(|name| self.0.get(name.to_str()?));
        known.is_some_and(|known| Looks::of(path).as_ref() == Some(known))
    }

    /// Writes down that files were checked. Where that fails they are read again at the next open, and no more.
    pub(crate) fn write<'a>(disk: &Disk, files: impl Iterator<Item = &'a Path>) {
        let looks = |path: &Path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, Looks::of(path)?))
        };
        let checked: Vec<(String, Looks)> = files.filter_map(looks).collect();
        let body = codec::encode(&checked);
        let bytes = [&xxh3_64(&body).to_le_bytes()[..], &body].concat();
        let (path, new) = (disk.folder().join(NAME), disk.folder().join("CHECKED.tmp"));
        let is_as_it_was = fs::read(&path).is_ok_and(|before| before == bytes);
        if !is_as_it_was && fs::write(&new, bytes).is_ok() {
            let _ = fs::rename(&new, &path);
        }
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
        let trust = VerifiedFiles::read(folder.path());
        assert!(trust.knows(&one) && trust.knows(&other) && !trust.knows(folder.path()));
        // As long as before. The time is set, because a system may give one time to two writes in a row.
        fs::write(&one, "eno").expect("written");
        let written = fs::File::options().write(true).open(&one).expect("opened");
        let later = written.metadata().and_then(|found| found.modified()).expect("a time") + LATER;
        written.set_modified(later).expect("set");
        assert!(!trust.knows(&one) && trust.knows(&other));
        for bit in 0..fs::read(folder.path().join(NAME)).expect("readable").len() * 8 {
            let mut torn = fs::read(folder.path().join(NAME)).expect("readable");
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join("CHECKED"), &torn).expect("written");
            assert!(!VerifiedFiles::read(folder.path()).knows(&other), "bit {bit}");
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join("CHECKED"), &torn).expect("written");
        }
    }
}
