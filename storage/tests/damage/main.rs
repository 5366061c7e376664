//! Flipped bits, truncations and missing files, in every file of a store.
//! The store opens with every acknowledged batch, or an error names the damaged file and the place. There is never a
//! wrong answer, a panic, or a hang.
//!
//! `HEDGEROW_FLIPS` is the number of bits of each file that are flipped, one at a time (2,000 take some minutes in
//! release).
//! `HEDGEROW_SEED` selects them.

mod foreign_files;
mod foreign_log;
mod replaced_folder;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use hedgerow_storage::{
    Batch, CancelToken, Damage, Edge, Error, Generation, NodeIx, NodeRef, Publish, RelationIx, SectionWriter,
    Snapshot, Store,
};
use hedgerow_test_support::Random;

/// Far longer than opening so small a store takes.
const PATIENCE: Duration = Duration::from_mins(2);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The whole content of a snapshot, as text.
fn content(graph: &Snapshot) -> String {
    let mut text = format!("epoch {}\n", graph.epoch());
    for node in (0..graph.bound()).map(NodeIx::new) {
        let photo = graph.dense(node, "photo");
        write!(text, "{} {} {:?} {photo:?}", graph.name(node), graph.is_alive(node), graph.tokens(node))
            .expect("text grows");
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            let edges: Vec<_> = graph.list(relation, node).iter().collect();
            write!(text, " {}={edges:?}", graph.relation_name(relation)).expect("text grows");
        }
        text.push('\n');
    }
    write!(text, "{:?}", graph.positions().collect::<Vec<_>>()).expect("text grows");
    text
}

fn embeddings(value: f32) -> SectionWriter<'static> {
    let mut writer = SectionWriter::new(*b"EMBD", 1);
    writer.section(*b"rows\0\0\0\0", vec![value; 64]);
    writer
}

fn batch(random: &mut Random, count: usize) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..count {
        let (pin, board) = (random.below(60).to_string(), random.below(9).to_string());
        let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
        let edge = Edge {
            weight: 1.0 + random.below(3) as f32,
            time: (random.below(2) == 0).then_some(7),
            ..Edge::default()
        };
        match random.below(8) {
            0 => batch.unlink(pin, board, None).expect("valid"),
            1 => batch.set_tokens(pin, &[format!("t{}", random.below(5))]).expect("valid"),
            2 => batch.set_dense(pin, "photo", &[random.below(9) as f32, 1.0]).expect("valid"),
            _ => batch.link(pin, board, edge).expect("valid"),
        }
    }
    batch.set_position("input", random.below(1000_u64).into()).expect("valid");
    batch
}

/// A store with every kind of file: two checkpoints, two publishes of one model, and records after them.
fn sample(path: &Path, random: &mut Random) -> String {
    let store = Store::options().create(true).open(path).expect("created");
    for value in [1.0_f32, 2.0] {
        for _ in 0..3 {
            store.commit(&batch(random, 40)).expect("committed");
        }
        let refreshed = store.snapshot().epoch();
        let mut model = SectionWriter::new(*b"MODL", 1);
        model.section(*b"weights\0", vec![value; 8]);
        let model = (refreshed.get() == 3).then_some(model);
        let files = vec![("embeddings", Some(embeddings(value))), ("model", model)];
        store
            .publish(Publish { generation: Generation::new(1), refreshed, files }, &CancelToken::new())
            .expect("published");
        store.commit(&batch(random, 40)).expect("committed");
        store.checkpoint(&CancelToken::new()).expect("written");
    }
    for _ in 0..5 {
        store.commit(&batch(random, 10)).expect("committed");
    }
    content(&store.snapshot())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("inside"));
        fs::create_dir_all(target.parent().expect("in a folder")).expect("made");
        fs::copy(&file, target).expect("copied");
    }
    fs::create_dir_all(to.join("log/blobs")).expect("made");
}

/// Opens a store on a thread of its own, and fails where that takes too long.
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    let opening = std::thread::spawn(move || drop(tell.send(work())));
    match told.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(_) => match opening.is_finished().then(|| opening.join()) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => panic!("{what}: it hangs"),
        },
    }
}

/// The outcome of opening a damaged store.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    Harmless,
    Repaired,
    Refused,
}

