//! The places that results and messages go to: standard output and error, a file of the console, or the output of a job.
//! Knows bytes and lines, not what they mean.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use ::console::Term;

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::output::color;
use crate::output::job_output::JobOutput;

/// A place for results and messages. It is a handle that verbs copy; files and outputs of jobs live as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutputTarget {
    /// Results go to standard output, messages to standard error.
    Screen,
    /// Results go to a file, messages to standard error.
    File(&'static ResultFile),
    /// Both are kept until the job ends.
    Job(&'static JobOutput),
}

impl OutputTarget {
    /// Writes results, and flushes them.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Screen => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| match source.kind() {
                    io::ErrorKind::BrokenPipe => Failure::Closed,
                    _ => Failure::file("standard output".as_ref(), "write to", source),
                })
            }
            Self::File(file) => file.write(bytes),
            Self::Job(job) => job.write(bytes),
        }
    }

    /// Writes messages.
    pub(crate) fn say(self, lines: &str) {
        match self {
            // A closed standard error does not stop the command.
            Self::Screen | Self::File(_) => drop(writeln!(io::stderr().lock(), "{lines}")),
            Self::Job(job) => job.say(lines),
        }
    }

    /// The width of the terminal in characters; none where there is no terminal, and tables may have any width.
    pub(crate) fn width(self) -> Option<u16> {
        match self {
            Self::Screen => Term::stdout().size_checked().map(|(_, width)| width).filter(|width| *width > 0),
            Self::File(_) => None,
            Self::Job(job) => job.destination().width(),
        }
    }

    /// True if results may have colors.
    pub(crate) fn allows_color(self) -> bool {
        match self {
            Self::Screen => color::allowed(&io::stdout()),
            Self::File(_) => false,
            Self::Job(job) => job.destination().allows_color(),
        }
    }

    /// True if messages may have colors.
    pub(crate) fn messages_allow_color() -> bool {
        color::allowed(&io::stderr())
    }

    /// True if results go to a terminal.
    pub(crate) fn is_screen(self) -> bool {
        matches!(self, Self::Screen) && io::stdout().is_terminal()
    }
}

/// A file that the console writes results to.
#[derive(Debug)]
pub(crate) struct ResultFile {
    path: PathBuf,
    file: File,
}

impl ResultFile {
    /// Creates the file. An existing one is replaced only with `force`.
    pub(crate) fn create(path: &Path, force: bool) -> Result<&'static Self, Failure> {
        let file = create(path, force)?;
        Ok(Box::leak(Box::new(Self { path: path.to_path_buf(), file })))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        (&self.file).write_all(bytes).map_err(|source| Failure::file(&self.path, "write to", source))
    }
}

/// Creates a file for results. An existing one is replaced only with `force`.
pub(crate) fn create(path: &Path, force: bool) -> Result<File, Failure> {
    let mut options = File::options();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    // A named pipe waits for its reader.
    interrupt::while_waiting(|| options.open(path)).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Failure::already_exists(path),
        _ => Failure::file(path, "create", source),
    })
}
