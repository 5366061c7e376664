//! The file `topology`: the neighbor lists of each relation.
//! Reads and validates it; `topology_writer` writes it.

use std::ops::Range;

use rayon::prelude::*;

use crate::adjacency::list::List;
use crate::adjacency::list_check::{UNKNOWN_NEIGHBOR, are_below};
use crate::adjacency::owners::OwnerIndex;
use crate::adjacency::record::{Packed, Record};
use crate::adjacency::relation_records::{OwnerRecords, RelationRecords};
use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::RelationIx;
use crate::types::weights::relation_options::{HalfLife, StoredOptions};

use crate::segments::numbered;

pub(super) const KIND: [u8; 4] = *b"TOPO";
/// Since version 4 relations have options, and lists may have a half-life.
pub(super) const VERSION: u32 = 4;
/// The first version that is read. All its records are by node.
const BY_NODE: u32 = 2;
/// The first version with options of relations.
const OPTIONS: u32 = 4;
/// Lists that a thread checks as one task.
const CHECKED_TOGETHER: usize = 1 << 14;
const NOT_ADJACENT: &str = "a list that does not begin at the end of the list before";

/// The properties of a relation, besides its lists.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct RelationMeta {
    pub(crate) name: String,
    /// Pairs of kinds that have, or ever had, an edge; ascending.
    pub(crate) kinds: Vec<(u8, u8)>,
    pub(crate) edges: u64,
    pub(crate) options: StoredOptions,
}

/// The section `meta`.
#[derive(Encode, Decode)]
pub(super) struct Meta {
    pub(super) bound: u32,
    pub(super) relations: Vec<RelationMeta>,
}

/// A relation before options: name, pairs of kinds, number of edges.
type OldRelation = (String, Vec<(u8, u8)>, u64);

/// The section `meta` before options.
#[derive(Decode)]
#[cfg_attr(test, derive(Encode))]
struct OldMeta {
    bound: u32,
    relations: Vec<OldRelation>,
}

impl From<OldMeta> for Meta {
    fn from(OldMeta { bound, relations }: OldMeta) -> Self {
        let relation =
            |(name, kinds, edges)| RelationMeta { name, kinds, edges, options: StoredOptions::default() };
        Self { bound, relations: relations.into_iter().map(relation).collect() }
    }
}

/// The lists in a checkpoint.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) relations: Vec<RelationMeta>,
    lists: Vec<Lists>,
}

#[derive(Debug)]
struct Lists {
    /// Their blocks follow one another in `words`.
    records: RelationRecords,
    words: SharedNumbers<u32>,
}

impl Topology {
    pub(crate) fn open(file: &SectionFile, bound: u32, kinds: usize) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        if file.version() < BY_NODE {
            let what = format!(
                "version {} of the lists, from before the first release; import the data again",
                file.version()
            );
            return Err(file.damaged("header", what));
        }
        let damaged = |what: &str| file.damaged("section 'meta'", what);
        let meta = file.section(*b"meta\0\0\0\0")?;
        let meta: Result<Meta, Error> = match file.version() {
            ..OPTIONS => codec::decode::<OldMeta>(meta).map(Meta::from),
            _ => codec::decode(meta),
        };
        let meta = meta.map_err(|_| damaged("unreadable"))?;
        // Nodes that came after the file was written have no lists in it.
        if meta.bound > bound || meta.relations.len() > 65_535 {
            return Err(damaged("counts that do not match the file of nodes"));
        }
        let mut lists = Vec::new();
        for (at, relation) in meta.relations.iter().enumerate() {
            if relation.kinds.iter().any(|&(a, b)| usize::from(a.max(b)) >= kinds) {
                return Err(damaged("a kind that does not exist"));
            }
            if !relation.options.is_valid() {
                return Err(damaged("a half-life out of range"));
            }
            lists.push(Lists::open(file, (at, relation.options.half_life()), meta.bound, bound)?);
        }
        Ok(Self { relations: meta.relations, lists })
    }

    /// The records of a relation, by node or by owner, and its blocks; none for a later relation.
    #[inline]
    pub(crate) fn lists(&self, relation: RelationIx) -> (&[Packed], Option<&OwnerRecords>, &[u32]) {
        self.lists.get(relation.index()).map_or((&[], None, &[]), |lists| {
            let (records, owner_records) = lists.records.parts();
            (records, owner_records, &lists.words)
        })
    }
}

