//! The terms of Hedgerow: graph, walks, embeddings, and three ways to keep them current.
//!
//! # The graph
//!
//! - A **node** has a *kind* and a *key*, written `pin:42`. It exists from its first edge or feature on. Calls take a pair, a
//!   [`NodeName`](crate::NodeName) or a [`NodeRef`](crate::NodeRef). Inside the store a node has a number, a
//!   [`NodeIx`](crate::NodeIx), which is never given to another node.
//! - An **edge** is undirected and belongs to a *relation*, which is named by its two kinds unless you name it. It has a *weight*
//!   above 0 and an optional time, in microseconds since 1970, UTC. Linking two nodes again replaces both, unless its
//!   [`Repeat`](crate::Repeat) adds, counts or keeps the larger weight.
//! - The *neighbors* of a node in a relation form its list. Their count is its *degree*.
//! - **Features** describe a node: *tokens* such as `genre=jazz`, and *dense* rows of numbers, such as the vector of an image.
//!   They may change at any time.
//! - A **property** is a typed value of a node, such as a title or a price. It is shown beside answers and filters them. No
//!   embedding depends on it, so a change makes nothing dirty. A kind has a *label*, the property that stands for its nodes.
//! - A **batch** of changes is committed whole or not at all. Every batch is one **epoch**; epochs number the states of the
//!   graph.
//! - A **snapshot** is the graph as of one epoch. It stays the same while others commit.
//!
//! ```
//! use hedgerow::{Batch, Edge, PropertyValue, Store};
//!
//! # fn main() -> Result<(), hedgerow::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("store");
//! let store = Store::options().create(true).open(path)?;
//! let before = store.snapshot();
//! let mut batch = Batch::new();
//! batch.link(("user", "ann"), ("film", "alien"), Edge { weight: 4.5, ..Edge::default() })?;
//! batch.set_tokens(("film", "alien"), &["genre=horror", "decade=1970"])?;
//! batch.set_property(("film", "alien"), "title", &PropertyValue::Text("Alien"))?;
//! let commit = store.commit(&batch)?;
//! assert_eq!((commit.epoch.get(), commit.edges_added), (1, 1));
//!
//! let now = store.snapshot();
//! assert_eq!((before.node_count(), now.node_count()), (0, 2));
//! let film = now.require(("film", "alien"))?;
//! assert_eq!(now.tokens(film), ["decade=1970", "genre=horror"]);
//! let title = now.property_ix(now.kind(film), "title").expect("declared by its first value");
//! assert_eq!(now.value(film, title), Some(PropertyValue::Text("Alien")));
//! # Ok(())
//! # }
//! ```
//!
//! # Walks
//!
//! A **walk** starts at its *source* and steps from neighbor to neighbor. Two hundred short walks from a pin, over boards and
//! back, visit other pins. The most visited ones are the **neighborhood** of the pin. The *importance* of a neighbor is its share
//! of the visits. A [`Policy`](crate::Policy) says which relations walks alternate through.
//!
//! Walks here are *stable*. Each step depends on the edges and a seed only, and one more edge at a node changes few of the steps
//! from it. So a refresh can find the neighborhoods that an edge changed without walking from every node again.
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
//! An **embedding** is a vector of a node of a *target* kind. The model, PinSage, computes it from the features of the node and
//! of its neighborhood, in *layers*. A row of a layer is computed from the node's own row and its neighbors' rows of the layer
//! before. Related nodes have near vectors. [`Engine::similar`](crate::Engine::similar) ranks by the cosine plus one number of
//! each node, its popularity.
//!
//! - Training makes a new **generation** of the model.
//! - A commit makes the nodes that it touches **dirty**.
//! - A **refresh** brings the embeddings up to date. It recomputes what depends on dirty nodes, and stops where a result is
//!   unchanged.
//! - A **rebuild** computes everything. Refresh and rebuild give the same bytes, which [`verify`](crate::Engine::verify) proves
//!   for the rows of a store. Stores of equal content have an equal [`digest`](crate::Engine::digest).
//!
//! A store may have several **models**, each with a name, its own generations and its own epoch. One is the *default*, which
//! [`Engine::open`](crate::Engine::open) opens; [`Engine::open_model`](crate::Engine::open_model) opens another one. A commit is dirty in each
//! model until that model is refreshed. [`Engine::rollback`](crate::Engine::rollback) goes back to the generation before, and
//! [`choose_model`](crate::choose_model) divides users among models, so that their answers can be compared.
//!
//! Every answer has the epoch of its embeddings and the number of nodes that are dirty since then:
//!
//! ```
//! # #[cfg(feature = "model")]
//! # fn main() -> Result<(), hedgerow::Error> {
//! use std::time::{Duration, Instant};
//!
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
//! let answer = engine.similar(("pin", "1"), &Query::default(), &CancelToken::new())?;
//! assert!(answer.epoch < epoch && answer.dirty_nodes == 2, "it is of the graph before");
//!
//! engine.refresh(false, &CancelToken::new())?;
//! let answer = engine.similar(("pin", "1"), &Query::default(), &CancelToken::new())?;
//! assert!(answer.epoch == epoch && answer.dirty_nodes == 0);
//!
//! // The options of a question are plain data. Two answers a page, within a second:
//! let soon = CancelToken::new().with_deadline(Instant::now() + Duration::from_secs(1));
//! let page = engine.similar(("pin", "1"), &Query { k: 2, ..Query::default() }, &soon)?;
//! let next = Query { k: 2, after: page.next, ..Query::default() };
//! let second = engine.similar(("pin", "1"), &next, &soon)?;
//! assert_eq!([page.items, second.items].concat(), answer.items);
//!
//! // A score does not depend on the options, so other systems' findings are ranked as all nodes are.
//! let candidates = Some(vec![answer.items[3].node.clone(), answer.items[1].node.clone()]);
//! let ranked = engine.similar(("pin", "1"), &Query { candidates, ..Query::default() }, &soon)?;
//! assert_eq!(ranked.items, [answer.items[1].clone(), answer.items[3].clone()]);
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
//! # Three ways to stay current
//!
//! | way | call | fits |
//! | --- | --- | --- |
//! | eager | [`Engine::refresh`](crate::Engine::refresh) after each commit | few commits, and answers that must reflect them |
//! | window | an [`Updater`](crate::Updater), by age of the oldest commit or by dirty nodes | a stream of events |
//! | lazy | [`Engine::embedding_now`](crate::Engine::embedding_now) for one node when it is read | many changes, few reads |
