//! The error type of every verb: a sentence for people, a JSON object for programs, and an exit code.
//! Nothing else in the command prints an error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hedgerow::ErrorKind;
use serde_json::{Map, Value};

use crate::core::interrupt::INTERRUPTED;
use crate::core::location::BadInput;

/// The reason why a command stopped before its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of the library.
    Library(hedgerow::Error),
    /// The store exists but cannot be opened.
    Open(hedgerow::Error),
    /// An input file has invalid content.
    Input(Box<BadInput>),
    /// A file other than the store could not be read or written.
    File { path: PathBuf, action: &'static str, source: io::Error },
    /// There is no store at this path.
    NoStore(PathBuf),
    /// The verb needs a model, and none is trained.
    NotTrained(String),
    /// The command refuses; the sentence says why and what to do.
    Refused(String),
    /// The arguments contradict each other in a way that clap cannot check.
    Usage(String),
    /// `check` found damage.
    DamageFound(String),
    /// Ctrl-C stopped the command; the sentence says what is kept.
    Interrupted(String),
    /// The deadline of a question passed; the number of milliseconds that it was given.
    Deadline(u64),
    /// A failure with advice from the names in the store.
    Advised { failure: Box<Failure>, advice: String },
    /// A failure in a line of a script, in one of several commands, or in a job.
    At { origin: Origin, failure: Box<Failure> },
    /// The reader of standard output has closed it; this is not an error.
    Closed,
}

/// The script line, command or job that a failure comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Script { file: String, line: u64 },
    Command(usize),
    Job(u32),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script { file, line } => write!(f, "{file}:{line}"),
            Self::Command(number) => write!(f, "command {number}"),
            Self::Job(number) => write!(f, "job {number}"),
        }
    }
}

impl Failure {
    /// The refusal of Parquet files by a command that was built without the feature.
    pub(crate) fn no_parquet() -> Self {
        Self::Refused(
            "this build of hedgerow cannot read or write Parquet: build it with `--features parquet`, or use csv or jsonl"
                .to_owned(),
        )
    }

    /// Adds where the failure comes from, except to a closed standard output, which is no failure.
    pub(crate) fn at(self, origin: Origin) -> Self {
        if matches!(self, Self::Closed) { self } else { Self::At { origin, failure: Box::new(self) } }
    }

    /// True for an error of the library of this kind, or one that an input file's line led to.
    pub(crate) fn is_of(&self, kind: ErrorKind) -> bool {
        match self {
            Self::Library(error) | Self::Open(error) => error.kind() == kind,
            Self::Advised { failure, .. } | Self::At { failure, .. } => failure.is_of(kind),
            _ => false,
        }
    }

    /// True if Ctrl-C or a cancellation stopped the command.
    pub(crate) fn is_interruption(&self) -> bool {
        self.exit_code() == INTERRUPTED
    }

    pub(crate) fn file(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::File { path: path.to_path_buf(), action, source }
    }

    /// The refusal to replace a file.
    pub(crate) fn already_exists(path: &Path) -> Self {
        Self::Refused(format!("{} exists already: name another file, or add --force", path.display()))
    }

