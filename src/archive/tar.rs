//! The tar inside an archive: POSIX.1-2001 pax, as GNU tar and bsdtar read it.
//!
//! - Members are named `./path`, the tree's own directory `./`, in
//!   [`tree_order`](super::entry::tree_order): a directory comes right before its content,
//!   so that GNU tar sets its time after the content.
//! - A pax header precedes a member only where the ustar header cannot say it: names over
//!   100 bytes, nanoseconds, ids over 2097151, sizes over 8 GiB, extended attributes.
//! - Extended attributes are `SCHILY.xattr.NAME` with `%` and `=` in NAME as `%25` and
//!   `%3D` (GNU tar's own rule); ACLs are `SCHILY.acl.access` and `SCHILY.acl.default`, as
//!   text with numeric ids.
//! - A name that is not UTF-8 and does not fit the ustar header goes into the pax header as
//!   its raw bytes, after `hdrcharset=BINARY`.
//! - Sparse files are GNU sparse 1.0: the map stands before the data.
//! - The further names of a file are hard link members without data.

mod header;
mod map;
mod pax;
mod reader;
mod writer;

pub use map::{Segment, SparseMap};
pub use reader::{Member, TarReader};
pub use writer::TarWriter;

/// Everything in a tar is a multiple of this.
pub(crate) const BLOCK: usize = 512;

/// How many bytes fill `size` up to whole blocks.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}
