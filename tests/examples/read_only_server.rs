//! A server that answers from a store which another process writes to. It opens the store read-only, takes no lock, needs no
//! right to write, and follows what the writer publishes: while it opens the newer state it answers from the one before, so
//! every answer is of one published state, whole.
//!
//! `cargo run --example read_only_server` is the writer: it starts the server as a process of its own, publishes, and asks.
//! `cargo run --example read_only_server -- serve STORE` is the server for a store of yours; it says where it listens, takes a
//! question a line, `similar item:7` or `state`, and ends when its standard input does.

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

/// How long a newer state may be there before the server looks for it. A look reads some hundred bytes.
const LOOKS: Duration = Duration::from_millis(20);
/// Edges of each batch of the writer: a state with another number of them would be half of one.
pub(crate) const EDGES: u64 = 30;
const ITEMS: usize = 60;

// The server.

/// What is shown, for whoever answers. A question takes a share of it, and keeps it to its end.
struct Shown(RwLock<Arc<Engine>>);

impl Shown {
    fn open(folder: &Path) -> Result<Arc<Engine>, hedgerow::Error> {
        Ok(Arc::new(Engine::open(Store::options().read_only(true).open(folder)?)?))
    }

    fn now(&self) -> Arc<Engine> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows what the writer has published since, if anything.
    fn follow(&self, folder: &Path) -> Result<(), hedgerow::Error> {
        if self.now().store().is_outdated()? {
            // Opened before anybody has to wait, and the one before is closed by whoever asked it last.
            let newer = Self::open(folder)?;
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        Ok(())
    }
}

/// Serves a store until standard input ends.
pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let shown = Arc::new(Shown(RwLock::new(Shown::open(folder)?)));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("listening on {}", listener.local_addr()?);
    let answering = Arc::clone(&shown);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let shown = Arc::clone(&answering);
            // Who hangs up in the middle of an answer ends nothing but that.
            thread::spawn(move || drop(answer_all(&shown, &connection)));
        }
    });
    let folder = folder.to_path_buf();
    thread::spawn(move || {
        loop {
            thread::sleep(LOOKS);
            if let Err(error) = shown.follow(&folder) {
                // What is shown stays, and the next look tries again.
                eprintln!("the newer state cannot be opened: {error}");
            }
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer_all(shown: &Shown, connection: &TcpStream) -> io::Result<()> {
    let mut out = connection;
    for question in BufReader::new(connection).lines() {
        let answer = answer(&shown.now(), &question?).unwrap_or_else(|error| format!("error: {error}"));
        out.write_all((answer + "\n").as_bytes())?;
    }
    Ok(())
}

/// The answer to one question, all of it from one state.
fn answer(engine: &Engine, question: &str) -> Result<String, hedgerow::Error> {
    match question.split_once(' ') {
        Some(("similar", node)) => {
            let ranked = engine.similar(NodeRef::parse(node)?, &Query { k: 5, ..Query::default() })?;
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

/// Commits another batch, brings the embeddings to it, and publishes both for other processes.
pub(crate) fn publish(engine: &Engine, round: u64) -> Result<u64, hedgerow::Error> {
    let cancel = CancelToken::new();
    let commit = engine.store().commit(&day(round)?)?;
    engine.refresh(false, &cancel)?;
    engine.persist(&cancel)?;
    Ok(commit.epoch.get())
}

/// A new store whose first state is published.
pub(crate) fn begin(folder: &Path) -> Result<Engine, hedgerow::Error> {
    let engine = Engine::open(Store::options().create(true).open(folder)?)?;
    engine.store().commit(&day(0)?)?;
    let options = TrainOptions {
        dim: 8,
        epochs: 1,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::new(["item"])
    };
    engine.training(&options).run(&CancelToken::new())?;
    Ok(engine)
}

/// Edges that are new, between three lists of the day and some items.
fn day(round: u64) -> Result<Batch, hedgerow::Error> {
    let mut batch = Batch::new();
    for at in 0..EDGES {
        let list = format!("{round}-{}", at % 3);
        let item = ((at * 7 + round) as usize % ITEMS).to_string();
        batch.link(("list", &*list), ("item", &*item), Edge::default())?;
    }
    Ok(batch)
}

/// Waits until the server says where it listens.
pub(crate) fn address(server: &mut Child) -> Result<SocketAddr, Box<dyn Error>> {
    let out = server.stdout.take().ok_or("the server's output is not piped")?;
    let (mut lines, mut line) = (BufReader::new(out), String::new());
    while lines.read_line(&mut line)? > 0 {
        if let Some((_, address)) = line.trim_end().split_once("listening on ") {
            // What else it says is read on, so that it can go on saying it.
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

#[cfg_attr(test, expect(dead_code, reason = "a test starts the server in its own way"))]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, folder] = &arguments[..]
        && verb == "serve"
    {
        return serve(Path::new(folder));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let engine = begin(&path)?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut client = Client::connect(address(&mut server)?)?;
    println!("the server answers: {}", client.ask("similar item:7")?);
    for round in 1..=3 {
        let epoch = publish(&engine, round)?;
        println!("published epoch {epoch}");
        while client.ask("similar item:7")?.split(' ').next() != Some(&epoch.to_string()) {
            thread::sleep(LOOKS);
        }
        println!("the server answers: {}", client.ask("similar item:7")?);
    }
    // Its standard input ends, and so does it.
    drop(server.stdin.take());
    server.wait()?;
    Ok(())
}
