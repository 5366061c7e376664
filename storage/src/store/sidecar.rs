//! Sidecar files: files in the store's folder that no manifest names, because losing one costs no data. They hold the
//! state of unfinished jobs.
//! Owns their names and their atomic replacement; knows nothing of their content.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::checkpoint::manifest::is_file_stem;
use crate::checkpoint::published::stem;
use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::fs::section_table::Verification;
use crate::fs::section_writer::SectionWriter;
use crate::store::handle::{DerivedSet, Store};
use crate::types::cancel::CancelToken;
use crate::types::damage::Damage;
use crate::types::error::Error;

const SUFFIX: &str = ".aside";
const UNFINISHED: &str = ".aside.tmp";
/// The remedy for a damaged sidecar.
pub(crate) const DAMAGED_REMEDY: &str =
    "only the state of an unfinished job is lost: a repair removes it, and the job starts over";

impl Store {
    /// Writes a sidecar file under a name in lowercase letters, digits and hyphens; an existing one is replaced.
    ///
    /// # Visibility
    /// Durable on return. At every moment the old file or the new one is complete, also after a power cut. It is not
    /// part of the store: backups leave it out, and damage to it damages nothing else.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have; [`Error::ReadOnly`]; [`Error::Broken`] after a write of
    /// the store itself failed. Errors of writing, after which the store goes on and the old file is still there.
    ///
    /// # Cost
    /// Writing the file. Commits, checkpoints and publishes go on meanwhile.
    pub fn write_sidecar(&self, name: &str, file: &SectionWriter<'_>) -> Result<(), Error> {
        self.write_sidecar_with(name, file, &CancelToken::new())
    }

    /// As [`Self::write_sidecar`], with progress and cancellation.
    ///
    /// # Errors
    /// As for [`Self::write_sidecar`], and a cancellation.
    pub fn write_sidecar_with(
        &self,
        name: &str,
        file: &SectionWriter<'_>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let writer = self.writer()?;
        let path = path_of(self.path(), name)?;
        writer.check()?;
        writer.check_place()?;
        // Two files of one name may be written at a time.
        let number = writer.sidecars_begun.fetch_add(1, Ordering::Relaxed);
        let new = self.path().join(format!("{name}-{number}{UNFINISHED}"));
        let put = || {
            file.write_to(self.disk.target(&new), cancel)?;
            let _settling = writer.publishing()?;
            writer.check_place()?;
            self.disk.rename(&new, &path).map_err(|e| Error::io(&path, "replace", e))
        };
        put().inspect_err(|_| {
            // A partial file takes disk space that others need; the next open removes it in any case.
            let _ = self.disk.remove(&new);
        })?;
        self.disk.sync_folder(self.path()).map_err(|e| Error::io(self.path(), "sync", e))
    }

    /// A sidecar file, its checksums verified; `None` where there is none of that name.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::NewerVersion`], or errors of reading.
    pub fn sidecar(&self, name: &str) -> Result<Option<SectionFile>, Error> {
        match open(&self.disk, &path_of(self.path(), name)?) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Removes a sidecar file, if it exists; durable on return.
    ///
    /// # Errors
    /// As for [`Self::write_sidecar`].
    pub fn remove_sidecar(&self, name: &str) -> Result<(), Error> {
        let writer = self.writer()?;
        let _settling = writer.publishing()?;
        writer.check_place()?;
        let path = path_of(self.path(), name)?;
        match self.disk.remove(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(&path, "remove", e)),
            Ok(()) => self.disk.sync_folder(self.path()).map_err(|e| Error::io(self.path(), "sync", e)),
        }
    }

    /// Removes damaged sidecar files and returns their damage.
    ///
    /// # Errors
    /// As for [`Self::write_sidecar`].
    pub fn remove_damaged_sidecars(&self) -> Result<Vec<Damage>, Error> {
        let mut removed = Vec::new();
        for (name, path) in files(&self.disk) {
            let remedy = "it was removed, and its job starts over";
            if let Err(damage) = Damage::from_result(open(&self.disk, &path), remedy)? {
                self.remove_sidecar(&name)?;
                removed.push(damage);
            }
        }
        Ok(removed)
    }
}

/// Sidecar files of a set, whose names do not meet those of another.
impl DerivedSet<'_> {
    /// As [`Store::write_sidecar`].
    ///
    /// # Errors
    /// As for [`Store::write_sidecar`].
    pub fn write_sidecar(&self, name: &str, file: &SectionWriter<'_>) -> Result<(), Error> {
        self.write_sidecar_with(name, file, &CancelToken::new())
    }

    /// As [`Store::write_sidecar_with`].
    ///
    /// # Errors
    /// As for [`Store::write_sidecar_with`].
    pub fn write_sidecar_with(
        &self,
        name: &str,
        file: &SectionWriter<'_>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        self.store().write_sidecar_with(&stem(self.name(), name), file, cancel)
    }

    /// As [`Store::sidecar`].
    ///
    /// # Errors
    /// As for [`Store::sidecar`].
    pub fn sidecar(&self, name: &str) -> Result<Option<SectionFile>, Error> {
        self.store().sidecar(&stem(self.name(), name))
    }

    /// As [`Store::remove_sidecar`].
    ///
    /// # Errors
    /// As for [`Store::remove_sidecar`].
    pub fn remove_sidecar(&self, name: &str) -> Result<(), Error> {
        self.store().remove_sidecar(&stem(self.name(), name))
    }
}

/// Opens a sidecar file; one of another store is damage.
pub(crate) fn open(disk: &Disk, path: &Path) -> Result<SectionFile, Error> {
    let file = SectionFile::open(disk, path, Residence::Mapped, Verification::AtOpening)?;
    if file.store().may_be(disk.store()) {
        return Ok(file);
    }
    Err(file.damaged("header", "it is a file of another store"))
}

fn path_of(store: &Path, name: &str) -> Result<PathBuf, Error> {
    if !is_file_stem(name) {
        let rule = "lowercase letters, digits and hyphens";
        return Err(Error::invalid("name of a sidecar file", name, rule));
    }
    Ok(store.join(format!("{name}{SUFFIX}")))
}

/// Name and path of every sidecar file; empty where the folder cannot be read.
pub(crate) fn files(disk: &Disk) -> BTreeMap<String, PathBuf> {
    with_suffix(disk, SUFFIX)
}

/// Removes partial sidecar files that a crash left. Only while no thread writes one.
pub(crate) fn remove_unfinished(disk: &Disk) {
    for path in with_suffix(disk, UNFINISHED).values() {
        // No process reads it.
        let _ = disk.remove(path);
    }
}

fn with_suffix(disk: &Disk, suffix: &str) -> BTreeMap<String, PathBuf> {
    let named = disk.names().into_iter().filter_map(|file| {
        let name = file.strip_suffix(suffix).filter(|name| is_file_stem(name))?;
        Some((name.to_owned(), disk.folder().join(&file)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert!(files(&Disk::of(&copy)).is_empty(), "a backup has no unfinished job");
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
