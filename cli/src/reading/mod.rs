//! Input files: opened, decompressed, cut into lines and records, each piece with its place for the error message.
//! Nothing here knows what the rows are for.

pub(crate) mod blocks;
pub(crate) mod delimited;
pub(crate) mod growing;
pub(crate) mod jsonl;
pub(crate) mod lines;
pub(crate) mod matrix;
#[cfg(test)]
mod noise;
pub(crate) mod number;
pub(crate) mod pairs;
#[cfg(feature = "parquet")]
mod parquet;
pub(crate) mod separator;
pub(crate) mod source;
pub(crate) mod timestamp;
