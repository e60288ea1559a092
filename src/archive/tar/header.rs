//! The header blocks of one member.

use super::map::SparseMap;
use super::pax::{Records, escape_name};
use super::{BLOCK, padding};
use crate::archive::entry::{Entry, Kind, acl_to_text, from_nanoseconds};
use ::tar::{EntryType, Header};
use std::io;
use std::os::unix::ffi::OsStrExt;

const NAME_LENGTH: usize = 100;
const OWNER_LENGTH: usize = 31;
const LARGEST_ID: u32 = 0o7_777_777;
const LARGEST_SIZE: u64 = 0o77_777_777_777;

/// The blocks that precede the data of `entry`, of which `stored` bytes follow.
pub(super) fn blocks(entry: &Entry, map: Option<&SparseMap>, stored: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    let mut records = Records::default();
    let name = member_name(entry.path.as_os_str().as_bytes(), entry.kind == Kind::Directory);
    let link = match (entry.kind, &entry.link_target) {
        (Kind::Hardlink, Some(target)) => member_name(target.as_bytes(), false),
        (Kind::Symlink, Some(target)) => target.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let pax_name = map.is_some() || name.len() > NAME_LENGTH;
    let raw = |text: &[u8]| std::str::from_utf8(text).is_err();
    if (pax_name && raw(&name)) || (link.len() > NAME_LENGTH && raw(&link)) {
        records.push(b"hdrcharset", b"BINARY");
    }
    if let Some(map) = map {
        records.push(b"GNU.sparse.major", b"1");
        records.push(b"GNU.sparse.minor", b"0");
        records.push(b"GNU.sparse.name", &name);
        records.push(b"GNU.sparse.realsize", map.size().to_string().as_bytes());
    } else if pax_name {
        records.push(b"path", &name);
    }
    if link.len() > NAME_LENGTH {
        records.push(b"linkpath", &link);
    }
    put_name(&mut header.as_old_mut().name, &name);
    put_name(&mut header.as_old_mut().linkname, &link);
    header.set_entry_type(entry_type(entry.kind));
    header.set_mode(entry.mode);
    put_owner(&mut header, &mut records, entry)?;
    put_time(&mut header, &mut records, entry.mtime_ns);
    header.set_size(stored);
    if stored > LARGEST_SIZE {
        records.push(b"size", stored.to_string().as_bytes());
    }
    let (major, minor) = entry.rdev.unwrap_or_default();
    header.set_device_major(major)?;
    header.set_device_minor(minor)?;
    put_xattrs(&mut records, entry);
    header.set_cksum();
    let mut blocks = Vec::new();
    if !records.bytes().is_empty() {
        put_pax(&mut blocks, records.bytes());
    }
    blocks.extend_from_slice(header.as_bytes());
    Ok(blocks)
}

/// `./path`, with a slash at the end of a directory.
fn member_name(path: &[u8], is_directory: bool) -> Vec<u8> {
    let mut name = b"./".to_vec();
    name.extend_from_slice(path);
    if is_directory && !path.is_empty() {
        name.push(b'/');
    }
    name
}

/// As much of a name as fits; the pax header has the whole of a longer one.
fn put_name(field: &mut [u8; NAME_LENGTH], name: &[u8]) {
    let length = name.len().min(NAME_LENGTH);
    field[..length].copy_from_slice(&name[..length]);
}

fn entry_type(kind: Kind) -> EntryType {
    match kind {
        Kind::File => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink => EntryType::Symlink,
        Kind::Hardlink => EntryType::Link,
        Kind::Fifo => EntryType::Fifo,
        Kind::CharDevice => EntryType::Char,
        Kind::BlockDevice => EntryType::Block,
    }
}

fn put_owner(header: &mut Header, records: &mut Records, entry: &Entry) -> io::Result<()> {
    header.set_uid(u64::from(entry.uid));
    header.set_gid(u64::from(entry.gid));
    for (key, id) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
        if id > LARGEST_ID {
            records.push(key, id.to_string().as_bytes());
        }
    }
    let fits = |name: &str| name.is_ascii() && name.len() <= OWNER_LENGTH;
    match entry.user.as_deref() {
        Some(name) if fits(name) => header.set_username(name)?,
        Some(name) => records.push(b"uname", name.as_bytes()),
        None => {}
    }
    match entry.group.as_deref() {
        Some(name) if fits(name) => header.set_groupname(name)?,
        Some(name) => records.push(b"gname", name.as_bytes()),
        None => {}
    }
    Ok(())
}

fn put_time(header: &mut Header, records: &mut Records, mtime_ns: i64) {
    let time = from_nanoseconds(mtime_ns);
    let (seconds, nanos) = (time.tv_sec, time.tv_nsec);
    header.set_mtime(seconds.clamp(0, LARGEST_SIZE as i64) as u64);
    if nanos != 0 || header.mtime().ok() != u64::try_from(seconds).ok() {
        records.push(b"mtime", decimal(mtime_ns).as_bytes());
    }
}

/// Seconds with nine places, as pax writes times.
fn decimal(time_ns: i64) -> String {
    let sign = if time_ns < 0 { "-" } else { "" };
    let (seconds, nanos) =
        (time_ns.unsigned_abs() / 1_000_000_000, time_ns.unsigned_abs() % 1_000_000_000);
    format!("{sign}{seconds}.{nanos:09}")
}

fn put_xattrs(records: &mut Records, entry: &Entry) {
    // A hard link's attributes are those of the name that came first.
    let xattrs = if entry.kind == Kind::Hardlink { &[] } else { &entry.xattrs[..] };
    for (name, value) in xattrs {
        let acl = match name.as_slice() {
            b"system.posix_acl_access" => Some(&b"SCHILY.acl.access"[..]),
            b"system.posix_acl_default" => Some(&b"SCHILY.acl.default"[..]),
            _ => None,
        };
        if let (Some(key), Some(text)) = (acl, acl_to_text(value)) {
            records.push(key, text.as_bytes());
        } else {
            let key = [b"SCHILY.xattr.", escape_name(name).as_slice()].concat();
            records.push(&key, value);
        }
    }
}

fn put_pax(blocks: &mut Vec<u8>, records: &[u8]) {
    let mut header = Header::new_ustar();
    put_name(&mut header.as_old_mut().name, b"./PaxHeaders/pax");
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(records);
    blocks.resize(blocks.len() + padding(records.len() as u64), 0);
    debug_assert_eq!(blocks.len() % BLOCK, 0);
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn times_are_decimal_seconds() {
        assert_eq!(decimal(-1_500_000_000), "-1.500000000");
        assert_eq!(decimal(1_700_000_000_000_000_001), "1700000000.000000001");
    }
}
