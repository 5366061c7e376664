//! Decoders under arbitrary bytes: the functions of the fuzz targets, which tests call too.
//! Compiled for tests and fuzzing only, so it is no part of the interface. A function returns, whatever the bytes: a panic, a
//! hang, or memory that the input does not account for is a defect.

use std::path::Path;
use std::time::Duration;

use crate::adjacency::weight_classes::WeightClasses;
use crate::checkpoint::manifest::{CURRENT, Manifest, NamedFile};
use crate::checkpoint::published::{MAIN_SET, Published};
use crate::checkpoint::write_checkpoint::open_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::fs::section_table::Verification;
use crate::fs::section_writer::SectionWriter;
use crate::fs::verified_files::OpenMode;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::graph::snapshot::Snapshot;
use crate::store::handle::Store;
use crate::store::published_records::apply_records;
use crate::types::batch::{Batch, Edge};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{Epoch, KindIx, NodeIx, RelationIx};
use crate::types::names::NodeRef;
use crate::types::property::PropertyValue;
use crate::types::weights::relation_options::RelationOptions;
#[cfg(test)]
use crate::types::{
    ops::{EdgeData, Op},
    property::PropertyType,
    value_changes,
};
use crate::wal::journal;
use crate::wal::log_end::LogEnd;
use crate::wal::record;
use crate::wal::record::Head;
use crate::wal::record_scan::{LogStart, ScannedRecords};

/// The content of a section, by its tag.
type Section<'a> = ([u8; 8], &'a [u8]);

/// The decoders of a store's files, over a sample store.
#[derive(Debug)]
pub struct Decoders {
    /// A copy of the sample's segments, one of which is replaced.
    copy: Disk,
    pub(crate) manifest: Manifest,
    /// The intact segments.
    pub(crate) segments: Vec<SectionFile>,
    pub(crate) state: GraphState,
}

