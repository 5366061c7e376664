//! Nodes with thousands of neighbors, changed edge by edge: the store keeps such lists in chunks.
//! Readers and files must be the same as with contiguous lists.

use std::collections::BTreeMap;
use std::path::Path;

use hedgerow_storage::{
    Batch, CancelToken, Edge, FlattenedLists, Generation, List, NeighborOffsets, NodeIx, NodeName, Publish,
    Snapshot, Store,
};
use hedgerow_test_support::Random;

const PINS: u64 = 3000;

/// Edges by board and pin.
type Edges = BTreeMap<(&'static str, u64), (f32, Option<i64>)>;

fn open(path: &Path) -> Store {
    Store::options().create(true).open(path).expect("opens")
}

fn name(kind: &str, key: impl std::fmt::Display) -> NodeName {
    NodeName::new(kind, format!("{key}")).expect("valid")
}

fn link(batch: &mut Batch, board: &str, pin: u64, (weight, time): (f32, Option<i64>)) {
    let edge = Edge { weight, time, ..Edge::default() };
    batch.link(&name("board", board), &name("pin", pin), edge).expect("valid");
}

/// All nodes, so that their numbers are the same in each store.
fn nodes() -> Batch {
    let mut batch = Batch::new();
    for board in ["plain", "rich"] {
        batch.add_node(&name("board", board)).expect("valid");
    }
    for pin in 0..PINS {
        batch.add_node(&name("pin", pin)).expect("valid");
    }
    batch
}

fn edges(edges: &Edges) -> Batch {
    let mut batch = Batch::new();
    for (&(board, pin), &edge) in edges {
        link(&mut batch, board, pin, edge);
    }
    batch
}

/// Each slot's neighbor with the values of its edge, and the draws of some hashes.
fn layout(list: &List<'_>) -> Vec<Option<(NodeIx, u32, Option<i64>)>> {
    let at = |at| (list.neighbor(at), list.weight(at).to_bits(), list.time(at));
    let slots = (0..1 << list.slot_bits()).map(|slot| list.at_slot(slot));
    let drawn = (1..500_u64).map(|hash| list.at_hash(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    slots.chain(drawn).map(|position| position.map(at)).collect()
}

/// Compares snapshot and graph of a store with a store that has the same edges, written at once.
fn assert_alike(found: &Snapshot, expected: &Snapshot, when: &str) {
    let relation = found.relation_ix("board-pin").expect("used");
    let flat = FlattenedLists::of(found, relation).expect("memory");
    for board in ["plain", "rich"] {
        let node = found.require(&name("board", board)).expect("alive");
        let list = expected.list(relation, node);
        assert!(layout(&found.list(relation, node)) == layout(&list), "{when}: {board}");
        let lists = flat.as_ref().map_or(found.lists(relation), |flat| flat.lists(found, relation));
        assert!(layout(&lists.get(node)) == layout(&list), "{when}: {board}, flat");
        let spans = NeighborOffsets::of(&lists, found.bound()).expect("memory");
        let changed = NeighborOffsets::of(&found.lists(relation), found.bound()).expect("memory");
        for nth in 0..200_u64 {
            let random = nth << 24;
            let position = ((random * list.degree() as u64) >> 32) as usize;
            match spans.place(&lists, node, random) {
                Ok(place) => assert_eq!(place.neighbor(), Some(list.neighbor(position)), "{when}: {board}"),
                Err(()) => assert!(list.is_weighted(), "{when}: {board} is flat"),
            }
            if let Ok(place) = changed.place(&found.lists(relation), node, random) {
                assert_eq!(place.neighbor(), Some(list.neighbor(position)), "{when}: {board}");
            }
        }
    }
}

/// The bytes of the newest topology file after its header, which has the identity of the store.
fn topology(store: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(store).expect("a folder").map(|entry| entry.expect("an entry").path());
    let number = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("topology.")?.strip_suffix(".hg")?.parse().ok()
    };
    let newest = files.filter_map(|path| Some((number(&path)?, path))).max().expect("written");
    std::fs::read(newest.1).expect("readable").split_off(64)
}

#[test]
fn a_hub_that_changed_edge_by_edge_is_the_one_that_was_written_at_once() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("changed");
        let mut store = open(&path);
        store.commit(&nodes()).expect("possible");
        // The degree leaves the table of 2048 slots and returns to it.
        let mut inside: Edges = (0..1020).map(|pin| (("plain", pin), (1.0, None))).collect();
        inside.extend((0..2500).map(|pin| (("rich", pin), (1.0, None))));
        store.commit(&edges(&inside)).expect("possible");
        let mut held: Vec<(Snapshot, Edges)> = Vec::new();
        let mut other = 0;
        let mut anew = |inside: &Edges| {
            other += 1;
            let path = folder.path().join(format!("anew-{other}"));
            let store = open(&path);
            store.commit(&nodes()).expect("possible");
            store.commit(&edges(inside)).expect("possible");
            store.checkpoint(&CancelToken::new()).expect("written");
            (store.snapshot(), topology(&path))
        };
        for step in 0..120 {
            if step == 10 {
                let refreshed = store.snapshot().epoch();
                let publish = Publish { generation: Generation::new(1), refreshed, files: vec![] };
                store.publish(publish, &CancelToken::new()).expect("published");
                held.push((store.snapshot(), inside.clone()));
            }
            let board = ["plain", "rich"][random.below(2) as usize];
            let pin = random.below(PINS);
            let mut batch = Batch::new();
            if inside.contains_key(&(board, pin)) && random.below(3) > 0 {
                batch.unlink(&name("board", board), &name("pin", pin), None).expect("valid");
                inside.remove(&(board, pin));
            } else {
                let is_rich = board == "rich" && seed > 0;
                let weight = if is_rich { 0.5 + random.below(5) as f32 } else { 1.0 };
                let edge =
                    (weight, (is_rich && random.below(3) == 0).then(|| i64::from(random.below(9_u32)) - 4));
                link(&mut batch, board, pin, edge);
                inside.insert((board, pin), edge);
            }
            store.commit(&batch).expect("possible");
            match step {
                30 | 60 => {
                    drop(held.split_off(0));
                    drop(std::mem::replace(&mut store, open(&folder.path().join(format!("away-{step}")))));
                    store = open(&path);
                    assert_alike(&store.snapshot(), &anew(&inside).0, "opened again");
                }
                80 => store.checkpoint(&CancelToken::new()).expect("written"),
                _ if step % 17 == 0 => {
                    let expected = anew(&inside).0;
                    assert_alike(&store.snapshot(), &expected, &format!("seed {seed}, step {step}"));
                    held.push((store.snapshot(), inside.clone()));
                }
                _ => {}
            }
        }
        let now = store.snapshot();
        for (then, edges) in &held {
            let expected = anew(edges).0;
            assert_alike(then, &expected, "a state that was held");
            let changes = store.changes(then.epoch(), &now, &CancelToken::new()).expect("held");
            let relation = now.relation_ix("board-pin").expect("used");
            for &(relation_of, node) in changes.lists.keys() {
                assert_eq!(relation_of, relation);
                let (old, list) = (changes.old_list(&now, relation, node), expected.list(relation, node));
                let slots = |list: &List<'_>| -> Vec<_> {
                    (0..1 << list.slot_bits())
                        .map(|slot| list.at_slot(slot).map(|at| (list.neighbor(at), list.weight(at))))
                        .collect()
                };
                assert!(slots(&old.as_list()) == slots(&list), "seed {seed}: the old list of {node}");
            }
        }
        store.checkpoint(&CancelToken::new()).expect("written");
        let (expected, bytes) = anew(&inside);
        assert_alike(&store.snapshot(), &expected, "settled");
        assert!(topology(&path) == bytes, "seed {seed}: the files differ");
    }
}
