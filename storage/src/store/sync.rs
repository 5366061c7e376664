//! The locks of a store: those of the standard library. In a build with `--cfg shuttle`, those of a scheduler that tries
//! many orders in which threads take them.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
