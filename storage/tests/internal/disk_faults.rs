//! Faults of a disk: it refuses a write, writes a part, loses unsynced writes, and loses them in any order.
//! Runs whole stores through a watched file layer; knows nothing of the content of files.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of attempts, `HEDGEROW_SEED` selects them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hedgerow_test_support::{Random, fuzz_config};

use crate::checkpoint::derived::Publish;
use crate::checkpoint::published::MAIN_SET;
use crate::fs::disk::{Disk, Event, Verdict, Watch};
use crate::fs::section_writer::SectionWriter;
use crate::store::handle::Store;
use crate::store::open::OpenOptions;
use crate::types::batch::{Batch, Edge};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{Generation, NodeIx, RelationIx};
use crate::types::names::NodeRef;
use crate::types::property::PropertyValue;

/// The graph of the script: edges by the keys of their ends, tokens and values by key, and positions.
type Content = BTreeSet<String>;

fn content(store: &Store) -> Content {
    let graph = store.snapshot();
    let mut content = Content::new();
    for node in (0..graph.bound()).map(NodeIx::new).filter(|&node| graph.is_alive(node)) {
        let values = graph.properties_of(graph.kind(node)).map(|property| graph.value(node, property));
        let values: Vec<_> = values.collect();
        content.insert(format!("{} {:?} {values:?}", graph.name(node), graph.tokens(node)));
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            for (other, weight, _) in graph.list(relation, node).iter() {
                content.insert(format!("{} {} {weight}", graph.name(node), graph.name(other)));
            }
        }
    }
    content.extend(graph.positions().map(|(source, position)| format!("{source} {position:?}")));
    content
}

/// A step of the script.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit(u64),
    Checkpoint,
    Publish,
    Keep,
    Discard,
    /// A sidecar takes the place of the published file.
    Replace,
    Reopen,
}

use Step::{Checkpoint, Commit, Discard, Keep, Publish as Published, Reopen, Replace};

const SCRIPT: [Step; 22] = [
    Commit(1),
    Commit(2),
    Keep,
    Checkpoint,
    Commit(3),
    Published,
    Commit(4),
    Replace,
    Reopen,
    Commit(5),
    Checkpoint,
    Commit(6),
    Published,
    Keep,
    Replace,
    Checkpoint,
    Commit(7),
    Commit(8),
    Commit(9),
    Discard,
    Commit(10),
    Commit(11),
];

/// Batch n: one edge more, one that a later batch removes, another weight, tokens, values, and the position in the script.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    let names = [number, number.saturating_sub(1)].map(|at| at.to_string());
    let pins = names.each_ref().map(|key| NodeRef { kind: "pin", key });
    let board = NodeRef { kind: "board", key: "b" };
    let weight = |weight| Edge { weight, ..Edge::default() };
    batch.link(pins[0], board, weight(number as f32)).expect("valid");
    batch.link(pins[0], NodeRef { kind: "board", key: "c" }, weight(1.0)).expect("valid");
    batch.unlink(pins[1], NodeRef { kind: "board", key: "c" }, None).expect("valid");
    batch.set_tokens(board, &[names[0].as_str()]).expect("valid");
    let visits = PropertyValue::Integer(number.cast_signed());
    batch.set_property(board, "visits", &visits).expect("valid");
    batch.set_property(pins[0], "title", &PropertyValue::Text(&names[0])).expect("valid");
    batch.set_position("script", number.into()).expect("valid");
    batch
}

/// The content after each number of batches.
fn expected() -> Vec<Content> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::options().create(true).open(folder.path()).expect("created");
    let mut contents = vec![content(&store)];
    for number in 1..=12 {
        store.commit(&batch(number)).expect("committed");
        contents.push(content(&store));
    }
    contents
}

fn options() -> OpenOptions {
    Store::options().create(true)
}

