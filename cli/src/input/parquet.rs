//! A Parquet file as JSON lines, one object for each row, so that the reader of JSON lines serves both.
//! Row N of the file becomes line N.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

/// The least bytes of lines that are made at once.
const CHUNK: usize = 1 << 16;

/// The lines of an open file.
pub(crate) struct ObjectLines {
    rows: RowIter<'static>,
    lines: Vec<u8>,
    returned: usize,
    /// Rows of the file, and how many were read. Progress shows them as bytes of the file.
    count: u64,
    read: u64,
    size: u64,
    position: Arc<AtomicU64>,
}

impl ObjectLines {
    pub(crate) fn open(file: File, size: u64, position: Arc<AtomicU64>) -> io::Result<Self> {
        let reader = SerializedFileReader::new(file).map_err(|error| broken(&error))?;
        let count = reader.metadata().file_metadata().num_rows().max(0) as u64;
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self { rows, lines: Vec::new(), returned: 0, count, read: 0, size, position })
    }

    fn refill(&mut self) -> io::Result<()> {
        self.lines.clear();
        self.returned = 0;
        while self.lines.len() < CHUNK {
            let Some(row) = self.rows.next() else { return Ok(()) };
            push_row(&row.map_err(|error| broken(&error))?, &mut self.lines);
            self.lines.push(b'\n');
            self.read += 1;
            let bytes = self.read as f64 / self.count.max(1) as f64 * self.size as f64;
            self.position.store(bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Read for ObjectLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.returned == self.lines.len() {
            self.refill()?;
        }
        let count = buffer.len().min(self.lines.len() - self.returned);
        buffer[..count].copy_from_slice(&self.lines[self.returned..self.returned + count]);
        self.returned += count;
        Ok(count)
    }
}

fn broken(error: &ParquetError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a whole Parquet file: {error}"))
}

fn push_row(row: &Row, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, field)) in row.get_column_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_text(name, out);
        out.push(b':');
        push_field(field, out);
    }
    out.push(b'}');
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

fn push_field(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Null => out.extend_from_slice(b"null"),
        Field::Str(text) => push_text(text, out),
        // Display writes the fewest digits that read back as the same number. JSON has no infinity and no NaN.
        Field::Float(value) if value.is_finite() => out.extend_from_slice(value.to_string().as_bytes()),
        Field::Double(value) if value.is_finite() => out.extend_from_slice(value.to_string().as_bytes()),
        Field::Float(_) | Field::Double(_) => out.extend_from_slice(b"\"not a finite number\""),
        Field::Bytes(bytes) => push_text(&String::from_utf8_lossy(bytes.data()), out),
        Field::TimestampMillis(time) => out.extend_from_slice((time / 1000).to_string().as_bytes()),
        Field::TimestampMicros(time) => out.extend_from_slice((time / 1_000_000).to_string().as_bytes()),
        Field::Date(days) => out.extend_from_slice((i64::from(*days) * 86_400).to_string().as_bytes()),
        Field::Group(row) => push_row(row, out),
        Field::ListInternal(list) => {
            out.push(b'[');
            for (at, element) in list.elements().iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_field(element, out);
            }
            out.push(b']');
        }
        // Integers and booleans as they are. The exports of this command have no other types; of those the text is kept.
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_) => out.extend_from_slice(field.to_string().as_bytes()),
        other => push_text(&other.to_string(), out),
    }
}
