//! Opening and creating a store: the check of the folder, and the lock.
//! Owns everything up to the open handle; the store owns the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::derived::{Derived, DerivedSets};
use crate::checkpoint::manifest::{
    COPY, CURRENT, MANIFEST_NAMES, Manifest, PREVIOUS, is_creation_leftover, largest_number,
    remove_unnamed_files,
};
use crate::checkpoint::published::PublishedSets;
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::lock::Lock;
use crate::fs::new_folders;
use crate::fs::verified_files::{OpenMode, VerifiedFiles};
use crate::store::handle::Store;
use crate::store::private_pool::require_threads;
use crate::store::published_records::{RECORDS, apply_records};
use crate::store::recover::{Loss, Recovered, recover};
use crate::store::sidecar;
use crate::store::writer::{Appending, Publishing, Syncing, Writer};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::StoreId;
use crate::types::position::Positions;
use crate::types::weights::relation_options::TimeUnit;
use crate::wal::appender::Appender;
use crate::wal::engine::{FOLDER, Log};
use crate::wal::log_end::LogEnd;

/// The most attempts of a reader when the writer publishes while it opens files.
const MAX_READER_RETRIES: u32 = 100;

/// The options for opening a store.
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
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by a method of its own")]
#[must_use]
pub struct OpenOptions {
    create: bool,
    read_only: bool,
    map_files: bool,
    low_memory: bool,
    repair: bool,
    cancel: CancelToken,
}

impl OpenOptions {
    /// Creates the store in a new or empty folder. Without it, a folder without a store is an error.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens without the lock and without write permission: shows the last checkpoint or publish.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Maps lists and embeddings instead of reading them into huge pages: the store opens sooner and processes share the
    /// memory, but walks, trainings and rebuilds are slower. For processes that read or change little.
    pub fn map_files(mut self, map_files: bool) -> Self {
        self.map_files = map_files;
        self
    }

    /// Maps files as [`Self::map_files`] does. Verified files that have not changed since, as far as their metadata shows, are
    /// not read until they are needed: [`Store::check`] reads them.
    pub fn low_memory(mut self, low_memory: bool) -> Self {
        self.low_memory = low_memory;
        self
    }

    /// Gives up unreadable records at the end of the log, acknowledged or not, where the store cannot be opened for
    /// writing otherwise. [`Store::damage`] lists them. The old engine is kept as `log.damaged`.
    pub fn repair(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }

    /// The token of the opening, for cancellation and progress.
    pub fn cancel(mut self, cancel: &CancelToken) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Opens the store.
    ///
    /// Damage that can be repaired without loss is repaired when the store is opened for writing; [`Store::damage`]
    /// lists the damage and the repairs.
    ///
    /// # Errors
    /// [`Error::NotAStore`]; [`Error::Locked`]; [`Error::Threads`]; [`Error::Damaged`] for damage that cannot be repaired, or for any
    /// damage when opened read-only; [`Error::NewerVersion`]; [`Error::Cancelled`], after which the store is unchanged.
    /// # Cost
    /// One pass over the files for their checksums, unless they are verified ([`Self::low_memory`]), and a replay of
    /// the log since the last checkpoint.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        let path = path.as_ref();
        require_threads(!self.read_only)?;
        let disk = Disk::of(path);
        if self.read_only { self.read(&disk) } else { self.write(disk) }
    }

    fn read(&self, disk: &Disk) -> Result<Store, Error> {
        require_store(disk.folder())?;
        let verified = VerifiedFiles::read(disk);
        let mode = self.mode(&verified);
        let mut patience = MAX_READER_RETRIES;
        let mut manifest = current(disk)?;
        loop {
            let state = write_checkpoint::open_checkpoint(disk, &manifest, mode);
            let opened = state.and_then(|state| {
                let sets = &manifest.published;
                let mut derived = DerivedSets { default: sets.default.clone(), ..DerivedSets::default() };
                for published in sets.iter() {
                    derived.sets.insert(published.set.clone(), Derived::open(disk, published, mode)?);
                }
                // The records of the newest set have those of the others.
                let newest = sets.newest().and_then(|newest| Some((newest, derived.sets.get(&newest.set)?)));
                let state = match newest {
                    Some((published, newest)) if newest.has(RECORDS) => {
                        apply_records(state, &newest.file(RECORDS)?, published)?
                    }
                    _ => state,
                };
                Ok((state, derived))
            });
            match opened {
                Ok((state, derived)) => {
                    let disk = disk.clone().with_store(manifest.store);
                    let sets = manifest.published.iter();
                    let dirty = sets.map(|published| (published.set.clone(), published.dirty)).collect();
                    let shown = (dirty, manifest.number);
                    return Ok(Store::new_reader(disk, self.is_mapped(), state, derived, shown));
                }
                Err(stopped @ (Error::Cancelled | Error::DeadlinePassed)) => return Err(stopped),
                Err(error) => {
                    let newer = current(disk)?;
                    if newer.number == manifest.number || patience == 0 {
                        return Err(error);
                    }
                    (manifest, patience) = (newer, patience - 1);
                }
            }
        }
    }

    fn is_mapped(&self) -> bool {
        self.map_files || self.low_memory
    }

    fn mode<'a>(&'a self, verified: &'a VerifiedFiles) -> OpenMode<'a> {
        OpenMode {
            is_mapped: self.is_mapped(),
            verified: self.low_memory.then_some(verified),
            cancel: &self.cancel,
        }
    }

    pub(crate) fn write(&self, disk: Disk) -> Result<Store, Error> {
        let path = &disk.folder().to_path_buf();
        if let Err(error) = require_store(path) {
            let vacant = matches!(error, Error::NotAStore { .. }) && is_vacant(path)?;
            if !self.create || !vacant {
                return Err(error);
            }
            new_folders::create(&disk)?;
        }
        // The folder is held from here on. The lock comes first, then the manifest is read again: another process may
        // have created the store meanwhile.
        let disk = disk.hold().map_err(|e| Error::io(path, "open", e))?;
        let lock = Lock::take(&disk)?;
        if MANIFEST_NAMES.iter().all(|name| matches!(Manifest::read(&disk, name), Ok(None))) {
            create(&disk.clone().with_store(StoreId::random()))?;
        }
        // The state is recovered from manifests, checkpoint files and the log.
        sidecar::remove_unfinished(&disk);
        let verified = VerifiedFiles::read(&disk);
        let loss = if self.repair { Loss::UnreadableRecords } else { Loss::None };
        let recovered = recover(&disk, self.mode(&verified), loss)?;
        let Recovered {
            mut manifest,
            mut state,
            derived,
            log,
            log_end,
            log_index,
            ops,
            damage,
            manifests,
            has_stale_copy,
            lost_records,
        } = recovered;
        // A store of a version without identities gets one with its next manifest.
        if manifest.store == StoreId::NONE {
            manifest.store = StoreId::random();
        }
        // A store of a version without a unit of times has one if it has no edges.
        let is_older = manifest.time_unit.is_none();
        if is_older && !state.has_edges() {
            state.time_unit = TimeUnit::Microseconds;
        }
        manifest.time_unit = Some(state.time_unit);
        let disk = disk.with_store(manifest.store);
        // Leftover files are removed, unless damage may still need them.
        if damage.is_empty() {
            remove_unnamed_files(&disk, &manifests.iter().collect::<Vec<_>>());
            if has_stale_copy {
                manifests[0].write_copy(&disk.clone().with_store(manifests[0].store))?;
            }
        }
        let number = largest_number(&disk).max(manifest.number);
        if derived.are_verified() {
            manifest.record_verified(&disk);
        }
        // The writer's locks get their initial state.
        let syncer = log.syncer(&disk, log_end)?;
        let state = Arc::new(state);
        let on_disk = Manifest::read(&disk, CURRENT).ok().flatten().map(|found| (found.number, found.store));
        let publishing = Publishing { manifest, number, on_disk };
        let syncing = Syncing { syncer, durable: log_end.next };
        let (appender, appended) = (Appender::new(log_end), Vec::new());
        let appending =
            Appending { appender, state: Arc::clone(&state), appended, ops_since_checkpoint: ops };
        let writer = Writer::new(disk.clone(), log, (publishing, syncing, appending), log_index, lock);
        let store = Store::new_writer(disk, self.is_mapped(), state, derived, damage, writer);
        // The engine was opened by its path.
        store.writer()?.check_place()?;
        store.checkpoint_repairs(lost_records)?;
        if is_older {
            store.upgrade_manifest()?;
        }
        Ok(store)
    }
}

