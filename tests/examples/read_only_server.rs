//! A server that answers queries from a store while another process writes to it.
//!
//! The server opens the store read-only. It takes no lock and needs no write permission. When the writer has published a newer
//! state, the server opens that state and answers from the old one meanwhile. So every answer comes from one published state.
//!
//! - `cargo run --example read_only_server` is the writer. It starts the server as another process, publishes, and asks.
//! - `cargo run --example read_only_server -- serve STORE` is the server for a store of yours. It prints its address, reads one
//!   question from each line (`similar item:7` or `state`), and ends when its standard input ends.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Epoch, NodeRef, Query, RelationIx, Store, TrainOptions, WalkOptions,
};

/// The time between two checks for a newer state. A check reads some hundred bytes.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Edges of each batch of the writer. A state whose number of edges is no multiple of it would be incomplete.
pub(crate) const EDGES_PER_BATCH: u64 = 30;
const ITEMS: usize = 60;

// The server.

/// The engine over the newest state that is open. An answer keeps the engine that it started with.
struct CurrentEngine(RwLock<Arc<Engine>>);

impl CurrentEngine {
    fn open(folder: &Path) -> Result<Arc<Engine>, hedgerow::Error> {
        Ok(Arc::new(Engine::open(Store::options().read_only(true).open(folder)?)?))
    }

    fn get(&self) -> Arc<Engine> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the newest published state, if it is newer than the open one.
    fn reload_if_outdated(&self, folder: &Path) -> Result<(), hedgerow::Error> {
        if self.get().store().is_outdated()? {
            // The newer state is opened before the lock is taken, so no answer waits. The old engine is closed after the last
            // answer that uses it.
            let newer = Self::open(folder)?;
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        Ok(())
    }
}

/// Serves a store until standard input ends.
pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let current = Arc::new(CurrentEngine(RwLock::new(CurrentEngine::open(folder)?)));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("listening on {}", listener.local_addr()?);
    // One thread accepts connections, and each connection has its own thread.
    let answering = Arc::clone(&current);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let current = Arc::clone(&answering);
            // A client that disconnects during an answer ends only its own thread.
            thread::spawn(move || drop(answer_all(&current, &connection)));
        }
    });
    // Another thread opens newer states.
    let folder = folder.to_path_buf();
    thread::spawn(move || {
        loop {
            thread::sleep(POLL_INTERVAL);
            if let Err(error) = current.reload_if_outdated(&folder) {
                // The old state continues to answer, and the next check tries again.
                eprintln!("cannot open the newer state: {error}");
            }
        }
    });
    // The server ends with its standard input.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Answers the questions of one connection.
fn answer_all(current: &CurrentEngine, connection: &TcpStream) -> io::Result<()> {
    let mut out = connection;
    for question in BufReader::new(connection).lines() {
        let answer = answer(&current.get(), &question?).unwrap_or_else(|error| format!("error: {error}"));
        out.write_all((answer + "\n").as_bytes())?;
    }
    Ok(())
}

/// The answer to one question, from one state.
fn answer(engine: &Engine, question: &str) -> Result<String, hedgerow::Error> {
    match question.split_once(' ') {
        Some(("similar", node)) => {
            let query = Query { k: 5, ..Query::default() };
            let ranked = engine.similar(NodeRef::parse(node)?, &query, &CancelToken::new())?;
            let items: Vec<String> = ranked.items.iter().map(|item| item.node.to_string()).collect();
            Ok(format!("{} {}", ranked.epoch, items.join(" ")))
        }
        None if question == "state" => {
            let graph = engine.store().snapshot();
            let relations = (0..graph.relation_count()).map(|at| RelationIx::new(at as u16));
            let edges: u64 = relations.map(|relation| graph.edge_count(relation)).sum();
            let embedded = engine.status().embedded.map_or(0, Epoch::get);
            Ok(format!("{} {edges} {embedded}", graph.epoch()))
        }
        _ => Ok("error: expected similar KIND:KEY, or state".to_owned()),
    }
}

// The writer.

/// Commits another batch, refreshes the embeddings, and publishes both for other processes.
pub(crate) fn publish(engine: &Engine, round: u64) -> Result<u64, hedgerow::Error> {
    let cancel = CancelToken::new();
    let commit = engine.store().commit(&batch(round)?)?;
    engine.refresh(false, &cancel)?;
    engine.persist(&cancel)?;
    Ok(commit.epoch.get())
}

/// Creates a store with a first batch and a trained model. The training publishes the first state.
pub(crate) fn create(folder: &Path) -> Result<Engine, hedgerow::Error> {
    let engine = Engine::open(Store::options().create(true).open(folder)?)?;
    engine.store().commit(&batch(0)?)?;
    let options = TrainOptions {
        dim: 8,
        epochs: 1,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::new(["item"])
    };
    engine.training(&options).run(&CancelToken::new())?;
    Ok(engine)
}

/// A batch of new edges between three new lists and some items.
fn batch(round: u64) -> Result<Batch, hedgerow::Error> {
    let mut batch = Batch::new();
    for at in 0..EDGES_PER_BATCH {
        let list = format!("{round}-{}", at % 3);
        let item = ((at * 7 + round) as usize % ITEMS).to_string();
        batch.link(("list", &*list), ("item", &*item), Edge::default())?;
    }
    Ok(batch)
}

/// Waits until the server prints its address.
pub(crate) fn address(server: &mut Child) -> Result<SocketAddr, Box<dyn Error>> {
    let out = server.stdout.take().ok_or("the server's output is not piped")?;
    let (mut lines, mut line) = (BufReader::new(out), String::new());
    while lines.read_line(&mut line)? > 0 {
        if let Some((_, address)) = line.trim_end().split_once("listening on ") {
            // The rest of its output is read and dropped, so that the pipe never fills.
            thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
            return Ok(address.parse()?);
        }
        line.clear();
    }
    Err("the server ended without listening".into())
}

/// A client with one connection.
pub(crate) struct Client {
    questions: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let questions = TcpStream::connect(address)?;
        Ok(Self { answers: BufReader::new(questions.try_clone()?), questions })
    }

    pub(crate) fn ask(&mut self, question: &str) -> io::Result<String> {
        self.questions.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

#[cfg_attr(test, expect(dead_code, reason = "the test starts the server itself"))]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, folder] = &arguments[..]
        && verb == "serve"
    {
        return serve(Path::new(folder));
    }
    // 1. Create a store, and start the server as another process.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let engine = create(&path)?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut client = Client::connect(address(&mut server)?)?;
    println!("the server answers: {}", client.ask("similar item:7")?);
    // 2. Publish three states, and wait until the server answers from each.
    for round in 1..=3 {
        let epoch = publish(&engine, round)?;
        println!("published epoch {epoch}");
        while client.ask("similar item:7")?.split(' ').next() != Some(&epoch.to_string()) {
            thread::sleep(POLL_INTERVAL);
        }
        println!("the server answers: {}", client.ask("similar item:7")?);
    }
    // 3. Close the server's standard input, which ends it.
    drop(server.stdin.take());
    server.wait()?;
    Ok(())
}
