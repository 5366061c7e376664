//! The derived sets of a manifest: of each its name, the epoch that it reflects and its files.
//! Owns the names of their files; knows nothing of what is in them.

use crate::checkpoint::manifest::{FileName, NamedFile, is_file_stem};
use crate::types::codec::{Decode, Encode};
use crate::types::ids::{Epoch, Generation};

/// The name of the first set of a store, whose files have no prefix. A store of before several sets has only this one.
pub const MAIN_SET: &str = "main";
/// The most bytes of the name of a set.
pub const MAX_SET_NAME: usize = 32;

/// The derived sets of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PublishedSets {
    /// The name of the set that is meant where none is named.
    pub(crate) default: String,
    /// In the order of their names.
    sets: Vec<Published>,
}

/// The derived files of the last publish of a set.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Published {
    pub(crate) set: String,
    pub(crate) generation: u64,
    /// The epoch that the files reflect, and the first record of the log after it.
    pub(crate) refreshed: u64,
    pub(crate) refreshed_seq: u64,
    /// The number of nodes touched between there and the state that readers see, for readers, which have no log.
    pub(crate) dirty: u64,
    pub(crate) files: Vec<NamedFile>,
}

/// The derived files of a manifest before version 7, which has one set.
#[derive(Decode)]
pub(crate) struct OnlySet {
    pub(crate) generation: u64,
    pub(crate) refreshed: u64,
    pub(crate) refreshed_seq: u64,
    pub(crate) dirty: u64,
    pub(crate) files: Vec<NamedFile>,
}

impl Default for PublishedSets {
    fn default() -> Self {
        Self { default: MAIN_SET.to_owned(), sets: Vec::new() }
    }
}

impl From<Option<OnlySet>> for PublishedSets {
    fn from(only: Option<OnlySet>) -> Self {
        let sets = only.map(|OnlySet { generation, refreshed, refreshed_seq, dirty, files }| Published {
            set: MAIN_SET.to_owned(),
            generation,
            refreshed,
            refreshed_seq,
            dirty,
            files,
        });
        Self { sets: sets.into_iter().collect(), ..Self::default() }
    }
}

impl PublishedSets {
    /// True if the names of sets and files are those that a store writes.
    pub(crate) fn is_valid(&self) -> bool {
        let is_ascending = self.sets.windows(2).all(|pair| pair[0].set < pair[1].set);
        let has_default = self.sets.is_empty() || self.get(&self.default).is_some();
        let is_named = |published: &Published| {
            let is_file = |file: &NamedFile| {
                is_file_stem(&file.name.what) && name_in_set(&published.set, &file.name).is_some()
            };
            is_set_name(&published.set) && published.files.iter().all(is_file)
        };
        is_ascending && has_default && is_set_name(&self.default) && self.sets.iter().all(is_named)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Published> {
        self.sets.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Published> {
        self.sets.iter_mut()
    }

    pub(crate) fn get(&self, set: &str) -> Option<&Published> {
        self.sets.iter().find(|published| published.set == set)
    }

    /// Puts a set in the place of the one of its name. The first one is the default.
    pub(crate) fn put(&mut self, published: Published) {
        if self.sets.is_empty() {
            self.default.clone_from(&published.set);
        }
        match self.sets.binary_search_by(|other| other.set.cmp(&published.set)) {
            Ok(at) => self.sets[at] = published,
            Err(at) => self.sets.insert(at, published),
        }
    }

    /// Keeps the sets that pass a test. If the default is not among them, the first one is.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Published) -> bool) {
        self.sets.retain(keep);
        if self.get(&self.default).is_none() {
            self.default = self.sets.first().map_or_else(|| MAIN_SET.to_owned(), |first| first.set.clone());
        }
    }

    /// The newest of the records that readers see through one of the sets, if a set is newer than the checkpoint.
    pub(crate) fn newest(&self) -> Option<&Published> {
        self.sets.iter().max_by_key(|published| published.refreshed_seq)
    }

    /// The first record after the epoch of the set that is furthest behind.
    pub(crate) fn first_record(&self) -> Option<u64> {
        self.sets.iter().map(|published| published.refreshed_seq).min()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &NamedFile> {
        self.sets.iter().flat_map(|published| &published.files)
    }

    /// The name within its set of a file.
    pub(crate) fn name_of(&self, file: &NamedFile) -> Option<&str> {
        self.sets.iter().find_map(|published| {
            published.files.iter().find(|other| *other == file).and_then(|found| published.name_of(found))
        })
    }
}

impl Published {
    pub(crate) fn generation(&self) -> Generation {
        Generation::new(self.generation)
    }

    pub(crate) fn refreshed(&self) -> Epoch {
        Epoch::new(self.refreshed)
    }

    /// The name within the set of a file of the set.
    pub(crate) fn name_of<'a>(&self, file: &'a NamedFile) -> Option<&'a str> {
        name_in_set(&self.set, &file.name)
    }

    /// The file with this name within the set.
    pub(crate) fn file(&self, name: &str) -> Option<&NamedFile> {
        self.files.iter().find(|file| self.name_of(file) == Some(name))
    }
}

/// True for a name that a set may have: 1 to 32 bytes of lowercase letters, digits and hyphens.
pub(crate) fn is_set_name(name: &str) -> bool {
    name.len() <= MAX_SET_NAME && is_file_stem(name)
}

/// The name in the folder of a file of a set, without its number.
pub(crate) fn stem(set: &str, name: &str) -> String {
    if set == MAIN_SET { name.to_owned() } else { format!("{set}-{name}") }
}

/// The name of a file within its set; `None` for a file of another set.
pub(crate) fn name_in_set<'a>(set: &str, file: &'a FileName) -> Option<&'a str> {
    if set == MAIN_SET { Some(&file.what) } else { file.what.strip_prefix(set)?.strip_prefix('-') }
}
