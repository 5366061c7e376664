//! The file `topology`: for each relation the neighbor list of every node.

use std::ops::Range;

use rayon::prelude::*;

use crate::adjacency::list::List;
use crate::adjacency::list_check::{UNKNOWN_NEIGHBOR, are_below};
use crate::adjacency::record::{Packed, Record};
use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::{Reserved, SectionStream};
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::RelationIx;

use crate::segments::numbered;

const KIND: [u8; 4] = *b"TOPO";
const VERSION: u32 = 2;
/// Lists that a thread checks as one task.
const CHECKED_TOGETHER: usize = 1 << 14;
const NOT_ADJACENT: &str = "a list that does not begin at the end of the list before";
const RECORD_BYTES: u64 = size_of::<Packed>() as u64;

/// The properties of a relation, besides its lists.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct RelationMeta {
    pub(crate) name: String,
    /// Pairs of kinds that have, or ever had, an edge; ascending.
    pub(crate) kinds: Vec<(u8, u8)>,
    pub(crate) edges: u64,
}

#[derive(Encode, Decode)]
struct Meta {
    bound: u32,
    relations: Vec<RelationMeta>,
}

/// The lists in a checkpoint.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) relations: Vec<RelationMeta>,
    lists: Vec<Lists>,
}

#[derive(Debug)]
struct Lists {
    /// By node; their blocks follow one another in `words`.
    records: SharedNumbers<Packed>,
    words: SharedNumbers<u32>,
}

impl Topology {
    pub(crate) fn open(file: &SectionFile, bound: u32, kinds: usize) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        if file.version() < VERSION {
            let what = format!(
                "version {} of the lists, from before the first release; import the data again",
                file.version()
            );
            return Err(file.damaged("header", what));
        }
        let damaged = |what: &str| file.damaged("section 'meta'", what);
        let meta: Meta = codec::decode(file.section(*b"meta\0\0\0\0")?).map_err(|_| damaged("unreadable"))?;
        // Nodes that came after the file was written have no lists in it.
        if meta.bound > bound || meta.relations.len() > 65_535 {
            return Err(damaged("counts that do not match the file of nodes"));
        }
        let mut lists = Vec::new();
        for (at, relation) in meta.relations.iter().enumerate() {
            if relation.kinds.iter().any(|&(a, b)| usize::from(a.max(b)) >= kinds) {
                return Err(damaged("a kind that does not exist"));
            }
            let place = format!("section 'list{at:04x}'");
            let (records, words) =
                (file.slice::<Packed>(numbered(*b"recs", at))?, file.slice::<u32>(numbered(*b"list", at))?);
            if records.len() != meta.bound as usize {
                return Err(file.damaged(place, "a number of nodes that differs from the file of nodes"));
            }
            if !file.was_verified() {
                // Whoever maps the file gets its memory back on the way.
                check(&records, &words, bound, |checked| words.release(checked))
                    .map_err(|what| file.damaged(place, what))?;
            }
            lists.push(Lists { records, words });
        }
        Ok(Self { relations: meta.relations, lists })
    }

    /// The records and blocks of a relation; none for a later relation.
    #[inline]
    pub(crate) fn lists(&self, relation: RelationIx) -> (&[Packed], &[u32]) {
        self.lists.get(relation.index()).map_or((&[], &[]), |lists| (&lists.records, &lists.words))
    }

    /// Writes the file. For each relation, `lists` writes the lists of all nodes below `bound` in the order of the
    /// nodes.
    ///
    /// # Cost
    /// Each list is requested once, and nothing of it is kept.
    pub(crate) fn write(
        to: Target<'_>,
        bound: u32,
        relations: usize,
        mut lists: impl FnMut(RelationIx, &mut ListWriter<'_>) -> Result<RelationMeta, Error>,
    ) -> Result<Fingerprint, Error> {
        let mut stream = SectionStream::create(to, KIND, VERSION, 1 + 2 * relations)?;
        let mut metas = Vec::new();
        for at in 0..relations {
            let records = stream.reserve(numbered(*b"recs", at), u64::from(bound) * RECORD_BYTES)?;
            stream.begin(numbered(*b"list", at))?;
            let mut writer = ListWriter { records, stream: &mut stream, words: 0, moved: Vec::new() };
            metas.push(lists(RelationIx::new(at as u16), &mut writer)?);
            let records = writer.records;
            stream.fill(records)?;
        }
        stream.begin(*b"meta\0\0\0\0")?;
        stream.write(&codec::encode(&Meta { bound, relations: metas }))?;
        stream.finish()
    }
}

/// Checks that the lists follow one another through all words, and validates each. Calls `checked` with ranges of words that it
/// needs no more.
///
/// # Errors
/// A description of the damage.
fn check(
    records: &[Packed],
    words: &[u32],
    bound: u32,
    checked: impl Fn(Range<usize>) + Sync,
) -> Result<(), &'static str> {
    // Each chunk of lists is checked on its own, with the range of words that it covers.
    let of_some = |records: &[Packed]| {
        let mut span: Option<(usize, usize)> = None;
        // Plain lists hold nothing but neighbors, so those that follow one another are compared together.
        let mut plain = 0..0;
        for record in
            records.iter().filter(|&&record| record != Packed::default()).map(|&record| Record::from(record))
        {
            let (start, end) = span.unwrap_or((record.start(), record.start()));
            if record.start() != end {
                return Err(NOT_ADJACENT);
            }
            List::check_shape(record, words)?;
            let next = end + record.words();
            if record.is_plain() {
                plain.start = if plain.is_empty() { end } else { plain.start };
                plain.end = next;
            } else {
                let neighbors = List::new(record, words).columns().0;
                if !are_below(neighbors, bound) || !are_below(&words[plain.clone()], bound) {
                    return Err(UNKNOWN_NEIGHBOR);
                }
                plain = 0..0;
            }
            span = Some((start, next));
        }
        if !are_below(&words[plain], bound) {
            return Err(UNKNOWN_NEIGHBOR);
        }
        if let Some((start, end)) = span {
            checked(start..end);
        }
        Ok(span)
    };
    let spans: Vec<_> = records.par_chunks(CHECKED_TOGETHER).map(of_some).collect();
    // The ranges of the chunks follow one another to the end.
    let mut reached = 0;
    for span in spans {
        let Some((start, end)) = span? else { continue };
        if start != reached {
            return Err(NOT_ADJACENT);
        }
        reached = end;
    }
    if reached == words.len() { Ok(()) } else { Err("words outside every list") }
}

/// Writes the lists of one relation, in the order of the nodes.
pub(crate) struct ListWriter<'a> {
    records: Reserved,
    stream: &'a mut SectionStream,
    /// The number of words written so far.
    words: u64,
    moved: Vec<Packed>,
}

impl ListWriter<'_> {
    /// Adds the lists of the next nodes: their records, whose blocks follow one another in `words` from its start.
    pub(crate) fn add(&mut self, records: &[Record], words: &[u32]) -> Result<(), Error> {
        let moved = records.iter().map(|&record| {
            let is_empty = record == Record::default();
            Packed::from(if is_empty { record } else { record.at(self.words + record.start() as u64) })
        });
        self.moved.clear();
        self.moved.extend(moved);
        self.words += words.len() as u64;
        self.records.write(bytemuck::cast_slice(&self.moved))?;
        self.stream.write(bytemuck::cast_slice(words))
    }
}