impl Decoders {
    /// Makes a sample with this many nodes of a kind, in an empty folder.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(folder: &Path, nodes: u32) -> Self {
        let (intact, copy) = (Disk::of(&folder.join("intact")), Disk::of(&folder.join("copy")));
        let mut manifest = sample(intact.folder(), nodes);
        std::fs::create_dir(copy.folder()).expect("an empty folder");
        let open = |named: &NamedFile| named.open(&intact, Residence::Mapped, mode(&CancelToken::new()));
        let segments: Vec<SectionFile> =
            manifest.segments.iter().map(|named| open(named).expect("intact")).collect();
        let state = open_checkpoint(&intact, &manifest, mode(&CancelToken::new())).expect("intact");
        for (named, file) in manifest.segments.iter_mut().zip(&segments) {
            let path = named.path(copy.folder());
            named.fingerprint = write(&copy, &path, file.kind(), file.version(), &all_sections(file));
        }
        Self { copy, manifest, segments, state }
    }

    /// A whole file of sections, checksums included.
    ///
    /// # Panics
    /// On a defect.
    pub fn section_file(&self, bytes: &[u8]) {
        let path = self.copy.folder().join("file.hg");
        std::fs::write(&path, bytes).expect("a file");
        for residence in [Residence::Mapped, Residence::Loaded] {
            let Ok(file) = SectionFile::open(&self.copy, &path, residence, Verification::AtOpening) else {
                continue;
            };
            for (tag, content) in all_sections(&file) {
                let numbers = file.section_u32(tag).map_or(0, <[u32]>::len);
                assert!(numbers == 0 || numbers * 4 == content.len());
            }
        }
        // The same file whose blocks are verified when they are used.
        let Ok(file) = SectionFile::open(&self.copy, &path, Residence::Mapped, Verification::AtUse) else {
            return;
        };
        for tag in file.tags().collect::<Vec<_>>() {
            let Ok(numbers) = file.private_f32(tag) else { continue };
            let is_intact = (0..numbers.len()).all(|number| numbers.verify_part(number..number + 1).is_ok());
            assert_eq!(is_intact, numbers.verify().is_ok());
        }
    }

    /// A manifest with these sections.
    ///
    /// # Panics
    /// On a defect.
    pub fn manifest(&self, kind: [u8; 4], version: u32, sections: &[Section<'_>]) {
        write(&self.copy, &self.copy.folder().join(CURRENT), kind, version, sections);
        if let Ok(Some(manifest)) = Manifest::read(&self.copy, CURRENT) {
            assert!(manifest.first_needed() >= manifest.log_start);
        }
    }

    /// A segment file with these sections in place of the sample's of that kind. True if the store opens.
    ///
    /// # Panics
    /// On a defect.
    pub fn segment(&self, kind: [u8; 4], version: u32, sections: &[Section<'_>]) -> bool {
        let Some(at) = self.segments.iter().position(|file| file.kind() == kind) else { return false };
        let path = self.manifest.segments[at].path(self.copy.folder());
        let mut manifest = self.manifest.clone();
        manifest.segments[at].fingerprint = write(&self.copy, &path, kind, version, sections);
        let opened = open_checkpoint(&self.copy, &manifest, mode(&CancelToken::new()));
        let is_open = opened.is_ok();
        match opened {
            Ok(state) => read_all(state),
            // Where two files contradict each other, either may be named.
            Err(Error::Damaged { path, .. } | Error::NewerVersion { path, .. }) => {
                assert!(path.starts_with(self.copy.folder()));
            }
            Err(other) => panic!("{other}"),
        }
        // The state is dropped before its file is overwritten, which it may have mapped.
        let intact = &self.segments[at];
        write(&self.copy, &path, kind, intact.version(), &all_sections(intact));
        is_open
    }

    /// The records of a log, found in bytes of a journal. The bytes describe records of 7 bytes and their operations, so that
    /// numbers and checksums can fit one another: number, number of the record before, epoch, part, parts, operations, length.
    ///
    /// # Panics
    /// On a defect.
    pub fn log(&self, mut bytes: &[u8]) {
        let (mut journal, mut records) = (bytes.to_vec(), Vec::new());
        let mut sums = [0; 256];
        while let Some((head, rest)) = bytes.split_first_chunk::<7>() {
            let &[seq, before, epoch, part, parts, ops, len] = head;
            let (body, rest) = rest.split_at(rest.len().min(len.into()));
            let far = |small: u8| if small > 250 { u64::MAX - u64::from(255 - small) } else { small.into() };
            let mut head = Head {
                seq: far(seq),
                before: sums[usize::from(before)],
                epoch: far(epoch),
                part: part.into(),
                parts: parts.into(),
                ops: ops.into(),
                sum: 0,
            };
            records.extend_from_slice(&record::encode(&mut head, body));
            sums[usize::from(seq)] = head.sum;
            bytes = rest;
        }
        self.published_records(&records);
        journal.extend_from_slice(&records);
        std::fs::write(journal::path(self.copy.folder()), journal).expect("a file");
        for from in [0, 1, u64::MAX] {
            let start = LogStart { first: from, replay_from: 1, replay_after: None };
            let found = ScannedRecords::read(&self.copy, start).expect("readable");
            let ends = (0..8)
                .flat_map(|next| [0, sums[next]].map(|checksum| LogEnd { next: next as u64 + 1, checksum }));
            for log_end in ends.map(Some).chain([None]) {
                if let Ok(chain) = found.chain(from, log_end) {
                    assert!(chain.windows(2).all(|pair| pair[0].0.seq < pair[1].0.seq));
                }
                log_end.map(|log_end| found.continues_after(log_end));
            }
            found.prefix(from);
        }
    }

    /// Records that a reader applies to the sample.
    fn published_records(&self, records: &[u8]) {
        let path = self.copy.folder().join("records.hg");
        write(&self.copy, &path, *b"RECS", 1, &[(*b"records\0", records)]);
        let file =
            SectionFile::open(&self.copy, &path, Residence::Mapped, Verification::AtOpening).expect("sound");
        let (set, files) = (MAIN_SET.to_owned(), Vec::new());
        let published = Published { set, generation: 1, refreshed: 2, refreshed_seq: 0, dirty: 0, files };
        if let Ok(state) = apply_records(self.state.clone(), &file, &published) {
            assert!(state.epoch >= published.refreshed());
            read_all(state);
        }
    }

    /// The operations of a record, applied to the sample. The first byte is their number.
    ///
    /// # Panics
    /// On a defect.
    pub fn operations(&self, bytes: &[u8]) {
        let Some((&count, body)) = bytes.split_first() else { return };
        let head = Head { seq: 0, before: 0, epoch: 2, part: 0, parts: 1, ops: count.into(), sum: 0 };
        let Ok(ops) = record::ops(&head, body) else { return };
        let mut applier = Applier::new(self.state.clone());
        applier.advance(Epoch::new(2));
        if ops.into_iter().all(|op| applier.apply(op).is_ok()) {
            read_all(applier.finish());
        }
    }
}

/// Writes a file with valid checksums.
pub(crate) fn write(
    disk: &Disk,
    path: &Path,
    kind: [u8; 4],
    version: u32,
    sections: &[Section<'_>],
) -> Fingerprint {
    let mut writer = SectionWriter::new(kind, version);
    for (tag, content) in sections {
        writer.section(*tag, *content);
    }
    writer.write_to(disk.target(path), &CancelToken::new()).expect("written")
}

fn mode(cancel: &CancelToken) -> OpenMode<'_> {
    OpenMode { is_mapped: false, verified: None, cancel }
}

pub(crate) fn all_sections(file: &SectionFile) -> Vec<Section<'_>> {
    file.tags().map(|tag| (tag, file.section(tag).expect("its table names it"))).collect()
}

