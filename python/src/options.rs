//! Options of calls, from what Python passes. Names and defaults are those of the library.

use std::time::Duration;

use hedgerow::{RelationOptions, Repeat};
use pyo3::prelude::*;

use crate::errors::invalid;

pub(crate) fn repeat(name: &str) -> PyResult<Repeat> {
    match name {
        "last" => Ok(Repeat::Last),
        "sum" => Ok(Repeat::Sum),
        "max" => Ok(Repeat::Max),
        "count" => Ok(Repeat::Count),
        _ => Err(invalid(&format!("found repeat={name:?}, expected last, sum, max or count"))),
    }
}

/// The half-life is in microseconds.
pub(crate) fn relation_options(half_life: Option<u64>, is_dislike: bool) -> RelationOptions {
    RelationOptions { half_life: half_life.map(Duration::from_micros), is_dislike }
}

/// A value of the library, from a dictionary of its fields.
pub(crate) fn from_fields<T: serde::de::DeserializeOwned>(fields: &Bound<'_, PyAny>) -> PyResult<T> {
    pythonize::depythonize(fields).map_err(|error| invalid(&error.to_string()))
}

/// A value of the library as dictionaries and lists.
pub(crate) fn to_fields<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    pythonize::pythonize(py, value).map_err(|error| invalid(&error.to_string()))
}
