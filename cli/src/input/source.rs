//! The bytes of an input file or of standard input, decompressed where they begin with the magic bytes of gzip or zstd.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::core::failure::Failure;
use crate::core::interrupt;
#[cfg(feature = "parquet")]
use crate::core::location::Place;
use crate::input::plain_file;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BUFFER: usize = 1 << 16;

/// True for the first bytes of a gzip or zstd file.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(GZIP) || head.starts_with(ZSTD)
}

/// An open input.
pub(crate) struct Source {
    /// The name in messages.
    pub(crate) name: String,
    pub(crate) reader: Box<dyn BufRead + Send>,
    /// The size of the file on disk, compressed or not; none for standard input.
    pub(crate) size: Option<u64>,
    /// The bytes of the file that were read so far.
    pub(crate) position: Arc<AtomicU64>,
    /// True for a Parquet file, whose rows are read as JSON lines.
    pub(crate) is_parquet: bool,
}

/// The first bytes of a Parquet file.
const PARQUET: &[u8] = b"PAR1";

impl Source {
    /// Opens a file or a pipe, or standard input for `-`. A signal ends the wait for a pipe.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |source: io::Error| Failure::file(path, "read", source);
        let (name, raw, size): (String, Box<dyn Read + Send>, Option<u64>) = if path.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(Waiting(io::stdin())), None)
        } else {
            let metadata = std::fs::metadata(path).map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            if metadata.is_file() {
                return Self::open_plain(path);
            }
            let file = interrupt::while_waiting(|| File::open(path)).map_err(failed)?;
            (path.display().to_string(), Box::new(Waiting(file)), None)
        };
        Self::read(path, name, raw, size)
    }

    /// Opens a plain file, and refuses anything else.
    pub(crate) fn open_plain(path: &Path) -> Result<Self, Failure> {
        let failed = |source: io::Error| Failure::file(path, "read", source);
        let file = plain_file::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Self::read(path, path.display().to_string(), Box::new(file), Some(size))
    }

    fn read(
        path: &Path,
        name: String,
        raw: Box<dyn Read + Send>,
        size: Option<u64>,
    ) -> Result<Self, Failure> {
        let failed = |source: io::Error| Failure::file(path, "read", source);
        let position = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: raw, position: Arc::clone(&position) };
        let mut plain = BufReader::with_capacity(BUFFER, counted);
        let head = plain.fill_buf().map_err(failed)?;
        if size.is_some() && head.starts_with(PARQUET) {
            let reader = parquet_as_lines(path, size.unwrap_or_default(), &position)?;
            return Ok(Self { name, reader, size, position, is_parquet: true });
        }
        let reader: Box<dyn BufRead + Send> = if head.starts_with(GZIP) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
        } else if head.starts_with(ZSTD) {
            let decoder = zstd::stream::read::Decoder::with_buffer(plain).map_err(failed)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        } else {
            Box::new(plain)
        };
        Ok(Self { name, reader, size, position, is_parquet: false })
    }
}

#[cfg(feature = "parquet")]
fn parquet_as_lines(
    path: &Path,
    size: u64,
    position: &Arc<AtomicU64>,
) -> Result<Box<dyn BufRead + Send>, Failure> {
    let rows = plain_file::open(path)
        .and_then(|file| crate::input::parquet::ObjectLines::open(file, size, Arc::clone(position)))
        .map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => {
                Place::new(&path.display().to_string(), 1, 1).problem(source).fatal().into()
            }
            _ => Failure::file(path, "read", source),
        })?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, rows)))
}

#[cfg(not(feature = "parquet"))]
fn parquet_as_lines(_: &Path, _: u64, _: &Arc<AtomicU64>) -> Result<Box<dyn BufRead + Send>, Failure> {
    Err(crate::core::failure::Failure::no_parquet())
}

/// A pipe or terminal, whose bytes may never come. It reads nothing ahead, so that a batch is applied as soon as its last
/// line has arrived.
struct Waiting<R>(R);

impl<R: Read> Read for Waiting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::while_waiting(|| self.0.read(buffer))
    }
}

struct Counted<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
