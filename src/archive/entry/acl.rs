//! POSIX ACLs: the kernel's extended attribute and the text of tar archives.
//!
//! The attribute (`include/uapi/linux/posix_acl_xattr.h`) is a little-endian `u32` version,
//! 2, then for each entry `u16` tag, `u16` permissions, `u32` id. The text is that of
//! `acl_from_text(3)` with commas and numeric ids: `user::rwx,user:1000:r-x,…`.

use std::fmt::Write;

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
/// Tag, name, and whether an id belongs to it.
const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (0x02, "user", true),
    (0x04, "group", false),
    (0x08, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];

/// The text of an attribute; nothing when it is not one.
pub fn acl_to_text(attribute: &[u8]) -> Option<String> {
    let (version, entries) = attribute.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = String::new();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (_, name, with_id) = TAGS.iter().find(|(known, ..)| *known == tag)?;
        if bits > 7 {
            return None;
        }
        let bit = |mask: u16, letter: char| if bits & mask != 0 { letter } else { '-' };
        let comma = if text.is_empty() { "" } else { "," };
        let id = if *with_id { id.to_string() } else { String::new() };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}:{id}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'));
    }
    Some(text)
}

/// The attribute of a text with numeric ids; nothing when it is not one. Names instead of
/// ids are understood where a fourth field has the id, as star writes them.
pub fn acl_from_text(text: &str) -> Option<Vec<u8>> {
    let mut attribute = VERSION.to_le_bytes().to_vec();
    for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let mut fields = entry.split(':');
        let (name, qualifier) = (fields.next()?, fields.next()?);
        // `mask:rwx` and `other:rwx` are short forms without a qualifier.
        let (qualifier, bits) = match fields.next() {
            Some(bits) => (qualifier, bits),
            None => ("", qualifier),
        };
        let with_id = !qualifier.is_empty();
        let found = TAGS.iter().find(|(_, tag, takes)| *tag == name && *takes == with_id);
        let (tag, ..) = found?;
        let id = match (with_id, qualifier.parse()) {
            (false, _) => NO_ID,
            (true, Ok(id)) => id,
            (true, Err(_)) => fields.next()?.parse().ok()?,
        };
        let mut value = 0u16;
        for letter in bits.chars() {
            value |= match letter {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            };
        }
        attribute.extend(tag.to_le_bytes());
        attribute.extend(value.to_le_bytes());
        attribute.extend(id.to_le_bytes());
    }
    Some(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attribute_lead_to_each_other() {
        let text = "user::rwx,user:1000:r-x,group::r--,group:4294967294:-w-,mask::rwx,other::---";
        let attribute = acl_from_text(text).unwrap();
        assert_eq!(attribute.len(), 4 + 6 * 8);
        assert_eq!(acl_to_text(&attribute).as_deref(), Some(text));
    }

    #[test]
    fn other_writings_are_understood_and_nonsense_is_not() {
        let long = "user::rw-\nuser:alice:r--:1000\nmask:r--\nother:---\n";
        assert_eq!(
            acl_to_text(&acl_from_text(long).unwrap()).unwrap(),
            "user::rw-,user:1000:r--,mask::r--,other::---"
        );
        for text in ["user", "wizard::rwx", "user:alice:r--", "user::rwz"] {
            assert_eq!(acl_from_text(text), None, "{text}");
        }
        assert_eq!(acl_to_text(&[1, 0, 0, 0]), None);
        assert_eq!(acl_to_text(&[2, 0, 0, 0, 9]), None);
    }
}
