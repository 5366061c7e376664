//! The one module that names bincode: small records to bytes and back.
//! The crate is unmaintained (RUSTSEC-2025-0141), so large data and data read in place do not go through it.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
/// The macros for records that are encoded.
pub(crate) use bincode::{self, Decode, Encode};

use crate::types::error::Error;

/// The most bytes that decoding one record may allocate; a damaged record may claim any length.
pub(crate) const DECODE_LIMIT: usize = 16 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Encodes a record.
///
/// # Panics
/// When the type's own `Encode` fails, which derived ones do not.
pub(crate) fn encode<T: Encode>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, record);
    bytes
}

/// Appends the bytes of a record.
pub(crate) fn encode_into<T: Encode>(bytes: &mut Vec<u8>, record: &T) {
    bincode::encode_into_std_write(record, bytes, bincode::config::standard())
        .expect("derived encoders and vectors do not fail");
}

/// Decodes a record that fills `bytes` to the end.
///
/// # Errors
/// [`Error::Invalid`] when the bytes are no such record, end early, continue after it, or claim more than
/// [`DECODE_LIMIT`].
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Error> {
    let mut rest = bytes;
    let record = decode_next(&mut rest)?;
    if rest.is_empty() { Ok(record) } else { Err(unreadable("bytes after its end")) }
}

/// Decodes a record from the front of `bytes` and advances `bytes` past it.
///
/// # Errors
/// As for [`decode`].
pub(crate) fn decode_next<T: Decode<()>>(bytes: &mut &[u8]) -> Result<T, Error> {
    match bincode::decode_from_slice(bytes, config()) {
        Ok((record, read)) => {
            *bytes = &bytes[read..];
            Ok(record)
        }
        Err(bincode::error::DecodeError::UnexpectedEnd { .. }) => Err(unreadable("an early end")),
        Err(bincode::error::DecodeError::LimitExceeded) => Err(unreadable("lengths over the limit")),
        Err(_) => Err(unreadable("bytes of another record")),
    }
}

fn unreadable(found: &str) -> Error {
    Error::Invalid { what: "record", found: found.to_owned(), expected: "a complete record".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let record = (7_u32, "pin".to_owned(), vec![Some(1.5_f32), None]);
        assert_eq!(decode::<(u32, String, Vec<Option<f32>>)>(&encode(&record)).ok(), Some(record));
    }

    #[test]
    fn false_lengths_allocate_no_memory() {
        // A varint of 253 says that eight bytes of length follow.
        let mut bytes = vec![253];
        bytes.extend([0xff; 7]);
        bytes.push(0x0f);
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        assert!(decode::<u32>(&[1, 2]).is_err());
        assert!(decode::<u32>(&[]).is_err());
    }
}
