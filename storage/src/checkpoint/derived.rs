//! Derived files: the files that a model writes beside the graph, named by a manifest. Knows nothing of their content.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::manifest::{NamedFile, is_file_stem};
use crate::checkpoint::published::{Published, stem};
use crate::fs::disk::Disk;
use crate::fs::section::SectionFile;
use crate::fs::section_writer::SectionWriter;
use crate::fs::verified_files::OpenMode;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::{Epoch, Generation};

/// The remedy for a damaged derived file.
const REBUILT: &str =
    "files computed from the graph and the model are computed again; a model must be trained again";

/// The derived files of one publish, for [`Store::publish`](crate::Store::publish).
#[derive(Debug)]
pub struct Publish<'a> {
    /// The version of the model that the files belong to.
    pub generation: Generation,
    /// The epoch that the files reflect; the log is kept from there on.
    pub refreshed: Epoch,
    /// Each file by name (lowercase letters, digits and hyphens, such as `embeddings`); `None` keeps the current file.
    /// Files that are not listed are removed.
    pub files: Vec<(&'a str, Option<SectionWriter<'a>>)>,
}

/// The derived sets of a store, open.
#[derive(Clone, Debug, Default)]
pub(crate) struct DerivedSets {
    /// The name of the set that is meant where none is named.
    pub(crate) default: String,
    pub(crate) sets: BTreeMap<String, Derived>,
}

/// The derived files of one publish, open. Clones share them, and they stay readable after a later publish.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The version of the model that the files belong to.
    pub generation: Generation,
    /// The epoch that the files reflect.
    pub refreshed: Epoch,
    /// True if all files are intact and all later changes are known. If not, everything that can be computed must be
    /// computed again.
    pub is_complete: bool,
    store: PathBuf,
    files: Arc<BTreeMap<String, Result<SectionFile, Damage>>>,
}

impl DerivedSets {
    /// True if all files are intact, all later changes are known, and every byte was verified.
    pub(crate) fn are_verified(&self) -> bool {
        self.sets.values().all(|derived| derived.is_complete && derived.is_verified())
    }

    /// The set of this name; `None` where nothing was published.
    pub(crate) fn get(&self, set: &str) -> Option<&Derived> {
        self.sets.get(set)
    }
}

impl Derived {
    /// True if a file with that name was published.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The names of all files, in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// True if it has the file of this name that a manifest names.
    pub(crate) fn is_named(&self, name: &str, named: &NamedFile, disk: &Disk) -> bool {
        matches!(self.files.get(name), Some(Ok(file)) if named.is(file, disk))
    }

    /// The file with that name. Its checksums are verified, in a store with mapped files those of a section when it is used.
    ///
    /// # Errors
    /// [`Error::Damaged`] when no such file was published, or it was damaged when the store was opened.
    pub fn file(&self, name: &str) -> Result<SectionFile, Error> {
        match self.files.get(name) {
            None => Err(Error::damaged(&self.store, name, "no such file was published")),
            Some(Ok(file)) => Ok(file.clone()),
            Some(Err(damage)) => Err(damage.clone().into_error()),
        }
    }

    /// Opens the derived files of a manifest.
    ///
    /// # Errors
    /// [`Error::Damaged`] for the first file with damage.
    pub(crate) fn open(disk: &Disk, published: &Published, mode: OpenMode<'_>) -> Result<Self, Error> {
        Self::open_some(disk, published, mode)?.intact()
    }

    /// Opens the derived files of a manifest. Those that an earlier manifest names too are not read again.
    ///
    /// # Errors
    /// [`Error::Damaged`] for the first file with damage.
    pub(crate) fn open_new(
        disk: &Disk,
        published: &Published,
        before: Option<&Self>,
        mode: OpenMode<'_>,
    ) -> Result<Self, Error> {
        Self::open_beside(disk, published, before, mode)?.intact()
    }

    /// Opens the intact derived files of a manifest, and keeps the damage of the others.
    pub(crate) fn open_some(disk: &Disk, published: &Published, mode: OpenMode<'_>) -> Result<Self, Error> {
        Self::open_beside(disk, published, None, mode)
    }

    fn open_beside(
        disk: &Disk,
        published: &Published,
        before: Option<&Self>,
        mode: OpenMode<'_>,
    ) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let stage = mode.cancel.stage("derived files", published.files.len() as u64);
        for named in &published.files {
            let name = published.name_of(named).expect("a file of a set is named after it");
            let open = before.and_then(|before| before.files.get(name)?.as_ref().ok());
            let file = match open.filter(|open| named.is(open, disk)) {
                Some(open) => Ok(open.clone()),
                None => named.open_derived(disk, mode),
            };
            files.insert(name.to_owned(), Damage::from_result(file, REBUILT)?);
            stage.advance(1)?;
        }
        stage.end();
        let (generation, refreshed) = (published.generation(), published.refreshed());
        let is_complete = files.values().all(Result::is_ok);
        Ok(Self {
            generation,
            refreshed,
            is_complete,
            store: disk.folder().to_path_buf(),
            files: Arc::new(files),
        })
    }

    /// True if all files are intact and all later changes are known, as far as the files were used.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_complete && self.files.values().flatten().all(|file| !file.is_damaged())
    }

    /// True if every byte of every file was verified.
    pub(crate) fn is_verified(&self) -> bool {
        self.files.values().all(|file| file.as_ref().is_ok_and(SectionFile::is_verified))
    }

    fn intact(self) -> Result<Self, Error> {
        let damage = self.damage().next().cloned();
        damage.map_or(Ok(self), |damage| Err(damage.into_error()))
    }

    /// Drops files that a manifest no longer names.
    pub(crate) fn keep_named(&mut self, published: &Published) {
        Arc::make_mut(&mut self.files).retain(|name, _| published.file(name).is_some());
    }

    /// The damage found in the files.
    pub(crate) fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.files.values().filter_map(|file| file.as_ref().err())
    }

    /// The size of all intact files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.sizes().map(|(_, bytes)| bytes).sum()
    }

    /// Name and size of each intact file.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (String, u64)> {
        let intact = self.files.iter().filter_map(|(name, file)| Some((name, file.as_ref().ok()?)));
        intact.map(|(name, file)| (name.clone(), file.bytes()))
    }
}

/// Refuses names that a derived file of a set cannot have, and those that the store uses itself.
pub(crate) fn check_names(
    set: &str,
    files: &[(&str, Option<SectionWriter<'_>>)],
    used: &[&str],
) -> Result<(), Error> {
    for (at, (name, _)) in files.iter().enumerate() {
        let is_used = crate::segments::FILES.contains(name)
            || used.contains(name)
            || files[..at].iter().any(|(other, _)| other == name);
        if is_used || !is_file_stem(name) || !is_file_stem(&stem(set, name)) {
            let rule = "a name of its own in lowercase letters, digits and hyphens";
            return Err(Error::invalid("name of a derived file", name, rule));
        }
    }
    Ok(())
}
