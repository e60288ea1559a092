//! Puts the values of the columns together into rows.

use super::column::Reading;
use super::json::xattrs_from_json;
use super::schema::at;
use super::writer::SPARSE;
use super::{Place, Row};
use crate::archive::entry::{Entry, Kind};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The columns that a [`Content`] is read from.
pub(super) const OF_CONTENT: [usize; 7] =
    [at::SIZE, at::SHA256, at::STORED_IN, at::ARCHIVE, at::FRAME, at::OFFSET, at::DATA_KIND];

/// What a file holds, and where that lies.
#[derive(Debug, Clone)]
pub struct Content {
    /// Bytes of the file.
    pub size: u64,
    /// Their hash.
    pub sha256: [u8; 32],
    /// The id of the backup that holds them.
    pub stored_in: Text,
    /// The archive's path in that backup.
    pub archive: Text,
    /// Their place in the archive.
    pub place: Place,
}

/// A text of a column, which many rows may share.
#[derive(Debug, Clone)]
pub struct Text(ByteArray);

impl Text {
    /// The text; empty where it is none, which no index has.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.data()).unwrap_or_default()
    }
}

/// The columns of one row group.
#[derive(Default)]
pub(super) struct Columns(Vec<Reading>);

impl FromIterator<Reading> for Columns {
    fn from_iter<I: IntoIterator<Item = Reading>>(readings: I) -> Self {
        Self(readings.into_iter().collect())
    }
}

impl Columns {
    /// The next row.
    pub(super) fn row(&mut self) -> Result<Row> {
        let entry = self.entry()?;
        let (sha256, place) = (self.sha256()?, self.place()?);
        Ok(Row {
            component: self.text(at::COMPONENT)?,
            entry,
            sha256,
            changed: required(self.0[at::CHANGED].flag()?)?,
            stored_in: self.text(at::STORED_IN)?,
            archive: self.text(at::ARCHIVE)?,
            place,
        })
    }

    /// The next row of an index of which only [`OF_CONTENT`] is read; none where it has no
    /// content.
    pub(super) fn content(&mut self) -> Result<Option<Content>> {
        let (size, sha256, place) = (self.number(at::SIZE)?, self.sha256()?, self.place()?);
        let stored_in = Text(required(self.0[at::STORED_IN].bytes()?)?);
        let archive = Text(required(self.0[at::ARCHIVE].bytes()?)?);
        let content = |(sha256, place)| Content { size, sha256, stored_in, archive, place };
        Ok(sha256.zip(place).map(content))
    }

    fn sha256(&mut self) -> Result<Option<[u8; 32]>> {
        let hex = self.0[at::SHA256].bytes()?;
        hex.map(|hex| unhex(hex.data()).ok_or_else(|| broken("sha256"))).transpose()
    }

    fn place(&mut self) -> Result<Option<Place>> {
        let (frame, offset) = (self.number_or_null(at::FRAME)?, self.number_or_null(at::OFFSET)?);
        let sparse =
            self.0[at::DATA_KIND].bytes()?.is_some_and(|it| it.data() == SPARSE.as_bytes());
        Ok(frame.zip(offset).map(|(frame, offset)| Place { frame, offset, sparse }))
    }

    /// Whether its file is gone; of an index none is. To be asked once for each row.
    pub(super) fn gone(&mut self) -> Result<bool> {
        match self.0.get_mut(at::GONE) {
            Some(column) => required(column.flag()?),
            None => Ok(false),
        }
    }

    fn entry(&mut self) -> Result<Entry> {
        let shown = self.text(at::PATH)?;
        let path = match self.bytes_or_null(at::PATH_RAW)? {
            Some(raw) => raw,
            None if shown == "." => OsString::new(),
            None => shown.into(),
        };
        let kind = Kind::from_name(&self.text(at::TYPE)?).ok_or_else(|| broken("type"))?;
        let (major, minor) = (self.number_or_null(at::MAJOR)?, self.number_or_null(at::MINOR)?);
        let rdev = match major.zip(minor) {
            Some((major, minor)) => Some((small(major)?, small(minor)?)),
            None => None,
        };
        let xattrs = match self.text_or_null(at::XATTRS)? {
            Some(json) => xattrs_from_json(&json).ok_or_else(|| broken("xattrs"))?,
            None => Vec::new(),
        };
        Ok(Entry {
            path: PathBuf::from(path),
            kind,
            size: self.number(at::SIZE)?,
            mode: small(self.number(at::MODE)?)?,
            uid: small(self.number(at::UID)?)?,
            gid: small(self.number(at::GID)?)?,
            user: self.text_or_null(at::USER)?,
            group: self.text_or_null(at::GROUP)?,
            mtime_ns: self.number(at::MTIME)?.cast_signed(),
            ctime_ns: self.number(at::CTIME)?.cast_signed(),
            device: self.number(at::DEVICE)?,
            inode: self.number(at::INODE)?,
            nlink: self.number(at::NLINK)?,
            link_target: self.bytes_or_null(at::LINK_TARGET)?,
            xattrs,
            rdev,
        })
    }

    fn number_or_null(&mut self, place: usize) -> Result<Option<u64>> {
        Ok(self.0[place].signed()?.map(i64::cast_unsigned))
    }

    fn number(&mut self, place: usize) -> Result<u64> {
        required(self.number_or_null(place)?)
    }

    fn bytes_or_null(&mut self, place: usize) -> Result<Option<OsString>> {
        let bytes = self.0[place].bytes()?;
        Ok(bytes.map(|bytes| OsString::from_vec(bytes.data().to_vec())))
    }

    fn text_or_null(&mut self, place: usize) -> Result<Option<String>> {
        let text = self.bytes_or_null(place)?.map(OsString::into_string);
        text.transpose().map_err(|_| broken("text"))
    }

    fn text(&mut self, place: usize) -> Result<String> {
        required(self.text_or_null(place)?)
    }
}

fn required<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| broken("null"))
}

fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| broken("number"))
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

fn broken(what: &str) -> ParquetError {
    ParquetError::General(format!("a row has a {what} that cannot be"))
}
