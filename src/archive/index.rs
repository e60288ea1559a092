//! The index: one Parquet file that lists every file of the trees of a backup.
//!
//! Any engine that reads Parquet reads it; DuckDB with
//! `SELECT path, size FROM 'index.parquet'`. Rows of one component stand together, in
//! [`tree_order`](super::entry::tree_order) and in the order of its archive. A row group
//! holds rows of one component only, 65536 at most. Compression: zstd.
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `component` | text | the file tree's name |
//! | `path` | text | relative to the tree; `.` for its own directory; where `path_raw` is set, bytes that are not UTF-8 and `%` are written as `%XX` |
//! | `path_raw` | binary, null | the exact path, where it is not UTF-8 |
//! | `type` | text | `file`, `directory`, `symlink`, `hardlink`, `fifo`, `chardev`, `blockdev` |
//! | `size` | u64 | bytes of a file, holes included; else 0 |
//! | `mode` | u64 | permissions with setuid, setgid, sticky (at most octal 7777) |
//! | `uid`, `gid` | u64 | owner and group |
//! | `user`, `group` | text, null | their names, where known |
//! | `mtime_ns`, `ctime_ns` | i64 | nanoseconds since 1970 UTC; `ctime_ns` 0 where unknown |
//! | `device`, `inode`, `nlink` | u64 | of the source; 0, 0, 1 where unknown |
//! | `device_major`, `device_minor` | u64, null | of a device |
//! | `link_target` | binary, null | a symlink's text; a hard link's earlier path in the tree, whose row has the content |
//! | `xattrs` | text, null | JSON object, attribute name to base64 of its value; in names, bytes that are not UTF-8 and `%` are written as `%XX`; a hard link's stand in the row of the first name |
//! | `sha256` | text, null | of a file's content, 64 lower-case hex digits |
//! | `changed` | bool | the file changed while it was read |
//! | `stored_in` | text | the id of the backup that holds the bytes |
//! | `archive` | text | the archive's path in that backup |
//! | `frame` | u64, null | of a file: the number, from 0, of the frame in which its data begins |
//! | `offset` | u64, null | of a file: where its data begins in the decompressed tar |
//! | `data_kind` | text, null | of a file: `dense`: `size` bytes follow at `offset`; `gnu-sparse-1.0`: a sparse map follows there, then the data without holes |
//!
//! The changes of a backup have the same columns, and at the end `gone`, bool: the file was in
//! the parent's tree and is not there any more; the other columns may tell what it was.

mod ahead;
mod bytes;
mod column;
mod group;
mod json;
mod reader;
mod row;
mod schema;
mod writer;

pub use reader::{IndexReader, Rows};
pub use row::Content;
pub use writer::{IndexWriter, StoredIndex};

use super::entry::Entry;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path relative to its tree as the column `path` has it.
pub fn indexed_path(path: &Path) -> String {
    let raw = path.as_os_str().as_bytes();
    match std::str::from_utf8(raw) {
        Ok("") => ".".to_owned(),
        Ok(text) => text.to_owned(),
        Err(_) => json::escape(raw),
    }
}

/// One row: a file, and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The file tree's name.
    pub component: String,
    /// The file with its metadata.
    pub entry: Entry,
    /// SHA-256 of a file's content.
    pub sha256: Option<[u8; 32]>,
    /// Whether it changed while it was read.
    pub changed: bool,
    /// The id of the backup that holds the bytes.
    pub stored_in: String,
    /// The archive's path in that backup.
    pub archive: String,
    /// Where a file's data begins.
    pub place: Option<Place>,
}

impl Row {
    /// Whether the other one tells the same of its file: content and all metadata that a user
    /// may know of, not where the bytes lie.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        (&self.component, self.sha256, self.changed)
            == (&other.component, other.sha256, other.changed)
            && self.entry.tells_the_same(&other.entry)
    }
}

/// Where a file's data begins in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The frame in which it begins.
    pub frame: u64,
    /// The offset in the decompressed tar.
    pub offset: u64,
    /// Whether a sparse map stands there, before the data.
    pub sparse: bool,
}