/// Checks that a folder holds a store.
pub(crate) fn require_store(path: &Path) -> Result<(), Error> {
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
    // Without the current manifest, opening for writing uses another one.
    if is_there(COPY)? || is_there(PREVIOUS)? {
        return Ok(());
    }
    not(if is_vacant(path)? { "the folder is empty" } else { "the folder holds other files" })
}

/// True for a folder in which a store may be created: an empty one, or one with leftovers of an interrupted creation.
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
    Ok(names.iter().all(|name| name.to_str().is_some_and(is_creation_leftover)))
}

/// The current manifest, for readers.
///
/// # Errors
/// [`Error::Damaged`], also for a manifest that is older than its copy: the writer replaces the copy last.
pub(crate) fn current(disk: &Disk) -> Result<Manifest, Error> {
    // A damaged copy is left to the next writer.
    let copy = Manifest::read(disk, COPY).ok().flatten();
    let path = disk.folder().join(CURRENT);
    let manifest = Manifest::read(disk, CURRENT)?;
    let manifest = manifest.ok_or_else(|| Error::damaged(&path, "file", "it is missing"))?;
    if let Some(copy) = copy.filter(|copy| copy.number > manifest.number) {
        let what = format!(
            "its number is {}, that of its copy {}; opening the store for writing uses the copy",
            manifest.number, copy.number
        );
        return Err(Error::damaged(&path, "file", what));
    }
    Ok(manifest)
}

/// Creates an empty store; the manifest comes last, since it makes the folder a store.
fn create(disk: &Disk) -> Result<(), Error> {
    let path = disk.folder();
    let log = Log::open(&path.join(FOLDER))?;
    if log.end()?.is_some() {
        // Not an interrupted creation: no batch is committed before there is a manifest.
        return Err(Error::damaged(&path.join(CURRENT), "file", "it is missing, and the log is not empty"));
    }
    let checksum = disk.store().first_checksum();
    drop(log.syncer(disk, LogEnd { next: 0, checksum })?);
    let manifest = Manifest {
        store: disk.store(),
        number: 0,
        epoch: 0,
        replay_from: 0,
        replay_after: Some(checksum),
        log_start: 0,
        segments: write_checkpoint::write_empty(disk)?,
        published: PublishedSets::default(),
        positions: Positions::default(),
        time_unit: Some(TimeUnit::Microseconds),
    };
    manifest.prepare(disk, None)?.make_current()?;
    let absolute = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let Some(parent) = absolute.parent() else { return Ok(()) };
    disk.sync_folder(parent).map_err(|e| Error::io(parent, "sync", e))
}
