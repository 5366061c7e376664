//! Failures, exit codes, interrupts and escaping, on which all other folders build.
//! Must not know stores, verbs or output.

pub(crate) mod escape;
pub(crate) mod failure;
pub(crate) mod interrupt;
pub(crate) mod location;
pub(crate) mod sync;
