//! Positions of inputs: named offsets, each committed with the batch that it belongs to.
//! Owns their rules and their section of the manifest; the unit of an offset is the host's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;

/// The longest name of a source, in bytes: that of any file path.
pub const MAX_SOURCE_BYTES: usize = 4096;
/// The most sources with a position in one store.
pub const MAX_POSITIONS: usize = 256;

/// The point up to which an input has been applied, so that a reader can resume after a crash.
///
/// A batch carries it ([`Batch::set_position`](crate::Batch::set_position)), and both are durable or neither is. An
/// input that is read from its stored position on is therefore applied exactly once.
///
/// # Example
/// ```
/// # use hedgerow_storage::{Batch, Edge, NodeRef, Position, Store};
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("graph");
/// let store = Store::options().create(true).open(&path)?;
/// let seen = store.position("clicks").unwrap_or_default();
/// let mut batch = Batch::new();
/// batch.link(NodeRef::parse("user:1")?, NodeRef::parse("item:7")?, Edge::default())?;
/// batch.set_position("clicks", Position::from(seen.offset + 1))?;
/// store.commit(&batch)?;
/// assert_eq!(store.position("clicks"), Some(Position::from(1)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// The offset to resume from, in the input's own unit: bytes, lines, messages.
    pub offset: u64,
    /// The number of lines before the offset, for messages; 0 where there are no lines.
    pub lines: u64,
    /// A check value of the data before the offset, such as a checksum, by which the input is recognized; 0 for none.
    pub check: u64,
}

impl From<u64> for Position {
    fn from(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, lines, check } = self;
        write!(f, "offset {offset}, after {lines} lines, check {check:016x}")
    }
}

/// Positions by source, shared by states and manifests.
pub(crate) type Positions = Arc<BTreeMap<String, Position>>;

/// Checks the name of a source: any text of 1 to 4096 bytes.
pub(crate) fn check_source(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_SOURCE_BYTES {
        return Err(Error::invalid("source", name, format!("1 to {MAX_SOURCE_BYTES} bytes")));
    }
    Ok(())
}

/// Encodes the manifest's section of positions.
pub(crate) fn encode(positions: &BTreeMap<String, Position>) -> Vec<u8> {
    codec::encode(&positions.iter().collect::<Vec<_>>())
}

/// Decodes the manifest's section of positions.
///
/// # Errors
/// A description of the damage.
pub(crate) fn decode(bytes: &[u8]) -> Result<Positions, &'static str> {
    let list: Vec<(String, Position)> = codec::decode(bytes).map_err(|_| "unreadable")?;
    if list.len() > MAX_POSITIONS || !list.is_sorted_by(|(one, _), (other, _)| one < other) {
        return Err("sources that exceed the limit or are not in order");
    }
    if list.iter().any(|(name, _)| check_source(name).is_err()) {
        return Err("a source with an invalid name");
    }
    Ok(Arc::new(list.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_and_corrupt_lists_are_refused() {
        let position = Position { offset: 300, lines: 7, check: u64::MAX };
        let positions = BTreeMap::from([("b".to_owned(), position), ("a\n".to_owned(), 5.into())]);
        assert_eq!(decode(&encode(&positions)).as_deref(), Ok(&positions));
        let of = |names: &[&str]| {
            let list: Vec<(String, Position)> =
                names.iter().map(|name| ((*name).to_owned(), position)).collect();
            decode(&codec::encode(&list))
        };
        assert!(of(&["a", "b"]).is_ok());
        let long = "x".repeat(MAX_SOURCE_BYTES + 1);
        for names in [&["b", "a"][..], &["a", "a"], &[""], &[&long]] {
            assert!(of(names).is_err());
        }
        let many: Vec<String> = (0..=MAX_POSITIONS).map(|at| format!("{at:04}")).collect();
        assert!(of(&many.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
        assert!(decode(&[1, 2]).is_err());
    }
}
