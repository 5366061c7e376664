//! The thread that refreshes by itself, as a class.

use std::mem;
use std::sync::Arc;

use hedgerow::Updater;
use pyo3::prelude::*;

use crate::calls::{long, short};
use crate::handle::Open;
use crate::options::to_fields;

/// A thread that refreshes by itself.
#[pyclass(frozen, module = "hedgerow._hedgerow", name = "Updater")]
pub(crate) struct PyUpdater {
    /// `None` only while it is dropped.
    updater: Option<Updater>,
    /// The store stays open as long as it is refreshed.
    _open: Arc<Open>,
    /// The process of the thread.
    process: u32,
}

impl PyUpdater {
    pub(crate) fn new(updater: Updater, open: Arc<Open>) -> Self {
        Self { updater: Some(updater), _open: open, process: std::process::id() }
    }

    fn get(&self) -> &Updater {
        self.updater.as_ref().expect("it is not dropped yet")
    }
}

impl Drop for PyUpdater {
    fn drop(&mut self) {
        // After a fork there is no thread whose end could be waited for.
        if std::process::id() != self.process {
            mem::forget(self.updater.take());
        }
    }
}

#[pymethods]
impl PyUpdater {
    /// Waits until all commits of before are embedded, and returns their epoch.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(long(py, None, |cancel, _| self.get().flush(cancel))?.get())
    }

    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_fields(py, &self.get().report())
    }

    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = short(py, || self.get().stop())?;
        to_fields(py, &report)
    }
}
