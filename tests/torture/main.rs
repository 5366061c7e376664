//! Tests with real processes: kills and power cuts at random moments, and readers beside a writer that never pauses.
//!
//! Each store is compared with a reference graph. The default runs are short. The environment asks for longer ones:
//!
//! ```text
//! HEDGEROW_ROUNDS=1000 cargo test --release -p hedgerow-cli --test torture kill -- --nocapture
//! HEDGEROW_ROUNDS=100  cargo test --release -p hedgerow-cli --test torture power -- --nocapture      as root
//! HEDGEROW_ROUNDS=1000 cargo test --release -p hedgerow-cli --test torture histories -- --nocapture
//! HEDGEROW_SECONDS=600 cargo test --release -p hedgerow-cli --test torture readers -- --nocapture
//! ```
//!
//! `HEDGEROW_SEED` repeats the random jobs, but not the exact moments of their interruption. The store of a failed round is
//! kept, and its path is printed.

mod disk_image;
mod histories;
mod history;
mod job;
mod kill;
mod power;
mod publisher;
mod readers;
mod reference_graph;
mod round_counts;
mod store_check;
mod test_folder;
