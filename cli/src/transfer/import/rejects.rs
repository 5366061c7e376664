//! Bad rows that are skipped: a file of them as they were, their number, and the limit of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::output::printer::Output;

/// Bad rows that are explained one by one; of the others only the number is told.
const EXPLAINED: u64 = 10;

/// Where skipped rows go.
pub(super) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    limit: Option<u64>,
    pub(super) count: u64,
}

impl Rejects {
    /// A new file; with `force` in the place of one that is there.
    pub(super) fn create(path: &Path, limit: Option<u64>, force: bool) -> Result<Self, Failure> {
        let file = if force { File::create(path) } else { File::create_new(path) };
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Self::taken(path),
            _ => Failure::file(path, "create", source),
        })?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), limit, count: 0 })
    }

    /// What is said where there is such a file.
    pub(super) fn taken(path: &Path) -> Failure {
        Failure::Refused(format!(
            "{} is there already: name another file for --rejects, or write over it with --force",
            path.display()
        ))
    }

    pub(super) fn write(&mut self, row: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(row).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| Failure::file(&self.path, "write", source))
    }

    /// Sets a bad row aside; where it is one too many, the answer is how to say so.
    pub(super) fn take(
        &mut self,
        bad: &BadInput,
        row: &[u8],
        out: Output,
    ) -> Result<Option<String>, Failure> {
        self.write(row)?;
        self.count += 1;
        if self.limit.is_some_and(|limit| self.count > limit) {
            self.flush()?;
            return Ok(Some(format!("more than {} bad rows", self.count - 1)));
        }
        if self.count <= EXPLAINED {
            out.note(&format!("skipped: {bad}"));
        }
        Ok(None)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|source| Failure::file(&self.path, "write", source))
    }
}
