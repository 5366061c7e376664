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
pub(crate) mod pairs;
pub(crate) mod source;
pub(crate) mod timestamp;
