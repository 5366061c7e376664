//! Failures, exit codes, interrupts and escaping: the ground that all of the command stands on.

pub(crate) mod escape;
pub(crate) mod failure;
pub(crate) mod interrupt;
pub(crate) mod location;
