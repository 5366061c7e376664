//! What the model has written: the files beside the graph that a manifest names. Knows nothing of what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::manifest::{Learned, is_file_word};
use crate::map::Residence;
use crate::section::{SectionFile, SectionWriter};
use crate::{Epoch, Error, Generation};

/// What is to replace the derived files.
#[derive(Debug)]
pub struct Publish<'a> {
    /// The model that the files belong to.
    pub generation: Generation,
    /// The epoch that they reflect; the log is kept from there on.
    pub refreshed: Epoch,
    /// Each file by name (small letters, digits and hyphens, such as `embeddings`); none keeps the one that is there.
    /// Files that are not mentioned are removed.
    pub files: Vec<(&'a str, Option<SectionWriter>)>,
}

/// The derived files as of one publish, open; clones share them, and they stay readable after a later publish.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The model that the files belong to.
    pub generation: Generation,
    /// The epoch that they reflect.
    pub refreshed: Epoch,
    store: PathBuf,
    files: Arc<BTreeMap<String, SectionFile>>,
}

impl Derived {
    /// The file of that name, its checksums verified.
    ///
    /// # Errors
    /// [`Error::Damaged`] when no such file was published.
    pub fn file(&self, name: &str) -> Result<SectionFile, Error> {
        let file = self.files.get(name).cloned();
        file.ok_or_else(|| Error::damaged(&self.store, name, "no such file was published"))
    }

    /// Opens what a manifest names.
    pub(crate) fn open(store: &Path, learned: &Learned) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for name in &learned.files {
            files.insert(name.what.clone(), SectionFile::open_named(&name.path(store), Residence::Mapped)?);
        }
        let (generation, refreshed) = (learned.generation(), learned.refreshed());
        Ok(Self { generation, refreshed, store: store.to_path_buf(), files: Arc::new(files) })
    }

    /// Name and bytes of each file.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (String, u64)> {
        self.files.iter().map(|(name, file)| (name.clone(), file.bytes()))
    }
}

/// Refuses names that a derived file cannot have.
pub(crate) fn check_names(files: &[(&str, Option<SectionWriter>)]) -> Result<(), Error> {
    for (at, (name, _)) in files.iter().enumerate() {
        let taken = crate::base::FILES.contains(name) || files[..at].iter().any(|(other, _)| other == name);
        if taken || !is_file_word(name) {
            let rule = "a name of its own in small letters, digits and hyphens";
            return Err(Error::invalid("name of a derived file", name, rule));
        }
    }
    Ok(())
}
