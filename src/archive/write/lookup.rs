//! Looks whether an earlier backup holds a content, before it is stored.

use super::content::Copying;
use crate::archive::contents::{Contents, Location};
use crate::archive::entry::Entry;
use crate::archive::source::{Content, Opened};
use crate::archive::tar::SparseMap;
use rustix::fs::fstat;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

/// What was found.
pub(super) enum Looked<'a> {
    /// An earlier backup holds it: its hash, and where it lies.
    Held([u8; 32], Location),
    /// It must be stored.
    Missing(Content<'a>),
    /// It must be stored, and was read from a stream that cannot be read again.
    Spooled(File, Option<SparseMap>),
}

/// Hashes a content whose size an earlier backup knows, and looks for it there. What cannot
/// be read, or changes meanwhile, counts as missing: storing it tells what is wrong. Streams
/// are kept in an unnamed file in `scratch` meanwhile.
///
/// # Errors
/// When the stream or the scratch file fails; `Interrupted` when cancelled.
pub(super) fn look_up<'a>(
    copying: &mut Copying<'_>,
    contents: &Contents,
    entry: &mut Entry,
    content: Content<'a>,
    scratch: &Path,
) -> io::Result<Looked<'a>> {
    let found = match content {
        Content::Loaded(bytes) => {
            if !contents.has_size(bytes.len() as u64) {
                return Ok(Looked::Missing(content));
            }
            let sha256: [u8; 32] = Sha256::digest(bytes).into();
            (contents.find(bytes.len() as u64, &sha256), sha256)
        }
        Content::File(Opened::Live { ref file, stat }) => {
            let size = stat.st_size as u64;
            if !contents.has_size(size) || !entry.is_unchanged(&stat) {
                return Ok(Looked::Missing(content));
            }
            let Some(sha256) = hash(copying, file, size)? else {
                return Ok(Looked::Missing(content));
            };
            if !fstat(file).is_ok_and(|stat| entry.is_unchanged(&stat)) {
                return Ok(Looked::Missing(content));
            }
            entry.refresh(&stat);
            (contents.find(size, &sha256), sha256)
        }
        Content::File(Opened::Copy { ref file, changed }) => {
            if changed || !contents.has_size(entry.size) {
                return Ok(Looked::Missing(content));
            }
            let is_whole = fstat(file).is_ok_and(|stat| stat.st_size as u64 == entry.size);
            let Some(sha256) = hash(copying, file, entry.size)?.filter(|_| is_whole) else {
                return Ok(Looked::Missing(content));
            };
            (contents.find(entry.size, &sha256), sha256)
        }
        Content::Stream { reader, map } => {
            if !contents.has_size(entry.size) {
                return Ok(Looked::Missing(Content::Stream { reader, map }));
            }
            let mut file = tempfile::tempfile_in(scratch)?;
            let sha256 = copying.spool(reader, entry.size, map.as_ref(), &mut file)?;
            if let Some(location) = contents.find(entry.size, &sha256) {
                copying.advance(entry.size);
                return Ok(Looked::Held(sha256, location));
            }
            file.rewind()?;
            return Ok(Looked::Spooled(file, map));
        }
    };
    match found {
        (Some(location), sha256) => {
            copying.advance(entry.size);
            Ok(Looked::Held(sha256, location))
        }
        (None, _) => Ok(Looked::Missing(content)),
    }
}

/// The file's hash; nothing where it cannot be read.
fn hash(copying: &mut Copying<'_>, file: &File, size: u64) -> io::Result<Option<[u8; 32]>> {
    match copying.hash(file, size) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Ok(None),
        other => other,
    }
}
