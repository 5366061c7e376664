//! Failures, exit codes, interrupts, escaping and the limits of the machine, on which all other folders build.
//! Must not know stores, verbs or output.

pub(crate) mod csv_injection;
pub(crate) mod escape;
pub(crate) mod failure;
pub(crate) mod interrupt;
pub(crate) mod location;
pub(crate) mod memory;
pub(crate) mod sync;
