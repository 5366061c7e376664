//! Names of nodes, kinds and relations, and the stable id of a node's name.
//! Knows nothing of stores: a name may or may not exist in one.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::Xxh3;

use crate::types::error::Error;
use crate::types::ids::StableId;

/// The longest kind name, in bytes.
pub const MAX_KIND_BYTES: usize = 64;
/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest relation name, in bytes: two kinds and a hyphen, so that every default relation has a name.
pub const MAX_RELATION_BYTES: usize = 2 * MAX_KIND_BYTES + 1;

/// A node's name: its kind and its key, written `pin:42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    /// The kind, such as `pin`.
    pub kind: String,
    /// The key within the kind, such as `42`.
    pub key: String,
}

/// A borrowed [`NodeName`]. Methods that take a node accept `("pin", "42")`, a `&NodeName`, or a `NodeRef`.
///
/// Converting a pair does not validate it; every method that can create a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef<'a> {
    /// The kind, such as `pin`.
    pub kind: &'a str,
    /// The key within the kind, such as `42`.
    pub key: &'a str,
}

impl NodeName {
    /// A validated name.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`NodeRef::validate`].
    pub fn new(kind: impl Into<String>, key: impl Into<String>) -> Result<Self, Error> {
        let name = Self { kind: kind.into(), key: key.into() };
        name.as_ref().validate()?;
        Ok(name)
    }

    /// The same name, borrowed.
    pub fn as_ref(&self) -> NodeRef<'_> {
        NodeRef { kind: &self.kind, key: &self.key }
    }
}

impl<'a> NodeRef<'a> {
    /// A validated name.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`Self::validate`].
    pub fn new(kind: &'a str, key: &'a str) -> Result<Self, Error> {
        let name = Self { kind, key };
        name.validate()?;
        Ok(name)
    }

    /// Parses `kind:key`; the kind ends at the first colon, so keys may contain more colons.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no colon, or as for [`Self::validate`].
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let Some((kind, key)) = text.split_once(':') else {
            return Err(Error::invalid("node", text, "kind:key, such as pin:42"));
        };
        Self::new(kind, key)
    }

    /// Validates both parts.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless the kind has 1 to 64 bytes without colon, comma, whitespace or control characters, and
    /// the key has 1 to 512 bytes.
    pub fn validate(&self) -> Result<(), Error> {
        check_kind(self.kind)?;
        check_key(self.key)
    }

    /// The node's stable id: XXH3-64 of the kind's bytes, a zero byte and the key's bytes.
    pub fn stable_id(&self) -> StableId {
        let mut hash = Xxh3::new();
        hash.update(self.kind.as_bytes());
        hash.update(&[0]);
        hash.update(self.key.as_bytes());
        StableId::new(hash.digest())
    }

    /// An owned copy of the name.
    pub fn to_name(&self) -> NodeName {
        NodeName { kind: self.kind.to_owned(), key: self.key.to_owned() }
    }
}

impl<'a> From<(&'a str, &'a str)> for NodeRef<'a> {
    fn from((kind, key): (&'a str, &'a str)) -> Self {
        Self { kind, key }
    }
}

impl<'a> From<&'a NodeName> for NodeRef<'a> {
    fn from(name: &'a NodeName) -> Self {
        name.as_ref()
    }
}

/// Validates the name of a kind.
pub(crate) fn check_kind(name: &str) -> Result<(), Error> {
    check_word("kind", name, MAX_KIND_BYTES)
}

/// Validates a key.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::invalid("key", key, format!("1 to {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

/// The default relation between nodes of two kinds: the kinds in alphabetical order.
pub(crate) fn default_relation(one: &str, other: &str) -> String {
    format!("{}-{}", one.min(other), one.max(other))
}

/// Validates the name of a relation: the rules of a kind's, but up to 129 bytes.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_relation(name: &str) -> Result<(), Error> {
    check_word("relation", name, MAX_RELATION_BYTES)
}

/// Validates the name of a dense block: the rules of a kind's.
pub(crate) fn check_block(name: &str) -> Result<(), Error> {
    check_word("dense block", name, MAX_KIND_BYTES)
}

/// Refuses a word unless it has 1 to `max` bytes, without colon, comma, whitespace or control characters.
pub(crate) fn check_word(what: &'static str, word: &str, max: usize) -> Result<(), Error> {
    let foreign = |c: char| c == ':' || c == ',' || c.is_whitespace() || c.is_control();
    if word.is_empty() || word.len() > max || word.contains(foreign) {
        let rule = format!("1 to {max} bytes without colon, comma, whitespace or control characters");
        return Err(Error::invalid(what, word, rule));
    }
    Ok(())
}

impl FromStr for NodeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        NodeRef::parse(text).map(|name| name.to_name())
    }
}

impl fmt::Display for NodeRef<'_> {
    /// `kind:key` with control characters escaped, so that a key cannot send control sequences to a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind)?;
        self.key.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Serialized as a string `kind:key`.
#[cfg(feature = "serde")]
impl serde::Serialize for NodeName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without the escapes of `Display`, so that every name comes back.
        serializer.collect_str(&format_args!("{}:{}", self.kind, self.key))
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for NodeName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_splits() {
        let name: NodeName = "pin:a:b".parse().expect("valid");
        assert_eq!((name.kind.as_str(), name.key.as_str()), ("pin", "a:b"));
        assert_eq!(name.to_string(), "pin:a:b");
    }

    #[test]
    fn bad_names_are_refused() {
        for text in ["", "pin", ":1", "pin:", "p n:1", "p,n:1", "p\u{1}:1"] {
            assert!(NodeRef::parse(text).is_err(), "{text:?}");
        }
        assert!(NodeName::new("k".repeat(65), "1").is_err());
        assert!(NodeName::new("k", "1".repeat(513)).is_err());
        assert!(NodeName::new("k".repeat(64), "1".repeat(512)).is_ok());
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let name = NodeName::new("pin", "a\u{1b}[2Jb\n").expect("valid");
        assert_eq!(name.to_string(), "pin:a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn the_stable_id_is_the_hash_of_the_joined_bytes() {
        let expected = xxhash_rust::xxh3::xxh3_64(b"pin\x0042");
        let name = NodeRef::new("pin", "42").expect("valid");
        assert_eq!(name.stable_id(), StableId::new(expected));
    }
}
