//! Bad rows that are skipped: the file that they are written to, their number, and its limit.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::core::location::BadInput;
use crate::output::printer::Output;

/// Bad rows with a note of their own. The report has the number of the others.
const NOTED: u64 = 10;

/// The file of skipped rows.
pub(super) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    limit: Option<u64>,
    pub(super) count: u64,
}

impl Rejects {
    /// Creates the file; with `force` it may replace another.
    pub(super) fn create(path: &Path, limit: Option<u64>, force: bool) -> Result<Self, Failure> {
        // A named pipe waits for its reader.
        let create = || if force { File::create(path) } else { File::create_new(path) };
        let file = interrupt::while_waiting(create).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Self::taken(path),
            _ => Failure::file(path, "create", source),
        })?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), limit, count: 0 })
    }

    /// The refusal of a file that exists.
    pub(super) fn taken(path: &Path) -> Failure {
        Failure::Refused(format!(
            "{} is there already: name another file for --rejects, or write over it with --force",
            path.display()
        ))
    }

    /// Writes a row, or the header, as the input has it.
    pub(super) fn write(&mut self, row: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(row).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| Failure::file(&self.path, "write", source))
    }

    /// Writes a bad row and explains it; returns a message where the row exceeds the limit.
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
        if self.count <= NOTED {
            out.note(&format!("skipped: {bad}"));
        }
        Ok(None)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|source| Failure::file(&self.path, "write", source))
    }
}
