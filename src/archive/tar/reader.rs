//! Reads the members of a tar, ours or a foreign one.

use super::map::SparseMap;
use super::pax::{Record, records, unescape_name};
use super::{BLOCK, padding};
use crate::archive::entry::{Entry, Kind, acl_from_text, nanoseconds};
use crate::archive::frame::damaged;
use ::tar::{EntryType, Header};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Names and attributes of one file larger than this are taken for damage.
const LARGEST_EXTENSION: u64 = 32 << 20;

/// One member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What its headers say. Its path is not checked: it may be absolute or hold `..`.
    pub entry: Entry,
    /// Where a sparse file has data.
    pub map: Option<SparseMap>,
    /// The offset of its data in the tar: of the map, for a sparse file.
    pub offset: u64,
}

/// Reads members one after the other; the data of the current one through `Read` (a sparse
/// file's without its holes).
///
/// Errors of kind `InvalidData` and `UnexpectedEof` mean a damaged tar.
pub struct TarReader<R: Read> {
    inner: R,
    position: u64,
    left: u64,
    padding: usize,
    global: Overrides,
}

type Overrides = BTreeMap<Vec<u8>, Vec<u8>>;

impl<R: Read> TarReader<R> {
    /// Reads `inner` from its beginning.
    pub fn new(inner: R) -> Self {
        Self { inner, position: 0, left: 0, padding: 0, global: Overrides::new() }
    }

    /// Skips what is left of the current member and reads the headers of the next one;
    /// nothing at the end of the tar.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        let mut overrides = self.global.clone();
        loop {
            self.skip_rest()?;
            let mut block = [0; BLOCK];
            self.take_exact(&mut block)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            check_sum(header)?;
            let size = header.entry_size()?;
            self.left = size;
            self.padding = padding(size);
            match header.entry_type() {
                EntryType::XHeader => {
                    let bytes = self.extension(size)?;
                    overrides.extend(owned(records(&bytes)?));
                }
                EntryType::XGlobalHeader => {
                    let bytes = self.extension(size)?;
                    let global: Vec<_> = owned(records(&bytes)?).collect();
                    overrides.extend(global.clone());
                    self.global.extend(global);
                }
                EntryType::GNULongName => {
                    let name = self.long_name(size)?;
                    overrides.entry(b"path".to_vec()).or_insert(name);
                }
                EntryType::GNULongLink => {
                    let name = self.long_name(size)?;
                    overrides.entry(b"linkpath".to_vec()).or_insert(name);
                }
                _ => return self.member(header, &overrides).map(Some),
            }
        }
    }

    /// Reads to the very end, so that damage behind the last member is noticed.
    pub fn drain(mut self) -> io::Result<()> {
        io::copy(&mut self.inner, &mut io::sink()).map(drop)
    }

    fn member(&mut self, header: &Header, overrides: &Overrides) -> io::Result<Member> {
        if let Some(size) = number(overrides, "size")? {
            self.left = size;
            self.padding = padding(size);
        }
        let mut entry = entry(header, overrides)?;
        let offset = self.position;
        let mut map = None;
        if overrides.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            if number(overrides, "GNU.sparse.major")? != Some(1) {
                return Err(damaged("tar holds a sparse file of an old form"));
            }
            let real = number(overrides, "GNU.sparse.realsize")?;
            let real = real.ok_or_else(|| damaged("tar holds a sparse file without size"))?;
            let (read, _) = SparseMap::read(self, real)?;
            if read.data_length() != self.left {
                return Err(damaged("sparse map does not fit its data"));
            }
            entry.size = real;
            map = Some(read);
        } else if entry.kind == Kind::File {
            entry.size = self.left;
        }
        Ok(Member { entry, map, offset })
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LARGEST_EXTENSION {
            return Err(damaged("tar holds a header of an impossible size"));
        }
        let mut bytes = vec![0; size as usize];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.extension(size)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let rest = self.left + std::mem::take(&mut self.padding) as u64;
        self.left = 0;
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        self.position += skipped;
        if skipped < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn take_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut into[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

fn owned<'a>(records: Vec<Record<'a>>) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + 'a {
    records.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()))
}

fn check_sum(header: &Header) -> io::Result<()> {
    let bytes = header.as_bytes();
    // The field itself counts as spaces.
    let outside = bytes[..148].iter().chain(&bytes[156..]);
    let sum: u32 = outside.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    match header.cksum() {
        Ok(said) if said == sum => Ok(()),
        _ => Err(damaged("tar header has a wrong checksum")),
    }
}