    /// A usage error of clap as one sentence: its first paragraph and its tips.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
        let lines: Vec<&str> =
            lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
        Self::Usage(lines.join(" ").trim_start_matches("error: ").replace(" tip:", "; tip:"))
    }

    /// The exit codes of the command: 1 failed, 2 usage, 3 cannot open, 4 damaged, 5 bad input, 130 interrupted.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Cancelled) => 3,
            Self::Library(error) | Self::Open(error) => match error.kind() {
                ErrorKind::Locked | ErrorKind::NotAStore | ErrorKind::NewerVersion | ErrorKind::Replaced => 3,
                ErrorKind::Damaged => 4,
                ErrorKind::Invalid => 5,
                ErrorKind::Cancelled => INTERRUPTED,
                _ => 1,
            },
            Self::Input(_) => 5,
            Self::DamageFound(_) => 4,
            Self::NoStore(_) => 3,
            Self::Usage(_) => 2,
            Self::Interrupted(_) => INTERRUPTED,
            Self::File { .. } | Self::Refused(_) | Self::NotTrained(_) | Self::Deadline(_) => 1,
            Self::Advised { failure, .. } | Self::At { failure, .. } => failure.exit_code(),
            Self::Closed => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Library(error) | Self::Open(error) => match error.kind() {
                ErrorKind::NotFound => "not_found",
                ErrorKind::Invalid => "invalid",
                ErrorKind::Locked => "locked",
                ErrorKind::NotAStore | ErrorKind::NewerVersion => "not_a_store",
                ErrorKind::Replaced => "replaced",
                ErrorKind::Damaged => "damaged",
                ErrorKind::NotTrained | ErrorKind::NotEmbedded => "not_trained",
                ErrorKind::ReadOnly => "read_only",
                ErrorKind::NotEmpty => "not_empty",
                ErrorKind::Cancelled => "cancelled",
                ErrorKind::Io | ErrorKind::Broken => "io",
                ErrorKind::Limit => "limit",
                ErrorKind::Refused => "refused",
                ErrorKind::Diverged => "diverged",
                _ => "failed",
            },
            Self::Input(_) => "invalid",
            Self::DamageFound(_) => "damaged",
            Self::File { .. } => "io",
            Self::NoStore(_) => "no_store",
            Self::NotTrained(_) => "not_trained",
            Self::Refused(_) => "refused",
            Self::Usage(_) => "usage",
            Self::Interrupted(_) | Self::Deadline(_) => "cancelled",
            Self::Advised { failure, .. } | Self::At { failure, .. } => failure.kind(),
            Self::Closed => "closed",
        }
    }

    /// The object that scripts read on stderr with `--output json` and `jsonl`.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("error".into(), self.to_string().into());
        object.insert("kind".into(), self.kind().into());
        self.locate(&mut object);
        Value::Object(object)
    }

    /// Adds the file, line and column: of the input file if there is one, else of the script.
    fn locate(&self, object: &mut Map<String, Value>) {
        let file = match self {
            Self::Advised { failure, .. } | Self::At { failure, .. } => {
                failure.locate(object);
                if let Self::At { origin: Origin::Script { file, line }, .. } = self
                    && !object.contains_key("file")
                {
                    object.insert("file".into(), file.clone().into());
                    object.insert("line".into(), (*line).into());
                }
                return;
            }
            Self::Library(error) | Self::Open(error) => error.path(),
            Self::File { path, .. } | Self::NoStore(path) => Some(path.as_path()),
            Self::Input(bad) => Some(Path::new(&bad.place.file)),
            _ => None,
        };
        if let Some(file) = file {
            object.insert("file".into(), file.display().to_string().into());
        }
        if let Self::Input(bad) = self {
            object.insert("line".into(), bad.place.line.into());
            object.insert("column".into(), bad.place.column.into());
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) | Self::Open(error) => write!(f, "{error}"),
            Self::Input(bad) => write!(f, "{bad}"),
            Self::File { path, action, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::NoStore(path) => write!(
                f,
                "no store at {}: create one with `hedgerow import` or `hedgerow link`",
                path.display()
            ),
            Self::NotTrained(message)
            | Self::Refused(message)
            | Self::Usage(message)
            | Self::DamageFound(message)
            | Self::Interrupted(message) => f.write_str(message),
            Self::Deadline(ms) => {
                write!(
                    f,
                    "the deadline of {ms} ms passed before the answer was found; allow more with --deadline"
                )
            }
            Self::Advised { failure, advice } => write!(f, "{failure}; {advice}"),
            Self::At { origin, failure } => write!(f, "{origin}: {failure}"),
            Self::Closed => f.write_str("standard output was closed"),
        }
    }
}

/// Errors of all crates convert through the facade's error, which knows the kind.
impl<E: Into<hedgerow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

impl From<BadInput> for Failure {
    fn from(bad: BadInput) -> Self {
        Self::Input(Box::new(bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cancelled check once reported that the store could not be opened.
    #[test]
    fn an_interrupted_check_is_not_a_store_that_does_not_open() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(hedgerow::Store::options().create(true).open(folder.path()).expect("created"));
        let cancel = hedgerow::CancelToken::new();
        cancel.cancel();
        let checked = hedgerow::Store::check(folder.path(), hedgerow::CheckOptions::default(), &cancel);
        let failure = Failure::Open(checked.expect_err("the check was cancelled").into());
        assert_eq!((failure.exit_code(), failure.kind()), (130, "cancelled"));
    }
}
