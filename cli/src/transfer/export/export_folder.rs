//! The folder of an export and the checksums of its files; it has a temporary name until all files are written.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::core::failure::Failure;
use crate::transfer::atomic_dir::{AtomicDir, is_free};
use crate::transfer::manifest::{FileEntry, MANIFEST, Manifest};
use crate::transfer::table_schema::Table;

const BUFFER: usize = 1 << 18;

/// An export that is being written.
pub(super) struct ExportFolder {
    folder: AtomicDir,
    /// An earlier export is replaced.
    replaced: bool,
    entries: Entries,
}

/// The files of the folder, shared with writers of several files.
type Entries = Rc<RefCell<Vec<FileEntry>>>;

/// A handle that creates files in the folder.
#[derive(Clone)]
pub(super) struct FileSet {
    path: PathBuf,
    entries: Entries,
}

/// A file of an export.
pub(super) struct ExportFile {
    name: String,
    path: PathBuf,
    inner: BufWriter<Hashed>,
}

struct Hashed {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl ExportFolder {
    /// Refuses a folder that holds something; with `force` only one that is not an earlier export.
    pub(super) fn create(target: &Path, force: bool) -> Result<Self, Failure> {
        let replaced = !is_free(target)?;
        if replaced {
            if !force {
                return Err(Failure::Refused(format!(
                    "{} holds something: name a new or empty folder, or replace an earlier export with --force",
                    target.display()
                )));
            }
            expect_export(target)?;
        }
        Ok(Self { folder: AtomicDir::beside(target)?, replaced, entries: Rc::default() })
    }

    /// A handle that creates files in the folder.
    pub(super) fn files(&self) -> FileSet {
        FileSet { path: self.folder.path().to_path_buf(), entries: Rc::clone(&self.entries) }
    }

    pub(super) fn file(&self, name: &str) -> Result<ExportFile, Failure> {
        self.files().file(name)
    }

    pub(super) fn add(
        &self,
        file: ExportFile,
        table: Option<Table>,
        rows: Option<u64>,
    ) -> Result<(), Failure> {
        self.files().add(file, table, rows)
    }

    /// Writes the manifest and renames the folder to its target; returns the bytes of all files.
    pub(super) fn finish(self, manifest: &mut Manifest) -> Result<u64, Failure> {
        manifest.files = self.entries.take();
        let mut file = self.file(MANIFEST)?;
        let text = serde_json::to_string_pretty(manifest)
            .map_err(|error| Failure::Refused(format!("the manifest cannot be written: {error}")))?;
        file.put(text.as_bytes())?;
        file.put(b"\n")?;
        self.add(file, None, None)?;
        let own = self.entries.take();
        let bytes = manifest.files.iter().chain(&own).map(|entry| entry.bytes).sum();
        let path = self.folder.path();
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            // Some file systems cannot sync a folder; then the rename is as durable as they make it.
            let _ = File::open(entry.path()).and_then(|entry| entry.sync_all());
        }
        let _ = File::open(path).and_then(|folder| folder.sync_all());
        self.folder.finish(self.replaced)?;
        Ok(bytes)
    }
}

impl FileSet {
    /// Creates a file, with its folder where the name has a `/`.
    pub(super) fn file(&self, name: &str) -> Result<ExportFile, Failure> {
        let path = self.path.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let file = made.and_then(|()| File::create_new(&path));
        let file = file.map_err(|source| Failure::file(&path, "create", source))?;
        let hashed = Hashed { file, hasher: blake3::Hasher::new(), bytes: 0 };
        Ok(ExportFile { name: name.to_owned(), path, inner: BufWriter::with_capacity(BUFFER, hashed) })
    }

    /// Makes a file durable and records it for the manifest.
    pub(super) fn add(
        &self,
        file: ExportFile,
        table: Option<Table>,
        rows: Option<u64>,
    ) -> Result<(), Failure> {
        let ExportFile { name, path, inner } = file;
        let failed = |source: io::Error| Failure::file(&path, "write", source);
        let hashed = inner.into_inner().map_err(|error| failed(error.into_error()))?;
        hashed.file.sync_all().map_err(failed)?;
        let blake3 = hashed.hasher.finalize().to_hex().to_string();
        self.entries.borrow_mut().push(FileEntry { name, table, rows, bytes: hashed.bytes, blake3 });
        Ok(())
    }
}

impl ExportFile {
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(|source| Failure::file(&self.path, "write", source))
    }

    /// The failure for an error of writing to the file as a stream.
    pub(super) fn failed(&self, source: io::Error) -> Failure {
        Failure::file(&self.path, "write", source)
    }
}

impl Write for ExportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Refuses a folder with files that are not of an export, which replacing the folder would lose.
fn expect_export(folder: &Path) -> Result<(), Failure> {
    let advice = "name a new or empty folder";
    let manifest = Manifest::open(folder).map_err(|_| {
        let folder = folder.display();
        Failure::Refused(format!("{folder} holds something that is not an export: {advice}"))
    })?;
    let mut left = vec![folder.to_path_buf()];
    while let Some(inner) = left.pop() {
        let entries = fs::read_dir(&inner).map_err(|source| Failure::file(&inner, "read", source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Failure::file(&inner, "read", source))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(path);
                continue;
            }
            let is_ours = manifest.files.iter().any(|file| file.path(folder).as_ref() == Some(&path));
            if !is_ours && path != folder.join(MANIFEST) {
                let path = path.display();
                return Err(Failure::Refused(format!("{path} is not of an earlier export: {advice}")));
            }
        }
    }
    Ok(())
}