/// A store with lists of all forms (small, over 64 slots, weighted, timed), a relation of many and one of few nodes, every kind of
/// feature, and a property of each type.
pub(crate) fn sample(path: &Path, nodes: u32) -> Manifest {
    let store = Store::options().create(true).open(path).expect("created");
    let mut batch = Batch::new();
    let half_life = Some(Duration::from_mins(1));
    let fading = RelationOptions { half_life, ..RelationOptions::default() };
    batch.declare_relation("fading", fading).expect("valid");
    batch.declare_relation("dislikes", RelationOptions { half_life: None, is_dislike: true }).expect("valid");
    for at in 0..nodes {
        let (pin, board) = (at.to_string(), (at % 3).to_string());
        let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
        let weight = if at % 3 == 1 { 0.5 + at as f32 } else { 1.0 };
        batch
            .link(pin, board, Edge { weight, time: (at % 3 == 2).then_some(7), ..Edge::default() })
            .expect("valid");
        batch.link(pin, pin, Edge { relation: Some("self"), ..Edge::default() }).expect("valid");
        let edge = Edge {
            weight,
            time: Some(i64::from(at) * 100_000_000),
            relation: Some("fading"),
            ..Edge::default()
        };
        batch.link(pin, board, edge).expect("valid");
        if at % 30 == 0 {
            batch.link(pin, pin, Edge { relation: Some("few"), ..Edge::default() }).expect("valid");
        }
        batch.set_tokens(pin, &[format!("t{}", at % 5), "\u{e9}".to_owned()]).expect("valid");
        batch.set_dense(pin, "photo", &[at as f32, 1.0]).expect("valid");
        // A value of each type at some nodes.
        let title = format!("t{at}");
        for (name, value) in [
            ("title", PropertyValue::Text(&title)),
            ("plays", PropertyValue::Integer(i64::from(at))),
            ("price", PropertyValue::Float(f64::from(at) / 2.0)),
            ("in_stock", PropertyValue::Boolean(at % 3 == 0)),
            ("released", PropertyValue::Time(i64::from(at) << 40)),
            ("genres", PropertyValue::List(vec!["comedy", &title])),
        ] {
            if !(at as usize + name.len()).is_multiple_of(3) {
                batch.set_property(pin, name, &value).expect("valid");
            }
        }
    }
    if nodes > 0 {
        batch.set_label("pin", Some("title")).expect("valid");
    }
    store.commit(&batch).expect("committed");
    store.checkpoint(&CancelToken::new()).expect("written");
    Manifest::read(&Disk::of(path), CURRENT).expect("readable").expect("there")
}

