//! Events of a training as dictionaries for an observer in Python.

use hedgerow::{Progress, TrainEvent};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::calls::Event;
use crate::options::to_fields;

/// Progress within a stage: `stage`, `done`, `of`.
pub(crate) fn progress(progress: Progress) -> Event {
    Box::new(move |py| {
        let event = PyDict::new(py);
        event.set_item("event", "progress")?;
        event.set_item("stage", progress.stage)?;
        event.set_item("done", progress.done)?;
        event.set_item("of", progress.of)?;
        Ok(event.into_any())
    })
}

/// The event, if Python hears of it: `started`, `epoch` or `alarm`.
pub(crate) fn train_event(event: &TrainEvent) -> Option<Event> {
    match event {
        TrainEvent::Epoch(report) => {
            let report = report.clone();
            Some(named("epoch", move |py| to_fields(py, &report)))
        }
        &TrainEvent::Started { nodes, positives, examples } => Some(named("started", move |py| {
            let fields = PyDict::new(py);
            fields.set_item("nodes", nodes)?;
            fields.set_item("positives", positives)?;
            fields.set_item("examples", examples)?;
            Ok(fields.into_any())
        })),
        TrainEvent::Alarm { alarm, .. } => {
            let text = alarm.to_string();
            Some(named("alarm", move |py| {
                let fields = PyDict::new(py);
                fields.set_item("text", text)?;
                Ok(fields.into_any())
            }))
        }
        _ => None,
    }
}

fn named(
    name: &'static str,
    fields: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + Send + 'static,
) -> Event {
    Box::new(move |py| {
        let fields = fields(py)?;
        fields.set_item("event", name)?;
        Ok(fields)
    })
}
