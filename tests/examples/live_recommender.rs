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
    Audience, Batch, CancelToken, Edge, Engine, Error, NodeName, NodeRef, Query, Ranked, Store, TrainOptions,
    Update, Updater, UpdaterOptions, WalkOptions,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: usize = 500;
const ITEMS: usize = 800;
/// Item n is of genre n mod 8, and user n likes genre n mod 8.
const GENRES: usize = 8;
/// How long events come.
const OPEN_FOR: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store"))?);
    let mut rng = StdRng::seed_from_u64(1);
    store.commit(&events(&mut rng, 10_000)?)?;

    let engine = Arc::new(Engine::open(Arc::clone(&store))?);
    let options = TrainOptions {
        targets: vec!["item".into()],
        dim: 16,
        epochs: 2,
        pairs_per_epoch: 20_000,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::default()
    };
    let trained = engine.train(&options, None, &mut |_| {}, &CancelToken::new())?;
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
    thread::scope(|scope| {
        let writer = scope.spawn(|| commit_events(&store, &mut rng));
        let server = scope.spawn(|| serve(&engine, &is_open));
        let written = writer.join().expect("the writer does not panic");
        is_open.store(false, Ordering::Relaxed);
        server.join().expect("the server does not panic").and(written)
    })?;

    let reached = updater.flush()?;
    let report = updater.stop()?;
    println!("{} refreshes; the embeddings are at epoch {reached}, as the store is", report.refreshes);
    let followed = engine.digest()?.digest;
    engine.refresh(true, &CancelToken::new())?;
    let rebuilt = engine.digest()?.digest;
    println!("followed {followed}\nrebuilt  {rebuilt}");
    assert_eq!(followed, rebuilt, "a refresh gives the bytes of a rebuild");
    Ok(())
}

/// Some events: a user takes an item, mostly one of the genre that the user likes.
fn events(rng: &mut StdRng, count: usize) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    for _ in 0..count {
        let user = rng.random_range(0..USERS);
        let genre = if rng.random_bool(0.9) { user % GENRES } else { rng.random_range(0..GENRES) };
        let item = rng.random_range(0..ITEMS / GENRES) * GENRES + genre;
        let (user, item) = (user.to_string(), item.to_string());
        batch.link(NodeRef::new("user", &user)?, NodeRef::new("item", &item)?, Edge::default())?;
    }
    Ok(batch)
}

/// Three events every 30 ms, each batch durable before the next.
fn commit_events(store: &Store, rng: &mut StdRng) -> Result<(), Error> {
    let since = Instant::now();
    while since.elapsed() < OPEN_FOR {
        store.commit(&events(rng, 3)?)?;
        thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// Answers two questions every 250 ms.
fn serve(engine: &Engine, is_open: &AtomicBool) -> Result<(), Error> {
    let query = Query { k: 5, ..Query::default() };
    for asked in (0..).take_while(|_| is_open.load(Ordering::Relaxed)) {
        let item = NodeName::new("item", (asked % ITEMS).to_string())?;
        show(engine, &format!("similar to {item}"), &engine.similar(item.as_ref(), &query)?);
        let user = NodeName::new("user", (asked % USERS).to_string())?;
        let audience = Audience::Node(user.clone());
        show(engine, &format!("for {user}"), &engine.recommend(&audience, &query)?);
        thread::sleep(Duration::from_millis(250));
    }
    Ok(())
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
