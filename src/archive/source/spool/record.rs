//! How metadata wait in the temporary file. Only this process reads it.

use crate::archive::entry::{Entry, Kind};
use crate::archive::fault::{Fault, Trouble};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What was scanned, and what became of its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Entry(Entry),
    Copied { entry: Entry, number: u64, changed: bool },
    Fault(Fault),
}

const ENTRY: u64 = 0;
const COPIED: u64 = 1;
const FAULT: u64 = 2;
const TROUBLES: [Trouble; 5] = [
    Trouble::Unreadable,
    Trouble::Changed,
    Trouble::Vanished,
    Trouble::Skipped,
    Trouble::Incomplete,
];

impl Record {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Entry(entry) => {
                put(to, ENTRY)?;
                put_entry(to, entry)
            }
            Self::Copied { entry, number, changed } => {
                put(to, COPIED)?;
                put(to, *number)?;
                put(to, u64::from(*changed))?;
                put_entry(to, entry)
            }
            Self::Fault(Fault { path, trouble, cause }) => {
                put(to, FAULT)?;
                let place = TROUBLES.iter().position(|known| known == trouble);
                put(to, place.unwrap_or(0) as u64)?;
                put_bytes(to, path.as_os_str().as_bytes())?;
                put_bytes(to, cause.as_bytes())
            }
        }
    }

    /// The next record; nothing at the end of the file.
    pub(super) fn read(from: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        if from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        Ok(Some(match take(from)? {
            ENTRY => Self::Entry(take_entry(from)?),
            COPIED => {
                let (number, changed) = (take(from)?, take(from)? != 0);
                Self::Copied { entry: take_entry(from)?, number, changed }
            }
            FAULT => {
                let trouble = TROUBLES.get(take(from)? as usize).ok_or_else(broken)?;
                let path = PathBuf::from(OsString::from_vec(take_bytes(from)?));
                let cause = text(take_bytes(from)?)?;
                Self::Fault(Fault { path, trouble: *trouble, cause })
            }
            _ => return Err(broken()),
        }))
    }
}

fn put_entry(to: &mut impl Write, entry: &Entry) -> io::Result<()> {
    put_bytes(to, entry.path.as_os_str().as_bytes())?;
    put_bytes(to, entry.kind.as_str().as_bytes())?;
    for number in [entry.size, entry.mode.into(), entry.uid.into(), entry.gid.into()] {
        put(to, number)?;
    }
    for number in [entry.mtime_ns.cast_unsigned(), entry.ctime_ns.cast_unsigned()] {
        put(to, number)?;
    }
    for number in [entry.device, entry.inode, entry.nlink] {
        put(to, number)?;
    }
    put_some(to, entry.user.as_deref().map(str::as_bytes))?;
    put_some(to, entry.group.as_deref().map(str::as_bytes))?;
    put_some(to, entry.link_target.as_deref().map(OsStr::as_bytes))?;
    put(to, u64::from(entry.rdev.is_some()))?;
    let (major, minor) = entry.rdev.unwrap_or_default();
    put(to, major.into())?;
    put(to, minor.into())?;
    put(to, entry.xattrs.len() as u64)?;
    for (name, value) in &entry.xattrs {
        put_bytes(to, name)?;
        put_bytes(to, value)?;
    }
    Ok(())
}

fn take_entry(from: &mut impl Read) -> io::Result<Entry> {
    let path = PathBuf::from(OsString::from_vec(take_bytes(from)?));
    let kind = Kind::from_name(&text(take_bytes(from)?)?).ok_or_else(broken)?;
    let mut entry = Entry {
        path,
        kind,
        size: take(from)?,
        mode: take(from)? as u32,
        uid: take(from)? as u32,
        gid: take(from)? as u32,
        mtime_ns: take(from)?.cast_signed(),
        ctime_ns: take(from)?.cast_signed(),
        device: take(from)?,
        inode: take(from)?,
        nlink: take(from)?,
        user: take_some(from)?.map(text).transpose()?,
        group: take_some(from)?.map(text).transpose()?,
        link_target: take_some(from)?.map(OsString::from_vec),
        xattrs: Vec::new(),
        rdev: None,
    };
    let is_device = take(from)? != 0;
    let numbers = (take(from)? as u32, take(from)? as u32);
    entry.rdev = is_device.then_some(numbers);
    for _ in 0..take(from)? {
        entry.xattrs.push((take_bytes(from)?, take_bytes(from)?));
    }
    Ok(entry)
}

fn put(to: &mut impl Write, number: u64) -> io::Result<()> {
    to.write_all(&number.to_le_bytes())
}

fn put_bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    put(to, bytes.len() as u64)?;
    to.write_all(bytes)
}

fn put_some(to: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
    put(to, u64::from(bytes.is_some()))?;
    bytes.map_or(Ok(()), |bytes| put_bytes(to, bytes))
}

fn take(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn take_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(take(from)?).map_err(|_| broken())?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_some(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    if take(from)? == 0 { Ok(None) } else { take_bytes(from).map(Some) }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| broken())
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the list of files is broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_written() {
        let entry = Entry {
            path: PathBuf::from(OsString::from_vec(b"a\xff\n".to_vec())),
            kind: Kind::CharDevice,
            size: 1,
            mode: 0o4755,
            uid: 2,
            gid: u32::MAX,
            user: Some("me".into()),
            group: None,
            mtime_ns: -3,
            ctime_ns: 4,
            device: 5,
            inode: u64::MAX,
            nlink: 6,
            link_target: Some("there".into()),
            xattrs: vec![(b"user.a".to_vec(), vec![0, 255])],
            rdev: Some((1, 3)),
        };
        let fault = Fault::new(&entry.path, Trouble::Vanished, "gone");
        let records = [
            Record::Entry(Entry { rdev: None, link_target: None, ..entry.clone() }),
            Record::Copied { entry, number: 7, changed: true },
            Record::Fault(fault),
        ];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.write(&mut bytes).unwrap());
        let mut rest = &bytes[..];
        for record in records {
            assert_eq!(Record::read(&mut rest).unwrap(), Some(record));
        }
        assert_eq!(Record::read(&mut rest).unwrap(), None);
        assert!(Record::read(&mut &bytes[..30]).is_err());
    }
}