/// Runs the script until a step fails; returns the number of batches that were acknowledged, and of those that were
/// begun.
fn run(disk: &Disk, acknowledged: &AtomicUsize) -> (usize, Result<(), Error>) {
    let mut begun = 0;
    let mut go = || {
        let mut store = options().write(disk.clone())?;
        for step in SCRIPT {
            match step {
                Commit(number) => {
                    begun += 1;
                    store.commit(&batch(number))?;
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                Checkpoint => store.checkpoint(&CancelToken::new())?,
                Published => {
                    let refreshed = store.snapshot().epoch();
                    let mut file = SectionWriter::new(*b"EMBD", 1);
                    file.section(*b"epoch\0\0\0", vec![refreshed.get()]);
                    let files = vec![("embeddings", Some(file))];
                    store.publish(
                        Publish { generation: Generation::new(1), refreshed, files },
                        &CancelToken::new(),
                    )?;
                }
                Keep => {
                    let batches = [store.snapshot().epoch().get()];
                    let mut file = SectionWriter::new(*b"TEST", 1);
                    file.section(*b"batches\0", &batches[..]);
                    store.write_sidecar("job", &file)?;
                }
                Discard => store.remove_sidecar("job")?,
                Replace => {
                    let before = store.derived_set(MAIN_SET).reopen()?.expect("it was published");
                    let mut file = SectionWriter::new(*b"EMBD", 1);
                    file.section(*b"epoch\0\0\0", vec![before.refreshed.get()]);
                    store.write_sidecar("merged", &file)?;
                    let merged = store.sidecar("merged")?.expect("it was written");
                    assert!(store.derived_set(MAIN_SET).replace(&before, &[("embeddings", merged)], &[])?);
                }
                Reopen => {
                    drop(store);
                    store = options().write(disk.clone())?;
                }
            }
        }
        Ok(())
    };
    let result = go();
    (begun, result)
}

/// Opens the store that is left: it has the acknowledged batches, perhaps the batch in progress, and accepts another
/// batch.
fn check(folder: &Path, acknowledged: usize, begun: usize, expected: &[Content]) -> Result<(), String> {
    let store = options().open(folder).map_err(|error| error.to_string())?;
    let found = content(&store);
    let at = (acknowledged..=begun).find(|&at| expected[at] == found);
    let at =
        at.ok_or_else(|| format!("of {acknowledged} to {begun} batches it holds other things: {found:?}"))?;
    if let Some(derived) = store.derived() {
        let file = derived.file("embeddings").map_err(|error| error.to_string())?;
        let epoch = file.section_u64(*b"epoch\0\0\0").map_err(|error| error.to_string())?[0];
        if epoch != derived.refreshed.get() || epoch > at as u64 {
            return Err(format!("embeddings of epoch {epoch} beside {at} batches"));
        }
    }
    let sidecar = store.sidecar("job").map_err(|error| error.to_string())?;
    let sidecar = sidecar.map(|file| file.section_u64(*b"batches\0").expect("it was written")[0]);
    // Written after 2 and again after 6 batches, removed after 9. An operation in progress at that time happened or did
    // not.
    let may_be: &[Option<u64>] = match acknowledged {
        0..=2 => &[None, Some(2)],
        3..=5 => &[Some(2)],
        6 => &[Some(2), Some(6)],
        7..=8 => &[Some(6)],
        9 => &[Some(6), None],
        _ => &[None],
    };
    if !may_be.contains(&sidecar) {
        return Err(format!("beside {acknowledged} batches a file that was kept after {sidecar:?}"));
    }
    store.commit(&batch(at as u64 + 1)).map_err(|error| error.to_string())?;
    if content(&store) != expected[at + 1] {
        return Err("it takes no other batch".to_owned());
    }
    Ok(())
}

/// Fails the call with a certain number, in one of several ways.
#[derive(Debug)]
struct Failing {
    calls: AtomicUsize,
    at: usize,
    way: usize,
}

const WAYS: usize = 3;

impl Watch for Failing {
    fn before(&self, event: Event<'_>) -> Verdict {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        // A full disk goes on failing; another error occurs once.
        let hit = if self.way == 1 { call >= self.at } else { call == self.at };
        match (hit, self.way, event) {
            (true, 2, Event::Write(.., bytes)) if bytes.len() > 1 => Verdict::Short(bytes.len() / 2),
            (false, ..) | (true, 1, Event::Sync(_) | Event::SyncFolder | Event::Remove(_)) => {
                Verdict::Proceed
            }
            (true, 1, _) => Verdict::Fail(ErrorKind::StorageFull.into()),
            _ => Verdict::Fail(IoError::from_raw_os_error(5)),
        }
    }
}

#[test]
fn whichever_call_fails_earlier_batches_are_intact_and_the_store_works_again() {
    let expected = expected();
    let watch = Arc::new(Failing { calls: AtomicUsize::new(0), at: usize::MAX, way: 0 });
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(&Disk::watched(folder.path(), watch.clone()), &AtomicUsize::new(0));
    assert!(ran.1.is_ok(), "{ran:?}");
    let calls = watch.calls.load(Ordering::SeqCst);
    assert!(calls > 100, "only {calls} calls were watched");
    let (seed, all) = (fuzz_config::seed(0) as usize, fuzz_config::rounds(1) > 1);
    for at in 0..calls {
        for way in (0..WAYS).filter(|way| all || (at + seed).is_multiple_of(WAYS) && *way == at / WAYS % WAYS)
        {
            let folder = tempfile::tempdir().expect("a folder");
            let watch = Arc::new(Failing { calls: AtomicUsize::new(0), at, way });
            let acknowledged = AtomicUsize::new(0);
            let (begun, result) = run(&Disk::watched(folder.path(), watch), &acknowledged);
            let acknowledged = acknowledged.into_inner();
            if let Err(error) = &result {
                let typed = matches!(error, Error::Io { .. } | Error::Broken { .. });
                assert!(typed, "call {at}, way {way}: {error}");
            }
            let checked = check(folder.path(), acknowledged, begun, &expected);
            assert!(checked.is_ok(), "call {at}, way {way}, after {result:?}: {checked:?}");
        }
    }
}

/// Tracks synced and unsynced changes, and writes images of the state that a power cut might leave.
#[derive(Debug)]
struct PowerCuts {
    state: Mutex<State>,
    acknowledged: AtomicUsize,
    folder: PathBuf,
    images: PathBuf,
    /// A file whose syncs are ignored.
    forgotten: Option<&'static str>,
    each: u64,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// By file: its durable bytes, and the changes since.
    files: BTreeMap<u64, Contents>,
    /// By name: the durable entries of the folder, and the changes of names since.
    durable: BTreeMap<PathBuf, u64>,
    names: Vec<Renaming>,
    /// The files that the names refer to now.
    current: BTreeMap<PathBuf, u64>,
    next: u64,
    taken: Vec<(PathBuf, usize)>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Clone, Debug)]
