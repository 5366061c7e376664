//! A copy of a store that is in use: the files of its manifest, and the log since in a new engine.
//! Reads what is on disk, so that it serves a store of this process and one that another process writes to alike.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::checkpoint::manifest::{CURRENT, FileName, Manifest};
use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::progress::Stage;
use crate::wal::engine::FOLDER;
use crate::wal::log_end::{LogEnd, LogEndFile};
use crate::wal::record_scan::{ScannedRecords, fill};

/// How often it starts over because the writer swapped files, or moved records, while they were being copied.
const MAX_RETRIES: u32 = 20;
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// What a finished backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The epoch of the last batch in it.
    pub epoch: Epoch,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Store {
    /// Copies the store into a new or empty folder, as of some moment during the call, while commits, also those of another
    /// process, go on.
    ///
    /// # Visibility
    /// The copy is durable on return, and holds every batch that was acknowledged before the call. Until then the folder is
    /// not a store.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the folder holds something; [`Error::Cancelled`]; [`Error::Damaged`] for a file that is not
    /// as it was written; what copying fails with. What was copied by then is left.
    ///
    /// # Cost
    /// Reading and writing all files once. Checkpoints and publishes of this process wait.
    pub fn backup(&self, folder: impl AsRef<Path>, cancel: &CancelToken) -> Result<Backup, Error> {
        let to = folder.as_ref();
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            let rule = "a new or empty folder";
            return Err(Error::invalid("folder of a backup", &to.display().to_string(), rule));
        }
        let guard = if self.is_read_only() { None } else { Some(self.writer()?.publishing()?) };
        let mut patience = MAX_RETRIES;
        loop {
            match copy(self.path(), &Disk::of(to), cancel) {
                Err(CopyError::Moved(_)) if patience > 0 && guard.is_none() => patience -= 1,
                Err(CopyError::Moved(error) | CopyError::Failed(error)) => return Err(error),
                Ok(backup) => return Ok(backup),
            }
        }
    }
}

/// Why a copy was not made: because of something that may have moved meanwhile, or not.
enum CopyError {
    Moved(Error),
    Failed(Error),
}

impl From<Error> for CopyError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn copy(from: &Path, to: &Disk, cancel: &CancelToken) -> Result<Backup, CopyError> {
    // The end of the log is read first: what was acknowledged by then is found behind it.
    let log_end = LogEnd::read(from).map_err(CopyError::Moved)?;
    let manifest = Manifest::read(from, CURRENT)?;
    let manifest = manifest.ok_or_else(|| Error::damaged(&from.join(CURRENT), "file", "it is missing"))?;
    fs::create_dir_all(to.folder()).map_err(|e| Error::io(to.folder(), "create", e))?;
    let mut bytes = 0;
    let size = |name: &FileName| name.path(from).metadata().map_or(0, |found| found.len());
    let stage = cancel.stage("files", manifest.files().map(size).sum());
    for name in manifest.files() {
        bytes += copy_file(&name.path(from), to, name, &stage)?;
    }
    stage.end();
    let floor = manifest.first_needed();
    let folder = from.join(FOLDER);
    let scanned = ScannedRecords::read(from, floor, Residence::Loaded)?;
    let chain = scanned.chain(floor, Some(log_end)).map_err(|missing| {
        CopyError::Moved(Error::damaged(&folder, format!("record {missing}"), "it is missing"))
    })?;
    let log = to.folder().join(FOLDER);
    fs::remove_dir_all(&log).or_else(ignore_missing).map_err(|e| Error::io(&log, "remove", e))?;
    fill(to, &log, chain.iter().map(|(head, range)| (head.seq, scanned.bytes(range))))?;
    let last = chain.last().map(|(head, _)| head);
    let end = last.map_or(log_end, |head| LogEnd { next: head.seq + 1, checksum: head.sum });
    drop(LogEndFile::open(to, end)?);
    let epoch = last.map_or(manifest.epoch, |head| head.epoch.max(manifest.epoch));
    Manifest { log_start: floor, ..manifest }.prepare(to, None)?.make_current()?;
    bytes += File::open(log.join("db")).and_then(|file| file.metadata()).map_or(0, |found| found.len());
    Ok(Backup { epoch: Epoch::new(epoch), bytes })
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Copies a file; durable on return.
fn copy_file(from: &Path, to: &Disk, name: &FileName, stage: &Stage<'_>) -> Result<u64, CopyError> {
    let mut source = File::open(from).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => CopyError::Moved(Error::damaged(from, "file", "it is missing")),
        _ => CopyError::Failed(Error::io(from, "open", e)),
    })?;
    let path = name.path(to.folder());
    let mut file = to.create(&path).map_err(|e| Error::io(&path, "create", e))?;
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = source.read(&mut chunk).map_err(|e| Error::io(from, "read", e))?;
        stage.advance(read as u64)?;
        if read == 0 {
            break;
        }
        file.write_all(&chunk[..read]).map_err(|e| Error::io(&path, "write", e))?;
        bytes += read as u64;
    }
    file.sync_all().map_err(|e| Error::io(&path, "sync", e))?;
    // A copy of damage is no backup; the file is the one to name, not its copy.
    match SectionFile::open_named(&path, Residence::Mapped, false) {
        Err(Error::Damaged { place, what, .. }) => Err(Error::damaged(from, place, what).into()),
        other => Ok(other.map(|_| bytes)?),
    }
}
