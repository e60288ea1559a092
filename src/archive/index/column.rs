//! The values of one column, on their way into a row group or out of it.

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
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
}

impl Reading {
    pub(super) fn new(reader: ColumnReader, optional: bool) -> Result<Self> {
        Ok(match reader {
            ColumnReader::ByteArrayColumnReader(r) => Self::Bytes(Batches::new(r, optional)),
            ColumnReader::Int64ColumnReader(r) => Self::Number(Batches::new(r, optional)),
            ColumnReader::BoolColumnReader(r) => Self::Flag(Batches::new(r, optional)),
            _ => return Err(wrong_type()),
        })
    }

    pub(super) fn bytes(&mut self) -> Result<Option<ByteArray>> {
        if let Self::Bytes(batches) = self { batches.next() } else { Err(wrong_type()) }
    }

    pub(super) fn signed(&mut self) -> Result<Option<i64>> {
        if let Self::Number(batches) = self { batches.next() } else { Err(wrong_type()) }
    }

    pub(super) fn flag(&mut self) -> Result<Option<bool>> {
        if let Self::Flag(batches) = self { batches.next() } else { Err(wrong_type()) }
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
