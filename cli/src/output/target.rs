//! Where results and messages go: standard output and error, a file that a console was told of, or the job of a job.
//! Knows bytes and lines; what they say is others' to decide.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use ::console::Term;

use crate::core::failure::Failure;
use crate::output::color;
use crate::output::job_output::JobOutput;

/// A place for results and messages. A handle, so that verbs pass it on as they like; what is behind one of a job or a file
/// lives as long as the process, as the list of jobs does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutputTarget {
    /// Standard output and standard error.
    Screen,
    /// Results to a file, messages to standard error.
    File(&'static Target),
    /// Both kept until the job ends, for the place that the console wrote to when the job began.
    Job(&'static JobOutput),
}

impl OutputTarget {
    /// Results, on their way when this returns.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Screen => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| match source.kind() {
                    io::ErrorKind::BrokenPipe => Failure::Closed,
                    _ => Failure::file("standard output".as_ref(), "write to", source),
                })
            }
            Self::File(target) => target.write(bytes),
            Self::Job(job) => job.write(bytes),
        }
    }

    /// Lines for people.
    pub(crate) fn say(self, lines: &str) {
        match self {
            // A closed stderr must not stop the work.
            Self::Screen | Self::File(_) => drop(writeln!(io::stderr().lock(), "{lines}")),
            Self::Job(job) => job.say(lines),
        }
    }

    /// How wide a table may be: as the terminal; where there is none, as it likes.
    pub(crate) fn width(self) -> Option<u16> {
        match self {
            Self::Screen => Term::stdout().size_checked().map(|(_, width)| width).filter(|width| *width > 0),
            Self::File(_) => None,
            Self::Job(job) => job.destination().width(),
        }
    }

    /// Whether results may be coloured.
    pub(crate) fn allows_color(self) -> bool {
        match self {
            Self::Screen => color::allowed(&io::stdout()),
            Self::File(_) => false,
            Self::Job(job) => job.destination().allows_color(),
        }
    }

    /// Whether messages may be coloured.
    pub(crate) fn messages_allow_color() -> bool {
        color::allowed(&io::stderr())
    }

    /// Whether people see the results as they come.
    pub(crate) fn is_screen(self) -> bool {
        matches!(self, Self::Screen) && io::stdout().is_terminal()
    }
}

/// A file that results go to.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    /// Creates the file; one that is there is replaced only with `force`.
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

/// Creates a file for results; one that is there is replaced only with `force`.
pub(crate) fn create(path: &Path, force: bool) -> Result<File, Failure> {
    let mut options = File::options();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Failure::Refused(format!(
            "{} is there already: name another file, or add --force",
            path.display()
        )),
        _ => Failure::file(path, "create", source),
    })
}
