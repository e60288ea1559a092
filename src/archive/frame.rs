//! The container of an archive: many independent zstd frames and a seek table.
//!
//! The input is cut every [`FRAME_SIZE`] bytes; each piece becomes one zstd frame with its
//! content size and checksum in it. Frames follow each other without gaps, so any `zstd -d`
//! reads the file. The last thing in it is a skippable frame as the public "zstd seekable
//! format" (version 0.1.0, `contrib/seekable_format` of zstd) lays down: all integers
//! little-endian,
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | `0x184D2A5E`, the magic of a skippable frame |
//! | 4 | bytes that follow |
//! | 4 + 4 each frame | compressed size, decompressed size |
//! | 4 | number of frames |
//! | 1 | descriptor, 0: the table holds no checksums |
//! | 4 | `0x8F92EAB1` |

mod cursor;
mod reader;
mod splice;
mod table;
mod writer;

pub use cursor::FrameCursor;
pub(crate) use reader::read_error;
pub use reader::{FrameReader, FrameStream};
pub use splice::{FrameSplicer, Spliced};
pub(crate) use table::damaged;
pub use table::{FramePlace, SeekTable};
pub use writer::{FrameWriter, Sink};

/// Bytes of input in each frame but the last.
pub const FRAME_SIZE: usize = 8 << 20;

/// What a written archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredArchive {
    /// Bytes of the file, seek table included.
    pub size: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// How many zstd frames hold data.
    pub frames: u64,
}
