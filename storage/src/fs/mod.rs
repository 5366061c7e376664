//! The store's own files: the layer that every change passes, memory maps, checksummed sections, the writer's lock.
//! Must not know the content of a file.

pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod header;
#[cfg(miri)]
mod heap_memory;
pub(crate) mod lock;
pub(crate) mod mmap;
pub(crate) mod new_folders;
pub(crate) mod prefetch;
pub(crate) mod private_section;
pub(crate) mod section;
pub(crate) mod section_stream;
pub(crate) mod section_table;
pub(crate) mod section_writer;
pub(crate) mod verified_files;
