//! A recommender that keeps its answers current while events arrive.
//!
//! One thread commits events. An [`Updater`] refreshes the embeddings in the background. Another thread answers queries
//! meanwhile, and each answer has the epoch of its embeddings.
//!
//! `cargo run --example live_recommender`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Error, NodeName, Query, Ranked, Recipient, Store, TrainOptions, Update,
    Updater, UpdaterOptions, WalkOptions,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: usize = 500;
const ITEMS: usize = 800;
/// Item n is of genre n mod 8, and user n likes genre n mod 8.
const GENRES: usize = 8;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Refreshes that the updater made.
    pub(crate) refreshes: u64,
    /// Queries that were answered meanwhile.
    pub(crate) answers: usize,
    /// The digest of the embeddings at the end.
    pub(crate) updated: String,
    /// The digest after all embeddings were computed anew. It is equal.
    pub(crate) rebuilt: String,
}

#[cfg_attr(test, expect(dead_code, reason = "the test calls `host` with its own duration"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let outcome = host(Duration::from_secs(5))?;
    println!("{} refreshes beside {} answers", outcome.refreshes, outcome.answers);
    println!("updated {}\nrebuilt {}", outcome.updated, outcome.rebuilt);
    Ok(())
}

/// Trains a model on a first batch of events, then commits and answers for some time.
pub(crate) fn host(duration: Duration) -> Result<Outcome, Box<dyn std::error::Error>> {
    // 1. Create a store with the events of the past.
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store"))?);
    let mut rng = StdRng::seed_from_u64(1);
    store.commit(&events(&mut rng, 10_000)?)?;

    // 2. Train a model of the items.
    let engine = Arc::new(Engine::open(Arc::clone(&store))?);
    let options = TrainOptions {
        dim: 16,
        epochs: 2,
        pairs_per_epoch: 20_000,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::new(["item"])
    };
    let cancel = CancelToken::new();
    let trained = engine.training(&options).run(&cancel)?;
    println!("trained on {} items in {:.1} s", trained.embedded, trained.seconds);

    // 3. Start the updater. It refreshes half a second after a commit, or as soon as 100 nodes are dirty. After a failure
    //    the last embeddings continue to answer, and the updater tries again.
    let options =
        UpdaterOptions { max_age: Duration::from_millis(500), max_dirty: 100, ..UpdaterOptions::default() };
    let updater = Updater::start(Arc::clone(&engine), &options, |update| {
        if let Update::Failed { error, retry_in, .. } = update {
            println!("refresh failed, next attempt in {retry_in:?}: {error}");
        }
    })?;

    // 4. Commit events in one thread and answer queries in another one.
    let is_open = AtomicBool::new(true);
    let answers = thread::scope(|scope| {
        let writer = scope.spawn(|| commit_events(&store, &mut rng, duration));
        let server = scope.spawn(|| serve(&engine, &is_open));
        let written = writer.join().expect("the writer does not panic");
        is_open.store(false, Ordering::Relaxed);
        let served = server.join().expect("the server does not panic");
        written.and(served)
    })?;

    // 5. Wait for the last refresh, stop the updater, and compare the embeddings with a rebuild.
    let reached = updater.flush(&cancel)?;
    let report = updater.stop()?;
    println!("the embeddings have reached epoch {reached}, the last one of the store");
    let updated = engine.digest(&cancel)?.digest;
    engine.refresh(true, &cancel)?;
    let rebuilt = engine.digest(&cancel)?.digest;
    Ok(Outcome { refreshes: report.refreshes, answers, updated, rebuilt })
}

/// Random events: a user chooses an item, mostly one of the genre that the user likes.
fn events(rng: &mut StdRng, count: usize) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    for _ in 0..count {
        let user = rng.random_range(0..USERS);
        let genre = if rng.random_bool(0.9) { user % GENRES } else { rng.random_range(0..GENRES) };
        let item = rng.random_range(0..ITEMS / GENRES) * GENRES + genre;
        let (user, item) = (user.to_string(), item.to_string());
        batch.link(("user", &*user), ("item", &*item), Edge::default())?;
    }
    Ok(batch)
}

/// Commits three events every 30 ms. A commit returns when its batch is durable.
fn commit_events(store: &Store, rng: &mut StdRng, duration: Duration) -> Result<(), Error> {
    let since = Instant::now();
    while since.elapsed() < duration {
        store.commit(&events(rng, 3)?)?;
        thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// Answers two queries every 250 ms, and returns the number of answers.
fn serve(engine: &Engine, is_open: &AtomicBool) -> Result<usize, Error> {
    let query = Query { k: 5, ..Query::default() };
    let mut answers = 0;
    for round in (0..).take_while(|_| is_open.load(Ordering::Relaxed)) {
        let item = NodeName::new("item", (round % ITEMS).to_string())?;
        let similar = engine.similar(&item, &query, &CancelToken::new())?;
        show(engine, &format!("similar to {item}"), &similar);
        let user = NodeName::new("user", (round % USERS).to_string())?;
        let recipient = Recipient::Node(user.clone());
        let recommended = engine.recommend(&recipient, &query, &CancelToken::new())?;
        show(engine, &format!("for {user}"), &recommended);
        answers += 2;
        thread::sleep(Duration::from_millis(250));
    }
    Ok(answers)
}

/// Prints an answer with its epoch, the commits after it, and the nodes that those commits made dirty.
fn show(engine: &Engine, query: &str, answer: &Ranked) {
    let now = engine.store().snapshot().epoch();
    let items: Vec<&str> = answer.items.iter().map(|item| item.node.key.as_str()).collect();
    println!(
        "{query}: {}   epoch {} of {now}, {} commits behind, {} dirty nodes",
        items.join(" "),
        answer.epoch,
        now.get() - answer.epoch.get(),
        answer.dirty_nodes
    );
}
