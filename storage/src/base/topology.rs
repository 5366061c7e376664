//! The file `topology`: for each relation the neighbour list of every node.

use std::path::Path;

use crate::codec::{self, Decode, Encode};
use crate::map::Slice;
use crate::section::{SectionFile, SectionStream};
use crate::{CancelToken, Error, List, NodeIx, RelationIx};

use super::{check_offsets, numbered};

const KIND: [u8; 4] = *b"TOPO";
const VERSION: u32 = 1;

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
    /// Where each node's block starts in `words`, and where the last one ends.
    offsets: Slice<u64>,
    words: Slice<u32>,
}

impl Topology {
    pub(crate) fn open(file: &SectionFile, bound: u32, kinds: usize) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
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
            let (offsets, words) =
                (file.slice::<u64>(numbered(*b"offs", at))?, file.slice::<u32>(numbered(*b"list", at))?);
            if offsets.len() != meta.bound as usize + 1 {
                return Err(file.damaged(place, "another number of nodes than in the file of nodes"));
            }
            check_offsets(&offsets, words.len())
                .and_then(|()| {
                    offsets
                        .windows(2)
                        .try_for_each(|ends| List::check(&words[ends[0] as usize..ends[1] as usize], bound))
                })
                .map_err(|what| file.damaged(place, what))?;
            lists.push(Lists { offsets, words });
        }
        Ok(Self { relations: meta.relations, lists })
    }

    /// A node's settled list; empty for what came later.
    #[inline]
    pub(crate) fn list(&self, relation: RelationIx, node: NodeIx) -> List<'_> {
        let Some(lists) = self.lists.get(relation.index()) else { return List::empty() };
        if node.index() + 1 >= lists.offsets.len() {
            return List::empty();
        }
        let (start, end) = (lists.offsets[node.index()], lists.offsets[node.index() + 1]);
        List::new(&lists.words[start as usize..end as usize])
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
            let blocks = || {
                let list = &list;
                (0..bound).map(move |node| {
                    let list = list(relation, NodeIx::new(node));
                    if list.is_empty() { &[] } else { list.words() }
                })
            };
            stream.begin(numbered(*b"offs", at))?;
            let mut end = 0_u64;
            stream.write(&end.to_le_bytes())?;
            for (node, words) in blocks().enumerate() {
                if node % 65_536 == 0 {
                    cancel.check()?;
                }
                end += words.len() as u64;
                stream.write(&end.to_le_bytes())?;
            }
            stream.begin(numbered(*b"list", at))?;
            for (node, words) in blocks().enumerate() {
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
