//! The input that is followed: under which name the store knows it, whether it is the one that was applied before, and
//! where it goes on.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Crc;
use hedgerow::{CancelToken, Position, Store};

use crate::core::failure::Failure;
use crate::input::file_tail::FileTail;
use crate::input::lines::{BYTE_ORDER_MARK, Lines};
use crate::input::source::{Source, is_compressed};
use crate::verbs::apply::reader_thread::Gathering;

const BUFFER: usize = 1 << 16;
/// Bytes at the end of the last line that was applied by which the input is known again.
const CHECKED: usize = 1024;
/// How long a file is waited for that was moved: whoever writes to it may not know yet.
const GRACE: Duration = Duration::from_secs(3);
const ADVICE: &str = "is it another file? --restart reads it from its start";

/// An input, not read yet.
pub(super) struct Input {
    path: PathBuf,
    /// What messages call it.
    name: String,
    /// What the store calls it; a pipe without a name cannot be taken up again.
    source: Option<String>,
    /// Where it goes on.
    start: Position,
    /// A file that grows, and up to where it was read; a pipe is opened by whoever reads it, since that may wait.
    growing: Option<(File, Arc<AtomicU64>)>,
    /// Since when the path leads to something else.
    gone: Option<Instant>,
}

impl Input {
    /// Fails where there is no such input.
    pub(super) fn find(path: &Path) -> Result<(), Failure> {
        open(path).map(drop)
    }

    /// Finds out what the input is and what of it was applied already, which `restart` leaves out of account.
    pub(super) fn open(
        path: &Path,
        source: Option<&str>,
        restart: bool,
        store: &Store,
    ) -> Result<Self, Failure> {
        let file = open(path)?;
        let source = match (source, &file) {
            (Some(source), _) => Some(source.to_owned()),
            (None, Some(_)) => Some(absolute(path)?),
            (None, None) => None,
        };
        let known = source.as_deref().filter(|_| !restart).and_then(|source| store.position(source));
        let start = known.unwrap_or_default();
        let name = if file.is_none() && path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let growing = file.map(|mut file| {
            examine(&mut file, path, start)?;
            Ok::<_, Failure>((file, Arc::new(AtomicU64::new(start.offset))))
        });
        let (path, growing) = (path.to_path_buf(), growing.transpose()?);
        Ok(Self { path, name, source, start, growing, gone: None })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the store calls it.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Where it goes on.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    /// The bytes that a file has now; none of what is read to its end.
    pub(super) fn len(&self) -> Option<u64> {
        let (file, _) = self.growing.as_ref()?;
        file.metadata().ok().map(|found| found.len())
    }

    /// Starts to read it.
    pub(super) fn gather(&self, size: usize) -> Result<Gathering, Failure> {
        let (stop, start, name) = (CancelToken::new(), self.start, self.name.clone());
        let failed = |source| Failure::file(&self.path, "follow", source);
        let Some((file, reached)) = &self.growing else {
            let path = self.path.clone();
            let open = move || skip(Lines::new(Source::open(&path)?), &name, start);
            return Gathering::start(size, stop, open, by_lines).map_err(failed);
        };
        let file = file.try_clone().map_err(failed)?;
        let growing =
            FileTail { file, offset: start.offset, reached: Arc::clone(reached), stop: stop.clone() };
        let reader = BufReader::with_capacity(BUFFER, growing);
        let open = move || Ok(Lines::resume(reader, &name, start.lines).at_offset(start.offset));
        Gathering::start(size, stop, open, by_bytes).map_err(failed)
    }

    /// Fails where the file is not the one any more that was opened: while nothing comes, nothing may ever come.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        let Some((file, reached)) = &self.growing else { return Ok(()) };
        // In this order, since the file grows meanwhile.
        let reached = reached.load(Ordering::Relaxed);
        let opened = file.metadata().map_err(|source| Failure::file(&self.path, "read", source))?;
        if opened.len() < reached {
            return Err(shorter(&self.path, opened.len(), reached));
        }
        let is_same = fs::metadata(&self.path).is_ok_and(|named| is_same(&named, &opened));
        if is_same || opened.len() > reached {
            self.gone = None;
        } else if self.gone.get_or_insert_with(Instant::now).elapsed() >= GRACE {
            let problem = "does not lead to the file any more that was followed, all of which is applied";
            return Err(Failure::Refused(format!(
                "{} {problem}: --restart reads what is there now from its start",
                self.path.display()
            )));
        }
        Ok(())
    }
}

