//! Reads an index row by row.

use super::column::Reading;
use super::row::{self, Columns, Content};
use super::schema::{at, changes_schema, schema};
use super::{Row, indexed_path};
use crate::error::{Code, Error, Result};
use crate::storage::Blob;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::schema::types::TypePtr;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// An index, opened for reading.
#[derive(Clone)]
pub struct IndexReader {
    name: Arc<str>,
    file: Arc<SerializedFileReader<Blob>>,
    /// The last column that is read.
    last: usize,
}

impl IndexReader {
    /// Opens the index `path`.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`] when it is missing, damaged or lacks a column.
    pub fn open(blob: &Blob) -> Result<Self> {
        Self::with_schema(blob, schema())
    }

    /// Opens the changes of a backup: rows of what is gone come like all others.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_changes(blob: &Blob) -> Result<Self> {
        Self::with_schema(blob, changes_schema())
    }

    fn with_schema(blob: &Blob, ours: Result<TypePtr, ParquetError>) -> Result<Self> {
        let name = blob.name();
        let file = SerializedFileReader::new(blob.clone()).map_err(|e| read_error(name, e))?;
        let ours = ours.map_err(|e| read_error(name, e))?;
        let found = file.metadata().file_metadata().schema_descr();
        // Later versions may add columns at the end.
        for (number, column) in ours.get_fields().iter().enumerate() {
            let name = column.name();
            if found.columns().get(number).is_none_or(|found| found.name() != name) {
                return Err(damaged(name, format!("column {name} is missing")));
            }
        }
        Ok(Self { name: name.into(), file: Arc::new(file), last: ours.get_fields().len() - 1 })
    }

    /// Every row, or those of one component. Row groups of others are not read.
    pub fn rows(&self, component: Option<&str>) -> Rows {
        let groups = self.file.metadata().row_groups().iter().enumerate();
        let wanted = groups
            .filter(|(_, group)| component.is_none_or(|name| may_have(group, at::COMPONENT, name)));
        let mut groups: Vec<_> = wanted.map(|(number, _)| number).collect();
        groups.reverse();
        let component = component.map(str::to_owned);
        Rows { index: self.clone(), component, groups, columns: Columns::default(), left: 0 }
    }

    /// Every content that a row of any component has, with where it lies: only the columns that
    /// tell of it are read.
    pub fn contents(&self) -> Contents {
        let groups = (0..self.file.metadata().num_row_groups()).rev().collect();
        Contents { index: self.clone(), groups, columns: Columns::default(), left: 0 }
    }

    /// The rows of changes, those of one component, each with whether the file is gone.
    pub fn changed(&self, component: &str) -> impl Iterator<Item = Result<(Row, bool)>> + use<> {
        let mut rows = self.rows(Some(component));
        std::iter::from_fn(move || rows.step())
    }

    /// The row of one file. Row groups that cannot hold it are not read.
    ///
    /// # Errors
    /// [`Code::BackupDamaged`] when the index cannot be read.
    pub fn find(&self, component: &str, path: &Path) -> Result<Option<Row>> {
        for row in self.rows_under(component, &indexed_path(path)) {
            let row = row?;
            if row.entry.path == path {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The row of one file, by its path or by what the column `path` has in its place where it
    /// is not UTF-8. A file whose path is just that comes first.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_shown(&self, component: &str, path: &Path) -> Result<Option<Row>> {
        let indexed = indexed_path(path);
        let mut shown_so = None;
        for row in self.rows_under(component, &indexed) {
            let row = row?;
            if row.entry.path == path {
                return Ok(Some(row));
            }
            let is_escaped = row.entry.path.to_str().is_none();
            if shown_so.is_none() && is_escaped && indexed_path(&row.entry.path) == indexed {
                shown_so = Some(row);
            }
        }
        Ok(shown_so)
    }

    /// The rows of the row groups that may hold a file which the column `path` has so.
    fn rows_under(&self, component: &str, indexed: &str) -> Rows {
        let mut rows = self.rows(Some(component));
        let groups = self.file.metadata().row_groups();
        rows.groups.retain(|number| may_have(&groups[*number], at::PATH, indexed));
        rows
    }

    /// How many rows there are, of all components.
    pub fn len(&self) -> u64 {
        self.file.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether the statistics of a column leave room for `value`.
fn may_have(group: &RowGroupMetaData, column: usize, value: &str) -> bool {
    match group.column(column).statistics() {
        Some(Statistics::ByteArray(statistics)) => {
            match (statistics.min_opt(), statistics.max_opt()) {
                (Some(min), Some(max)) => {
                    let name = value.as_bytes();
                    // The statistics may be cut to their first bytes; a cut maximum is
                    // rounded up, so the comparison still holds.
                    min.data() <= name && name <= max.data()
                }
                _ => true,
            }
        }
        _ => true,
    }
}

/// The rows of an index, a few thousand of them in memory at a time.
pub struct Rows {
    index: IndexReader,
    component: Option<String>,
    groups: Vec<usize>,
    columns: Columns,
    left: u64,
}

impl Rows {
    fn advance(&mut self) -> Result<Option<(Row, bool)>, ParquetError> {
        loop {
            if self.left == 0 {
                let Some(number) = self.groups.pop() else { return Ok(None) };
                self.begin(number)?;
                continue;
            }
            self.left -= 1;
            let (row, gone) = (self.columns.row()?, self.columns.gone()?);
            if self.component.as_ref().is_none_or(|wanted| *wanted == row.component) {
                return Ok(Some((row, gone)));
            }
        }
    }

    fn begin(&mut self, number: usize) -> Result<(), ParquetError> {
        let group = self.index.file.get_row_group(number)?;
        self.left = group.metadata().num_rows().unsigned_abs();
        let readings = (0..=self.index.last).map(|place| Reading::begin(group.as_ref(), place));
        self.columns = readings.collect::<Result<_, ParquetError>>()?;
        Ok(())
    }
}

impl Rows {
    fn step(&mut self) -> Option<Result<(Row, bool)>> {
        let row = self.advance();
        if row.is_err() {
            // What follows damage cannot be trusted.
            (self.left, self.groups) = (0, Vec::new());
        }
        row.map_err(|e| read_error(&self.index.name, e)).transpose()
    }
}

/// The contents of an index.
pub struct Contents {
    index: IndexReader,
    groups: Vec<usize>,
    columns: Columns,
    left: u64,
}

impl Contents {
    fn advance(&mut self) -> Result<Option<Content>, ParquetError> {
        loop {
            if self.left == 0 {
                let Some(number) = self.groups.pop() else { return Ok(None) };
                let group = self.index.file.get_row_group(number)?;
                self.left = group.metadata().num_rows().unsigned_abs();
                let readings =
                    (0..=self.index.last).map(|place| match row::OF_CONTENT.contains(&place) {
                        true => Reading::begin(group.as_ref(), place),
                        false => Ok(Reading::Unread),
                    });
                self.columns = readings.collect::<Result<_, ParquetError>>()?;
                continue;
            }
            self.left -= 1;
            if let Some(content) = self.columns.content()? {
                return Ok(Some(content));
            }
        }
    }
}

impl Iterator for Contents {
    type Item = Result<Content>;

    fn next(&mut self) -> Option<Result<Content>> {
        let content = self.advance();
        if content.is_err() {
            // What follows damage cannot be trusted.
            (self.left, self.groups) = (0, Vec::new());
        }
        content.map_err(|e| read_error(&self.index.name, e)).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.step().map(|row| row.map(|(row, _)| row))
    }
}

fn damaged(name: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::BackupDamaged, "read index", name).cause(cause)
}

/// What cannot be read for now is no damage.
fn read_error(name: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(e) if e.kind() == ErrorKind::UnexpectedEof => damaged(name, e),
            Ok(e) => Error::io("read index", Path::new(name), *e),
            Err(source) => damaged(name, source),
        },
        error => damaged(name, error),
    }
}

#[cfg(test)]
mod tests;
