//! Writes an index.

use super::Row;
use super::column::Column;
use super::group::{GroupWriter, parquet_error};
use super::json::{escape, xattrs_to_json};
use super::schema::{at, changes_schema, schema};
use crate::encryption::{Hashing, StoredBytes};
use crate::error::{Error, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

const GROUP_ROWS: usize = 65_536;
/// Changes are few, and read many together: a query holds one row group of each.
const CHANGES_GROUP_ROWS: usize = 8192;
/// Long paths and attributes end a row group early, so that memory stays bounded.
const GROUP_BYTES: usize = 24 << 20;

/// What a written index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIndex {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// How many files it lists.
    pub rows: u64,
}

/// Writes rows, those of one component after those of another.
pub struct IndexWriter {
    groups: GroupWriter,
    schema: SchemaDescriptor,
    columns: Vec<Column>,
    component: String,
    group_rows: usize,
    waiting: usize,
    bytes: usize,
    rows: u64,
}

impl IndexWriter {
    /// Creates the index `path` (mode 0600, must not exist).
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_schema(path, schema(), GROUP_ROWS)
    }

    /// Creates the changes `path` likewise.
    pub fn create_changes(path: &Path) -> Result<Self> {
        Self::with_schema(path, changes_schema(), CHANGES_GROUP_ROWS)
    }

    fn with_schema(
        path: &Path,
        schema: Result<TypePtr, ParquetError>,
        group_rows: usize,
    ) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|e| Error::io("create index", path, e))?;
        let schema = schema.map_err(|e| parquet_error(path, e))?;
        let writer = writer(file, &schema).map_err(|e| parquet_error(path, e))?;
        let schema = SchemaDescriptor::new(schema);
        Ok(Self {
            groups: GroupWriter::start(writer, path)?,
            columns: empty(&schema),
            schema,
            component: String::new(),
            group_rows,
            waiting: 0,
            bytes: 0,
            rows: 0,
        })
    }

    /// Adds a row.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        self.add(row, false)
    }

    /// Adds a file that is gone, to changes.
    pub fn append_gone(&mut self, row: &Row) -> Result<()> {
        self.add(row, true)
    }

    fn add(&mut self, row: &Row, gone: bool) -> Result<()> {
        if self.component != row.component {
            self.write_group()?;
            self.component.clone_from(&row.component);
        }
        self.fill(row);
        if let Some(column) = self.columns.get_mut(at::GONE) {
            column.flag(gone);
        }
        self.rows += 1;
        self.waiting += 1;
        if self.waiting == self.group_rows || self.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and Parquet's footer. Nothing is synced to disk.
    pub fn finish(mut self) -> Result<StoredIndex> {
        self.write_group()?;
        let Self { groups, rows, .. } = self;
        let StoredBytes { size, sha256 } = groups.finish()?.stored();
        Ok(StoredIndex { size, sha256, rows })
    }

    fn fill(&mut self, row: &Row) {
        let Row { entry, place, .. } = row;
        let raw = entry.path.as_os_str().as_bytes();
        let (path, path_raw) = match std::str::from_utf8(raw) {
            Ok("") => (".".to_owned(), None),
            Ok(text) => (text.to_owned(), None),
            Err(_) => (escape(raw), Some(raw)),
        };
        let sha256 = row.sha256.map(|hash| crate::hex::hex(&hash));
        let xattrs = xattrs_to_json(&entry.xattrs);
        let data_kind = place.map(|place| if place.sparse { SPARSE } else { DENSE });
        let columns = &mut self.columns;
        for (column, value) in [
            (at::COMPONENT, Some(row.component.as_bytes())),
            (at::PATH, Some(path.as_bytes())),
            (at::PATH_RAW, path_raw),
            (at::TYPE, Some(entry.kind.as_str().as_bytes())),
            (at::USER, entry.user.as_deref().map(str::as_bytes)),
            (at::GROUP, entry.group.as_deref().map(str::as_bytes)),
            (at::LINK_TARGET, entry.link_target.as_deref().map(OsStrExt::as_bytes)),
            (at::XATTRS, xattrs.as_deref().map(str::as_bytes)),
            (at::SHA256, sha256.as_deref().map(str::as_bytes)),
            (at::STORED_IN, Some(row.stored_in.as_bytes())),
            (at::ARCHIVE, Some(row.archive.as_bytes())),
            (at::DATA_KIND, data_kind.map(str::as_bytes)),
        ] {
            self.bytes += columns[column].bytes(value);
        }
        for (column, value) in [
            (at::SIZE, Some(entry.size)),
            (at::MODE, Some(u64::from(entry.mode))),
            (at::UID, Some(u64::from(entry.uid))),
            (at::GID, Some(u64::from(entry.gid))),
            (at::DEVICE, Some(entry.device)),
            (at::INODE, Some(entry.inode)),
            (at::NLINK, Some(entry.nlink)),
            (at::MAJOR, entry.rdev.map(|(major, _)| u64::from(major))),
            (at::MINOR, entry.rdev.map(|(_, minor)| u64::from(minor))),
            (at::FRAME, place.map(|place| place.frame)),
            (at::OFFSET, place.map(|place| place.offset)),
        ] {
            columns[column].number(value);
        }
        columns[at::MTIME].signed(Some(entry.mtime_ns));
        columns[at::CTIME].signed(Some(entry.ctime_ns));
        columns[at::CHANGED].flag(row.changed);
    }

    fn write_group(&mut self) -> Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        let columns = std::mem::replace(&mut self.columns, empty(&self.schema));
        (self.waiting, self.bytes) = (0, 0);
        self.groups.write(columns)
    }
}

fn writer(
    file: File,
    schema: &TypePtr,
) -> Result<SerializedFileWriter<Hashing<File>>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("backstop ", env!("CARGO_PKG_VERSION")).into());
    for unique in ["path", "inode", "sha256", "offset", "mtime_ns", "ctime_ns"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(unique), false);
    }
    let properties = Arc::new(properties.build());
    SerializedFileWriter::new(Hashing::new(file), Arc::clone(schema), properties)
}

/// The name of data without holes.
pub(super) const DENSE: &str = "dense";
/// The name of data with a sparse map before it.
pub(super) const SPARSE: &str = "gnu-sparse-1.0";

fn empty(schema: &SchemaDescriptor) -> Vec<Column> {
    schema.columns().iter().map(|column| Column::new(column)).collect()
}