enum Renaming {
    Put(PathBuf, u64),
    Gone(PathBuf),
}

const SECTOR: usize = 512;

impl Contents {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Cut(len) => bytes.resize(*len as usize, 0),
            Change::Write(at, written) => {
                let end = *at as usize + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at as usize..end].copy_from_slice(written);
            }
        }
    }

    /// Some of the changes since the last sync, in any order, some truncated.
    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match (random.below(3), change) {
                (0, _) => {}
                (1, Change::Write(at, written)) => {
                    let numbers_in = written.len().min(SECTOR * random.below(4) as usize);
                    Self::apply(&mut bytes, &Change::Write(*at, written[..numbers_in].to_vec()));
                }
                _ => Self::apply(&mut bytes, change),
            }
        }
        bytes
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            Self::apply(&mut self.durable, &change);
        }
    }
}

impl State {
    fn file(&mut self, path: &Path) -> &mut Contents {
        let id = self.current[path];
        self.files.get_mut(&id).expect("names lead to files")
    }

    fn create(&mut self, path: &Path) {
        let id = self.next;
        self.next += 1;
        self.files.insert(id, Contents::default());
        self.current.insert(path.to_path_buf(), id);
        self.names.push(Renaming::Put(path.to_path_buf(), id));
    }
}

impl PowerCuts {
    fn engine(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The engine writes on its own, so its unsynced writes are found by comparing the file.
    fn look_at_engine(&self, state: &mut State) {
        let db = self.engine().join("db");
        let (Ok(now), true) = (fs::read(&db), state.current.contains_key(&db)) else { return };
        let file = state.file(&db);
        let mut seen = file.durable.clone();
        file.pending.iter().for_each(|change| Contents::apply(&mut seen, change));
        seen.resize(now.len(), 0);
        for (at, (old, new)) in seen.chunks(SECTOR).zip(now.chunks(SECTOR)).enumerate() {
            if old != new {
                file.pending.push(Change::Write((at * SECTOR) as u64, new.to_vec()));
            }
        }
        if now.len() > file.durable.len() {
            file.pending.push(Change::Cut(now.len() as u64));
        }
    }

    /// Writes an image of the state after a power cut at this moment.
    fn cut(&self, state: &mut State) {
        self.look_at_engine(state);
        for _ in 0..self.each {
            let mut names = state.durable.clone();
            let random = &mut state.random;
            for renaming in &state.names {
                match (random.below(2), renaming) {
                    (0, _) => {}
                    (_, Renaming::Put(path, id)) => drop(names.insert(path.clone(), *id)),
                    (_, Renaming::Gone(path)) => drop(names.remove(path)),
                }
            }
            let image = self.images.join(state.taken.len().to_string());
            for (path, id) in names {
                let target = image.join(path.strip_prefix(&self.folder).expect("inside"));
                fs::create_dir_all(target.parent().expect("in a folder")).expect("made");
                fs::write(target, state.files[&id].torn(random)).expect("written");
            }
            // The engine does not need the files that it writes besides its main file.
            for entry in fs::read_dir(self.engine()).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let is_snapshot = name.to_str().is_some_and(|name| name.starts_with("snap."));
                if is_snapshot && random.below(2) == 0 && image.join("log").is_dir() {
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    let numbers_in = bytes.len() / (1 + random.below(2) as usize);
                    fs::write(image.join("log").join(name), &bytes[..numbers_in]).expect("written");
                }
            }
            state.taken.push((image, self.acknowledged.load(Ordering::SeqCst)));
        }
    }
}

