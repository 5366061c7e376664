//! The words, and how they hang together.
//!
//! # The graph
//!
//! A **node** is a *kind* and a *key*, written `pin:42`. It comes to life with its first edge or feature. Calls that ask for a node
//! take a pair, a [`NodeName`](crate::NodeName) or a [`NodeRef`](crate::NodeRef). Inside it has a number, a
//! [`NodeIx`](crate::NodeIx), that is never given to another node.
//!
//! An **edge** is undirected, belongs to a *relation* (named by its two kinds unless you name it), and has a *weight* above 0 and
//! perhaps a time. Linking two nodes again replaces weight and time. A node's *neighbours* in a relation are its list, their count
//! is its *degree*.
//!
//! **Features** describe a node: *tokens* such as `genre=jazz`, and *dense* rows of numbers, such as an image's vector. They may change at any
//! time.
//!
//! A **batch** of changes is committed whole or not at all. Every batch is one **epoch**: epochs number the states of the
//! graph. A **snapshot** is the graph as of one epoch, frozen while others commit.
//!
//! ```
//! use hedgerow::{Batch, Edge, Store};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("store");
//! let store = Store::options().create(true).open(path)?;
//! let before = store.snapshot();
//! let mut batch = Batch::new();
//! batch.link(("user", "ann"), ("film", "alien"), Edge { weight: 4.5, ..Edge::default() })?;
//! batch.set_tokens(("film", "alien"), &["genre=horror", "decade=1970"])?;
//! let commit = store.commit(&batch)?;
//! assert_eq!((commit.epoch.get(), commit.edges_added), (1, 1));
//!
//! let now = store.snapshot();
//! assert_eq!((before.node_count(), now.node_count()), (0, 2));
//! let film = now.require(("film", "alien"))?;
//! assert_eq!(now.tokens(film), ["decade=1970", "genre=horror"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Walks
//!
//! A **walk** starts at its *source* and steps from neighbour to neighbour. Two hundred short ones from a pin, over boards and back,
//! visit other pins; those visited most are the pin's **neighbourhood**, and a neighbour's share of the visits is its
//! *importance*. A [`Policy`](crate::Policy) says which relations walks alternate through.
//!
//! Walks here are *stable*: where one leads depends on the edges and a seed alone, and one more edge at a node changes few of the steps
//! taken there. So it can be found out which neighbourhoods an edge changed, without walking again from everywhere.
//!
//! ```
//! use hedgerow::{Batch, Edge, Policy, Store, WalkOptions, Walker};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let store = Store::options().create(true).open(folder.path().join("store"))?;
//! let mut batch = Batch::new();
//! for (board, pin) in [("jazz", "1"), ("jazz", "2"), ("jazz", "3"), ("rock", "3"), ("rock", "4")] {
//!     batch.link(("board", board), ("pin", pin), Edge::default())?;
//! }
//! store.commit(&batch)?;
//! let graph = store.snapshot();
//! let pin = graph.require(("pin", "1"))?;
//! let policy = Policy::default_for(&graph, graph.kind(pin)); // pin-board-pin
//! let walker = Walker::new(&graph, WalkOptions::default(), &policy)?;
//! let neighbors: Vec<String> =
//!     walker.neighborhood(pin).iter().map(|visit| graph.name(visit.node).to_string()).collect();
//! assert_eq!(neighbors.len(), 3);
//! assert_eq!(neighbors[2], "pin:4", "which is on no board of pin:1, and so visited least");
//! # Ok(())
//! # }
//! ```
//!
//! # Embeddings
//!
//! An **embedding** is a vector of a node of a *target* kind. The model, PinSage, computes it from the node's features and those of
//! its neighbourhood, in *layers*: a node's row of a layer is made of its own row and its neighbours' rows of the layer before. What
//! belongs together is near: [`Engine::similar`](crate::Engine::similar) ranks by the cosine, and by one number of each node that
//! says how popular it is.
//!
//! Training makes a new **generation** of the model. A **refresh** makes its embeddings follow the graph: nodes that changes
//! touched are **dirty**, and everything that depends on them is computed again, as far as it comes out different. A **rebuild** computes everything. Both give the
//! same bytes, and a [`digest`](crate::Engine::digest) lets you see that.
//!
//! Every answer says the epoch that its embeddings reflect and how many nodes are dirty since:
//!
//! ```
//! # #[cfg(feature = "model")]
//! # fn main() -> Result<(), hedgerow::Error> {
//! use hedgerow::{Batch, CancelToken, Edge, Engine, Query, Store, TrainOptions};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let store = Store::options().create(true).open(folder.path().join("store"))?;
//! # let mut batch = Batch::new();
//! # for (board, pin) in [("jazz", "1"), ("jazz", "2"), ("rock", "3"), ("rock", "4"), ("jazz", "5")] {
//! #     batch.link(("board", board), ("pin", pin), Edge::default())?;
//! # }
//! # store.commit(&batch)?;
//! let engine = Engine::open(store)?;
//! let options = TrainOptions { epochs: 1, ..TrainOptions::new(["pin"]) };
//! engine.training(&options).run(&CancelToken::new())?;
//!
//! let mut batch = Batch::new();
//! batch.link(("board", "rock"), ("pin", "1"), Edge::default())?;
//! let epoch = engine.store().commit(&batch)?.epoch;
//! let answer = engine.similar(("pin", "1"), &Query::default())?;
//! assert!(answer.epoch < epoch && answer.dirty_nodes == 2, "it is of the graph before");
//!
//! engine.refresh(false, &CancelToken::new())?;
//! let answer = engine.similar(("pin", "1"), &Query::default())?;
//! assert!(answer.epoch == epoch && answer.dirty_nodes == 0);
//!
//! let followed = engine.digest(&CancelToken::new())?;
//! engine.refresh(true, &CancelToken::new())?; // a rebuild
//! assert_eq!(engine.digest(&CancelToken::new())?, followed);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "model"))]
//! # fn main() {}
//! ```
//!
//! # Three ways to be fresh
//!
//! | way | how | fits |
//! | --- | --- | --- |
//! | eager | [`Engine::refresh`](crate::Engine::refresh) after each commit | few commits, answers that must know them |
//! | window | an [`Updater`](crate::Updater), by age of the oldest commit or by dirty nodes | a stream of events |
//! | lazy | [`Engine::embedding_now`](crate::Engine::embedding_now) for the node that is read | many changes, few reads |
