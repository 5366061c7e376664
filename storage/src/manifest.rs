//! The file `MANIFEST`: which files make up the store, and where in the log they end.
//! Owns the atomic swap, and the one before in `MANIFEST.previous`; knows nothing of what the files hold.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::codec::{self, Decode, Encode};
use crate::log::sync_folder;
use crate::map::Residence;
use crate::section::{SectionFile, SectionWriter};
use crate::{Epoch, Error, Generation, base};

const KIND: [u8; 4] = *b"MANI";
const VERSION: u32 = 1;
pub(crate) const CURRENT: &str = "MANIFEST";
pub(crate) const PREVIOUS: &str = "MANIFEST.previous";
const MAX_FILE_NAME: usize = 64;

/// A file of the store: `topology.7.hg` is the topology that the 7th manifest brought.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FileName {
    pub(crate) what: String,
    pub(crate) number: u64,
}

/// What the model wrote last.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Learned {
    pub(crate) generation: u64,
    /// The epoch that the files reflect, and the first record of the log after it.
    pub(crate) refreshed: u64,
    pub(crate) refreshed_seq: u64,
    /// How many nodes were touched between there and the checkpoint, for readers that have no log.
    pub(crate) dirty: u64,
    pub(crate) files: Vec<FileName>,
}

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Manifest {
    /// How many manifests came before.
    pub(crate) number: u64,
    /// The epoch of the checkpoint files, and the first record of the log after it.
    pub(crate) epoch: u64,
    pub(crate) covered: u64,
    /// Records from this one on are there; older ones may be trimmed.
    pub(crate) log_start: u64,
    /// The checkpoint files, in the order of [`base::FILES`].
    pub(crate) base: [FileName; 4],
    pub(crate) learned: Option<Learned>,
}

impl FileName {
    pub(crate) fn new(what: &str, number: u64) -> Self {
        Self { what: what.to_owned(), number }
    }

    pub(crate) fn path(&self, store: &Path) -> PathBuf {
        store.join(format!("{}.{}.hg", self.what, self.number))
    }

    /// Reads back the name of a file, if it is one of ours.
    fn parse(name: &str) -> Option<Self> {
        let (what, number) = name.strip_suffix(".hg")?.rsplit_once('.')?;
        let number = number.parse().ok()?;
        is_file_word(what).then(|| Self::new(what, number))
    }
}

/// What a derived file may be called: small letters, digits and hyphens.
pub(crate) fn is_file_word(what: &str) -> bool {
    let ours = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_FILE_NAME).contains(&what.len()) && what.bytes().all(ours)
}

impl Manifest {
    /// Reads a manifest; none when there is no such file.
    pub(crate) fn read(store: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = store.join(name);
        let file = match SectionFile::open(&path, Residence::Loaded) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        file.require(KIND, VERSION)?;
        let damaged = |what| file.damaged("section 'body'", what);
        let manifest: Self =
            codec::decode(file.section(*b"body\0\0\0\0")?).map_err(|_| damaged("unreadable"))?;
        let named = manifest.base.iter().map(|file| file.what.as_str());
        let learned = manifest.learned.iter().flat_map(|learned| &learned.files);
        if !named.eq(base::FILES) || learned.clone().any(|file| !is_file_word(&file.what)) {
            return Err(damaged("names of files that are none of ours"));
        }
        let floor = manifest.learned.as_ref().map_or(manifest.covered, |learned| learned.refreshed_seq);
        if manifest.log_start > floor.min(manifest.covered) {
            return Err(damaged("a log that starts after what it must hold"));
        }
        Ok(Some(manifest))
    }

    /// The first record of the log that someone needs who opens the store by this manifest.
    pub(crate) fn floor(&self) -> u64 {
        let refreshed = self.learned.as_ref().map_or(self.covered, |learned| learned.refreshed_seq);
        self.covered.min(refreshed)
    }

    /// Makes this the current manifest; the current one becomes the previous one. The files it names are synced already.
    ///
    /// # Visibility
    /// At every moment there is one whole current manifest, the old one or this; durable on return.
    pub(crate) fn publish(&self, store: &Path) -> Result<(), Error> {
        let new = store.join("MANIFEST.tmp");
        let mut writer = SectionWriter::new(KIND, VERSION);
        writer.section(*b"body\0\0\0\0", codec::encode(self));
        writer.write_to(&new)?;
        let current = store.join(CURRENT);
        match fs::read(&current) {
            Ok(bytes) => {
                let old = store.join("MANIFEST.previous.tmp");
                let write = |old: &Path| {
                    let mut file = File::create(old)?;
                    file.write_all(&bytes)?;
                    file.sync_all()
                };
                write(&old).map_err(|e| Error::io(&old, "write", e))?;
                let previous = store.join(PREVIOUS);
                fs::rename(&old, &previous).map_err(|e| Error::io(&previous, "replace", e))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(&current, "read", e)),
        }
        fs::rename(&new, &current).map_err(|e| Error::io(&current, "replace", e))?;
        sync_folder(store)
    }

    /// Everything the manifest names.
    fn files(&self) -> impl Iterator<Item = &FileName> {
        self.base.iter().chain(self.learned.iter().flat_map(|learned| &learned.files))
    }

    /// The epoch of the checkpoint.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch)
    }
}

impl Learned {
    pub(crate) fn generation(&self) -> Generation {
        Generation::new(self.generation)
    }

    pub(crate) fn refreshed(&self) -> Epoch {
        Epoch::new(self.refreshed)
    }
}

/// Removes files of ours that none of the manifests names: what a crash or a publish left behind. What cannot be removed
/// stays until the next time.
pub(crate) fn sweep(store: &Path, keep: &[&Manifest]) {
    let Ok(entries) = fs::read_dir(store) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let ours = FileName::parse(name);
        let unnamed =
            ours.is_some_and(|file| !keep.iter().any(|manifest| manifest.files().any(|f| *f == file)));
        if unnamed || name == "MANIFEST.tmp" || name == "MANIFEST.previous.tmp" {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a folder holds nothing but what an interrupted creation leaves.
pub(crate) fn is_unfinished(name: &str) -> bool {
    matches!(name, "LOCK" | "LOG.END" | "log" | "MANIFEST.tmp")
        || FileName::parse(name).is_some_and(|f| f.number == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(number: u64) -> Manifest {
        let base = base::FILES.map(|what| FileName::new(what, number));
        Manifest { number, epoch: 1, covered: 5, log_start: 5, base, learned: None }
    }

    #[test]
    fn a_swap_keeps_the_one_before_and_sweeps_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path();
        assert_eq!(Manifest::read(store, CURRENT).expect("readable"), None);
        for number in 0..3 {
            for file in &manifest(number).base {
                fs::write(file.path(store), "x").expect("written");
            }
            manifest(number).publish(store).expect("published");
        }
        fs::write(store.join("notes.txt"), "not ours").expect("written");
        let current = Manifest::read(store, CURRENT).expect("readable").expect("there");
        let previous = Manifest::read(store, PREVIOUS).expect("readable").expect("there");
        assert_eq!((current.number, previous.number), (2, 1));
        sweep(store, &[&current, &previous]);
        let mut left: Vec<_> = fs::read_dir(store)
            .expect("there")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        assert_eq!(left.len(), 2 * 4 + 2 + 1, "{left:?}");
        assert!(!left.contains(&"keys.0.hg".to_owned()));
    }
}
