//! Files with valid checksums and invalid content: readers rely only on validated properties.
//! So nothing panics, loops or takes memory that the file does not account for.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of attempts, `HEDGEROW_SEED` selects them.

use std::path::Path;

use hedgerow_test_support::{Random, fuzz_config};

use crate::checkpoint::manifest::{CURRENT, FileName, Manifest, NamedFile};
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::Residence;
use crate::fs::section::{SectionFile, SectionWriter};
use crate::fs::verified_files::OpenMode;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::graph::snapshot::Snapshot;
use crate::segments::FILES;
use crate::store::handle::Store;
use crate::types::batch::{Batch, Edge};
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::error::Error;
use crate::types::ids::{Epoch, KindIx, NodeIx, RelationIx};
use crate::types::names::NodeRef;
use crate::types::ops::Op;
use crate::wal::record::{Head, ops};

/// One to three changes; some keep the length a multiple of the element size, some do not.
fn disturbed(intact: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = intact.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xff][random.below(6)],
            2 => {
                let at = at / 8 * 8;
                let end = bytes.len().min(at + 8);
                let value = [u64::MAX, u64::MAX / 2, 1 << 32, 0, 7][random.below(5)].to_le_bytes();
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            3 => bytes.truncate(at / 8 * 8),
            4 => bytes.extend_from_slice(&intact[..intact.len().min(8)]),
            _ if !bytes.is_empty() => {
                let other = random.below(bytes.len());
                bytes.swap(at.min(other), other);
            }
            _ => {}
        }
    }
    bytes
}

/// A store with lists of all forms (small, over 64 slots, weighted, timed) and every kind of feature.
fn sample(path: &Path) -> Manifest {
    let store = Store::options().create(true).open(path).expect("created");
    let mut batch = Batch::new();
    for at in 0..120_u32 {
        let (pin, board) = (at.to_string(), (at % 3).to_string());
        let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
        let weight = if at % 3 == 1 { 0.5 + at as f32 } else { 1.0 };
        batch
            .link(pin, board, Edge { weight, time: (at % 3 == 2).then_some(7), relation: None })
            .expect("valid");
        batch.link(pin, pin, Edge { relation: Some("self"), ..Edge::default() }).expect("valid");
        batch.set_tokens(pin, &[format!("t{}", at % 5), "\u{e9}".to_owned()]).expect("valid");
        batch.set_dense(pin, "photo", &[at as f32, 1.0]).expect("valid");
    }
    store.commit(&batch).expect("committed");
    store.checkpoint(&CancelToken::new()).expect("written");
    Manifest::read(&Disk::of(path), CURRENT).expect("readable").expect("there")
}

/// Reads the whole content of a state.
fn read(state: GraphState) {
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
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            let list = graph.list(relation, node);
            assert_eq!(list.iter().count(), list.degree());
            for hash in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
                if let Some(at) = list.at_hash(hash) {
                    assert!(list.neighbor(at).get() < graph.bound());
                }
            }
            list.position(node, graph.stable_id(node));
        }
    }
}

#[test]
fn corrupt_files_are_refused_or_read_without_harm() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 1500);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (intact, path) = (folder.path().join("intact"), folder.path().join("corrupt"));
    let manifest = sample(&intact);
    std::fs::create_dir(&path).expect("made");
    let disk = Disk::of(&path);
    let file = |named: &NamedFile| SectionFile::open(&disk, &named.path(&intact), Residence::Mapped, false);
    let files = manifest.segments.each_ref().map(|named| file(named).expect("intact"));
    for (named, file) in manifest.segments.iter().zip(&files) {
        write(&disk, &named.name, file, None);
    }
    let mut refused = 0;
    for _ in 0..rounds {
        let which = random.below(FILES.len());
        let (named, file) = (&manifest.segments[which], &files[which]);
        let tags: Vec<[u8; 8]> = file.tags().collect();
        let tag = tags[random.below(tags.len())];
        let content = disturbed(file.section(tag).expect("there"), &mut random);
        let mut of_changed = manifest.clone();
        of_changed.segments[which].fingerprint = write(&disk, &named.name, file, Some(&(tag, content)));
        match write_checkpoint::open_checkpoint(
            &disk,
            &of_changed,
            OpenMode { low_memory: None, cancel: &CancelToken::new() },
        ) {
            Ok(state) => read(state),
            Err(Error::Damaged { path: named, .. }) => {
                // Where two files contradict each other, either may be named.
                assert!(named.starts_with(&path));
                refused += 1;
            }
            Err(other) => panic!("seed {seed}: {other}"),
        }
        write(&disk, &named.name, file, None);
    }
    assert!(refused > rounds / 4, "{refused} of {rounds} were refused");
}

