//! Limits: maximum counts, memory and disk, threads, and supported machines.
//!
//! # Counts
//!
//! | item | maximum |
//! | --- | --- |
//! | kinds, relations | 255, 65,535 |
//! | nodes over the life of a store, including removed ones | 2^32 - 1 |
//! | neighbors of a node in a relation | 2^30 - 1,000,001 |
//! | bytes of a kind, of a key | 64, 512 |
//! | tokens of a node, their bytes, bytes of one | 4,096, 16 KiB, 512 |
//! | properties of a store, bytes of a value | 4,096, 16 KiB |
//! | numbers in a dense row | 4,096 |
//! | size of a number in a dense row | 1,000,000 |
//! | changes in a batch, their bytes | 1,000,000, 256 MiB |
//! | inputs with a stored position | 256 |
//! | length of an embedding, layers | 4,096, 4 |
//! | walks of a source, visits of a walk | 100,000, 64 |
//! | paths of a policy, relations of a path, hops of a source | 65,535, 64, 2^24 |
//! | refreshes remembered | 500 |
//!
//! A call beyond them fails with [`ErrorKind::Limit`](crate::ErrorKind::Limit) or [`Invalid`](crate::ErrorKind::Invalid), and
//! changes nothing.
//!
//! # Memory
//!
//! | item | bytes |
//! | --- | --- |
//! | an edge, both ends listed, without weight and time | 10 to 14, in memory and on disk; only mapped with [`low_memory`](crate::OpenOptions::low_memory) |
//! | a node | about 30 and its key, mapped |
//! | values of a property, mapped | 8 and an eighth a node of the kind for numbers and times, a quarter for booleans, 4 and the text for texts and lists |
//! | a row of eight-bit numbers | dimensions, rounded up to a multiple of 32, + 4 |
//! | rows of all layers and embeddings, light layers | layers + 1 rows a node: 204 bytes by default |
//! | PinSage layers, in addition | messages: a row of twice the dimensions a layer and node |
//! | neighborhoods with their reverse lists | up to 50 x 12 and 32 a node |
//! | readers' copy of the embeddings | a row and 30 a node; with factors another row of 64 numbers, or of 64 and the dimensions |
//! | all of these at 100,000 pins, 2 million edges, 128 numbers, without factors | 1,098 a node |
//! | computing all neighborhoods | 4 a visit, 1.4 KB a node with 200 walks, 4 GiB at most |
//! | a bulk load | 8 an edge, 4 more with weights, 8 with times, 1 with a [`Repeat`](crate::Repeat), and the finished lists |
//! | a training | see [`Engine::estimate`](crate::Engine::estimate) |
//!
//! A snapshot in use keeps what has changed since: 40 KB for an edge at a node of a million neighbors, less at other nodes.
//!
//! # Processes and threads
//!
//! One process writes to a store; others read what it publishes. Within that process one handle writes for all threads, and one
//! [`Engine`](crate::Engine) belongs to it. One training, one refresh and one publish run at a time, and others wait for them.
//! Commits and questions wait for none of them.
//!
//! Opening a store first starts and ends as many threads as it needs: seven of the log's engine, those of the caller's rayon pool
//! twice, and three more. Where the system refuses them, the call fails and touches nothing.
//!
//! Do not call [`Engine::refresh`](crate::Engine::refresh) from a task of the rayon pool that it works on. A thread that waits
//! for its part takes up other tasks. If one of them also refreshes, it waits for itself.
//!
//! # Machines
//!
//! Hedgerow needs a little-endian 64-bit machine. It is written and tested on Linux on x86-64. Files are mapped, and a disk must
//! keep what it was asked to sync. AVX-512 or AVX2 is used where present; plain loops elsewhere give the same bits. Training
//! gives the same bytes on processors of the same kind only, because it uses the system's `exp` and `ln`.
//!
//! # Not included
//!
//! Edges have no direction. There is no query language, no index over the vectors (every row is scanned, in eight bits), no
//! replication, and no server.
