//! Files beside the store that no manifest names, because losing one costs no data: the state of an unfinished job.
//! Owns their names, and that one is there whole or not at all; knows nothing of what they hold.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::checkpoint::manifest::is_file_stem;
use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::section::{SectionFile, SectionWriter};
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::damage::Damage;
use crate::types::error::Error;

const SUFFIX: &str = ".aside";
const UNFINISHED: &str = ".aside.tmp";
/// What is to be done about one that is damaged.
pub(crate) const DAMAGED_REMEDY: &str =
    "only what it was kept for is lost: `hedgerow check STORE --repair` removes it, and the job starts anew";

impl Store {
    /// Keeps a file beside the store, under a name in small letters, digits and hyphens; one of that name is replaced.
    ///
    /// # Visibility
    /// Durable on return. At every moment there is the whole file of before or the whole new one, also after a power cut.
    /// It is no part of the store: backups leave it out, and damage to it is damage to nothing else.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have; [`Error::ReadOnly`]; [`Error::Broken`] after a write of the
    /// store itself failed; what writing fails with, after which the store goes on and the file of before is there still.
    ///
    /// # Cost
    /// Writing it. Checkpoints and publishes wait; commits do not.
    pub fn write_sidecar(&self, name: &str, file: &SectionWriter<'_>) -> Result<(), Error> {
        let _settling = self.writer()?.publishing()?;
        let path = path_of(self.path(), name)?;
        let new = self.path().join(format!("{name}{UNFINISHED}"));
        let put = || {
            file.write_to(self.disk.target(&new), &CancelToken::new())?;
            self.disk.rename(&new, &path).map_err(|e| Error::io(&path, "replace", e))
        };
        put().inspect_err(|_| {
            // What was written of it takes room that others need; at the next open it is removed in any case.
            let _ = self.disk.remove(&new);
        })?;
        self.disk.sync_folder(self.path()).map_err(|e| Error::io(self.path(), "sync", e))
    }

    /// A file that was kept aside, its checksums verified; none where there is none of that name.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::NewerVersion`], or what reading fails with.
    pub fn sidecar(&self, name: &str) -> Result<Option<SectionFile>, Error> {
        match SectionFile::open(&path_of(self.path(), name)?, Residence::Mapped, false) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Removes a file that was kept aside, if there is one of that name; durable on return.
    ///
    /// # Errors
    /// As for [`Self::write_sidecar`].
    pub fn remove_sidecar(&self, name: &str) -> Result<(), Error> {
        let _settling = self.writer()?.publishing()?;
        let path = path_of(self.path(), name)?;
        match self.disk.remove(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(&path, "remove", e)),
            Ok(()) => self.disk.sync_folder(self.path()).map_err(|e| Error::io(self.path(), "sync", e)),
        }
    }

    /// Removes the files that were kept aside and are damaged; says which, and what was found in them.
    ///
    /// # Errors
    /// As for [`Self::write_sidecar`].
    pub fn remove_damaged_sidecars(&self) -> Result<Vec<Damage>, Error> {
        let mut removed = Vec::new();
        for (name, path) in files(self.path()) {
            let remedy = "it was removed, and what it was kept for starts anew";
            if let Err(damage) = Damage::from_result(SectionFile::open(&path, Residence::Mapped, false), remedy)? {
                self.remove_sidecar(&name)?;
                removed.push(damage);
            }
        }
        Ok(removed)
    }
}

fn path_of(store: &Path, name: &str) -> Result<PathBuf, Error> {
    if !is_file_stem(name) {
        let rule = "small letters, digits and hyphens";
        return Err(Error::invalid("name of a file to keep aside", name, rule));
    }
    Ok(store.join(format!("{name}{SUFFIX}")))
}

/// Name and path of every file that is kept aside; nothing where the folder cannot be read.
pub(crate) fn files(store: &Path) -> BTreeMap<String, PathBuf> {
    with_suffix(store, SUFFIX)
}

