//! How much of everything, in memory and on disk, and on which machines.
//!
//! # Counts
//!
//! | what | at most |
//! | --- | --- |
//! | kinds, relations | 255, 65,535 |
//! | nodes over the life of a store, removed ones among them | 2^32 - 1 |
//! | neighbours of a node in a relation | 2^30 - 1,000,001 |
//! | bytes of a kind, of a key | 64, 512 |
//! | tokens of a node, their bytes, bytes of one | 4,096, 16 KiB, 512 |
//! | numbers in a dense row | 4,096 |
//! | changes in a batch, their bytes | 1,000,000, 256 MiB |
//! | inputs whose position is kept | 256 |
//! | length of an embedding, layers | 4,096, 4 |
//! | walks of a source, visits of a walk | 100,000, 64 |
//! | refreshes remembered | 500 |
//!
//! Beyond them a call fails with [`ErrorKind::Limit`](crate::ErrorKind::Limit) or [`Invalid`](crate::ErrorKind::Invalid), and
//! nothing changes.
//!
//! # Memory
//!
//! | what | bytes |
//! | --- | --- |
//! | an edge, both ends listed, without weight and time | 10 to 14, in memory and on disk alike; mapped and not read with [`low_memory`](crate::OpenOptions::low_memory) |
//! | a node | about 30 and its key, mapped |
//! | rows of all layers, light layers | (layers + 2) x dimensions x 4 a node: 1 KB by default |
//! | the same, PinSage layers | their messages besides, twice the dimensions x 4 a layer and node |
//! | neighbourhoods with who is in whose | up to 50 x 12 a node |
//! | readers' copy of the embeddings | dimensions x 5 a node |
//! | all of it at a million pins, 18 million edges, 128 numbers | 3,320 a node |
//! | making all neighbourhoods | 4 a visit, 1.4 KB a node with 200 walks, 4 GiB at most |
//! | a load | 8 an edge, 4 more with weights and 8 more with times, and the finished lists |
//! | a training | [`Engine::estimate`](crate::Engine::estimate) says |
//!
//! A snapshot that is held keeps what has changed since: 40 KB for an edge at a node of a million neighbours, less at others.
//!
//! # Processes and threads
//!
//! One process writes to a store; others read what it publishes. In one process one handle writes, for all threads, and one
//! [`Engine`](crate::Engine) belongs to it. One training, one refresh and one publish run at a time; others wait for them. Commits
//! and questions wait for none of them.
//!
//! Do not call [`Engine::refresh`](crate::Engine::refresh) from a task of the rayon pool that it works on: while it waits for its parts the
//! thread takes up other tasks, and one that refreshes as well would wait for itself.
//!
//! # Machines
//!
//! Little-endian, 64 bits. Written and tested on Linux on x86-64; files are mapped, and a disk must keep what it was asked to sync. Vectors of
//! AVX-512 or AVX2 are used where there are any, and plain loops elsewhere give the same bits. Training gives the same bytes on
//! processors of the same kind only, since the system's `exp` and `ln` are part of it.
//!
//! # What it does not do
//!
//! Edges have no direction. There is no query language, no index over the vectors (every row is scanned, in eight bits), no
//! replication, and no server: a host is the server.
