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
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |source: io::Error| Failure::file(path, "read", source);
        let position = Arc::new(AtomicU64::new(0));
        let (name, raw, size): (String, Box<dyn Read + Send>, Option<u64>) = if path.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(StandardInput), None)
        } else {
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            (path.display().to_string(), Box::new(file), metadata.is_file().then_some(metadata.len()))
        };
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
    let rows = File::open(path)
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

/// Standard input without read-ahead, so that a batch is applied as soon as its last line has arrived.
struct StandardInput;

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::waiting(true);
        let read = io::stdin().lock().read(buffer);
        interrupt::waiting(false);
        read
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
