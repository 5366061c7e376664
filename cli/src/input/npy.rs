//! A two-dimensional `.npy` matrix, read row by row: little-endian f4 or f8, C order, format versions 1 to 3.
//!
//! Not a crate: `npyz` and `ndarray-npy` parse the header, a line of three fields, with the grammar of `py_literal`, which is a dozen
//! more crates, and neither bounds the length that a corrupt header claims.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::input::plain_file;

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read. `numpy` writes about 128 bytes.
const HEADER_LIMIT: usize = 1 << 16;

/// Parses `NAME=FILE.npy`, a dense block and the file of its matrix.
pub(crate) fn parse_block(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("expected NAME=FILE.npy".to_owned()),
    }
}

/// An open matrix.
pub(crate) struct Matrix {
    reader: BufReader<File>,
    file: String,
    pub(crate) rows: u64,
    /// Numbers in a row.
    pub(crate) width: usize,
    is_f64: bool,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl Matrix {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::file(path, "read", source);
        let name = path.display().to_string();
        let file = plain_file::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::new(file);
        let bad = |what: &str| Failure::from(Place::new(&name, 1, 1).problem(what));
        // The magic bytes, the version, and the length of the header.
        let mut start = [0u8; 8];
        if reader.read_exact(&mut start).is_err() || &start[..6] != MAGIC {
            return Err(bad("not a .npy file, expected one that begins with \\x93NUMPY"));
        }
        let mut length = [0u8; 4];
        let bytes = if start[6] == 1 { 2 } else { 4 };
        reader.read_exact(&mut length[..bytes]).map_err(|_| bad("the .npy header is cut off"))?;
        let length = u32::from_le_bytes(length) as usize;
        if !(1..=3).contains(&start[6]) || length > HEADER_LIMIT {
            return Err(bad("unknown .npy version or header length, expected version 1 to 3"));
        }
        // The header, whose shape must agree with the size of the file before memory is taken for a row.
        let mut header = vec![0u8; length];
        reader.read_exact(&mut header).map_err(|_| bad("the .npy header is cut off"))?;
        let (is_f64, rows, width) = shape(&String::from_utf8_lossy(&header)).map_err(|what| bad(&what))?;
        let row = width as u64 * if is_f64 { 8 } else { 4 };
        let expected =
            rows.checked_mul(row).and_then(|data| data.checked_add(8 + bytes as u64 + length as u64));
        if expected != Some(size) {
            return Err(bad(&format!(
                "the file has {size} bytes, but {rows} rows of {width} values need another size"
            )));
        }
        let bytes = vec![0; row as usize];
        Ok(Self { reader, file: name, rows, width, is_f64, bytes, values: Vec::new() })
    }

    /// The next row; call at most `rows` times.
    pub(crate) fn next_row(&mut self) -> Result<&[f32], Failure> {
        self.reader
            .read_exact(&mut self.bytes)
            .map_err(|source| Failure::file(self.file.as_ref(), "read", source))?;
        self.values.clear();
        if self.is_f64 {
            let (values, _) = self.bytes.as_chunks::<8>();
            self.values.extend(values.iter().map(|value| f64::from_le_bytes(*value) as f32));
        } else {
            let (values, _) = self.bytes.as_chunks::<4>();
            self.values.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
        }
        Ok(&self.values)
    }

    /// The refusal of a matrix for a file with another number of rows.
    pub(crate) fn bad_shape(&self, lines: u64, file: &str) -> BadInput {
        let problem =
            format!("the matrix has {} rows, expected {lines}, one for each line of {file}", self.rows);
        Place::new(&self.file, 1, 1).problem(problem)
    }

    /// The refusal of a matrix for a dense block that has rows of another width.
    pub(crate) fn bad_width(&self, width: usize, block: &str) -> BadInput {
        let found = self.width;
        let problem =
            format!("the matrix has rows of {found} numbers, expected {width}, as in block {block}");
        Place::new(&self.file, 1, 1).problem(problem)
    }
}

/// True for float64, rows and columns of a header such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn shape(header: &str) -> Result<(bool, u64, usize), String> {
    let compact: String = header.chars().filter(|c| !c.is_whitespace()).collect();
    let after = |name: &str| compact.split_once(name).map(|(_, rest)| rest);
    let is_f64 = match after("'descr':'") {
        Some(rest) if rest.starts_with("<f4'") => false,
        Some(rest) if rest.starts_with("<f8'") => true,
        _ => return Err("the .npy holds another type, expected little-endian float32 or float64".to_owned()),
    };
    if !after("'fortran_order':").is_some_and(|rest| rest.starts_with("False")) {
        return Err("the .npy is in column order, expected row order (C order)".to_owned());
    }
    let dimensions = after("'shape':(").and_then(|rest| rest.split(')').next());
    let sizes: Vec<Option<u64>> = dimensions
        .unwrap_or_default()
        .split(',')
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().ok())
        .collect();
    match sizes[..] {
        [Some(rows), Some(width)] if width > 0 && width <= 1 << 24 => Ok((is_f64, rows, width as usize)),
        _ => Err("the .npy has another shape, expected two dimensions: (rows, values)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_type_order_and_shape() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   \n";
        assert_eq!(shape(header), Ok((true, 3, 4)));
        for (from, to) in [("<f8", ">f8"), ("False", "True"), ("(3, 4)", "(12,)"), ("(3, 4)", "(3, -4)")] {
            assert!(shape(&header.replace(from, to)).is_err(), "{to}");
        }
    }
}
