//! A table as Parquet: a folder of files of so many rows, for programs that read a folder as one table.
//! Written by columns of the format itself, without arrow.

use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{PrimitiveTypeBuilder, Type as Schema, TypePtr};

use crate::core::failure::Failure;
use crate::transfer::columns::{Cell, Column, Table, Type};

use crate::transfer::export::folder::{Folder, Out, Place};
use crate::transfer::export::sheet;

/// Bytes of values that are gathered before they are written as a row group.
const GROUP_BYTES: usize = 32 << 20;
/// Rows of a row group at most.
const GROUP_ROWS: u64 = 1 << 17;

pub(super) struct Sheet {
    place: Place,
    table: Table,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    writer: Option<SerializedFileWriter<Out>>,
    gathered: Vec<Gathered>,
    /// Rows of a file at most, of this one, of what was gathered; files before this one.
    most: u64,
    in_file: u64,
    in_group: u64,
    shards: u32,
    bytes: usize,
}

/// The values of a column that are not written yet, and at which levels of a list or of an absence they are.
#[derive(Default)]
struct Gathered {
    whole: Vec<i64>,
    reals: Vec<f32>,
    texts: Vec<ByteArray>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

impl Sheet {
    pub(super) fn create(
        folder: &mut Folder,
        table: Table,
        columns: Vec<Column>,
        most: u64,
    ) -> Result<Box<dyn sheet::Sheet>, Failure> {
        let failed = |error: ParquetError| unwritable(table, &error);
        let fields: Result<Vec<TypePtr>, _> = columns.iter().map(schema_of).collect();
        let schema = Schema::group_type_builder(table.name()).with_fields(fields.map_err(failed)?).build();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("hedgerow ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let mut sheet = Self {
            place: folder.place(),
            table,
            schema: Arc::new(schema.map_err(failed)?),
            properties: Arc::new(properties),
            writer: None,
            gathered: columns.iter().map(|_| Gathered::default()).collect(),
            most,
            in_file: 0,
            in_group: 0,
            shards: 0,
            bytes: 0,
        };
        // Also of a table without rows there is a file, with its columns.
        sheet.open()?;
        Ok(Box::new(sheet))
    }

    fn open(&mut self) -> Result<(), Failure> {
        let file = self.place.file(&format!("{0}/part-{1:05}.parquet", self.table.name(), self.shards))?;
        let writer = SerializedFileWriter::new(file, Arc::clone(&self.schema), Arc::clone(&self.properties));
        self.writer = Some(writer.map_err(|error| unwritable(self.table, &error))?);
        self.shards += 1;
        self.in_file = 0;
        Ok(())
    }

    /// Writes what was gathered as a row group.
    fn flush(&mut self) -> Result<(), Failure> {
        let (table, rows) = (self.table, take(&mut self.in_group));
        self.bytes = 0;
        let Some(writer) = self.writer.as_mut().filter(|_| rows > 0) else { return Ok(()) };
        let mut write = || -> Result<(), ParquetError> {
            let mut group = writer.next_row_group()?;
            for gathered in &mut self.gathered {
                let Gathered { whole, reals, texts, definitions, repetitions } = take(gathered);
                let levels = (&definitions[..], &repetitions[..]);
                // A column has values of one type, or none at all.
                if !whole.is_empty() {
                    write_column::<Int64Type>(&mut group, &whole, levels)?;
                } else if !reals.is_empty() {
                    write_column::<FloatType>(&mut group, &reals, levels)?;
                } else if !texts.is_empty() {
                    write_column::<ByteArrayType>(&mut group, &texts, levels)?;
                } else {
                    write_absent(&mut group, levels)?;
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
        self.place.keep(file, Some(self.table), Some(self.in_file))
    }
}

impl sheet::Sheet for Sheet {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure> {
        if self.in_file == self.most {
            self.close()?;
            self.open()?;
        }
        for (gathered, cell) in self.gathered.iter_mut().zip(cells) {
            self.bytes += gathered.push(cell);
        }
        self.in_file += 1;
        self.in_group += 1;
        if self.bytes >= GROUP_BYTES || self.in_group == GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn end(mut self: Box<Self>) -> Result<(), Failure> {
        self.close()
    }
}

impl Gathered {
    /// Takes a value up; returns about how many bytes it has.
    fn push(&mut self, cell: &Cell<'_>) -> usize {
        match *cell {
            Cell::Id(value) | Cell::Count(value) => self.whole.push(value as i64),
            Cell::Real(value) => self.reals.push(value),
            Cell::Text(text) => {
                self.texts.push(ByteArray::from(text.as_bytes().to_vec()));
                return text.len() + size_of::<ByteArray>();
            }
            Cell::Time(time) => {
                self.definitions.push(i16::from(time.is_some()));
                self.whole.extend(time);
            }
            Cell::Words(words) => {
                self.levels(words.len(), 0);
                self.texts.extend(words.iter().map(|word| ByteArray::from(word.as_bytes().to_vec())));
                return words.iter().map(|word| word.len() + size_of::<ByteArray>()).sum();
            }
            Cell::Reals(None) => {
                self.definitions.push(0);
                self.repetitions.push(0);
            }
            Cell::Reals(Some(values)) => {
                self.levels(values.len(), 1);
                self.reals.extend_from_slice(values);
                return 8 * values.len();
            }
        }
        8
    }

    /// The levels of a list, `empty` being the one of a list without elements.
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
    group: &mut SerializedRowGroupWriter<'_, Out>,
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

/// A column in whose rows there is nothing, of whichever type.
fn write_absent(
    group: &mut SerializedRowGroupWriter<'_, Out>,
    (definitions, repetitions): (&[i16], &[i16]),
) -> Result<(), ParquetError> {
    use parquet::column::writer::ColumnWriter;
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than in the schema".to_owned()));
    };
    let repetitions = (!repetitions.is_empty()).then_some(repetitions);
    match column.untyped() {
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&[], Some(definitions), repetitions)?,
        ColumnWriter::FloatColumnWriter(writer) => writer.write_batch(&[], Some(definitions), repetitions)?,
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            writer.write_batch(&[], Some(definitions), repetitions)?
        }
        _ => return Err(ParquetError::General("a column of no type of ours".to_owned())),
    };
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
    let built = match column.holds {
        Type::Id => {
            let id = plain(name, Physical::INT64, Repetition::REQUIRED);
            id.with_logical_type(Some(LogicalType::integer(64, false))).build()
        }
        Type::Count => plain(name, Physical::INT64, Repetition::REQUIRED).build(),
        Type::Time => plain(name, Physical::INT64, Repetition::OPTIONAL).build(),
        Type::Real => plain(name, Physical::FLOAT, Repetition::REQUIRED).build(),
        Type::Text => text(name),
        Type::Words => list(text("element")?, Repetition::REQUIRED),
        Type::Reals => {
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
