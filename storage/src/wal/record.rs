//! One record of the log: a fixed head that describes and checks it, and the operations of a batch or of a part of one.
//! Owns the bytes, as in FORMAT.md; knows nothing of the engine that stores them.
//!
//! A record is self-describing: a magic number, its length, its number, and the checksum of the record before it. So
//! records can be found in the bytes of an engine that no longer opens and put in order. Older records that had the
//! same number are told apart.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::types::codec;
use crate::types::ops::Op;

/// The first bytes of a record.
const MAGIC: [u8; 4] = *b"HGLR";
/// The bytes before the operations.
pub(crate) const HEAD: usize = 52;
/// The start of the bytes that the checksum covers.
const CHECKED: usize = 16;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number; numbers are contiguous.
    pub(crate) seq: u64,
    /// The checksum of the record before it; 0 for the first one of a store.
    pub(crate) before: u64,
    pub(crate) epoch: u64,
    /// Its index among the records of its batch, and their number: a batch is complete or damaged.
    pub(crate) part: u32,
    pub(crate) parts: u32,
    pub(crate) ops: u32,
    /// Its own checksum.
    pub(crate) sum: u64,
}

impl Head {
    /// True for the first record of a batch.
    pub(crate) fn is_first(&self) -> bool {
        self.part == 0
    }

    /// True for the last record of a batch.
    pub(crate) fn is_last(&self) -> bool {
        self.part + 1 == self.parts
    }

    /// True if it can be the record after `last`.
    pub(crate) fn follows(&self, last: &Self) -> bool {
        let goes_on = if last.is_last() {
            self.part == 0 && Some(self.epoch) == last.epoch.checked_add(1)
        } else {
            (self.epoch, self.part, self.parts) == (last.epoch, last.part + 1, last.parts)
        };
        goes_on && Some(self.seq) == last.seq.checked_add(1) && self.before == last.sum
    }
}

/// Encodes a record and stores its checksum in the head.
pub(crate) fn encode(head: &mut Head, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&head.seq.to_le_bytes());
    bytes[24..32].copy_from_slice(&head.before.to_le_bytes());
    bytes[32..40].copy_from_slice(&head.epoch.to_le_bytes());
    bytes[40..44].copy_from_slice(&head.part.to_le_bytes());
    bytes[44..48].copy_from_slice(&head.parts.to_le_bytes());
    bytes[48..52].copy_from_slice(&head.ops.to_le_bytes());
    bytes.extend_from_slice(body);
    head.sum = xxh3_64(&bytes[CHECKED..]);
    bytes[8..16].copy_from_slice(&head.sum.to_le_bytes());
    bytes
}

/// Decodes the record at the start of `bytes`; its operations stay encoded.
///
/// # Errors
/// A description of the damage.
pub(crate) fn decode(bytes: &[u8], max_body: usize) -> Result<(Head, &[u8]), &'static str> {
    let head = bytes.get(..HEAD).ok_or("it ends within its head")?;
    let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    if head[..4] != MAGIC {
        return Err("it does not begin with the magic number of a record");
    }
    let len = u32_at(4) as usize;
    let record = if len > max_body { None } else { bytes.get(..HEAD + len) };
    let record = record.ok_or("its length exceeds the bytes")?;
    let sum = u64_at(8);
    if xxh3_64(&record[CHECKED..]) != sum {
        return Err("its checksum does not match");
    }
    let (part, parts) = (u32_at(40), u32_at(44));
    if part >= parts {
        return Err("its part number exceeds the number of parts");
    }
    let (seq, before, epoch, ops) = (u64_at(16), u64_at(24), u64_at(32), u32_at(48));
    // Whoever reads a record may ask for the one after it.
    if seq == u64::MAX {
        return Err("its number leaves none for a record after it");
    }
    Ok((Head { seq, before, epoch, part, parts, ops, sum }, &record[HEAD..]))
}

/// Decodes the operations of a record.
///
/// # Errors
/// A description of the damage.
pub(crate) fn ops(head: &Head, mut body: &[u8]) -> Result<Vec<Op>, &'static str> {
    // The count may be wrong, so it reserves no memory.
    let mut ops = Vec::new();
    for _ in 0..head.ops {
        ops.push(codec::decode_next(&mut body).map_err(|_| "its operations are unreadable")?);
    }
    if body.is_empty() { Ok(ops) } else { Err("it has bytes after its operations") }
}

/// Divides the operations of a batch into bodies of at most `max_body` bytes, each with its number of operations.
pub(crate) fn pack(ops: &[Op], max_body: usize) -> Vec<(u32, Vec<u8>)> {
    let mut bodies: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut one = Vec::new();
    for op in ops {
        one.clear();
        codec::encode_into(&mut one, op);
        assert!(one.len() <= max_body, "a batch refuses names and features that would not fit a record");
        match bodies.last_mut() {
            Some((count, body)) if body.len() + one.len() <= max_body => {
                body.extend_from_slice(&one);
                *count += 1;
            }
            _ => bodies.push((1, one.clone())),
        }
    }
    bodies
}

/// Finds all complete and intact records in some bytes.
///
/// # Cost
/// A pass over the bytes; a checksum is computed only where the magic number occurs.
pub(crate) fn find(bytes: &[u8], max_body: usize) -> impl Iterator<Item = (Head, Range<usize>)> {
    memchr::memmem::find_iter(bytes, &MAGIC).filter_map(move |start| {
        let (head, body) = decode(&bytes[start..], max_body).ok()?;
        Some((head, start..start + HEAD + body.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_every_flipped_bit_and_truncation_is_seen() {
        let body = codec::encode(&Op::Live { node: 7, alive: false });
        let mut head = Head { seq: 3, before: 9, epoch: 2, part: 0, parts: 1, ops: 1, sum: 0 };
        let bytes = encode(&mut head, &body);
        let (read, rest) = decode(&bytes, 100).expect("intact");
        assert_eq!((read, ops(&read, rest)), (head, Ok(vec![Op::Live { node: 7, alive: false }])));
        for bit in 0..bytes.len() * 8 {
            let mut torn = bytes.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&torn, 100).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], 100).is_err(), "length {len}");
        }
        let mut noise = vec![b'H'; 33];
        noise.extend_from_slice(&bytes);
        noise.extend_from_slice(b"HGLR and no more");
        let found: Vec<_> = find(&noise, 100).collect();
        assert_eq!(found, [(head, 33..33 + bytes.len())]);
    }

    /// A record with the largest number and a valid checksum, in a journal, made a search for the record after it overflow. No
    /// store comes to that number.
    #[test]
    fn a_record_that_none_can_follow_is_refused() {
        let mut head = Head { seq: u64::MAX, before: 0, epoch: 1, part: 0, parts: 1, ops: 0, sum: 0 };
        assert!(decode(&encode(&mut head, &[]), 100).is_err());
        head.seq -= 1;
        assert!(decode(&encode(&mut head, &[]), 100).is_ok());
    }

    #[test]
    fn a_false_count_reads_no_further_than_the_record() {
        let head = Head { seq: 0, before: 0, epoch: 1, part: 0, parts: 1, ops: u32::MAX, sum: 0 };
        assert!(ops(&head, &codec::encode(&Op::Clear { node: 1 })).is_err());
        assert!(ops(&Head { ops: 0, ..head }, &[1]).is_err());
    }
}
