//! The input that is followed: its name in the store, the position at which it continues, and the check that it is the same
//! input as before.

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
use crate::input::plain_file;
use crate::input::source::{Source, is_compressed};
use crate::output::value::count;
use crate::verbs::apply::change::{ChangeRules, Changes};
use crate::verbs::apply::reader_thread::ReaderThread;

const BUFFER: usize = 1 << 16;
/// Bytes at the end of the last applied line whose checksum identifies the input.
const CHECKED: usize = 1024;
/// The time for which a moved file is still followed, since its writer may still append to it.
const GRACE: Duration = Duration::from_secs(3);
const ADVICE: &str = "is it another file? --restart reads it from its start";

/// A file or pipe that is followed.
pub(super) struct FollowedInput {
    path: PathBuf,
    /// The name in messages.
    name: String,
    /// The name in the store. A pipe without a name has none, and cannot be continued.
    source: Option<String>,
    /// The position at which it continues.
    start: Position,
    /// A file, and the offset up to which it was read. A pipe has none: the reading thread opens it, since that may wait.
    file: Option<(File, Arc<AtomicU64>)>,
    /// The time since which the path leads to another file.
    moved: Option<Instant>,
}

impl FollowedInput {
    /// Fails if there is no such input.
    pub(super) fn require(path: &Path) -> Result<(), Failure> {
        open(path).map(drop)
    }

    /// Opens the input at the position up to which it was applied, or at its start with `restart`.
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
        let file = file.map(|mut file| {
            seek_to(&mut file, path, start)?;
            Ok::<_, Failure>((file, Arc::new(AtomicU64::new(start.offset))))
        });
        Ok(Self { path: path.to_path_buf(), name, source, start, file: file.transpose()?, moved: None })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name in the store.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The position at which it continues.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    /// The current size of a file in bytes; none for a pipe.
    pub(super) fn len(&self) -> Option<u64> {
        let (file, _) = self.file.as_ref()?;
        file.metadata().ok().map(|metadata| metadata.len())
    }

    /// Starts the thread that reads it.
    pub(super) fn read(&self, rules: ChangeRules, size: usize) -> Result<ReaderThread, Failure> {
        let (stop, start, name) = (CancelToken::new(), self.start, self.name.clone());
        let failed = |source| Failure::file(&self.path, "follow", source);
        let Some((file, reached)) = &self.file else {
            let path = self.path.clone();
            let open = move || skip(Changes::open(Lines::new(Source::open(&path)?), rules)?, &name, start);
            return ReaderThread::start(size, stop, open, by_lines).map_err(failed);
        };
        let mut file = file.try_clone().map_err(failed)?;
        // The header and the first time stand before the position.
        let before = if start.offset > 0 {
            file.rewind().map_err(failed)?;
            let head = BufReader::new(file.try_clone().map_err(failed)?).take(start.offset);
            let mut changes = Changes::open(Lines::resume(head, &name, 0), rules.clone())?;
            changes.read_times(start.lines);
            file.seek(SeekFrom::Start(start.offset)).map_err(failed)?;
            Some(changes)
        } else {
            None
        };
        let tail = FileTail { file, offset: start.offset, reached: Arc::clone(reached), stop: stop.clone() };
        let reader = BufReader::with_capacity(BUFFER, tail);
        let open = move || {
            let lines = Lines::resume(reader, &name, start.lines).at_offset(start.offset);
            match before {
                Some(changes) => Ok(changes.continue_with(lines)),
                None => Changes::open(lines, rules),
            }
        };
        ReaderThread::start(size, stop, open, by_bytes).map_err(failed)
    }

    /// Fails if the path no longer leads to the opened file, since no more changes may come then.
    pub(super) fn check_same_file(&mut self) -> Result<(), Failure> {
        let Some((file, reached)) = &self.file else { return Ok(()) };
        // The offset first, since the file grows meanwhile.
        let reached = reached.load(Ordering::Relaxed);
        let opened = file.metadata().map_err(|source| Failure::file(&self.path, "read", source))?;
        if opened.len() < reached {
            return Err(shorter_file(&self.path, opened.len(), reached));
        }
        let is_same = fs::metadata(&self.path).is_ok_and(|named| is_same(&named, &opened));
        if is_same || opened.len() > reached {
            self.moved = None;
        } else if self.moved.get_or_insert_with(Instant::now).elapsed() >= GRACE {
            let problem = "no longer leads to the followed file, which is applied completely";
            return Err(Failure::Refused(format!(
                "{} {problem}: --restart reads the new file from its start",
                self.path.display()
            )));
        }
        Ok(())
    }
}

