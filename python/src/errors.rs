//! Failures as exceptions of `hedgerow._errors`, with the kind of [`hedgerow::ErrorKind`]. Owns the names of the kinds.

use std::any::Any;
use std::path::Path;

use hedgerow::ErrorKind;
use pyo3::prelude::*;

/// A failure of a call: of the library, or of a value that it never got to see.
pub(crate) enum Failure {
    Library(hedgerow::Error),
    Value(String),
}

macro_rules! failures_of_the_library {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Library(error.into())
            }
        })*
    };
}

failures_of_the_library!(hedgerow::Error, hedgerow::StorageError, hedgerow::WalkError, hedgerow::ModelError);

/// The exception of a failure.
pub(crate) fn failure(error: impl Into<Failure>) -> PyErr {
    match error.into() {
        Failure::Library(error) => raise(name(error.kind()), &error.to_string(), error.path()),
        Failure::Value(message) => invalid(&message),
    }
}

/// The exception of a value that the library never got to see.
pub(crate) fn invalid(message: &str) -> PyErr {
    raise("invalid", message, None)
}

/// The exception of a panic, which is a defect of this library.
pub(crate) fn defect(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
    raise("defect", &format!("a defect of Hedgerow, please report it: {text}"), None)
}

/// The exception of a kind; its text ends with no full stop, as everywhere in this library.
pub(crate) fn raise(kind: &str, message: &str, path: Option<&Path>) -> PyErr {
    Python::attach(|py| {
        let made = py
            .import("hedgerow._errors")
            .and_then(|errors| errors.call_method1("error", (kind, message, path)));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}

fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Locked => "locked",
        ErrorKind::NotAStore => "not_a_store",
        ErrorKind::NewerVersion => "newer_version",
        ErrorKind::Replaced => "replaced",
        ErrorKind::Damaged => "damaged",
        ErrorKind::NotTrained => "not_trained",
        ErrorKind::NotEmbedded => "not_embedded",
        ErrorKind::ReadOnly => "read_only",
        ErrorKind::NotEmpty => "not_empty",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Io => "io",
        ErrorKind::Broken => "broken",
        ErrorKind::Limit => "limit",
        ErrorKind::Refused => "refused",
        ErrorKind::Diverged => "diverged",
        _ => "other",
    }
}
