//! The file `topology`: for each relation the neighbour list of every node.

use std::path::Path;

use crate::codec::{self, Decode, Encode};
use crate::list::Record;
use crate::map::Slice;
use crate::section::{SectionFile, SectionStream};
use crate::{CancelToken, Error, List, NodeIx, RelationIx};

use super::numbered;

const KIND: [u8; 4] = *b"TOPO";
const VERSION: u32 = 2;

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
    records: Slice<Record>,
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
                (file.slice::<Record>(numbered(*b"recs", at))?, file.slice::<u32>(numbered(*b"list", at))?);
            if records.len() != meta.bound as usize {
                return Err(file.damaged(place, "another number of nodes than in the file of nodes"));
            }
            let mut end = 0;
            for &record in records.iter().filter(|&&record| record != Record::default()) {
                if record.start() != end {
                    return Err(file.damaged(place, "a list that does not begin where the one before ends"));
                }
                List::check(record, &words, bound).map_err(|what| file.damaged(&*place, what))?;
                end += record.words();
            }
            if end != words.len() {
                return Err(file.damaged(place, "words that belong to no list"));
            }
            lists.push(Lists { records, words });
        }
        Ok(Self { relations: meta.relations, lists })
    }

    /// The settled records and blocks of a relation; none for what came later.
    #[inline]
    pub(crate) fn lists(&self, relation: RelationIx) -> (&[Record], &[u32]) {
        self.lists.get(relation.index()).map_or((&[], &[]), |lists| (&lists.records, &lists.words))
    }

    /// Writes the file: the lists of all nodes below `bound` in each of the relations.
    pub(crate) fn write<'a>(
        path: &Path,
        bound: u32,
        relations: Vec<RelationMeta>,
        list: impl Fn(RelationIx, NodeIx) -> List<'a>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let mut stream = SectionStream::create(path, KIND, VERSION, 1 + 2 * relations.len())?;
        for at in 0..relations.len() {
            let relation = RelationIx::new(at as u16);
            let parts = || (0..bound).map(|node| list(relation, NodeIx::new(node)).parts());
            stream.begin(numbered(*b"recs", at))?;
            let mut start = 0_u64;
            for (node, (record, words)) in parts().enumerate() {
                if node % 65_536 == 0 {
                    cancel.check()?;
                }
                let record = if words.is_empty() { Record::default() } else { record.at(start) };
                stream.write(bytemuck::bytes_of(&record))?;
                start += words.len() as u64;
            }
            stream.begin(numbered(*b"list", at))?;
            for (node, (_, words)) in parts().enumerate() {
                if node % 4096 == 0 {
                    cancel.check()?;
                }
                stream.write(bytemuck::cast_slice(words))?;
            }
        }
        stream.begin(*b"meta\0\0\0\0")?;
        stream.write(&codec::encode(&Meta { bound, relations }))?;
        stream.finish()
    }
}
