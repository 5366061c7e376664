//! Changes that are committed together. Checks nothing itself: the library does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hedgerow::{Batch, Edge, NodeRef, PropertyValue, StorageError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::{failure, invalid};
use crate::options::{relation_options, repeat};

/// Changes in the order of the calls, for `Handle.commit`.
#[pyclass(frozen, module = "hedgerow._hedgerow", name = "Batch")]
#[derive(Default)]
pub(crate) struct PyBatch(Mutex<Batch>);

impl PyBatch {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name as `kind:key`.
pub(crate) fn node(text: &str) -> PyResult<NodeRef<'_>> {
    NodeRef::parse(text).map_err(failure)
}

fn done(result: Result<(), StorageError>) -> PyResult<()> {
    result.map_err(failure)
}

#[pymethods]
impl PyBatch {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn add_node(&self, name: &str) -> PyResult<()> {
        done(self.lock().add_node(node(name)?))
    }

    #[pyo3(signature = (a, b, weight, time, relation, repeated))]
    fn link(
        &self,
        a: &str,
        b: &str,
        weight: f32,
        time: Option<i64>,
        relation: Option<&str>,
        repeated: &str,
    ) -> PyResult<()> {
        let edge = Edge { weight, time, relation, repeat: repeat(repeated)? };
        done(self.lock().link(node(a)?, node(b)?, edge))
    }

    fn unlink(&self, a: &str, b: &str, relation: Option<&str>) -> PyResult<()> {
        done(self.lock().unlink(node(a)?, node(b)?, relation))
    }

    fn remove(&self, name: &str) -> PyResult<()> {
        done(self.lock().remove(node(name)?))
    }

    fn set_tokens(&self, name: &str, tokens: Vec<String>) -> PyResult<()> {
        done(self.lock().set_tokens(node(name)?, &tokens))
    }

    fn set_dense(&self, name: &str, block: &str, values: Vec<f32>) -> PyResult<()> {
        done(self.lock().set_dense(node(name)?, block, &values))
    }

    /// A moment is a tuple of one integer: microseconds since 1970.
    fn set_property(&self, name: &str, property: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = node(name)?;
        if value.is_none() {
            return done(self.lock().remove_property(name, property));
        }
        // In Python a boolean is an integer, so it is looked for first.
        if let Ok(value) = value.cast::<PyBool>() {
            let value = PropertyValue::Boolean(value.is_true());
            return done(self.lock().set_property(name, property, &value));
        }
        if value.is_instance_of::<PyInt>() {
            let integer =
                value.extract().map_err(|_| invalid(&format!("found {value}, expected 64 bits")))?;
            return done(self.lock().set_property(name, property, &PropertyValue::Integer(integer)));
        }
        if value.is_instance_of::<PyFloat>() {
            let number = PropertyValue::Float(value.extract()?);
            return done(self.lock().set_property(name, property, &number));
        }
        if let Ok(text) = value.cast::<PyString>() {
            let text = PropertyValue::Text(text.to_str()?);
            return done(self.lock().set_property(name, property, &text));
        }
        if let Ok(moment) = value.cast::<PyTuple>() {
            let moment = PropertyValue::Time(moment.get_item(0)?.extract()?);
            return done(self.lock().set_property(name, property, &moment));
        }
        if let Ok(list) = value.cast::<PyList>() {
            let texts: Vec<String> = list.extract()?;
            let texts = texts.iter().map(String::as_str).collect();
            return done(self.lock().set_property(name, property, &PropertyValue::List(texts)));
        }
        Err(invalid(&format!(
            "found {value}, expected a text, a number, a boolean, a moment or a list of texts"
        )))
    }

    fn set_label(&self, kind: &str, property: Option<&str>) -> PyResult<()> {
        done(self.lock().set_label(kind, property))
    }

    fn declare_relation(&self, relation: &str, half_life: Option<u64>, is_dislike: bool) -> PyResult<()> {
        done(self.lock().declare_relation(relation, relation_options(half_life, is_dislike)))
    }
}
