//! Tables between Python and Rust by Arrow's C stream, which pyarrow, polars, pandas and `DuckDB` speak.
//! The one module with `unsafe`: a stream is taken out of the capsule that holds it.
#![expect(unsafe_code, reason = "the C stream interface of Arrow is a pointer in a capsule")]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, RecordBatchReader,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyInt, PyList};

use crate::columns::Column;
use crate::errors::invalid;

/// Rows in columns. Immutable; threads share it.
#[pyclass(frozen, module = "hedgerow._hedgerow")]
pub(crate) struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// A table of columns of equal length. None of them is null where `is_nullable` is false.
    pub(crate) fn new(columns: Vec<(String, ArrayRef, bool)>) -> PyResult<Self> {
        let field = |(name, array, is_nullable): &(String, ArrayRef, bool)| {
            Field::new(name, array.data_type().clone(), *is_nullable)
        };
        let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays);
        Ok(Self { schema, batches: vec![batch.map_err(|error| invalid(&error.to_string()))?] })
    }

    /// The rows of an object with `__arrow_c_stream__`.
    ///
    /// # Errors
    /// The exception of the object; a stream that is not of rows.
    fn read(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = object.call_method0("__arrow_c_stream__")?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let stream = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
        // SAFETY: by the protocol a capsule of this name holds a stream that nobody else reads; it is moved out, and an empty one is left.
        let reader =
            unsafe { RecordBatchStreamReader::from_raw(stream.cast::<FFI_ArrowArrayStream>().as_ptr()) };
        let refused = |error: ArrowError| invalid(&format!("the Arrow stream cannot be read: {error}"));
        let reader = reader.map_err(refused)?;
        let schema = reader.schema();
        Ok(Self { schema, batches: reader.collect::<Result<_, _>>().map_err(refused)? })
    }

    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The number of a column.
    pub(crate) fn column_number(&self, name: &str) -> PyResult<usize> {
        self.schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
            invalid(&format!("found no column {name:?}, expected one of {}", names.join(", ")))
        })
    }
}

#[pymethods]
impl Table {
    /// The rows of anything with `__arrow_c_stream__`.
    #[staticmethod]
    fn from_arrow(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::read(object)
    }

    /// A table of columns, each with its name and type: `integer`, `number`, `moment` or `text`, and a numpy array of 8 bytes a row or a list
    /// of texts. A moment is microseconds since 1970, and the smallest integer is none.
    #[staticmethod]
    fn from_columns(columns: Vec<(String, String, Bound<'_, PyAny>)>) -> PyResult<Self> {
        let array =
            |(name, of, values): (String, String, Bound<'_, PyAny>)| -> PyResult<(String, ArrayRef, bool)> {
                let array: ArrayRef = match of.as_str() {
                    "integer" => Arc::new(Int64Array::from(
                        values.extract::<PyReadonlyArray1<'_, i64>>()?.as_slice()?.to_vec(),
                    )),
                    "number" => Arc::new(Float64Array::from(
                        values.extract::<PyReadonlyArray1<'_, f64>>()?.as_slice()?.to_vec(),
                    )),
                    "moment" => {
                        let moments = values.extract::<PyReadonlyArray1<'_, i64>>()?;
                        let moments =
                            moments.as_slice()?.iter().map(|&moment| (moment != i64::MIN).then_some(moment));
                        Arc::new(moments.collect::<TimestampMicrosecondArray>())
                    }
                    _ => Arc::new(StringArray::from(values.extract::<Vec<Option<String>>>()?)),
                };
                Ok((name, array, true))
            };
        let columns: Vec<(String, ArrayRef, bool)> =
            columns.into_iter().map(array).collect::<PyResult<_>>()?;
        if let [(first, one, _), rest @ ..] = &*columns
            && let Some((name, other, _)) = rest.iter().find(|(_, other, _)| other.len() != one.len())
        {
            let text =
                format!("column {first:?} has {} rows and column {name:?} has {}", one.len(), other.len());
            return Err(invalid(&text));
        }
        Self::new(columns)
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// The names of the columns of moments.
    #[getter]
    fn moments(&self) -> Vec<&str> {
        let is_moment =
            |of: &DataType| matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
        let fields = self.schema.fields().iter().filter(|field| is_moment(field.data_type()));
        fields.map(|field| field.name().as_str()).collect()
    }

    /// A column as a numpy array of numbers, or as a list of texts and lists. Moments are microseconds since 1970.
    fn column<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let at = self.column_number(name)?;
        let arrays: Vec<&ArrayRef> = self.batches.iter().map(|batch| batch.column(at)).collect();
        let has_gaps = arrays.iter().any(|array| array.null_count() > 0);
        match self.schema.field(at).data_type() {
            DataType::Float32 if !has_gaps => Ok(numbers::<Float32Type>(py, &arrays).into_any()),
            DataType::Float64 if !has_gaps => Ok(numbers::<Float64Type>(py, &arrays).into_any()),
            DataType::Int32 if !has_gaps => Ok(numbers::<Int32Type>(py, &arrays).into_any()),
            DataType::Int64 if !has_gaps => Ok(numbers::<Int64Type>(py, &arrays).into_any()),
            DataType::UInt32 if !has_gaps => Ok(numbers::<UInt32Type>(py, &arrays).into_any()),
            DataType::UInt64 if !has_gaps => Ok(numbers::<UInt64Type>(py, &arrays).into_any()),
            _ => {
                let all = PyList::empty(py);
                for array in arrays {
                    let array = Column::decoded(array);
                    (0..array.len()).try_for_each(|row| all.append(value(py, name, &array, row)?))?;
                }
                Ok(all.into_any())
            }
        }
    }

    /// The rows as a stream of Arrow's C interface, in a capsule.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A producer may give its own schema in place of the requested one.
        drop(requested_schema);
        let rows = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(rows, Arc::clone(&self.schema));
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), c"arrow_array_stream")
    }
}

fn numbers<'py, T>(py: Python<'py>, arrays: &[&ArrayRef]) -> Bound<'py, PyArray1<T::Native>>
where
    T: arrow_array::ArrowPrimitiveType,
    T::Native: numpy::Element,
{
    let all = arrays.iter().flat_map(|array| array.as_primitive::<T>().values().iter().copied());
    PyArray1::from_iter(py, all)
}

/// A value as an object of Python; moments as integers.
fn value<'py>(py: Python<'py>, name: &str, array: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
    if array.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    let column = Column { name, array, first_row: 0 };
    let list = |items: ArrayRef| {
        let list = PyList::empty(py);
        (0..items.len()).try_for_each(|at| list.append(value(py, name, &items, at)?))?;
        Ok::<_, PyErr>(list.into_any())
    };
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            column.text(row).map_err(|error| invalid(&error))?.into_pyobject(py)?.into_any()
        }
        DataType::Boolean => array.as_boolean().value(row).into_pyobject(py)?.to_owned().into_any(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            column.time(row, 1).map_err(|error| invalid(&error))?.into_pyobject(py)?.into_any()
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row))?,
        of if of.is_integer() => {
            let mut digits = String::new();
            column.key(row, &mut digits).map_err(|error| invalid(&error))?;
            py.get_type::<PyInt>().call1((digits,))?
        }
        other => {
            let text = format!("column {name:?}: found {other}, expected texts, numbers, moments or lists");
            return Err(invalid(&text));
        }
    })
}
