//! Every order in which threads take the four locks of a writer and the locks of its readers: none deadlocks, loses a
//! commit, or shows a state that goes back. A scheduler draws the orders.
//!
//! ```text
//! RUSTFLAGS='--cfg shuttle' cargo test -p hedgerow-storage --lib schedules
//! ```
//!
//! `HEDGEROW_ROUNDS` is the number of schedules, `HEDGEROW_SEED` selects them.

use std::sync::Arc;

use hedgerow_test_support::fuzz_config;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use crate::checkpoint::derived::Publish;
use crate::fs::section_writer::SectionWriter;
use crate::store::handle::Store;
use crate::types::batch::{Batch, Edge};
use crate::types::cancel::CancelToken;
use crate::types::ids::Generation;
use crate::types::names::NodeRef;

const SCHEDULES: u64 = 60;
const WRITERS: usize = 3;
const COMMITS: usize = 2;
/// The engine of the log needs a deep stack.
const STACK_BYTES: usize = 4 << 20;

fn commit(store: &Store, key: &str) -> u64 {
    let mut batch = Batch::new();
    let (pin, board) = (NodeRef { kind: "pin", key }, NodeRef { kind: "board", key: "1" });
    batch.link(pin, board, Edge::default()).expect("valid");
    let epoch = store.commit(&batch).expect("committed").epoch;
    // A commit that returned is visible and durable.
    assert!(store.snapshot().epoch() >= epoch && store.snapshot().lookup(pin).is_some());
    epoch.get()
}

fn publish(store: &Store) {
    let refreshed = store.snapshot().epoch();
    let mut rows = SectionWriter::new(*b"EMBD", 1);
    rows.section(*b"rows\0\0\0\0", vec![refreshed.get()]);
    let files = vec![("embeddings", Some(rows))];
    store
        .publish(Publish { generation: Generation::new(1), refreshed, files }, &CancelToken::new())
        .expect("published");
    assert!(store.derived().is_some_and(|derived| derived.refreshed >= refreshed));
}

/// Three threads commit, one makes a checkpoint and publishes, one reads.
fn run_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::options().create(true).open(folder.path()).expect("created"));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        threads.push(thread::spawn(move || {
            let epochs: Vec<u64> = (0..COMMITS).map(|at| commit(&store, &format!("{writer}-{at}"))).collect();
            assert!(epochs.is_sorted_by(|one, other| one < other));
        }));
    }
    let of_publisher = Arc::clone(&store);
    threads.push(thread::spawn(move || {
        of_publisher.checkpoint(&CancelToken::new()).expect("written");
        publish(&of_publisher);
    }));
    let of_reader = Arc::clone(&store);
    threads.push(thread::spawn(move || {
        let (mut epoch, mut refreshed) = (of_reader.snapshot().epoch(), None);
        for _ in 0..4 {
            let (snapshot, derived) =
                (of_reader.snapshot(), of_reader.derived().map(|derived| derived.refreshed));
            assert!(snapshot.epoch() >= epoch && derived >= refreshed, "a reader went back");
            // Each epoch is one pin, and the board came with the first.
            let pins = snapshot.node_count().saturating_sub(1);
            assert_eq!(pins, snapshot.epoch().get(), "half a batch");
            (epoch, refreshed) = (snapshot.epoch(), derived);
            thread::yield_now();
        }
    }));
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    let all = (WRITERS * COMMITS) as u64;
    assert_eq!(store.snapshot().epoch().get(), all);
    drop(store);
    let again = Store::options().open(folder.path()).expect("opens");
    assert_eq!((again.snapshot().epoch().get(), again.damage()), (all, &[][..]));
}

fn schedules(scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(scheduler, config).run(run_threads);
}

#[test]
fn no_order_of_the_locks_deadlocks_or_loses_a_commit() {
    let (rounds, seed) = (fuzz_config::rounds(SCHEDULES) as usize, fuzz_config::seed(1));
    schedules(RandomScheduler::new_from_seed(seed, rounds));
    // Few changes of the thread, at drawn moments, find what long waits uncover.
    schedules(PctScheduler::new_from_seed(seed, 3, rounds));
}
