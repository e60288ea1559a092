//! The columns of the index as Parquet knows them.

use parquet::errors::Result;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use std::sync::Arc;

/// The place of each column.
pub(super) mod at {
    macro_rules! places {
        ($($name:ident)+) => { places!(@ 0usize; $($name)+); };
        (@ $place:expr; $name:ident $($rest:ident)*) => {
            pub(crate) const $name: usize = $place;
            places!(@ $place + 1; $($rest)*);
        };
        (@ $place:expr;) => {};
    }
    places! {
        COMPONENT PATH PATH_RAW TYPE SIZE MODE UID GID USER GROUP MTIME CTIME DEVICE INODE
        NLINK MAJOR MINOR LINK_TARGET XATTRS SHA256 CHANGED STORED_IN ARCHIVE FRAME OFFSET
        DATA_KIND GONE
    }
}

/// The schema in Parquet's own words.
const SCHEMA: &str = "
message backstop_index {
  required binary component (STRING);
  required binary path (STRING);
  optional binary path_raw;
  required binary type (STRING);
  required int64 size (INTEGER(64,false));
  required int64 mode (INTEGER(64,false));
  required int64 uid (INTEGER(64,false));
  required int64 gid (INTEGER(64,false));
  optional binary user (STRING);
  optional binary group (STRING);
  required int64 mtime_ns;
  required int64 ctime_ns;
  required int64 device (INTEGER(64,false));
  required int64 inode (INTEGER(64,false));
  required int64 nlink (INTEGER(64,false));
  optional int64 device_major (INTEGER(64,false));
  optional int64 device_minor (INTEGER(64,false));
  optional binary link_target;
  optional binary xattrs (STRING);
  optional binary sha256 (STRING);
  required boolean changed;
  required binary stored_in (STRING);
  required binary archive (STRING);
  optional int64 frame (INTEGER(64,false));
  optional int64 offset (INTEGER(64,false));
  optional binary data_kind (STRING);
}
";

/// What changes have besides.
const GONE: &str = "  required boolean gone;\n}";

/// The schema of an index.
pub(super) fn schema() -> Result<TypePtr> {
    parse_message_type(SCHEMA).map(Arc::new)
}

/// The schema of changes.
pub(super) fn changes_schema() -> Result<TypePtr> {
    parse_message_type(&SCHEMA.replace('}', GONE).replace("_index", "_changes")).map(Arc::new)
}
