//! Files of ours: the layer that every change passes, memory maps, checksummed sections, the lock of the writer.
//! Must not know what a file holds.

pub(crate) mod disk;
pub(crate) mod lock;
pub(crate) mod mmap;
pub(crate) mod prefetch;
pub(crate) mod section;
pub(crate) mod section_stream;
pub(crate) mod verified_files;
