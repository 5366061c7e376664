//! A table as Parquet: a folder of files with a limited number of rows, which other programs read as one table.
//! Columns are written by the low-level interface of the crate, which needs no arrow.

use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{PrimitiveTypeBuilder, Type as Schema, TypePtr};

use crate::core::failure::Failure;
use crate::transfer::export::export_folder::{ExportFile, ExportFolder, FileSet};
use crate::transfer::export::table_writer::TableWriter;
use crate::transfer::table_schema::{Column, ColumnType, ColumnValue, Table};

/// Bytes of buffered values that are written as a row group.
const GROUP_BYTES: usize = 32 << 20;
/// The most rows of a row group.
const GROUP_ROWS: u64 = 1 << 17;

pub(super) struct ParquetWriter {
    files: FileSet,
    table: Table,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    writer: Option<SerializedFileWriter<ExportFile>>,
    columns: Vec<(ColumnType, ColumnBuffer)>,
    /// The most rows of a file.
    rows_per_file: u64,
    rows_in_file: u64,
    rows_in_group: u64,
    /// Files that were opened.
    files_opened: u32,
    /// Bytes of buffered values.
    bytes: usize,
}

/// The values of a column that are not written yet, with their definition and repetition levels.
#[derive(Default)]
struct ColumnBuffer {
    integers: Vec<i64>,
    numbers: Vec<f32>,
    texts: Vec<ByteArray>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

impl ParquetWriter {
    pub(super) fn create(
        folder: &mut ExportFolder,
        table: Table,
        columns: &[Column],
        rows_per_file: u64,
    ) -> Result<Box<dyn TableWriter>, Failure> {
        let failed = |error: ParquetError| unwritable(table, &error);
        let fields: Result<Vec<TypePtr>, _> = columns.iter().map(schema_of).collect();
        let schema = Schema::group_type_builder(table.name()).with_fields(fields.map_err(failed)?).build();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("hedgerow ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let mut table_writer = Self {
            files: folder.files(),
            table,
            schema: Arc::new(schema.map_err(failed)?),
            properties: Arc::new(properties),
            writer: None,
            columns: columns.iter().map(|column| (column.kind, ColumnBuffer::default())).collect(),
            rows_per_file,
            rows_in_file: 0,
            rows_in_group: 0,
            files_opened: 0,
            bytes: 0,
        };
        // A table without rows has one file too, which holds the schema.
        table_writer.open()?;
        Ok(Box::new(table_writer))
    }

    fn open(&mut self) -> Result<(), Failure> {
        let file =
            self.files.file(&format!("{0}/part-{1:05}.parquet", self.table.name(), self.files_opened))?;
        let writer = SerializedFileWriter::new(file, Arc::clone(&self.schema), Arc::clone(&self.properties));
        self.writer = Some(writer.map_err(|error| unwritable(self.table, &error))?);
        self.files_opened += 1;
        self.rows_in_file = 0;
        Ok(())
    }