impl Lists {
    /// Opens the lists of a relation, of which the file knows the nodes below `known`. Neighbors are below `bound`.
    fn open(
        file: &SectionFile,
        (relation, half_life): (usize, Option<HalfLife>),
        known: u32,
        bound: u32,
    ) -> Result<Self, Error> {
        let damaged = |tag: &str, what: &str| file.damaged(format!("section '{tag}{relation:04x}'"), what);
        let records = file.slice::<Packed>(numbered(*b"recs", relation))?;
        let words = file.slice::<u32>(numbered(*b"list", relation))?;
        let owners = match file.version() {
            BY_NODE => None,
            _ => Some(file.slice::<u32>(numbered(*b"node", relation))?),
        };
        // Nodes are named where they are few. A relation without lists names none and has no records.
        let owners = owners.filter(|owners| !owners.is_empty() || records.is_empty());
        let count = owners.as_ref().map_or(known as usize, |owners| owners.len());
        if records.len() != count {
            return Err(damaged("recs", "a number of records that differs from the number of nodes"));
        }
        // The index of the nodes relies on them, so they are checked even if the file was verified before.
        if let Some(owners) = &owners {
            OwnerIndex::check(owners, known).map_err(|what| damaged("node", what))?;
        }
        if !file.was_verified() {
            let is_empty = |&record: &Packed| Record::from(record).is_empty();
            if owners.is_some() && records.iter().any(is_empty) {
                return Err(damaged("recs", "a record of a node without neighbors"));
            }
            // Whoever maps the file gets its memory back on the way.
            check(&records, &words, half_life, bound, |checked| words.release(checked))
                .map_err(|what| damaged("list", what))?;
        }
        let records = match owners {
            None => RelationRecords::ByNode(records),
            Some(owners) => {
                let index = OwnerIndex::new(&owners, known);
                RelationRecords::ByOwner(OwnerRecords::new(owners, records, index))
            }
        };
        Ok(Self { records, words })
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
    half_life: Option<HalfLife>,
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
            List::check_shape(record, words, half_life)?;
            let next = end + record.words();
            if record.is_plain() {
                plain.start = if plain.is_empty() { end } else { plain.start };
                plain.end = next;
            } else {
                let mut neighbors = List::new(record, words).runs();
                if !neighbors.all(|run| are_below(run, bound)) || !are_below(&words[plain.clone()], bound) {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::adjacency::list_builder::{ListBuilder, ListEntry};
    use crate::adjacency::owners::Owners;
    use crate::fs::disk::Disk;
    use crate::fs::mmap::Residence;
    use crate::fs::section_table::Verification;
    use crate::fuzzing::{all_sections, write};
    use crate::segments::TopologyWriter;
    use crate::types::ids::{NodeIx, StableId};

    const BOUND: u32 = 100;

    /// Writes a relation in which the owners have an edge to themselves.
    fn write_loops(disk: &Disk, path: &Path, owners: &Owners) {
        let mut writer = TopologyWriter::create(disk.target(path), BOUND, 1).expect("created");
        let mut lists = writer.relation(owners).expect("written");
        for node in (0..owners.count()).map(|record| owners.node(record)) {
            let id = StableId::new(u64::from(node.get()));
            let list = ListBuilder::build(id, vec![ListEntry { node, id, weight: 1.0, time: None }]);
            let (record, words) = list.as_list().parts();
            lists.add(&[record], &words).expect("written");
        }
        let edges = owners.count() as u64;
        lists
            .end(RelationMeta {
                name: "r".to_owned(),
                kinds: vec![(0, 0)],
                edges,
                options: StoredOptions::default(),
            })
            .expect("written");
        writer.finish().expect("written");
    }

    /// A file of this or the first version with some sections replaced: the nodes that have a list, or the damage.
    fn open(owners: &Owners, version: u32, replaced: &[([u8; 8], Vec<u8>)]) -> Result<Vec<u32>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::of(folder.path());
        let (intact, changed) = (folder.path().join("intact.hg"), folder.path().join("changed.hg"));
        write_loops(&disk, &intact, owners);
        let open = |path: &Path| SectionFile::open(&disk, path, Residence::Loaded, Verification::AtOpening);
        let file = open(&intact).expect("intact");
        let mut sections = all_sections(&file);
        sections.retain(|(tag, _)| version == VERSION || !tag.starts_with(b"node"));
        let relations = vec![("r".to_owned(), vec![(0, 0)], owners.count() as u64)];
        let meta = codec::encode(&OldMeta { bound: BOUND, relations });
        if version < OPTIONS {
            sections.iter_mut().find(|(tag, _)| tag == b"meta\0\0\0\0").expect("there").1 = &meta;
        }
        for (tag, content) in replaced {
            sections.iter_mut().find(|(other, _)| other == tag).expect("there").1 = content;
        }
        write(&disk, &changed, KIND, version, &sections);
        let topology =
            Topology::open(&open(&changed).expect("sound"), BOUND, 1).map_err(|e| e.to_string())?;
        let (records, owner_records, words) = topology.lists(RelationIx::new(0));
        let by_node = (0..).zip(records.iter().copied());
        let lists = by_node.chain(owner_records.into_iter().flat_map(OwnerRecords::iter));
        let lists = lists.map(|(node, record)| (node, Record::from(record)));
        let lists = lists.filter(|(_, record)| !record.is_empty());
        Ok(lists
            .map(|(node, record)| {
                assert_eq!(List::new(record, words).neighbor(0), NodeIx::new(node));
                node
            })
            .collect())
    }

    fn few() -> Owners {
        Owners::new([3, 50, 99].into_iter(), BOUND)
    }

    #[test]
    fn relations_of_few_many_and_no_owners_open() {
        assert_eq!(open(&few(), VERSION, &[]), Ok(vec![3, 50, 99]));
        assert_eq!(open(&Owners::new(0..BOUND, BOUND), VERSION, &[]), Ok((0..BOUND).collect()));
        assert_eq!(open(&Owners::new(std::iter::empty(), BOUND), VERSION, &[]), Ok(vec![]));
    }

    #[test]
    fn a_file_of_version_2_has_a_record_for_each_node() {
        assert_eq!(open(&Owners::new(0..BOUND, BOUND), 2, &[]), Ok((0..BOUND).collect()));
        let few = open(&few(), 2, &[]).expect_err("it has three records");
        assert!(few.contains("section 'recs0000': a number of records"), "{few}");
    }

    #[test]
    fn owners_that_contradict_their_records_are_damage() {
        let nodes = |nodes: &[u32]| vec![(*b"node0000", bytemuck::cast_slice(nodes).to_vec())];
        let number = "section 'recs0000': a number of records that differs from the number of nodes";
        for (nodes, damage) in [
            (nodes(&[50, 3, 99]), "section 'node0000': nodes that are not in ascending order"),
            (nodes(&[3, 3, 99]), "section 'node0000': nodes that are not in ascending order"),
            (nodes(&[3, 50, 100]), "section 'node0000': a node that does not exist"),
            (nodes(&[3, 50]), number),
            (nodes(&[3, 50, 98, 99]), number),
            (nodes(&[]), number),
            (vec![(*b"node0000", vec![0; 6])], "section 'node0000': has a length that is no multiple"),
            (vec![(*b"recs0000", vec![0; 48])], "section 'recs0000': a record of a node without neighbors"),
            (
                vec![(*b"list0000", vec![0; 8])],
                "section 'list0000': a list that continues after the last word",
            ),
            (vec![(*b"list0000", vec![0; 16])], "section 'list0000': words outside every list"),
        ] {
            let found = open(&few(), VERSION, &nodes).expect_err("damaged");
            assert!(found.contains(damage), "{found}: expected {damage}");
        }
        // The neighbor of the last owner is another node, which does not exist.
        let words = vec![(*b"list0000", bytemuck::cast_slice(&[3, 50, BOUND]).to_vec())];
        let found = open(&few(), VERSION, &words).expect_err("damaged");
        assert!(found.contains(UNKNOWN_NEIGHBOR), "{found}");
    }
}
