//! The file `topology`: for each relation the neighbour list of every node.

use rayon::prelude::*;

use crate::adjacency::list::List;
use crate::adjacency::record::{Packed, Record};
use crate::fs::disk::Target;
use crate::fs::mmap::Slice;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::{Reserved, SectionStream};
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::RelationIx;

use crate::segments::numbered;

const KIND: [u8; 4] = *b"TOPO";
const VERSION: u32 = 2;
/// Lists that one thread checks before it takes others.
const CHECKED_TOGETHER: usize = 1 << 14;
const NOT_ADJACENT: &str = "a list that does not begin where the one before ends";
const RECORD_BYTES: u64 = size_of::<Packed>() as u64;

/// What the file says of a relation besides its lists.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct RelationMeta {
    pub(crate) name: String,
    /// Pairs of kinds that have had an edge, in ascending order.
    pub(crate) kinds: Vec<(u8, u8)>,
    pub(crate) edges: u64,
}

#[derive(Encode, Decode)]
struct Meta {
    bound: u32,
    relations: Vec<RelationMeta>,
}

/// The settled lists.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) relations: Vec<RelationMeta>,
    lists: Vec<Lists>,
}

#[derive(Debug)]
struct Lists {
    /// By node; blocks follow one another.
    records: Slice<Packed>,
    words: Slice<u32>,
}

impl Topology {
    pub(crate) fn open(file: &SectionFile, bound: u32, kinds: usize) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        if file.version() < VERSION {
            let what = format!(
                "version {} of the lists, from before the first release; import anew",
                file.version()
            );
            return Err(file.damaged("header", what));
        }
        let damaged = |what: &str| file.damaged("section 'meta'", what);
        let meta: Meta = codec::decode(file.section(*b"meta\0\0\0\0")?).map_err(|_| damaged("unreadable"))?;
        // Nodes that came after the file was written have no lists in it.
        if meta.bound > bound || meta.relations.len() > 65_535 {
            return Err(damaged("counts that do not fit the file of nodes"));
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
                return Err(file.damaged(place, "another number of nodes than in the file of nodes"));
            }
            if !file.is_verified() {
                check(&records, &words, bound).map_err(|what| file.damaged(place, what))?;
            }
            lists.push(Lists { records, words });
        }
        Ok(Self { relations: meta.relations, lists })
    }

    /// The settled records and blocks of a relation; none for what came later.
    #[inline]
    pub(crate) fn lists(&self, relation: RelationIx) -> (&[Packed], &[u32]) {
        self.lists.get(relation.index()).map_or((&[], &[]), |lists| (&lists.records, &lists.words))
    }

    /// Writes the file: of each relation the lists of all nodes below `bound`, which `lists` puts into the sink in the
    /// order of the nodes.
    ///
    /// # Cost
    /// Each list is asked for once, and nothing is kept of it.
    pub(crate) fn write(
        to: Target<'_>,
        bound: u32,
        relations: usize,
        mut lists: impl FnMut(RelationIx, &mut ListWriter<'_>) -> Result<RelationMeta, Error>,
    ) -> Result<(), Error> {
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

/// Checks that the lists follow one another through all words, and each by itself.
///
/// # Errors
/// What is wrong, in words.
fn check(records: &[Packed], words: &[u32], bound: u32) -> Result<(), &'static str> {
    let of_some = |records: &[Packed]| {
        let mut span: Option<(usize, usize)> = None;
        for record in
            records.iter().filter(|&&record| record != Packed::default()).map(|&record| Record::from(record))
        {
            let (start, end) = span.unwrap_or((record.start(), record.start()));
            if record.start() != end {
                return Err(NOT_ADJACENT);
            }
            List::check(record, words, bound)?;
            span = Some((start, end + record.words()));
        }
        Ok(span)
    };
    let spans: Vec<_> = records.par_chunks(CHECKED_TOGETHER).map(of_some).collect();
    let mut reached = 0;
    for span in spans {
        let Some((start, end)) = span? else { continue };
        if start != reached {
            return Err(NOT_ADJACENT);
        }
        reached = end;
    }
    if reached == words.len() { Ok(()) } else { Err("words that belong to no list") }
}

/// Takes the lists of one relation, in the order of the nodes.
pub(crate) struct ListWriter<'a> {
    records: Reserved,
    stream: &'a mut SectionStream,
    /// Words of blocks so far.
    words: u64,
    moved: Vec<Packed>,
}

impl ListWriter<'_> {
    /// Adds the lists of the next nodes: their records, whose blocks follow one another in `words` from its start on.
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
