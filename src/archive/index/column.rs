//! The values of one column, on their way into a row group or out of it.

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use std::vec::IntoIter;

/// Values in the order of their rows. Nulls of an optional column have a level of 0 and no
/// value, as Parquet wants it.
#[derive(Debug, Default)]
pub(super) struct Filled<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Filled<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

/// The values that a writer collects for one column.
#[derive(Debug)]
pub(super) enum Column {
    Bytes(Filled<ByteArray>),
    Number(Filled<i64>),
    Flag(Filled<bool>),
}

impl Column {
    pub(super) fn new(descriptor: &ColumnDescriptor) -> Self {
        match descriptor.physical_type() {
            Type::INT64 => Self::Number(Filled::default()),
            Type::BOOLEAN => Self::Flag(Filled::default()),
            _ => Self::Bytes(Filled::default()),
        }
    }

    /// Adds bytes and returns how many more are held now.
    pub(super) fn bytes(&mut self, value: Option<&[u8]>) -> usize {
        let Self::Bytes(filled) = self else { return 0 };
        // Most columns repeat their last value, which is shared then.
        let last = filled.values.last().filter(|last| Some(last.data()) == value).cloned();
        let held = if last.is_some() { 0 } else { value.map_or(0, <[u8]>::len) };
        filled.push(last.or_else(|| value.map(|value| ByteArray::from(value.to_vec()))));
        held
    }

    pub(super) fn number(&mut self, value: Option<u64>) {
        self.signed(value.map(u64::cast_signed));
    }

    pub(super) fn signed(&mut self, value: Option<i64>) {
        if let Self::Number(filled) = self {
            filled.push(value);
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        if let Self::Flag(filled) = self {
            filled.push(Some(value));
        }
    }

    /// Writes the values as a column chunk.
    pub(super) fn write(self, writer: &mut ColumnWriter<'_>) -> Result<()> {
        match (self, writer) {
            (Self::Bytes(filled), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(&filled.values, Some(&filled.levels), None)?;
            }
            (Self::Number(filled), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(&filled.values, Some(&filled.levels), None)?;
            }
            (Self::Flag(filled), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(&filled.values, Some(&filled.levels), None)?;
            }
            _ => return Err(wrong_type()),
        }
        Ok(())
    }
}

/// One column of a row group, read batch by batch.
pub(super) enum Reading {
    Bytes(Batches<parquet::data_type::ByteArrayType>),
    Number(Batches<parquet::data_type::Int64Type>),
    Flag(Batches<parquet::data_type::BoolType>),
    /// All rows have this value, as the statistics say: nothing is decompressed.
    Same(Value),
    /// Nobody asks for it.
    Unread,
}

/// One value, of any type.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bytes(ByteArray),
    Number(i64),
    Flag(bool),
}

impl Reading {
    /// Begins to read the column at `place` of a row group.
    pub(super) fn begin(group: &dyn RowGroupReader, place: usize) -> Result<Self> {
        let chunk = group.metadata().column(place);
        if let Some(value) = same(chunk, group.metadata().num_rows()) {
            return Ok(Self::Same(value));
        }
        let optional = chunk.column_descr().max_def_level() > 0;
        Ok(match group.get_column_reader(place)? {
            ColumnReader::ByteArrayColumnReader(r) => Self::Bytes(Batches::new(r, optional)),
            ColumnReader::Int64ColumnReader(r) => Self::Number(Batches::new(r, optional)),
            ColumnReader::BoolColumnReader(r) => Self::Flag(Batches::new(r, optional)),
            _ => return Err(wrong_type()),
        })
    }

    pub(super) fn bytes(&mut self) -> Result<Option<ByteArray>> {
        match self {
            Self::Bytes(batches) => batches.next(),
            Self::Same(Value::Bytes(value)) => Ok(Some(value.clone())),
            Self::Same(Value::Null) => Ok(None),
            _ => Err(wrong_type()),
        }
    }

    pub(super) fn signed(&mut self) -> Result<Option<i64>> {
        match self {
            Self::Number(batches) => batches.next(),
            Self::Same(Value::Number(value)) => Ok(Some(*value)),
            Self::Same(Value::Null) => Ok(None),
            _ => Err(wrong_type()),
        }
    }

    pub(super) fn flag(&mut self) -> Result<Option<bool>> {
        match self {
            Self::Flag(batches) => batches.next(),
            Self::Same(Value::Flag(value)) => Ok(Some(*value)),
            Self::Same(Value::Null) => Ok(None),
            _ => Err(wrong_type()),
        }
    }
}

/// The value that all rows of a column have, where its statistics prove that there is one. Long
/// texts are cut in them, which `is_exact` tells.
fn same(chunk: &ColumnChunkMetaData, rows: i64) -> Option<Value> {
    let statistics = chunk.statistics()?;
    let optional = chunk.column_descr().max_def_level() > 0;
    match statistics.null_count_opt() {
        Some(nulls) if optional && i64::try_from(nulls) == Ok(rows) => return Some(Value::Null),
        Some(0) => {}
        _ if !optional => {}
        _ => return None,
    }
    match statistics {
        Statistics::ByteArray(found) if found.min_is_exact() && found.max_is_exact() => {
            let (min, max) = found.min_opt().zip(found.max_opt())?;
            (min.data() == max.data()).then(|| Value::Bytes(min.clone()))
        }
        Statistics::Int64(found) => {
            let (min, max) = found.min_opt().zip(found.max_opt())?;
            (min == max).then_some(Value::Number(*min))
        }
        Statistics::Boolean(found) => {
            let (min, max) = found.min_opt().zip(found.max_opt())?;
            (min == max).then_some(Value::Flag(*min))
        }
        _ => None,
    }
}

/// The values of one column chunk, a few thousand in memory at a time.
pub(super) struct Batches<T: DataType> {
    reader: ColumnReaderImpl<T>,
    optional: bool,
    values: IntoIter<T::T>,
    levels: IntoIter<i16>,
}

const BATCH: usize = 4096;

impl<T: DataType> Batches<T> {
    fn new(reader: ColumnReaderImpl<T>, optional: bool) -> Self {
        Self { reader, optional, values: Vec::new().into_iter(), levels: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<T::T>> {
        let mut level = self.levels.next();
        if level.is_none() {
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            let wanted = self.optional.then_some(&mut levels);
            let (rows, ..) = self.reader.read_records(BATCH, wanted, None, &mut values)?;
            if !self.optional {
                levels = vec![1; rows];
            }
            (self.values, self.levels) = (values.into_iter(), levels.into_iter());
            level = self.levels.next();
        }
        match level {
            None => Err(ParquetError::EOF("a column is too short".into())),
            Some(0) => Ok(None),
            Some(_) => match self.values.next() {
                Some(value) => Ok(Some(value)),
                None => Err(ParquetError::EOF("a column lacks values".into())),
            },
        }
    }
}

fn wrong_type() -> ParquetError {
    ParquetError::General("a column has another type than it should".into())
}
