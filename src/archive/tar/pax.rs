//! The records of a pax header: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.

use crate::archive::frame::damaged;
use std::io;

/// Records in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Adds a record; the value may be any bytes.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        if rest + digits(length) != length {
            length = rest + digits(length);
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// The content of the pax header; empty when none is needed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// One record: its key and its value.
pub(super) type Record<'a> = (&'a [u8], &'a [u8]);

/// The records in the content of a pax header. Goes by their lengths, so that values may
/// hold line ends.
pub(super) fn records(mut bytes: &[u8]) -> io::Result<Vec<Record<'_>>> {
    let broken = || damaged("pax header has a broken record");
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok());
        let length: usize = length.ok_or_else(broken)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(broken());
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        records.push((&record[..equals], &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Ok(records)
}

/// The name of an extended attribute as part of a key.
pub(super) fn escape_name(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => escaped.extend_from_slice(b"%25"),
            b'=' => escaped.extend_from_slice(b"%3D"),
            other => escaped.push(*other),
        }
    }
    escaped
}

/// The reverse of [`escape_name`].
pub(super) fn unescape_name(mut escaped: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(escaped.len());
    while let Some((byte, rest)) = escaped.split_first() {
        if let Some(after) = escaped.strip_prefix(b"%25") {
            name.push(b'%');
            escaped = after;
        } else if let Some(after) = escaped.strip_prefix(b"%3D") {
            name.push(b'=');
            escaped = after;
        } else {
            name.push(*byte);
            escaped = rest;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_length_are_read_back() {
        for length in (0..250).chain(980..1010).chain(9980..10010) {
            let value = vec![b'\n'; length];
            let mut written = Records::default();
            written.push(b"SCHILY.xattr.user.a", &value);
            written.push(b"path", b"b");
            let read = records(written.bytes()).unwrap();
            assert_eq!(read, [(&b"SCHILY.xattr.user.a"[..], &value[..]), (b"path", b"b")]);
        }
    }

    #[test]
    fn broken_records_are_refused() {
        for bytes in [&b"9 a=b\n"[..], b"x a=b\n", b"6 a=b", b"5 ab\n", b"0 a=b\n", b"2 \n"] {
            assert!(records(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn attribute_names_survive() {
        for name in [&b"user.a"[..], b"user.a=b%3D", b"user.%25", b"user.\xff%"] {
            assert_eq!(unescape_name(&escape_name(name)), name);
        }
    }
}
