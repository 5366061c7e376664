//! Tests of the crate's internals: a disk that fails, and files with valid checksums and invalid content.

mod corrupt_files;
mod disk_faults;
