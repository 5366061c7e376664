//! A copy of a store in use: the files of its manifest, and the log since then in a new engine.
//! Reads only the disk, so it works for a store of this process and for one that another process writes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::checkpoint::manifest::{CURRENT, Manifest, NamedFile};
use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::new_folders;
use crate::fs::section::SectionFile;
use crate::fs::section_table::Verification;
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::progress::Stage;
use crate::wal::engine::FOLDER;
use crate::wal::log_end::{LogEnd, LogEndFile};
use crate::wal::record_scan::{ScannedRecords, fill};

/// The most attempts when the writer replaces files or moves records during the copy.
const MAX_RETRIES: u32 = 20;
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// The content of a finished backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Backup {
    /// The epoch of the last batch in the backup.
    pub epoch: Epoch,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, {} bytes", self.epoch, self.bytes)
    }
}

impl Store {
    /// Copies the store into a new or empty folder, as of a moment during the call. Commits go on meanwhile, also those
    /// of another process.
    ///
    /// # Visibility
    /// The copy is durable on return, and has every batch that was acknowledged before the call. Until then the folder
    /// is not a store.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the folder is not empty; [`Error::Cancelled`]; [`Error::Damaged`] for a file that
    /// differs from what was written; errors of copying. The part copied by then is left.
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
            match copy(&self.disk, &Disk::of(to), cancel) {
                Err(CopyError::Moved(_)) if patience > 0 && guard.is_none() => patience -= 1,
                Err(CopyError::Moved(error) | CopyError::Failed(error)) => return Err(error),
                Ok(backup) => return Ok(backup),
            }
        }
    }
}

/// The reason for an incomplete copy: a file that may have been replaced meanwhile, or another error.
enum CopyError {
    Moved(Error),
    Failed(Error),
}

impl From<Error> for CopyError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn copy(from: &Disk, to: &Disk, cancel: &CancelToken) -> Result<Backup, CopyError> {
    // The end of the log is read first, so the copy covers every batch that was acknowledged by then.
    let log_end = LogEnd::read(from).map_err(CopyError::Moved)?;
    let manifest = Manifest::read(from, CURRENT)?;
    // The files of the manifest.
    let path = from.folder().join(CURRENT);
    let manifest = manifest.ok_or_else(|| Error::damaged(&path, "file", "it is missing"))?;
    let to = &to.clone().with_store(manifest.store);
    new_folders::create(to)?;
    let mut bytes = 0;
    let stage = cancel.stage("files", manifest.files().map(|file| file.fingerprint.bytes).sum());
    for named in manifest.files() {
        bytes += copy_file(from, to, named, &stage)?;
    }
    stage.end();
    // The log, from the first record that the manifest needs.
    let floor = manifest.first_needed();
    let folder = from.folder().join(FOLDER);
    let scanned = ScannedRecords::read(from, manifest.log_start(floor))?;
    let chain = scanned.chain(floor, Some(log_end)).map_err(|missing| {
        CopyError::Moved(Error::damaged(&folder, format!("record {missing}"), "it is missing"))
    })?;
    let log = to.folder().join(FOLDER);
    fs::remove_dir_all(&log).or_else(ignore_missing).map_err(|e| Error::io(&log, "remove", e))?;
    fill(to, &log, chain.iter().map(|(head, range)| (head.seq, scanned.bytes(range))))?;
    let last = chain.last().map(|(head, _)| head);
    let end = last.map_or(log_end, |head| LogEnd { next: head.seq + 1, checksum: head.sum });
    drop(LogEndFile::open(to, end)?);
    // The manifest comes last: it makes the folder a store.
    let epoch = last.map_or(manifest.epoch, |head| head.epoch.max(manifest.epoch));
    Manifest { log_start: floor, ..manifest }.prepare(to, None)?.make_current()?;
    bytes += File::open(log.join("db")).and_then(|file| file.metadata()).map_or(0, |found| found.len());
    Ok(Backup { epoch: Epoch::new(epoch), bytes })
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Copies a file, up to the length that the manifest names; durable on return.
fn copy_file(from: &Disk, to: &Disk, named: &NamedFile, stage: &Stage<'_>) -> Result<u64, CopyError> {
    let (source, path) = (named.path(from.folder()), named.path(to.folder()));
    let opened = from.read(&source).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => CopyError::Moved(Error::damaged(&source, "file", "it is missing")),
        _ => CopyError::Failed(Error::io(&source, "open", e)),
    })?;
    let mut opened = opened.take(named.fingerprint.bytes);
    let mut file = to.create(&path).map_err(|e| Error::io(&path, "create", e))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = opened.read(&mut chunk).map_err(|e| Error::io(&source, "read", e))?;
        stage.advance(read as u64)?;
        if read == 0 {
            break;
        }
        file.write_all(&chunk[..read]).map_err(|e| Error::io(&path, "write", e))?;
    }
    file.sync_all().map_err(|e| Error::io(&path, "sync", e))?;
    // A copy of damage is no backup; the error names the source file, not the copy.
    match SectionFile::open_named(to, &path, named.fingerprint, Residence::Mapped, Verification::AtOpening) {
        Err(Error::Damaged { place, what, .. }) => Err(Error::damaged(&source, place, what).into()),
        other => Ok(other.map(|file| file.bytes())?),
    }
}
