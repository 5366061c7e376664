//! Tests of the internals of the crate: a disk that fails, files with valid checksums and invalid content, orders of threads.

mod corrupt_files;
mod disk_faults;
#[cfg(shuttle)]
mod schedules;
