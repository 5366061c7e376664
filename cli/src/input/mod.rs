//! Readers of input files: decompression, lines, rows, fields and matrices.
//! Must not know which operation the rows are for.

pub(crate) mod blocks;
pub(crate) mod delimited;
pub(crate) mod duration;
pub(crate) mod file_tail;
pub(crate) mod jsonl;
pub(crate) mod lines;
pub(crate) mod npy;
pub(crate) mod pairs;
#[cfg(feature = "parquet")]
mod parquet;
pub(crate) mod plain_file;
pub(crate) mod rows;
pub(crate) mod separator;
pub(crate) mod source;
pub(crate) mod timestamp;

#[cfg(test)]
#[path = "../../tests/internal/corrupt_input.rs"]
mod corrupt_input;
