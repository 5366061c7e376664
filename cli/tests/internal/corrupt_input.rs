//! Corrupt input for every reader: valid files with bytes changed, repeated, removed or cut off. A reader ends with rows or with an
//! error that has a place. It does not panic, and it takes no more memory than the input and its limits allow.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of files, `HEDGEROW_SEED` seeds them.

use std::io::Cursor;
use std::path::Path;

use hedgerow_test_support::{Random, fuzz_config};

use crate::core::failure::Failure;
use crate::input::delimited::{Delimited, Dialect};
use crate::input::jsonl::JsonLine;
use crate::input::lines::Lines;
use crate::input::npy::Matrix;
use crate::input::pairs::words;
use crate::input::rows::RowReader;

const CSV: &str =
    "\u{feff}board,pin,weight,time\r\n\"a, \"\"b\"\"\nc\",1,2.5,1970-01-02\r\n\r\nx;y,\u{e9},,\n";
const TSV: &str = "a\tb\n\"1\"\t\"99\" - Acoustic\n\t\n";
const BLANKS: &str = "# of\na  b\n 1\t2 \n1 \"2\n";
const COLONS: &str = "a::b::c\n1::2::3:4\n";
const ADJACENCY: &str = "1 2 3\n\n  4\t5 \u{e9}\u{1f600}\n6\n";
const JSONL: &str = "{\"src\":\"board:1\",\"dst\":\"pin:2\",\"weight\":1e0,\"time\":\"1970-01-02\"}\n{\"src\":\"a:\\u00e9\",\"dst\":\"b:2\"}\n";

/// Bytes that have a meaning for some reader.
const ODD: &[u8] = b"\"\n\r,\t;|{}:\\\0\xff\xc3 09e-";

/// A matrix of three rows of two numbers.
fn npy() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }          \n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..6_u8).flat_map(|at| f32::from(at).to_le_bytes()));
    bytes
}

/// The bytes with one to four changes.
fn corrupted(intact: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = intact.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, ODD[random.below(ODD.len())]),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = random.below(256_u32) as u8,
            4 => {
                let piece = bytes[at..].to_vec();
                bytes.extend_from_slice(&piece);
            }
            5 => drop(bytes.splice(at..at, std::iter::repeat_n(b'9', random.below(400)))),
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

fn lines(bytes: &[u8]) -> Lines {
    Lines::resume(Cursor::new(bytes.to_vec()), "corrupt", 0)
}

/// Checks that a failure has a place in the input.
fn expect_place(failure: &Failure, bytes: &[u8]) {
    let Failure::Input(bad) = failure else { panic!("{failure} in {bytes:?}") };
    let within = bytes.split(|&byte| byte == b'\n').count() as u64 + 1;
    assert!((1..=within).contains(&bad.place.line), "{bad} in {bytes:?}");
    assert!((1..=bytes.len() as u64 + 1).contains(&bad.place.column), "{bad} in {bytes:?}");
}

/// True where reading can continue behind a failure.
fn is_recoverable(failure: &Failure) -> bool {
    matches!(failure, Failure::Input(bad) if !bad.fatal)
}

fn read_delimited(bytes: &[u8]) {
    let mut records = match Delimited::open(lines(bytes), &Dialect { blanks: true, ..Dialect::default() }) {
        Ok(records) => records,
        Err(failure) => return expect_place(&failure, bytes),
    };
    loop {
        for field in 0..=records.len() {
            if let Err(bad) = records.text(field) {
                expect_place(&bad.into(), bytes);
            }
        }
        match records.advance() {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => {
                expect_place(&failure, bytes);
                if !is_recoverable(&failure) {
                    return;
                }
            }
        }
    }
}

fn read_lines(bytes: &[u8], mut read: impl FnMut(&Lines) -> Result<(), Failure>) {
    let mut lines = lines(bytes);
    while lines.advance().expect("memory can be read") {
        if let Err(failure) = read(&lines) {
            expect_place(&failure, bytes);
        }
    }
}

fn read_matrix(bytes: &[u8], path: &Path) {
    std::fs::write(path, bytes).expect("a file");
    match Matrix::open(path) {
        Err(failure) => assert!(matches!(failure, Failure::Input(_)), "{failure} in {bytes:?}"),
        Ok(mut matrix) => {
            for _ in 0..matrix.rows.min(1000) {
                assert_eq!(matrix.next_row().expect("as long as it says").len(), matrix.width);
            }
        }
    }
}

#[test]
fn no_reader_panics_on_corrupt_input() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 3000);
    let folder = tempfile::tempdir().expect("a folder");
    let (path, npy) = (folder.path().join("corrupt.npy"), npy());
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let text = [CSV, TSV, BLANKS, COLONS][round as usize % 4];
        read_delimited(&corrupted(text.as_bytes(), &mut random));
        read_lines(&corrupted(ADJACENCY.as_bytes(), &mut random), |lines| words(lines).map(drop));
        read_lines(&corrupted(JSONL.as_bytes(), &mut random), |lines| {
            let object = JsonLine::parse(lines)?;
            object.expect_only(&["src", "dst", "weight", "time"])?;
            object.text("src", "a node")?;
            object.weight("weight")?;
            object.time("time")?;
            Ok(())
        });
        read_matrix(&corrupted(&npy, &mut random), &path);
    }
}

/// A header with a wrong shape takes no memory for it: neither for rows of a zero-row matrix nor for more than the file has.
#[test]
fn a_matrix_takes_no_more_memory_than_its_file_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong_shape.npy");
    for shape in [
        "(0, 4611686018427387904)",
        "(4611686018427387904, 0)",
        "(9223372036854775807, 9)",
        "(1, 4000000000)",
    ] {
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        read_matrix(&bytes, &path);
    }
}