fn write(
    disk: &Disk,
    name: &FileName,
    file: &SectionFile,
    changed: Option<&([u8; 8], Vec<u8>)>,
) -> Fingerprint {
    let mut writer = SectionWriter::new(file.kind(), file.version());
    for tag in file.tags() {
        let content = match changed {
            Some((other, content)) if *other == tag => content.clone(),
            _ => file.section(tag).expect("there").to_vec(),
        };
        writer.section(tag, content);
    }
    let path = name.path(disk.folder());
    writer.write_to(disk.target(&path), &CancelToken::new()).expect("written")
}

/// Operations that decode and contradict the state are errors, with any content.
#[test]
fn corrupt_operations_are_refused_or_applied_without_harm() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 20_000);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let manifest = sample(&path);
    let checkpointed = write_checkpoint::open_checkpoint(
        &Disk::of(&path),
        &manifest,
        OpenMode { low_memory: None, cancel: &CancelToken::new() },
    )
    .expect("intact");
    let value = crate::types::ops::EdgeData { weight: 2.0, time: Some(3) };
    let honest = [
        Op::Kind { name: "user".into() },
        Op::Relation { name: "likes".into() },
        Op::Node { node: checkpointed.bound, kind: 0, key: "new".into() },
        Op::Live { node: 1, alive: false },
        Op::Clear { node: 2 },
        Op::Edge { relation: 0, a: 1, b: 3, old: None, new: Some(value) },
        Op::Tokens { node: 3, tokens: vec!["a".into(), "b".into()] },
        Op::Dense { node: 4, block: "photo".into(), values: vec![1.0, 2.0] },
        Op::Position { source: "input".into(), to: Some(7.into()) },
        Op::Position { source: "input".into(), to: None },
    ];
    for round in 0..rounds {
        let mut body = Vec::new();
        let mut count = 0;
        for _ in 0..=random.below(4) {
            codec::encode_into(&mut body, &honest[random.below(honest.len())]);
            count += 1;
        }
        let body = if round % 8 == 0 { body } else { disturbed(&body, &mut random) };
        let head = Head { seq: 0, before: 0, epoch: 2, part: 0, parts: 1, ops: count, sum: 0 };
        let Ok(ops) = ops(&head, &body) else { continue };
        let mut applier = Applier::new(checkpointed.clone());
        applier.advance(Epoch::new(2));
        if ops.into_iter().all(|op| applier.apply(op).is_ok()) {
            read(applier.finish());
        }
    }
}

/// Damage that no checksum detects: an edge that only one end has, in a file that is consistent by itself.
#[test]
fn a_deep_check_finds_what_checksums_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut manifest = sample(&path);
    let check = |deep| {
        let options = crate::store::check::CheckOptions { deep, read_only: false };
        Store::check(&path, options, &CancelToken::new()).expect("it can be looked at").problems
    };
    assert_eq!(check(true), []);
    let disk = Disk::of(&path).with_store(manifest.store);
    let name = manifest.segments[0].name.clone();
    let file = SectionFile::open(&disk, &name.path(&path), Residence::Loaded, false).expect("intact");
    let tag = *b"list0000";
    let mut words = file.section_u32(tag).expect("there").to_vec();
    // The first block belongs to a node with one neighbor, which is replaced by another one.
    words[0] = (words[0] + 1) % 100;
    let changed = (tag, bytemuck::cast_slice(&words).to_vec());
    manifest.segments[0].fingerprint = write(&disk, &name, &file, Some(&changed));
    manifest.prepare(&disk, None).expect("written").make_current().expect("swapped");
    assert_eq!(check(false), []);
    assert!(check(true).iter().any(|problem| problem.what.contains("the same edge back")));
}