/// Opens a plain file; none for a pipe, which is read to its end.
fn open(path: &Path) -> Result<Option<File>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(None);
    }
    let failed = |source| Failure::file(path, "read", source);
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Ok(None);
    }
    plain_file::open(path).map(Some).map_err(failed)
}

/// The absolute path, which names a file from every folder.
fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = path.canonicalize().map_err(|source| Failure::file(path, "read", source))?;
    absolute.into_os_string().into_string().map_err(|path| {
        let path = path.display();
        Failure::Refused(format!("the path {path} is not UTF-8: name the input with --source"))
    })
}

/// Moves to a position in the file. Refuses a file that cannot be the one that was applied up to there.
fn seek_to(file: &mut File, path: &Path, start: Position) -> Result<(), Failure> {
    let failed = |source| Failure::file(path, "read", source);
    let mut head = Vec::new();
    file.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
    if is_compressed(&head) {
        let rule = "a compressed file cannot be followed: give the uncompressed file, or leave out --follow";
        return Err(Failure::Refused(format!("{}: {rule}", path.display())));
    }
    let len = file.metadata().map_err(failed)?.len();
    if len < start.offset {
        return Err(shorter_file(path, len, start.offset));
    }
    if start.offset > 0 {
        // The end of the last line, and up to four bytes for its line end or a byte order mark.
        let from = start.offset.saturating_sub((CHECKED + 4) as u64);
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.by_ref().take(start.offset - from).read_to_end(&mut bytes).map_err(failed)?;
        if last_line(&bytes, from == 0).map(checksum) != Some(start.check) {
            return Err(changed_line(&path.display().to_string(), start));
        }
    }
    file.seek(SeekFrom::Start(start.offset)).map_err(failed)?;
    Ok(())
}

/// The last line of these bytes, or its end if the line is longer; none if they do not end with a line end.
fn last_line(bytes: &[u8], is_start: bool) -> Option<&[u8]> {
    let bytes = bytes.strip_suffix(b"\n")?;
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Some(match memchr::memrchr(b'\n', bytes) {
        Some(at) => &bytes[at + 1..],
        None if is_start => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
        None => bytes,
    })
}

/// Skips the lines of a pipe that were applied before.
fn skip(mut changes: Changes, name: &str, start: Position) -> Result<Changes, Failure> {
    while changes.lines().number() < start.lines {
        if !changes.advance()? {
            let lines = changes.lines();
            let (lines, applied) = (count(lines.number() - 1, "line", "lines"), start.lines);
            return Err(Failure::Refused(format!(
                "{name} has {lines}, and {applied} of its lines were applied; is it another input? --restart reads it from its start"
            )));
        }
        changes.read_time();
    }
    if start.lines > 0 && checksum(changes.lines().bytes()) != start.check {
        return Err(changed_line(name, start));
    }
    Ok(changes)
}

/// The checksum that identifies a line.
fn checksum(line: &[u8]) -> u64 {
    let mut crc = Crc::new();
    crc.update(&line[line.len().saturating_sub(CHECKED)..]);
    crc.sum().into()
}

fn by_bytes(lines: &Lines) -> Position {
    Position { offset: lines.end(), lines: lines.number(), check: checksum(lines.bytes()) }
}

fn by_lines(lines: &Lines) -> Position {
    Position { offset: lines.number(), ..by_bytes(lines) }
}

fn shorter_file(path: &Path, len: u64, applied: u64) -> Failure {
    let path = path.display();
    Failure::Refused(format!(
        "{path}: the file has {len} bytes, and {applied} bytes of it were applied; {ADVICE}"
    ))
}

fn changed_line(name: &str, start: Position) -> Failure {
    let line = start.lines;
    Failure::Refused(format!("{name}: line {line} is not the line that was applied last; {ADVICE}"))
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
