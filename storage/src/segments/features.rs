//! The file `features`: the tokens of each node, and its rows in dense blocks.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::SectionStream;
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::NodeIx;

use crate::segments::{check_offsets, numbered};

const KIND: [u8; 4] = *b"FEAT";
const VERSION: u32 = 1;
const NONE: u32 = u32::MAX;

/// The name and shape of a dense block.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct BlockMeta {
    pub(crate) name: String,
    pub(crate) width: u32,
    pub(crate) rows: u64,
}

#[derive(Encode, Decode)]
struct Meta {
    bound: u32,
    blocks: Vec<BlockMeta>,
}

/// The features in a checkpoint.
#[derive(Debug)]
pub(crate) struct Features {
    pub(crate) blocks: Vec<BlockMeta>,
    /// The ends in `strings` of all distinct tokens, sorted by token.
    string_ends: SharedNumbers<u64>,
    strings: SharedNumbers<u8>,
    token_ends: SharedNumbers<u64>,
    tokens: SharedNumbers<u32>,
    dense: Vec<Dense>,
}

#[derive(Debug)]
struct Dense {
    /// The row of each node, or [`NONE`].
    rows: SharedNumbers<u32>,
    values: SharedNumbers<f32>,
}

impl Features {
    pub(crate) fn open(file: &SectionFile, bound: u32) -> Result<Self, Error> {
        // Counts, and the shape of each dense block.
        file.require(KIND, VERSION)?;
        let damaged = |place: &str, what: &str| file.damaged(place, what);
        let meta: Meta = codec::decode(file.section(*b"meta\0\0\0\0")?)
            .map_err(|_| damaged("section 'meta'", "unreadable"))?;
        if meta.bound > bound {
            return Err(damaged("section 'meta'", "counts that do not match the file of nodes"));
        }
        let bound = meta.bound as usize;
        let mut dense = Vec::new();
        for (at, block) in meta.blocks.iter().enumerate() {
            let place = format!("section 'rows{at:04x}'");
            let (rows, values) =
                (file.slice::<u32>(numbered(*b"rows", at))?, file.slice::<f32>(numbered(*b"vals", at))?);
            let expected = block.rows.checked_mul(u64::from(block.width));
            if block.width == 0 || rows.len() != bound || expected != Some(values.len() as u64) {
                return Err(damaged(&place, "a shape that does not match the sections"));
            }
            if !file.was_verified() && rows.iter().any(|&row| row != NONE && u64::from(row) >= block.rows) {
                return Err(damaged(&place, "a row that does not exist"));
            }
            dense.push(Dense { rows, values });
        }
        // The sections of tokens, which are validated unless the file is verified.
        let features = Self {
            blocks: meta.blocks,
            string_ends: file.slice(*b"strings\0")?,
            strings: file.slice(*b"text\0\0\0\0")?,
            token_ends: file.slice(*b"offsets\0")?,
            tokens: file.slice(*b"tokens\0\0")?,
            dense,
        };
        if file.was_verified() {
            return Ok(features);
        }
        check_offsets(&features.string_ends, features.strings.len())
            .map_err(|what| damaged("section 'strings'", what))?;
        let text = std::str::from_utf8(&features.strings)
            .map_err(|_| damaged("section 'text'", "tokens that are not UTF-8"))?;
        if features.string_ends.iter().any(|&at| !text.is_char_boundary(at as usize)) {
            return Err(damaged("section 'strings'", "a token that ends inside a character"));
        }
        if features.token_ends.len() != bound + 1 {
            return Err(damaged(
                "section 'offsets'",
                "a number of nodes that differs from the file of nodes",
            ));
        }
        check_offsets(&features.token_ends, features.tokens.len())
            .map_err(|what| damaged("section 'offsets'", what))?;
        if features.tokens.iter().any(|&token| token as usize + 1 >= features.string_ends.len()) {
            return Err(damaged("section 'tokens'", "a token that does not exist"));
        }
        Ok(features)
    }