impl Watch for PowerCuts {
    fn before(&self, event: Event<'_>) -> Verdict {
        let mut guard = self.state.lock().expect("sound");
        let state = &mut *guard;
        // Before the store exists, a power cut leaves a folder for which nothing was acknowledged.
        let is_store = state.durable.contains_key(&self.folder.join("MANIFEST"));
        if is_store && matches!(event, Event::Sync(_) | Event::SyncFolder | Event::Rename(..)) {
            self.cut(state);
        }
        match event {
            Event::Create(path) => state.create(path),
            Event::Open(path) => {
                if !state.current.contains_key(path) {
                    state.create(path);
                }
            }
            Event::Write(path, at, bytes) => {
                state.file(path).pending.push(Change::Write(at, bytes.to_vec()));
            }
            Event::Cut(path, len) => state.file(path).pending.push(Change::Cut(len)),
            Event::Sync(path) => {
                self.look_at_engine(state);
                if self.forgotten.is_none_or(|name| !path.ends_with(name) || !is_store) {
                    state.file(path).sync();
                }
            }
            Event::Rename(from, to) => {
                let id = state.current.remove(from).expect("names lead to files");
                state.current.insert(to.to_path_buf(), id);
                state.names.push(Renaming::Gone(from.to_path_buf()));
                state.names.push(Renaming::Put(to.to_path_buf(), id));
            }
            Event::Remove(path) => {
                if state.current.remove(path).is_some() {
                    state.names.push(Renaming::Gone(path.to_path_buf()));
                }
            }
            Event::SyncFolder => {
                for renaming in std::mem::take(&mut state.names) {
                    match renaming {
                        Renaming::Put(path, id) => drop(state.durable.insert(path, id)),
                        Renaming::Gone(path) => drop(state.durable.remove(&path)),
                    }
                }
            }
        }
        Verdict::Proceed
    }
}

/// Runs the script, cuts the power at every sync and rename, and returns the errors found and the number of images.
fn power_cuts(seed: u64, each: u64, forgotten: Option<&'static str>) -> (Vec<String>, usize) {
    let expected = expected();
    let folder = tempfile::tempdir().expect("a folder");
    let (store, images) = (folder.path().join("store"), folder.path().join("images"));
    fs::create_dir(&store).expect("made");
    let state = State {
        random: Random::new(seed),
        files: BTreeMap::new(),
        durable: BTreeMap::new(),
        names: Vec::new(),
        current: BTreeMap::new(),
        next: 0,
        taken: Vec::new(),
    };
    let cuts = Arc::new(PowerCuts {
        state: Mutex::new(state),
        acknowledged: AtomicUsize::new(0),
        folder: store.clone(),
        images,
        forgotten,
        each,
    });
    let (_, result) = run(&Disk::watched(&store, cuts.clone()), &cuts.acknowledged);
    result.expect("nothing fails");
    let taken = std::mem::take(&mut cuts.state.lock().expect("sound").taken);
    let mut wrong = Vec::new();
    for (image, acknowledged) in &taken {
        if let Err(what) = check(image, *acknowledged, (*acknowledged + 1).min(11), &expected) {
            wrong.push(format!("seed {seed}, image {}: {what}", image.display()));
        }
        fs::remove_dir_all(image).expect("removed");
    }
    (wrong, taken.len())
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1));
    let mut all = 0;
    for seed in seed..seed + rounds {
        let (wrong, images) = power_cuts(seed, 2, None);
        assert!(images > 100, "only {images} images were made");
        assert_eq!(wrong, [""; 0], "{} of {images}", wrong.len());
        all += images;
    }
    eprintln!("{all} images of power cuts, seeds {seed} to {}", seed + rounds - 1);
}

/// The rules, broken: without the fsync of the journal, or without that of the engine before the journal starts over,
/// images lose acknowledged batches. So the images prove that the rules are needed. Without the sync of a manifest
/// nothing is lost, since there are other manifests.
#[test]
fn without_the_syncs_of_the_log_a_power_cut_loses_what_was_acknowledged() {
    for forgotten in ["JOURNAL", "log/db"] {
        let wrong = (1..10).map(|seed| power_cuts(seed, 3, Some(forgotten)).0.len());
        assert!(wrong.into_iter().any(|wrong| wrong > 0), "nothing was lost without a sync of {forgotten}");
    }
}
