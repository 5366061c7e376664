//! Opening and creating a store: which folder is one, taking the lock, and replaying the log.
//! Owns everything up to the open handle; what the handle does is the store's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::apply::Applier;
use crate::derived::Derived;
use crate::lock::Lock;
use crate::log::{Log, sync_folder};
use crate::manifest::{CURRENT, Learned, Manifest, PREVIOUS, is_unfinished, sweep};
use crate::op::Op;
use crate::store::{Store, Writer, Writing};
use crate::tail::Tail;
use crate::view::View;
use crate::{Epoch, Error, checkpoint};

/// How often a reader starts over because the writer published while it was opening files.
const READER_PATIENCE: u32 = 100;

/// How a store is to be opened.
///
/// # Example
/// ```
/// # use hedgerow_storage::Store;
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("graph");
/// let store = Store::options().create(true).open(&path)?;
/// assert_eq!(store.snapshot().node_count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OpenOptions {
    create: bool,
    read_only: bool,
    low_memory: bool,
}

impl OpenOptions {
    /// Creates the store where the folder is new or empty; without it, that is an error.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens without lock, and without need for write permission: what the last checkpoint or publish made visible.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Maps the lists instead of reading them into huge pages: walks are slower, and processes share the memory.
    pub fn low_memory(mut self, low_memory: bool) -> Self {
        self.low_memory = low_memory;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::Locked`], [`Error::Damaged`] for any file that is not as it was written, or
    /// [`Error::NewerVersion`].
    ///
    /// # Cost
    /// One pass over the files for their checksums, and replaying the log since the last checkpoint.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        let path = path.as_ref();
        if self.read_only { self.read(path) } else { self.write(path) }
    }

    fn read(&self, path: &Path) -> Result<Store, Error> {
        examine(path)?;
        let mut patience = READER_PATIENCE;
        let mut manifest = current(path)?;
        loop {
            let opened = self.settled(path, &manifest);
            match opened {
                Ok((view, derived)) => {
                    let dirty = manifest.learned.as_ref().map_or(0, |learned| learned.dirty);
                    return Ok(Store::reader(path, self.low_memory, view, derived, dirty));
                }
                Err(error) => {
                    let newer = current(path)?;
                    if newer.number == manifest.number || patience == 0 {
                        return Err(error);
                    }
                    (manifest, patience) = (newer, patience - 1);
                }
            }
        }
    }

    fn settled(&self, path: &Path, manifest: &Manifest) -> Result<(View, Option<Derived>), Error> {
        let view = checkpoint::settled(path, &manifest.base, manifest.epoch(), self.low_memory)?;
        let derived = manifest.learned.as_ref().map(|learned| Derived::open(path, learned)).transpose()?;
        Ok((view, derived))
    }

    fn write(&self, path: &Path) -> Result<Store, Error> {
        if let Err(error) = examine(path) {
            let vacant = matches!(error, Error::NotAStore { .. }) && is_vacant(path)?;
            if !self.create || !vacant {
                return Err(error);
            }
            fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))?;
        }
        let lock = Lock::take(&path.join("LOCK"))?;
        // Someone else may have created it before the lock was ours.
        let is_new = Manifest::read(path, CURRENT)?.is_none();
        if is_new {
            create(path)?;
        }
        let manifest = current(path)?;
        let previous = Manifest::read(path, PREVIOUS)?;
        let (view, derived) = self.settled(path, &manifest)?;
        let folder = path.join("log");
        if !folder.join("db").is_file() {
            return Err(Error::damaged(&folder, "db", "it is missing"));
        }
        let log = Log::open(&folder)?;
        let end = log.end()?.unwrap_or(manifest.covered);
        if end < manifest.covered {
            return Err(Error::damaged(&folder, format!("record {end}"), "it is missing"));
        }
        let (view, tail, ops) = replay(&log, &manifest, view, end)?;
        let appender = log.appender(end, false)?;
        sweep(path, &[&manifest].into_iter().chain(&previous).collect::<Vec<_>>());
        let writer = Writer { appender, manifest, previous, tail_ops: ops };
        let writing = Writing::new(log, writer, tail, lock);
        Ok(Store::writer(path, self.low_memory, view, derived, writing))
    }
}

/// Checks that a folder holds a store.
fn examine(path: &Path) -> Result<(), Error> {
    let not = |found: &str| Err(Error::NotAStore { path: path.to_path_buf(), found: found.to_owned() });
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return not("there is no such folder"),
        Err(e) => return Err(Error::io(path, "open", e)),
        Ok(found) if !found.is_dir() => return not("it is not a folder"),
        Ok(_) => {}
    }
    let is_there = |name: &str| path.join(name).try_exists().map_err(|e| Error::io(path, "open", e));
    if is_there(CURRENT)? {
        return Ok(());
    }
    if is_there(PREVIOUS)? {
        return Err(Error::damaged(&path.join(CURRENT), "file", "it is missing"));
    }
    not(if is_vacant(path)? { "the folder is empty" } else { "the folder holds other things" })
}

/// Whether a store may be created there: nothing is there, or only what an interrupted creation left.
fn is_vacant(path: &Path) -> Result<bool, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        Err(e) => return Err(Error::io(path, "read", e)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        names.insert(entry.map_err(|e| Error::io(path, "read", e))?.file_name());
    }
    Ok(names.iter().all(|name| name.to_str().is_some_and(is_unfinished)))
}

fn current(path: &Path) -> Result<Manifest, Error> {
    let manifest = Manifest::read(path, CURRENT)?;
    manifest.ok_or_else(|| Error::damaged(&path.join(CURRENT), "file", "it is missing"))
}

/// Makes an empty store; the manifest comes last, so that before it there is none.
fn create(path: &Path) -> Result<(), Error> {
    let log = Log::open(&path.join("log"))?;
    if log.end()?.is_some() {
        // Not an interrupted creation: nothing is committed before there is a manifest.
        return Err(Error::damaged(&path.join(CURRENT), "file", "it is missing, and the log is not empty"));
    }
    log.appender(0, true)?;
    let base = checkpoint::found(path)?;
    let manifest = Manifest { number: 0, epoch: 0, covered: 0, log_start: 0, base, learned: None };
    manifest.publish(path)?;
    let absolute = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    absolute.parent().map_or(Ok(()), sync_folder)
}

/// Reads the log: what the files do not cover is applied, what nothing derived reflects is marked.
///
/// Returns also how many operations were applied.
fn replay(log: &Log, manifest: &Manifest, view: View, end: u64) -> Result<(View, Tail, u64), Error> {
    let refreshed = manifest.learned.as_ref().map(Learned::refreshed);
    let mut tail = Tail::new(Epoch::new(manifest.epoch + 1), manifest.log_start, refreshed);
    let mut applier = Applier::new(view);
    let mut applied = 0;
    log.scan(manifest.log_start..end, |seq, head, body| {
        let epoch = Epoch::new(head.epoch);
        if head.is_first() {
            tail.begin(epoch, seq);
        }
        let is_covered = seq < manifest.covered;
        let is_dirty = refreshed.is_some_and(|refreshed| epoch > refreshed);
        if is_covered && !is_dirty {
            return Ok(());
        }
        let ops = log.ops(seq, head, body)?;
        tail.touch(epoch, ops.iter().flat_map(Op::nodes).flatten());
        if is_covered {
            return Ok(());
        }
        let expected = applier.epoch().get() + u64::from(head.is_first());
        if head.epoch != expected {
            return Err(log.contradiction(seq, "it belongs to another epoch than the one that comes next"));
        }
        applier.advance(epoch);
        for op in ops {
            applied += 1;
            applier.apply(op).map_err(|what| log.contradiction(seq, what))?;
        }
        Ok(())
    })?;
    tail.set_end(end);
    Ok((applier.finish(), tail, applied))
}
