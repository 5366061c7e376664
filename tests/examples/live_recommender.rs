//! A host whose recommendations follow what its users do: one thread commits events, an [`Updater`] refreshes the
//! embeddings behind it, and another thread answers questions all the while. Every answer says how fresh it is.
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

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Refreshes that the updater made.
    pub(crate) refreshes: u64,
    /// Questions that were answered meanwhile.
    pub(crate) answers: usize,
    /// The digest of the embeddings that followed the events, and that of all of them computed anew.
    pub(crate) followed: String,
    pub(crate) rebuilt: String,
}

#[cfg_attr(test, expect(dead_code, reason = "a test opens the host for as long as it likes"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let outcome = host(Duration::from_secs(5))?;
    println!("{} refreshes beside {} answers", outcome.refreshes, outcome.answers);
    println!("followed {}\nrebuilt  {}", outcome.followed, outcome.rebuilt);
    Ok(())
}

/// The host: trains on the events so far, then is open for a while.
pub(crate) fn host(open_for: Duration) -> Result<Outcome, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store"))?);
    let mut rng = StdRng::seed_from_u64(1);
    store.commit(&events(&mut rng, 10_000)?)?;

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

    // An event is in the answers half a second after it, or as soon as 100 nodes are dirty.
    let options =
        UpdaterOptions { max_age: Duration::from_millis(500), max_dirty: 100, ..UpdaterOptions::default() };
    let updater = Updater::start(Arc::clone(&engine), &options, |update| {
        if let Update::Failed { error, retry_in, .. } = update {
            println!("the embeddings stay as they are: {error}; next attempt in {retry_in:?}");
        }
    })?;

    let is_open = AtomicBool::new(true);
    let answers = thread::scope(|scope| {
        let writer = scope.spawn(|| commit_events(&store, &mut rng, open_for));
        let server = scope.spawn(|| serve(&engine, &is_open));
        let written = writer.join().expect("the writer does not panic");
        is_open.store(false, Ordering::Relaxed);
        let served = server.join().expect("the server does not panic");
        written.and(served)
    })?;

    let reached = updater.flush(&cancel)?;
    let report = updater.stop()?;
    println!("the embeddings are at epoch {reached}, as the store is");
    let followed = engine.digest(&cancel)?.digest;
    engine.refresh(true, &cancel)?;
    let rebuilt = engine.digest(&cancel)?.digest;
    Ok(Outcome { refreshes: report.refreshes, answers, followed, rebuilt })
}

/// Some events: a user takes an item, mostly one of the genre that the user likes.
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

/// Three events every 30 ms, each batch durable before the next.
fn commit_events(store: &Store, rng: &mut StdRng, open_for: Duration) -> Result<(), Error> {
    let since = Instant::now();
    while since.elapsed() < open_for {
        store.commit(&events(rng, 3)?)?;
        thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// Answers two questions every 250 ms, and says how many.
fn serve(engine: &Engine, is_open: &AtomicBool) -> Result<usize, Error> {
    let query = Query { k: 5, ..Query::default() };
    let mut answers = 0;
    for asked in (0..).take_while(|_| is_open.load(Ordering::Relaxed)) {
        let item = NodeName::new("item", (asked % ITEMS).to_string())?;
        show(engine, &format!("similar to {item}"), &engine.similar(&item, &query)?);
        let user = NodeName::new("user", (asked % USERS).to_string())?;
        let audience = Recipient::Node(user.clone());
        show(engine, &format!("for {user}"), &engine.recommend(&audience, &query)?);
        answers += 2;
        thread::sleep(Duration::from_millis(250));
    }
    Ok(answers)
}

/// An answer and how fresh it is.
fn show(engine: &Engine, question: &str, answer: &Ranked) {
    let now = engine.store().snapshot().epoch();
    let items: Vec<&str> = answer.items.iter().map(|item| item.node.key.as_str()).collect();
    println!(
        "{question}: {}   epoch {} of {now}, {} commits behind, {} dirty nodes",
        items.join(" "),
        answer.epoch,
        now.get() - answer.epoch.get(),
        answer.dirty_nodes
    );
}
