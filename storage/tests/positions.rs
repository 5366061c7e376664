//! The position of an input is durable with the batch that it belongs to.
//! It survives reopenings, checkpoints, publishes, backups and damage, and is no change of the graph.

use std::fs;
use std::path::Path;

use hedgerow_storage::{
    Batch, CancelToken, CheckOptions, Edge, Epoch, Error, Generation, MAX_POSITIONS, NodeRef, Position,
    Publish, SectionWriter, Store,
};

fn open(path: &Path) -> Store {
    Store::options().create(true).open(path).expect("opens")
}

/// One edge, and the position of the input with it.
fn event(number: u64) -> Batch {
    let key = number.to_string();
    let mut batch = Batch::new();
    let (pin, board) = (NodeRef { kind: "pin", key: &key }, NodeRef { kind: "board", key: "b" });
    batch.link(pin, board, Edge::default()).expect("valid");
    batch.set_position("input", position(number)).expect("valid");
    batch
}

fn position(number: u64) -> Position {
    Position { offset: 10 * number, lines: number, check: !number }
}

/// Applies events from the stored position on, so that a wrong position shows as an edge too many or too few.
fn holds(store: &Store, number: u64) {
    assert_eq!(store.position("input"), Some(position(number)));
    let graph = store.snapshot();
    assert_eq!(graph.node_count(), number + 1);
    assert_eq!(graph.positions().collect::<Vec<_>>(), [("input", position(number))]);
}

fn checkpoint(store: &Store) {
    store.checkpoint(&CancelToken::new()).expect("written");
}

#[test]
fn a_position_is_kept_through_reopenings_and_checkpoints_and_when_the_log_is_trimmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut store = open(&path);
    assert_eq!(store.position("input"), None);
    for number in 1..=12 {
        store.commit(&event(number)).expect("committed");
        holds(&store, number);
        // Two checkpoints in a row leave no record in the log.
        (0..number % 4).for_each(|_| checkpoint(&store));
        holds(&store, number);
        if number % 3 == 0 {
            drop(store);
            store = open(&path);
            holds(&store, number);
        }
    }
    let reader = Store::options().read_only(true).open(&path).expect("opens");
    holds(&reader, 11);
}

#[test]
fn a_checkpoint_that_is_taken_instead_of_a_damaged_one_leads_to_the_same_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let damages: [fn(&Path); 3] = [
        |store| fs::write(store.join("MANIFEST"), "no manifest").expect("written"),
        |store| {
            for name in ["MANIFEST", "MANIFEST.copy"] {
                fs::remove_file(store.join(name)).expect("removed");
            }
        },
        |store| {
            let lists = fs::read_dir(store).expect("there").flatten().map(|entry| entry.path());
            let newest = lists.filter(|path| path.to_string_lossy().contains("topology.")).max();
            fs::write(newest.expect("there"), "no lists").expect("written");
        },
    ];
    for (round, damage) in (1..).zip(damages) {
        let store = open(&path);
        for number in [4 * round - 3, 4 * round - 2] {
            store.commit(&event(number)).expect("committed");
            checkpoint(&store);
        }
        store.commit(&event(4 * round - 1)).expect("committed");
        drop(store);
        damage(&path);
        let store = open(&path);
        assert!(!store.damage().is_empty());
        holds(&store, 4 * round - 1);
        store.commit(&event(4 * round)).expect("committed");
        drop(store);
        let options = CheckOptions { deep: true, read_only: false };
        let found = Store::check(&path, options, &CancelToken::new()).expect("it can be looked at");
        assert_eq!(found.problems, []);
        holds(&open(&path), 4 * round);
    }
}

#[test]
fn a_backup_and_a_dump_have_positions_from_files_and_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let store = open(&path);
    for number in 1..=2 {
        store.commit(&event(number)).expect("committed");
        store.backup(copy.join(number.to_string()), &CancelToken::new()).expect("copied");
        holds(&open(&copy.join(number.to_string())), number);
        checkpoint(&store);
    }
    let mut forgets = Batch::new();
    forgets.forget_position("input").expect("valid");
    forgets.set_position("a\nb", 7.into()).expect("valid");
    store.commit(&forgets).expect("committed");
    let mut text = Vec::new();
    store.dump(&mut text, &CancelToken::new()).expect("written");
    let text = String::from_utf8(text).expect("UTF-8");
    for line in [
        "position a\\nb offset 7 lines 0 check 0000000000000000",
        "  position input offset 20 lines 2 check fffffffffffffffd",
        "  position input forgotten",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line:?} in {text}");
    }
}

#[test]
fn a_position_by_itself_is_durable_and_makes_nothing_dirty() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open(&path);
    store.commit(&event(1)).expect("committed");
    let refreshed = store.snapshot().epoch();
    let mut file = SectionWriter::new(*b"TEST", 1);
    file.section(*b"rows\0\0\0\0", vec![1.0_f32]);
    let files = vec![("embeddings", Some(file))];
    store
        .publish(Publish { generation: Generation::new(1), refreshed, files }, &CancelToken::new())
        .expect("published");
    let mut batch = Batch::new();
    batch.set_position("input", 5.into()).expect("valid");
    assert_eq!((batch.len(), batch.is_empty()), (1, false));
    assert_eq!(store.commit(&batch).expect("committed").epoch, Epoch::new(2));
    // The same position again is no change.
    assert_eq!(store.commit(&batch).expect("committed").epoch, Epoch::new(2));
    drop(store);
    let store = open(&path);
    assert_eq!((store.position("input"), store.dirty_nodes()), (Some(5.into()), 0));
    assert!(store.changes(refreshed, &store.snapshot(), &CancelToken::new()).expect("in the log").is_empty());
}

#[test]
fn more_sources_than_there_can_be_are_refused_until_one_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store"));
    let mut batch = Batch::new();
    for at in 0..MAX_POSITIONS as u64 {
        batch.set_position(&format!("input {at}"), at.into()).expect("valid");
    }
    store.commit(&batch).expect("as many as there can be");
    let mut more = event(1);
    assert!(matches!(store.commit(&more), Err(Error::Limit { found: 257, .. })));
    assert_eq!(store.snapshot().node_count(), 0);
    more.forget_position("input 17").expect("valid");
    store.commit(&more).expect("one was forgotten");
    assert_eq!((store.position("input 17"), store.position("input")), (None, Some(position(1))));
    checkpoint(&store);
    drop(store);
    assert_eq!(open(&folder.path().join("store")).snapshot().positions().count(), MAX_POSITIONS);
}
