//! The thread that refreshes by itself, as a class.

use std::sync::Arc;

use hedgerow::Updater;
use pyo3::prelude::*;

use crate::calls::{long, short};
use crate::handle::Open;
use crate::options::to_fields;

/// A thread that refreshes by itself.
#[pyclass(frozen, module = "hedgerow._hedgerow", name = "Updater")]
pub(crate) struct PyUpdater {
    pub(crate) updater: Updater,
    /// The store stays open as long as it is refreshed.
    pub(crate) _open: Arc<Open>,
}

#[pymethods]
impl PyUpdater {
    /// Waits until all commits of before are embedded, and returns their epoch.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(long(py, None, |cancel, _| self.updater.flush(cancel))?.get())
    }

    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_fields(py, &self.updater.report())
    }

    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = short(py, || self.updater.stop())?;
        to_fields(py, &report)
    }
}