/// One operation of each form that a sample of this many nodes takes.
#[cfg(test)]
pub(crate) fn sample_operations(bound: u32) -> [(&'static str, Op); 15] {
    let value = EdgeData { weight: 2.0, time: Some(3) };
    // The first nodes are pins, whose first property is a text.
    let mut values = Vec::new();
    value_changes::push(&mut values, (0, Some(b"new")));
    value_changes::push(&mut values, (1, None));
    // The second relation has no edge.
    let half_life = Some(Duration::from_mins(1));
    let options = RelationOptions { half_life, is_dislike: true }.stored().expect("valid");
    [
        ("kind", Op::Kind { name: "user".into() }),
        ("relation", Op::Relation { name: "likes".into() }),
        ("node", Op::Node { node: bound, kind: 0, key: "new".into() }),
        ("live", Op::Live { node: 1, alive: false }),
        ("clear", Op::Clear { node: 2 }),
        ("edge", Op::Edge { relation: 0, a: 1, b: 3, old: None, new: Some(value) }),
        ("tokens", Op::Tokens { node: 3, tokens: vec!["a".into(), "b".into()] }),
        ("dense", Op::Dense { node: 4, block: "photo".into(), values: vec![1.0, 2.0] }),
        ("position", Op::Position { source: "input".into(), to: Some(7.into()) }),
        ("no_position", Op::Position { source: "input".into(), to: None }),
        ("property", Op::Property { kind: 0, name: "pages".into(), of: PropertyType::Integer }),
        ("label", Op::Label { kind: 0, property: Some(1) }),
        ("no_label", Op::Label { kind: 0, property: None }),
        ("values", Op::Values { node: 0, values }),
        ("relation_options", Op::RelationOptions { relation: 1, options }),
    ]
}

/// Reads the whole content of a state.
fn read_all(state: GraphState) {
    let graph = Snapshot(state.into());
    for kind in (0..graph.kind_count()).map(|at| KindIx::new(at as u8)) {
        graph.keys_with_prefix(kind, "1", 10);
    }
    for node in (0..graph.bound()).map(NodeIx::new) {
        graph.lookup(graph.name(node).as_ref());
        graph.tokens(node);
        for (block, _) in graph.dense_blocks() {
            graph.dense(node, &block);
        }
        for property in graph.properties_of(graph.kind(node)) {
            graph.value(node, property);
        }
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            let list = graph.list(relation, node);
            assert_eq!(list.iter().count(), list.degree());
            for hash in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
                if let Some(at) = list.at_hash(hash) {
                    assert!(list.neighbor(at).get() < graph.bound());
                }
            }
            for class in list.weight_classes().iter().flat_map(WeightClasses::iter) {
                (0..class.list().degree()).for_each(|at| assert!(class.share(at) >= 0.0));
            }
            list.position(node, graph.stable_id(node));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hedgerow_test_support::{SectionInput, for_each_seed, write_seed};

    use super::*;
    use crate::types::codec;

    /// Seeds were made by [`seeds_of_all_targets`], or once failed.
    #[test]
    fn no_seed_does_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path(), 4);
        for_each_seed("section_file", |bytes| decoders.section_file(bytes));
        for_each_seed("log", |bytes| decoders.log(bytes));
        for_each_seed("operations", |bytes| decoders.operations(bytes));
        for_each_seed("manifest", |bytes| {
            if let Some(SectionInput { kind, version, sections }) = SectionInput::parse(bytes) {
                decoders.manifest(kind, version, &sections);
            }
        });
        for_each_seed("segments", |bytes| {
            if let Some(SectionInput { kind, version, sections }) = SectionInput::parse(bytes) {
                decoders.segment(kind, version, &sections);
            }
        });
    }

    /// The input of a topology file with the records of all relations by owner, as only those of few owners are otherwise.
    fn topology_by_owner(file: &SectionFile) -> Vec<u8> {
        let mut sections: BTreeMap<[u8; 8], Vec<u8>> =
            all_sections(file).into_iter().map(|(tag, content)| (tag, content.to_vec())).collect();
        for of_records in file.tags().filter(|tag| tag.starts_with(b"recs")) {
            let mut of_nodes = of_records;
            of_nodes[..4].copy_from_slice(b"node");
            let records = sections.insert(of_records, Vec::new()).expect("there");
            for (node, record) in (0_u32..).zip(records.chunks(16)).filter(|(_, record)| **record != [0; 16])
            {
                sections.entry(of_nodes).or_default().extend(node.to_le_bytes());
                sections.entry(of_records).or_default().extend(record);
            }
        }
        let sections = sections.iter().map(|(tag, content)| (*tag, content.as_slice())).collect();
        SectionInput { kind: file.kind(), version: file.version(), sections }.to_bytes()
    }

    /// `cargo test -p hedgerow-storage --lib seeds_of_all_targets -- --ignored` after a change of a format.
    #[test]
    #[ignore = "it writes into the source tree"]
    fn seeds_of_all_targets() {
        let folder = tempfile::tempdir().expect("a folder");
        let decoders = Decoders::new(folder.path(), 4);
        let store = folder.path().join("intact");
        for (named, file) in decoders.manifest.segments.iter().zip(&decoders.segments) {
            let bytes = std::fs::read(file.path()).expect("there");
            write_seed("segments", &named.name.what, &SectionInput::of_file(&bytes).to_bytes());
        }
        write_seed("segments", "topology_by_owner", &topology_by_owner(&decoders.segments[0]));
        let manifest = std::fs::read(store.join(CURRENT)).expect("there");
        write_seed("manifest", "sample", &SectionInput::of_file(&manifest).to_bytes());
        write_seed("section_file", "manifest", &manifest);
        let nodes = std::fs::read(decoders.segments[1].path()).expect("there");
        write_seed("section_file", "nodes", &nodes);
        for (name, op) in sample_operations(decoders.state.bound) {
            write_seed("operations", name, &[&[1], codec::encode(&op).as_slice()].concat());
        }
        // Two batches, the second of two records, each with an operation.
        let body = codec::encode(&Op::Clear { node: 2 });
        let heads = [[0, 9, 1, 0, 1], [1, 0, 2, 0, 2], [2, 1, 2, 1, 2]];
        let records = heads.map(|head| [&head[..], &[1, body.len() as u8], &body].concat());
        write_seed("log", "chain", &records.concat());
    }
}