fn entry(header: &Header, overrides: &Overrides) -> io::Result<Entry> {
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::Hardlink,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        other => {
            let flag = char::from(other.as_byte());
            return Err(damaged(format!("tar holds a member of unknown type {flag:?}")));
        }
    };
    let get = |key: &str| overrides.get(key.as_bytes()).cloned();
    let name = get("GNU.sparse.name").or_else(|| get("path"));
    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
    let link = get("linkpath").or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let link_target = match kind {
        Kind::Symlink => link.map(OsString::from_vec),
        Kind::Hardlink => link.map(|name| plain(&name).into_os_string()),
        _ => None,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let owner = |key: &str, field: Option<&[u8]>| {
        let named = get(key).or_else(|| field.map(<[u8]>::to_vec));
        named.filter(|name| !name.is_empty()).map(|name| text(&name))
    };
    let id = |key: &str, field: io::Result<u64>| -> io::Result<u32> {
        let id = number(overrides, key)?.map_or(field, Ok)?;
        u32::try_from(id).map_err(|_| damaged("tar holds an impossible owner"))
    };
    let device = |field: io::Result<Option<u32>>| Ok::<_, io::Error>(field?.unwrap_or(0));
    let special = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    let rdev = if special {
        Some((device(header.device_major())?, device(header.device_minor())?))
    } else {
        None
    };
    Ok(Entry {
        path: plain(&name),
        kind,
        size: 0,
        mode: header.mode()? & 0o7777,
        uid: id("uid", header.uid())?,
        gid: id("gid", header.gid())?,
        user: owner("uname", header.username_bytes()),
        group: owner("gname", header.groupname_bytes()),
        mtime_ns: match get("mtime") {
            Some(decimal) => time(&text(&decimal))?,
            None => nanoseconds(i64::try_from(header.mtime()?).unwrap_or(i64::MAX), 0),
        },
        ctime_ns: 0,
        device: 0,
        inode: 0,
        nlink: 1,
        link_target,
        xattrs: xattrs(overrides),
        rdev,
    })
}

/// A name without `.` components, repeated slashes and a slash at its end.
fn plain(name: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(name.len());
    let parts = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    for part in parts {
        if !bytes.is_empty() || name.starts_with(b"/") {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(part);
    }
    if bytes.is_empty() && name.starts_with(b"/") {
        bytes.push(b'/');
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn xattrs(overrides: &Overrides) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut xattrs = Vec::new();
    for (key, value) in overrides {
        let acl = match key.as_slice() {
            b"SCHILY.acl.access" => Some("system.posix_acl_access"),
            b"SCHILY.acl.default" => Some("system.posix_acl_default"),
            _ => None,
        };
        if let Some(name) = acl {
            let attribute = std::str::from_utf8(value).ok().and_then(acl_from_text);
            xattrs.extend(attribute.map(|value| (name.as_bytes().to_vec(), value)));
        } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            xattrs.push((unescape_name(name), value.clone()));
        }
    }
    xattrs.sort();
    xattrs
}

fn number(overrides: &Overrides, key: &str) -> io::Result<Option<u64>> {
    let Some(value) = overrides.get(key.as_bytes()) else { return Ok(None) };
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| damaged(format!("pax header has a broken {key}")))
}

/// Nanoseconds of decimal seconds.
fn time(decimal: &str) -> io::Result<i64> {
    let broken = || damaged("pax header has a broken mtime");
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, decimal),
    };
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken());
    }
    let seconds: i128 = seconds.parse().map_err(|_| broken())?;
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i128 = nanos.parse().map_err(|_| broken())?;
    let total = seconds.checked_mul(1_000_000_000).ok_or_else(broken)? + nanos;
    Ok((sign * total).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_only_what_means_nothing() {
        for (name, expected) in [
            ("./", ""),
            ("./a/b/", "a/b"),
            ("a//b/./c", "a/b/c"),
            ("/etc/x", "/etc/x"),
            ("/", "/"),
            ("./../x", "../x"),
        ] {
            assert_eq!(plain(name.as_bytes()).to_str(), Some(expected), "{name}");
        }
    }

    #[test]
    fn decimal_seconds_keep_their_nanoseconds() {
        assert_eq!(time("-1.5").unwrap(), -1_500_000_000);
        assert_eq!(time("12").unwrap(), 12_000_000_000);
        assert_eq!(time("1.0000000019").unwrap(), 1_000_000_001);
        assert!(time("1.x").is_err() && time("").is_err());
    }

    #[test]
    fn a_tar_without_end_and_a_wrong_checksum_are_damage() {
        let kind = |bytes: &[u8]| TarReader::new(bytes).next_member().unwrap_err().kind();
        assert_eq!(kind(b""), io::ErrorKind::UnexpectedEof);
        let mut header = Header::new_ustar();
        header.set_cksum();
        header.set_mode(0o777);
        assert_eq!(kind(header.as_bytes()), io::ErrorKind::InvalidData);
    }
}
