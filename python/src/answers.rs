//! Answers as a table: a row for each answer, in the order of the questions.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int32Array, StringArray};
use hedgerow::{PropertyValue, Ranked, Snapshot};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{Failure, failure};
use crate::options::to_fields;
use crate::tables::Table;

/// The answers to some questions.
pub(crate) struct Answered {
    /// The question in words, and its answer.
    pub(crate) answers: Vec<(String, Result<Ranked, Failure>)>,
    pub(crate) snapshot: Snapshot,
}

impl Answered {
    /// The table of all answers, and for each question what is not in rows: source, epoch, next page, ignored nodes, interests; or the
    /// exception.
    pub(crate) fn into_python(self, py: Python<'_>, explain: bool) -> PyResult<(Table, Bound<'_, PyAny>)> {
        let Self { answers, snapshot } = self;
        let (mut queries, mut ranks, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut labels, mut scores, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        let facts = pyo3::types::PyList::empty(py);
        for (query, ranked) in answers {
            let about = PyDict::new(py);
            about.set_item("query", &query)?;
            match ranked {
                Err(error) => about.set_item("error", failure(error).value(py))?,
                Ok(Ranked { items, source, interests, ignored, next, epoch, dirty_nodes }) => {
                    about.set_item("count", items.len())?;
                    about.set_item("source", source.to_string())?;
                    about.set_item("epoch", epoch.get())?;
                    about.set_item("dirty_nodes", dirty_nodes)?;
                    about.set_item("next", next.map(|next| next.to_string()))?;
                    about.set_item("ignored", ignored.iter().map(ToString::to_string).collect::<Vec<_>>())?;
                    about.set_item("interests", to_fields(py, &interests)?)?;
                    for (rank, item) in (1..).zip(items) {
                        queries.push(query.clone());
                        ranks.push(rank);
                        labels.push(label(&snapshot, &item.node));
                        nodes.push(item.node.to_string());
                        scores.push(item.score);
                        reasons.push(item.explanation.map(|explanation| explanation.to_string()));
                    }
                }
            }
            facts.append(about)?;
        }
        let mut columns: Vec<(String, ArrayRef, bool)> = vec![
            ("query".into(), Arc::new(StringArray::from(queries)), false),
            ("rank".into(), Arc::new(Int32Array::from(ranks)), false),
            ("node".into(), Arc::new(StringArray::from(nodes)), false),
        ];
        if labels.iter().any(Option::is_some) {
            columns.push(("label".into(), Arc::new(StringArray::from(labels)), true));
        }
        columns.push(("score".into(), Arc::new(Float32Array::from(scores)), false));
        if explain {
            columns.push(("explanation".into(), Arc::new(StringArray::from(reasons)), true));
        }
        Ok((Table::new(columns)?, facts.into_any()))
    }
}

/// The value of the property by which a node's kind is shown.
fn label(snapshot: &Snapshot, node: &hedgerow::NodeName) -> Option<String> {
    let node = snapshot.lookup(node.as_ref())?;
    match snapshot.value(node, snapshot.label(snapshot.kind(node))?)? {
        PropertyValue::Text(text) => Some(text.to_owned()),
        other => Some(other.to_string()),
    }
}