    /// The number of a token; numbers are in the order of the tokens.
    pub(crate) fn token_ix(&self, token: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.string_ends.len().saturating_sub(1) as u32);
        while low < high {
            let middle = low.midpoint(high);
            match self.string(middle).cmp(token) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The numbers of a node's tokens, ascending.
    pub(crate) fn token_ixs(&self, node: NodeIx) -> &[u32] {
        let ends = self.token_ends.get(node.index()..node.index() + 2).unwrap_or(&[0, 0]);
        &self.tokens[ends[0] as usize..ends[1] as usize]
    }

    fn string(&self, token: u32) -> &str {
        let ends = &self.string_ends[token as usize..token as usize + 2];
        std::str::from_utf8(&self.strings[ends[0] as usize..ends[1] as usize])
            .expect("tokens are checked when the file is opened")
    }

    /// All tokens, sorted.
    pub(crate) fn all_tokens(&self) -> impl Iterator<Item = &str> {
        (0..self.string_ends.len().saturating_sub(1) as u32).map(|token| self.string(token))
    }

    /// A node's tokens, sorted.
    pub(crate) fn tokens(&self, node: NodeIx) -> impl Iterator<Item = &str> {
        self.token_ixs(node).iter().map(|&token| self.string(token))
    }

    /// A node's row in the block with that number.
    pub(crate) fn dense(&self, block: usize, node: NodeIx) -> Option<&[f32]> {
        let dense = self.dense.get(block)?;
        let row = *dense.rows.get(node.index()).filter(|&&row| row != NONE)? as usize;
        let width = self.blocks[block].width as usize;
        Some(&dense.values[row * width..(row + 1) * width])
    }

    /// Writes the file for all nodes below `bound`; `dense` receives the index of a block in `blocks`.
    ///
    /// # Cost
    /// Memory for one copy of the distinct tokens.
    pub(crate) fn write<'a>(
        to: Target<'_>,
        bound: u32,
        blocks: &[BlockMeta],
        tokens: impl Fn(NodeIx) -> Vec<&'a str>,
        dense: impl Fn(usize, NodeIx) -> Option<&'a [f32]>,
        cancel: &CancelToken,
    ) -> Result<Fingerprint, Error> {
        // All distinct tokens, numbered in their order.
        let nodes = || (0..bound).map(NodeIx::new);
        let stage = cancel.stage("features", u64::from(bound) * (2 + blocks.len() as u64));
        let mut interned: BTreeMap<&str, u32> = BTreeMap::new();
        for node in nodes() {
            stage.advance(1)?;
            for token in tokens(node) {
                interned.entry(token).or_default();
            }
        }
        for (number, at) in (0..).zip(interned.values_mut()) {
            *at = number;
        }
        // The tokens, and the token numbers of each node.
        let mut stream = SectionStream::create(to, KIND, VERSION, 5 + 2 * blocks.len())?;
        stream.begin(*b"strings\0")?;
        write_ends(&mut stream, interned.keys().map(|token| token.len()))?;
        stream.begin(*b"text\0\0\0\0")?;
        interned.keys().try_for_each(|token| stream.write(token.as_bytes()))?;
        stream.begin(*b"offsets\0")?;
        write_ends(&mut stream, nodes().map(|node| tokens(node).len()))?;
        stream.begin(*b"tokens\0\0")?;
        for node in nodes() {
            stage.advance(1)?;
            tokens(node).into_iter().try_for_each(|token| stream.write(&interned[token].to_le_bytes()))?;
        }
        // For each dense block the rows of the nodes, then the values.
        for (at, block) in blocks.iter().enumerate() {
            stream.begin(numbered(*b"rows", at))?;
            let mut next = 0_u32;
            for node in nodes() {
                stage.advance(1)?;
                let row = if dense(at, node).is_some() { next } else { NONE };
                next += u32::from(row != NONE);
                stream.write(&row.to_le_bytes())?;
            }
            assert_eq!(u64::from(next), block.rows, "a state counts the rows of its blocks");
            stream.begin(numbered(*b"vals", at))?;
            for values in nodes().filter_map(|node| dense(at, node)) {
                cancel.check()?;
                stream.write(bytemuck::cast_slice(values))?;
            }
        }
        stage.end();
        stream.begin(*b"meta\0\0\0\0")?;
        stream.write(&codec::encode(&Meta { bound, blocks: blocks.to_vec() }))?;
        stream.finish()
    }
}

/// Writes 0 and the running sums of the lengths.
fn write_ends(stream: &mut SectionStream, lengths: impl Iterator<Item = usize>) -> Result<(), Error> {
    let mut end = 0_u64;
    stream.write(&end.to_le_bytes())?;
    for length in lengths {
        end += length as u64;
        stream.write(&end.to_le_bytes())?;
    }
    Ok(())
}
