//! A folder that is filled under a temporary name and renamed when it is complete, so that no reader sees a part of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::core::failure::Failure;

/// A temporary folder, removed on drop unless it is finished.
pub(crate) struct AtomicDir {
    folder: PathBuf,
    target: PathBuf,
    new_parents: NewFolders,
}

/// Folders that did not exist before, innermost first. They are removed on drop unless they are kept, so that a refused
/// command leaves nothing.
struct NewFolders(Vec<PathBuf>);

impl NewFolders {
    /// The folders on the way to a path that do not exist yet.
    fn missing(path: &Path) -> Self {
        let missing = path.ancestors().take_while(|folder| !folder.exists());
        Self(missing.map(Path::to_path_buf).collect())
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        // A folder that something else was put into meanwhile is not empty, and stays.
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl AtomicDir {
    /// Creates an empty folder next to `target`, which does not exist or is empty.
    pub(crate) fn beside(target: &Path) -> Result<Self, Failure> {
        let target = std::path::absolute(target).map_err(|source| Failure::file(target, "create", source))?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Failure::file(&target, "create", io::ErrorKind::AlreadyExists.into()));
        };
        let new_parents = NewFolders::missing(parent);
        create_folders(parent).map_err(|source| Failure::file(parent, "create", source))?;
        let name = name.to_string_lossy();
        let process = std::process::id();
        for number in 0..u32::MAX {
            let folder = parent.join(format!(".{name}.unfinished-{process}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { folder, target, new_parents }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Failure::file(&folder, "create", source)),
            }
        }
        Err(Failure::file(&target, "create", io::ErrorKind::AlreadyExists.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Renames the folder to `target`, durably. With `replaced`, the folder of that name is removed.
    pub(crate) fn finish(mut self, replaced: bool) -> Result<(), Failure> {
        let mut old = self.folder.clone().into_os_string();
        old.push("-replaced");
        let old = PathBuf::from(old);
        let failed = |source| Failure::file(&self.target, "write", source);
        if replaced {
            fs::rename(&self.target, &old).map_err(failed)?;
        }
        fs::rename(&self.folder, &self.target).map_err(|source| {
            if replaced {
                // Undo the first rename. Where that fails too, the old folder stays under its other name.
                let _ = fs::rename(&old, &self.target);
            }
            failed(source)
        })?;
        self.new_parents.keep();
        if let Some(parent) = self.target.parent() {
            sync_folder(parent);
        }
        if replaced {
            fs::remove_dir_all(&old).map_err(|source| Failure::file(&old, "remove", source))?;
        }
        Ok(())
    }
}

impl Drop for AtomicDir {
    fn drop(&mut self) {
        // After `finish` the temporary name does not exist.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Creates a folder and all that are missing above it, durably.
fn create_folders(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    while let Some(folder) = missing.pop() {
        match fs::create_dir(folder) {
            // Another process may have made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
        if let Some(parent) = folder.parent() {
            sync_folder(parent);
        }
    }
    Ok(())
}

/// Makes the names in a folder durable. Some file systems cannot sync a folder; then they are as durable as these make
/// them.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// True for a path that does not exist, and for an empty folder.
pub(crate) fn is_free(path: &Path) -> Result<bool, Failure> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(Failure::file(path, "read", source)),
    }
}