/// Opens a damaged store for writing and for reading, and checks the outcome.
fn judge(path: &Path, file: &Path, expected: &str) -> Outcome {
    let folder = path.to_path_buf();
    let (read, opened, again) = in_time(&file.display().to_string(), move || {
        let read = Store::options().read_only(true).open(&folder).map(|store| content(&store.snapshot()));
        let opened = Store::options().open(&folder).map(|store| {
            let derived = store.derived().expect("it was published");
            // Intact files have the content that was written; reading a damaged one is an error.
            for (name, values) in [("embeddings", &[1.0, 2.0][..]), ("model", &[1.0][..])] {
                match derived.file(name) {
                    Ok(file) => {
                        let tag = if name == "model" { *b"weights\0" } else { *b"rows\0\0\0\0" };
                        let value = file.section_f32(tag).expect("there")[0];
                        assert!(values.contains(&value), "{name} holds {value}");
                    }
                    Err(Error::Damaged { .. }) => assert!(!derived.is_complete, "{name}"),
                    Err(other) => panic!("{other}"),
                }
            }
            (content(&store.snapshot()), store.damage().to_vec())
        });
        // A repaired store stays sound.
        let again = opened.as_ref().is_ok_and(|(_, damage)| !damage.is_empty()).then(|| {
            let store = Store::options().open(&folder).expect("it was made good");
            let derived = |repair: &Damage| {
                let name = repair.path.file_name().and_then(|name| name.to_str()).expect("text");
                let is_dirt = repair.remedy.contains("all embeddings are computed again");
                is_dirt || name.starts_with("embeddings.") || name.starts_with("model.")
            };
            // Derived files are for the host to compute again; until then the log lacks records since they were made.
            assert!(store.damage().iter().all(derived), "{:?} again", store.damage());
            content(&store.snapshot())
        });
        (read, opened, again)
    });
    // Readers see the state of the last checkpoint, or an error that names a file.
    match read {
        Ok(text) => assert!(text.lines().count() <= expected.lines().count()),
        Err(Error::Damaged { .. } | Error::NotAStore { .. } | Error::NewerVersion { .. }) => {}
        Err(other) => panic!("{}: a reader says {other}", file.display()),
    }
    let name = file.strip_prefix(path).expect("inside").display().to_string();
    match opened {
        Ok((text, damage)) => {
            assert_eq!(text, expected, "{name}: another graph");
            assert!(again.is_none_or(|again| again == expected), "{name}: another graph later");
            if damage.is_empty() { Outcome::Harmless } else { Outcome::Repaired }
        }
        Err(error @ (Error::Damaged { .. } | Error::NewerVersion { .. })) => {
            eprintln!("{error}");
            let (Error::Damaged { path: named, .. } | Error::NewerVersion { path: named, .. }) = &error
            else {
                unreachable!("one of the two")
            };
            assert!(
                name.starts_with("log") && named.ends_with("log") || named == file,
                "{name}: {}",
                named.display()
            );
            Outcome::Refused
        }
        Err(other) => panic!("{name}: {other}"),
    }
}

/// The engine panics on damage, and the store catches it; the message of the panic is left out of the test's output.
fn silence() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !hedgerow_storage::is_engine_panic(panic) {
            usual(panic);
        }
    }));
}

#[test]
fn a_flipped_bit_is_made_good_or_named() {
    silence();
    let (seed, flips) = (number("HEDGEROW_SEED", 1), number("HEDGEROW_FLIPS", 24));
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (intact, path) = (folder.path().join("intact"), folder.path().join("store"));
    let expected = sample(&intact, &mut random);
    for file in files(&intact) {
        let name = file.strip_prefix(&intact).expect("inside").to_path_buf();
        let bytes = fs::read(&file).expect("readable");
        let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
        for _ in 0..flips {
            if bytes.is_empty() {
                break;
            }
            // Most of the log's file is space that was never written.
            let written = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
            let bit = random.below(written * 8);
            copy(&intact, &path);
            let mut torn = bytes.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            fs::write(path.join(&name), &torn).expect("written");
            eprintln!("seed {seed}: {} bit {bit}", name.display());
            *outcomes.entry(judge(&path, &path.join(&name), &expected)).or_default() += 1;
        }
        eprintln!("{:24} {flips} bits flipped: {outcomes:?}", name.display().to_string());
    }
}

#[test]
fn a_truncated_empty_or_missing_file_is_made_good_or_named() {
    silence();
    let seed = number("HEDGEROW_SEED", 1);
    let cuts = number("HEDGEROW_FLIPS", 24).div_ceil(3) as usize;
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (intact, path) = (folder.path().join("intact"), folder.path().join("store"));
    let expected = sample(&intact, &mut random);
    for file in files(&intact) {
        let name = file.strip_prefix(&intact).expect("inside").to_path_buf();
        let bytes = fs::read(&file).expect("readable");
        let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
        let step = (bytes.len() / cuts).max(1);
        for len in (0..bytes.len()).step_by(step).chain(bytes.len().checked_sub(1)) {
            copy(&intact, &path);
            fs::write(path.join(&name), &bytes[..len]).expect("written");
            eprintln!("seed {seed}: {} cut to {len}", name.display());
            *outcomes.entry(judge(&path, &path.join(&name), &expected)).or_default() += 1;
        }
        copy(&intact, &path);
        fs::remove_file(path.join(&name)).expect("removed");
        *outcomes.entry(judge(&path, &path.join(&name), &expected)).or_default() += 1;
        copy(&intact, &path);
        fs::write(path.join(&name), b"something else altogether").expect("written");
        *outcomes.entry(judge(&path, &path.join(&name), &expected)).or_default() += 1;
        eprintln!("{:24} cut, removed, replaced: {outcomes:?}", name.display().to_string());
    }
}
