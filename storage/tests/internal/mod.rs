//! Tests that need the crate's inside: a disk that fails, and files whose checksums fit but whose content is noise.

mod corrupt_files;
mod disk_faults;