/// A file that can grow, open; none for what can only be read to its end.
fn open(path: &Path) -> Result<Option<File>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(None);
    }
    let failed = |source| Failure::file(path, "read", source);
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !found.is_file() {
        return Ok(None);
    }
    File::open(path).map(Some).map_err(failed)
}

/// The path by which a file is known, wherever the command is run.
fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = path.canonicalize().map_err(|source| Failure::file(path, "read", source))?;
    absolute.into_os_string().into_string().map_err(|path| {
        let path = path.display();
        Failure::Refused(format!("the path {path} is not UTF-8: give the input a name with --source"))
    })
}

/// Refuses a file that cannot be the one that was applied up to a position, and goes there.
fn examine(file: &mut File, path: &Path, start: Position) -> Result<(), Failure> {
    let failed = |source| Failure::file(path, "read", source);
    let mut head = Vec::new();
    file.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
    if is_compressed(&head) {
        let rule =
            "a compressed file cannot be followed: give the file that it is made of, or leave out --follow";
        return Err(Failure::Refused(format!("{}: {rule}", path.display())));
    }
    let len = file.metadata().map_err(failed)?.len();
    if len < start.offset {
        return Err(shorter(path, len, start.offset));
    }
    if start.offset > 0 {
        // The end of the line, and what may stand before its last bytes: a line end or a byte order mark.
        let from = start.offset.saturating_sub((CHECKED + 4) as u64);
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.by_ref().take(start.offset - from).read_to_end(&mut bytes).map_err(failed)?;
        if last_line(&bytes, from == 0).map(check) != Some(start.check) {
            return Err(another(&path.display().to_string(), start));
        }
    }
    file.seek(SeekFrom::Start(start.offset)).map_err(failed)?;
    Ok(())
}

/// The line that bytes end with, as much of it as there is; none where they do not end a line.
fn last_line(bytes: &[u8], is_start: bool) -> Option<&[u8]> {
    let bytes = bytes.strip_suffix(b"\n")?;
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Some(match memchr::memrchr(b'\n', bytes) {
        Some(at) => &bytes[at + 1..],
        None if is_start => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
        None => bytes,
    })
}

/// Passes over the lines of a pipe that were applied before.
fn skip(mut lines: Lines, name: &str, start: Position) -> Result<Lines, Failure> {
    while lines.number() < start.lines {
        if !lines.advance()? {
            let (found, applied) = (lines.number() - 1, start.lines);
            return Err(Failure::Refused(format!(
                "{name} has {found} lines, and {applied} were applied of it; is it another input? --restart reads it from its start"
            )));
        }
    }
    if start.lines > 0 && check(lines.bytes()) != start.check {
        return Err(another(name, start));
    }
    Ok(lines)
}

/// What a line is known again by.
fn check(line: &[u8]) -> u64 {
    let mut crc = Crc::new();
    crc.update(&line[line.len().saturating_sub(CHECKED)..]);
    crc.sum().into()
}

fn by_bytes(lines: &Lines) -> Position {
    Position { offset: lines.end(), lines: lines.number(), check: check(lines.bytes()) }
}

fn by_lines(lines: &Lines) -> Position {
    Position { offset: lines.number(), ..by_bytes(lines) }
}

fn shorter(path: &Path, len: u64, applied: u64) -> Failure {
    let path = path.display();
    Failure::Refused(format!(
        "{path}: the file is shorter than what was applied of it, {len} of {applied} bytes; {ADVICE}"
    ))
}

fn another(name: &str, start: Position) -> Failure {
    let line = start.lines;
    Failure::Refused(format!("{name}: line {line} is not the one that was applied last; {ADVICE}"))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
