//! Bytes as text: paths that are not UTF-8, and extended attributes as JSON.

use crate::archive::entry::Xattr;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// The bytes as text, with `%` and what is not UTF-8 as `%XX`.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The reverse of [`escape`].
fn unescape(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// Attributes as a JSON object; nothing without attributes.
pub(super) fn xattrs_to_json(xattrs: &[Xattr]) -> Option<String> {
    let pair = |(name, value): &Xattr| (escape(name), STANDARD.encode(value).into());
    let object: serde_json::Map<_, _> = xattrs.iter().map(pair).collect();
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}

/// The reverse of [`xattrs_to_json`].
pub(super) fn xattrs_from_json(text: &str) -> Option<Vec<Xattr>> {
    let object: serde_json::Map<_, _> = serde_json::from_str(text).ok()?;
    let pair = |(name, value): (&String, &serde_json::Value)| {
        Some((unescape(name), STANDARD.decode(value.as_str()?).ok()?))
    };
    object.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        assert_eq!(escape(b"a\xff%/\xc3\xa9"), "a%FF%25/\u{e9}");
        assert_eq!(unescape(&escape(b"a\xff%/\xc3\xa9")), b"a\xff%/\xc3\xa9");
        let xattrs: Vec<Xattr> =
            vec![(b"user.a%\xff".to_vec(), vec![0, 255, 10]), (b"user.b".to_vec(), vec![])];
        let json = xattrs_to_json(&xattrs).unwrap();
        assert_eq!(xattrs_from_json(&json), Some(xattrs));
        assert_eq!(xattrs_to_json(&[]), None);
        assert_eq!(xattrs_from_json("{\"a\": 1}"), None);
    }
}
