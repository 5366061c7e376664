//! Corrupt input for every reader: valid files with bytes changed, repeated, removed or cut off. A reader ends with rows or with an
//! error that has a place. It does not panic, and it takes no more memory than the input and its limits allow.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of files, `HEDGEROW_SEED` seeds them.

use hedgerow_test_support::{Random, fuzz_config};

use crate::fuzzing::{ADJACENCY, JSON_LINES, Readers, TEXTS, matrix};

/// Bytes that have a meaning for some reader.
const ODD: &[u8] = b"\"\n\r,\t;|{}:\\\0\xff\xc3 09e-";

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

#[test]
fn no_reader_panics_on_corrupt_input() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 3000);
    let folder = tempfile::tempdir().expect("a folder");
    let (readers, matrix) = (Readers::new(folder.path()), matrix());
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let text = TEXTS[round as usize % 4].1;
        readers.delimited(&corrupted(text.as_bytes(), &mut random));
        readers.lines(&corrupted(ADJACENCY.as_bytes(), &mut random));
        readers.lines(&corrupted(JSON_LINES.as_bytes(), &mut random));
        readers.matrix(&corrupted(&matrix, &mut random));
    }
}

/// A header with a wrong shape takes no memory for it: neither for rows of a zero-row matrix nor for more than the file has.
#[test]
fn a_matrix_takes_no_more_memory_than_its_file_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let readers = Readers::new(folder.path());
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
        readers.matrix(&bytes);
    }
}
