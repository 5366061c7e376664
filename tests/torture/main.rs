//! Torture: processes killed at random moments, power cut at random moments, readers beside a writer that never rests.
//!
//! Every store is held to a plain reference. Small by default; more by the environment:
//!
//! ```text
//! HEDGEROW_ROUNDS=1000 cargo test --release -p hedgerow-cli --test torture kill -- --nocapture
//! HEDGEROW_ROUNDS=100  cargo test --release -p hedgerow-cli --test torture power -- --nocapture      as root
//! HEDGEROW_SECONDS=600 cargo test --release -p hedgerow-cli --test torture readers -- --nocapture
//! ```
//!
//! `HEDGEROW_SEED` repeats what was drawn, though not the moments at which a machine is interrupted. Where a round fails,
//! its store is kept, and its place is printed.

mod check;
mod graph;
mod image;
mod job;
mod kill;
mod power;
mod publisher;
mod readers;
mod settings;
mod tally;
