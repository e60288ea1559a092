//! Puts the values of the columns together into rows.

use super::column::Reading;
use super::json::xattrs_from_json;
use super::schema::at;
use super::writer::SPARSE;
use super::{Place, Row};
use crate::archive::entry::{Entry, Kind};
use parquet::errors::{ParquetError, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

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
        let sha256 = match self.text_or_null(at::SHA256)? {
            Some(hex) => Some(unhex(&hex).ok_or_else(|| broken("sha256"))?),
            None => None,
        };
        let (frame, offset) = (self.number_or_null(at::FRAME)?, self.number_or_null(at::OFFSET)?);
        let sparse = self.text_or_null(at::DATA_KIND)?.is_some_and(|kind| kind == SPARSE);
        let place = |(frame, offset)| Place { frame, offset, sparse };
        Ok(Row {
            component: self.text(at::COMPONENT)?,
            entry,
            sha256,
            changed: required(self.0[at::CHANGED].flag()?)?,
            stored_in: self.text(at::STORED_IN)?,
            archive: self.text(at::ARCHIVE)?,
            place: frame.zip(offset).map(place),
        })
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

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (number, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * number..2 * number + 2], 16).ok()?;
    }
    Some(bytes)
}

fn broken(what: &str) -> ParquetError {
    ParquetError::General(format!("a row has a {what} that cannot be"))
}
