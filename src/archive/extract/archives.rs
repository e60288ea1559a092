//! The archives that hold the contents of one tree, opened as rows ask for them.

use crate::archive::entry::Kind;
use crate::archive::frame::{FrameCursor, FrameReader, read_error};
use crate::archive::index::Row;
use crate::archive::tar::SparseMap;
use crate::error::Result;
use crate::storage::Blob;
use std::io::{Seek, SeekFrom};

/// How many are open at a time; each holds one decompressed frame.
const MOST_OPEN: usize = 6;

/// Finds an archive by the id of its backup and its path there.
pub type Locate<'a> = &'a dyn Fn(&str, &str) -> Result<Blob>;

/// Archives, the one that was used last first.
pub(in crate::archive) struct Archives<'a> {
    locate: Locate<'a>,
    /// Whether damaged archives are read as far as they go.
    salvage: bool,
    open: Vec<OpenArchive>,
}

/// One archive, read at any place. Rows come in the order of the tree, and so do the members
/// of each archive: reading goes forward in all of them.
pub(in crate::archive) struct OpenArchive {
    stored_in: String,
    archive: String,
    pub(in crate::archive) frames: FrameReader,
    pub(in crate::archive) cursor: FrameCursor,
}

impl<'a> Archives<'a> {
    pub(in crate::archive) fn new(locate: Locate<'a>) -> Self {
        Self { locate, salvage: false, open: Vec::new() }
    }

    /// The same for archives that may be damaged.
    pub(super) fn salvaging(locate: Locate<'a>) -> Self {
        Self { locate, salvage: true, open: Vec::new() }
    }

    /// Whether they may be damaged.
    pub(super) fn are_salvaged(&self) -> bool {
        self.salvage
    }

    /// The archive with the content of `row`, its cursor where the data begin, and the map of
    /// a sparse file; nothing for what has no content.
    pub(super) fn seek(
        &mut self,
        row: &Row,
    ) -> Result<Option<(&mut OpenArchive, Option<SparseMap>)>> {
        let Some(place) = row.place.filter(|_| row.entry.kind == Kind::File) else {
            return Ok(None);
        };
        let archive = self.at(&row.stored_in, &row.archive)?;
        let read = |cursor: &mut FrameCursor| {
            cursor.seek(SeekFrom::Start(place.offset))?;
            place.sparse.then(|| SparseMap::read(cursor, row.entry.size)).transpose()
        };
        let map = read(&mut archive.cursor).map_err(|e| read_error(archive.frames.name(), e))?;
        Ok(Some((archive, map.map(|(map, _)| map))))
    }

    /// The archive of this path in the backup of this id.
    pub(in crate::archive) fn at(
        &mut self,
        stored_in: &str,
        archive: &str,
    ) -> Result<&mut OpenArchive> {
        let is_it = |open: &OpenArchive| open.stored_in == stored_in && open.archive == archive;
        let opened = match self.open.iter().position(is_it) {
            Some(number) => self.open.remove(number),
            None => {
                self.open.truncate(MOST_OPEN - 1);
                let blob = (self.locate)(stored_in, archive)?;
                let frames = match self.salvage {
                    true => FrameReader::salvage(&blob)?,
                    false => FrameReader::open(&blob)?,
                };
                let cursor = frames.read_at(0);
                let (stored_in, archive) = (stored_in.to_owned(), archive.to_owned());
                OpenArchive { stored_in, archive, frames, cursor }
            }
        };
        self.open.insert(0, opened);
        Ok(&mut self.open[0])
    }
}

impl OpenArchive {
    pub(super) fn name(&self) -> &str {
        self.frames.name()
    }
}
