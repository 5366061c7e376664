//! The Python package of Hedgerow: a face on the facade. The classes that users see are in `hedgerow/*.py`; these are what they call.
//! No logic that hosts in Rust lack.
#![allow(missing_docs, reason = "a library for an interpreter: the documentation is in Python")]
#![allow(clippy::needless_pass_by_value, reason = "arguments of Python are converted to values")]

mod answers;
mod batch;
mod calls;
mod columns;
mod edges_in;
mod errors;
mod events;
mod handle;
mod options;
mod snapshot;
mod tables;
mod updater;

/// The classes and functions that the files in `hedgerow` import.
#[pyo3::pymodule(gil_used = false)]
mod _hedgerow {
    #[pymodule_export]
    use crate::batch::PyBatch;
    #[pymodule_export]
    use crate::handle::{Handle, check};
    #[pymodule_export]
    use crate::snapshot::PySnapshot;
    #[pymodule_export]
    use crate::tables::Table;
    #[pymodule_export]
    use crate::updater::PyUpdater;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