/// Removes what a crash left of files that were being written. Only while nobody writes one.
pub(crate) fn remove_unfinished(disk: &Disk) {
    for path in with_suffix(disk.folder(), UNFINISHED).values() {
        // Nobody reads it.
        let _ = disk.remove(path);
    }
}

fn with_suffix(store: &Path, suffix: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(store).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        let name = file.strip_suffix(suffix).filter(|name| is_file_stem(name))?;
        Some((name.to_owned(), entry.path()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::cancel::CancelToken;

    fn sidecar(numbers: &[u32]) -> SectionWriter<'_> {
        let mut file = SectionWriter::new(*b"TEST", 1);
        file.section_chunks(*b"numbers\0", || numbers.chunks(2));
        file
    }

    fn numbers_in(store: &Store) -> Result<Option<Vec<u32>>, Error> {
        store.sidecar("job")?.map(|file| Ok(file.section_u32(*b"numbers\0")?.to_vec())).transpose()
    }

    #[test]
    fn what_was_kept_last_is_there_until_it_is_discarded() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Store::options().create(true).open(folder.path()).expect("it opens");
        let store = open();
        assert_eq!(numbers_in(&store).expect("readable"), None);
        for numbers in [vec![1, 2, 3], vec![4]] {
            store.write_sidecar("job", &sidecar(&numbers)).expect("written");
            assert_eq!(numbers_in(&store).expect("readable"), Some(numbers));
        }
        assert!(store.sizes().files["job"] > 0);
        assert!(matches!(store.write_sidecar("../job", &sidecar(&[1])), Err(Error::Invalid { .. })));
        fs::write(folder.path().join("job.aside.tmp"), "half of it").expect("written");
        drop(store);
        let store = open();
        assert!(!folder.path().join("job.aside.tmp").exists());
        store.checkpoint(&CancelToken::new()).expect("a checkpoint");
        assert_eq!(numbers_in(&store).expect("readable"), Some(vec![4]));
        let reader = Store::options().read_only(true).open(folder.path()).expect("it opens");
        assert_eq!(numbers_in(&reader).expect("readable"), Some(vec![4]));
        assert!(matches!(reader.write_sidecar("job", &sidecar(&[1])), Err(Error::ReadOnly { .. })));
        assert!(matches!(reader.remove_sidecar("job"), Err(Error::ReadOnly { .. })));
        let copy = folder.path().join("copy");
        store.backup(&copy, &CancelToken::new()).expect("a backup");
        assert!(files(&copy).is_empty(), "a backup has no unfinished job");
        for _ in 0..2 {
            store.remove_sidecar("job").expect("removed");
            assert_eq!(numbers_in(&store).expect("readable"), None);
        }
    }

    #[test]
    fn a_flipped_bit_is_named_and_touches_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("it opens");
        store.write_sidecar("job", &sidecar(&[1, 2, 3])).expect("written");
        let path = folder.path().join("job.aside");
        let intact = fs::read(&path).expect("readable");
        for bit in 0..intact.len() * 8 {
            let mut torn = intact.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, torn).expect("written");
            let error = numbers_in(&store).expect_err("damage");
            assert!(
                matches!(&error, Error::Damaged { path: named, .. } if *named == path),
                "bit {bit}: {error}"
            );
        }
        drop(store);
        let checked =
            Store::check(folder.path(), crate::store::check::CheckOptions::default(), &CancelToken::new());
        let problems = checked.expect("checked").problems;
        assert_eq!(problems.iter().map(|problem| &problem.path).collect::<Vec<_>>(), [&path]);
        let store = Store::options().open(folder.path()).expect("it opens all the same");
        assert_eq!(store.damage(), []);
        let removed = store.remove_damaged_sidecars().expect("removed");
        assert_eq!((removed.len(), numbers_in(&store).expect("readable")), (1, None));
    }
}
