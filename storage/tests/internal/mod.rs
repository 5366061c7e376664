//! Tests of the internals of the crate: a disk that fails, files with valid checksums and invalid content, limits,
//! orders of threads.

mod corrupt_files;
mod disk_faults;
mod limits;
#[cfg(shuttle)]
mod schedules;
