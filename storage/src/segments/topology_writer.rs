//! Writes the file `topology`, relation after relation, in constant memory.
//! Owns the order of sections; `topology` reads them, and `owners` decides which nodes have records.

use crate::adjacency::owners::Owners;
use crate::adjacency::record::{Packed, Record};
use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::section_stream::{Reserved, SectionStream};
use crate::segments::numbered;
use crate::segments::topology::{KIND, Meta, RelationMeta, VERSION};
use crate::types::codec;
use crate::types::error::Error;

const RECORD_BYTES: u64 = size_of::<Packed>() as u64;

/// The file under construction.
pub(crate) struct TopologyWriter {
    stream: SectionStream,
    meta: Meta,
}

impl TopologyWriter {
    /// Starts a file that will have the lists of this many relations, between nodes below `bound`.
    pub(crate) fn create(to: Target<'_>, bound: u32, relations: usize) -> Result<Self, Error> {
        let stream = SectionStream::create(to, KIND, VERSION, 1 + 3 * relations)?;
        Ok(Self { stream, meta: Meta { bound, relations: Vec::new() } })
    }

    /// Begins the next relation. Lists of its owners follow, and then [`ListWriter::end`].
    pub(crate) fn relation(&mut self, owners: &Owners) -> Result<ListWriter<'_>, Error> {
        let (stream, at) = (&mut self.stream, self.meta.relations.len());
        stream.begin(numbered(*b"node", at))?;
        if let Owners::Few(nodes, _) = owners {
            stream.write(bytemuck::cast_slice(nodes))?;
        }
        let records = stream.reserve(numbered(*b"recs", at), owners.count() as u64 * RECORD_BYTES)?;
        stream.begin(numbered(*b"list", at))?;
        Ok(ListWriter { records, stream, relations: &mut self.meta.relations, words: 0, moved: Vec::new() })
    }

    /// Writes the rest and syncs the file. Returns what a manifest says of it.
    pub(crate) fn finish(mut self) -> Result<Fingerprint, Error> {
        self.stream.begin(*b"meta\0\0\0\0")?;
        self.stream.write(&codec::encode(&self.meta))?;
        self.stream.finish()
    }
}

/// Writes the lists of one relation, in the order of its owners.
pub(crate) struct ListWriter<'a> {
    records: Reserved,
    stream: &'a mut SectionStream,
    relations: &'a mut Vec<RelationMeta>,
    /// The number of words written so far.
    words: u64,
    moved: Vec<Packed>,
}

impl ListWriter<'_> {
    /// Adds the lists of the next owners: their records, whose blocks follow one another in `words` from its start.
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

    /// Ends the relation, once each owner has its list.
    pub(crate) fn end(self, relation: RelationMeta) -> Result<(), Error> {
        self.relations.push(relation);
        self.stream.fill(self.records)
    }
}