    /// Writes the buffered values as a row group.
    fn flush(&mut self) -> Result<(), Failure> {
        let (table, rows) = (self.table, take(&mut self.rows_in_group));
        self.bytes = 0;
        let Some(writer) = self.writer.as_mut().filter(|_| rows > 0) else { return Ok(()) };
        let mut write = || -> Result<(), ParquetError> {
            let mut group = writer.next_row_group()?;
            for (kind, buffer) in &mut self.columns {
                let ColumnBuffer { integers, numbers, texts, definitions, repetitions } = take(buffer);
                let levels = (&definitions[..], &repetitions[..]);
                match kind {
                    ColumnType::Id | ColumnType::Count | ColumnType::Time => {
                        write_column::<Int64Type>(&mut group, &integers, levels)?;
                    }
                    ColumnType::Number | ColumnType::Numbers => {
                        write_column::<FloatType>(&mut group, &numbers, levels)?;
                    }
                    ColumnType::Text | ColumnType::Texts | ColumnType::Json => {
                        write_column::<ByteArrayType>(&mut group, &texts, levels)?;
                    }
                }
            }
            group.close().map(|_| ())
        };
        write().map_err(|error| unwritable(table, &error))
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.flush()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.into_inner().map_err(|error| unwritable(self.table, &error))?;
        self.files.add(file, Some(self.table), Some(self.rows_in_file))
    }
}

impl TableWriter for ParquetWriter {
    fn row(&mut self, cells: &[ColumnValue<'_>]) -> Result<(), Failure> {
        if self.rows_in_file == self.rows_per_file {
            self.close()?;
            self.open()?;
        }
        for ((_, buffer), cell) in self.columns.iter_mut().zip(cells) {
            self.bytes += buffer.push(cell);
        }
        self.rows_in_file += 1;
        self.rows_in_group += 1;
        if self.bytes >= GROUP_BYTES || self.rows_in_group == GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn end(mut self: Box<Self>) -> Result<(), Failure> {
        self.close()
    }
}

impl ColumnBuffer {
    /// Buffers a value; returns the approximate bytes of it.
    fn push(&mut self, cell: &ColumnValue<'_>) -> usize {
        match *cell {
            ColumnValue::Id(value) | ColumnValue::Count(value) => self.integers.push(value as i64),
            ColumnValue::Number(value) => self.numbers.push(value),
            ColumnValue::Text(text) | ColumnValue::Json(text) => {
                self.texts.push(ByteArray::from(text.as_bytes().to_vec()));
                return text.len() + size_of::<ByteArray>();
            }
            ColumnValue::Time(time) => {
                self.definitions.push(i16::from(time.is_some()));
                self.integers.extend(time);
            }
            ColumnValue::Texts(words) => {
                self.levels(words.len(), 0);
                self.texts.extend(words.iter().map(|word| ByteArray::from(word.as_bytes().to_vec())));
                return words.iter().map(|word| word.len() + size_of::<ByteArray>()).sum();
            }
            ColumnValue::Numbers(None) => {
                self.definitions.push(0);
                self.repetitions.push(0);
            }
            ColumnValue::Numbers(Some(values)) => {
                self.levels(values.len(), 1);
                self.numbers.extend_from_slice(values);
                return 8 * values.len();
            }
        }
        8
    }

    /// Adds the levels of a list; `empty` is the definition level of a list without elements.
    fn levels(&mut self, count: usize, empty: i16) {
        self.definitions.extend(std::iter::repeat_n(empty + 1, count));
        self.repetitions.extend((0..count).map(|at| i16::from(at > 0)));
        if count == 0 {
            self.definitions.push(empty);
            self.repetitions.push(0);
        }
    }
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, ExportFile>,
    values: &[T::T],
    (definitions, repetitions): (&[i16], &[i16]),
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than in the schema".to_owned()));
    };
    let definitions = (!definitions.is_empty()).then_some(definitions);
    let repetitions = (!repetitions.is_empty()).then_some(repetitions);
    column.typed::<T>().write_batch(values, definitions, repetitions)?;
    column.close()
}

fn schema_of(column: &Column) -> Result<TypePtr, ParquetError> {
    let name = column.name.as_str();
    let text = |name: &str| {
        let text = plain(name, Physical::BYTE_ARRAY, Repetition::REQUIRED);
        text.with_logical_type(Some(LogicalType::String)).build()
    };
    let list = |element: Schema, repetition| {
        let elements = Schema::group_type_builder("list")
            .with_repetition(Repetition::REPEATED)
            .with_fields(vec![Arc::new(element)]);
        Schema::group_type_builder(name)
            .with_repetition(repetition)
            .with_logical_type(Some(LogicalType::List))
            .with_converted_type(ConvertedType::LIST)
            .with_fields(vec![Arc::new(elements.build()?)])
            .build()
    };
    let built = match column.kind {
        ColumnType::Id => {
            let id = plain(name, Physical::INT64, Repetition::REQUIRED);
            id.with_logical_type(Some(LogicalType::integer(64, false))).build()
        }
        ColumnType::Count => plain(name, Physical::INT64, Repetition::REQUIRED).build(),
        ColumnType::Time => plain(name, Physical::INT64, Repetition::OPTIONAL).build(),
        ColumnType::Number => plain(name, Physical::FLOAT, Repetition::REQUIRED).build(),
        ColumnType::Text | ColumnType::Json => text(name),
        ColumnType::Texts => list(text("element")?, Repetition::REQUIRED),
        ColumnType::Numbers => {
            let element = plain("element", Physical::FLOAT, Repetition::REQUIRED).build()?;
            list(element, Repetition::OPTIONAL)
        }
    };
    built.map(Arc::new)
}

fn plain(name: &str, physical: Physical, repetition: Repetition) -> PrimitiveTypeBuilder<'_> {
    Schema::primitive_type_builder(name, physical).with_repetition(repetition)
}

fn unwritable(table: Table, error: &ParquetError) -> Failure {
    let source = std::io::Error::other(error.to_string());
    Failure::file(format!("{}/*.parquet", table.name()).as_ref(), "write", source)
}
