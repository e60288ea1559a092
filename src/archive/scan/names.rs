//! The sorted names of one directory, held in one piece of memory.

use rustix::fs::Dir;
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

/// A million names of 20 bytes take about 30 MB.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    places: Vec<(u32, u16)>,
}

impl Names {
    /// Reads the names in `directory`; what they are is looked at later.
    pub(super) fn read(directory: impl AsFd) -> Result<Self, Errno> {
        let mut names = Self::default();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let start = u32::try_from(names.bytes.len()).map_err(|_| Errno::FBIG)?;
            names.bytes.extend_from_slice(name);
            // NAME_MAX is 255 bytes.
            names.places.push((start, name.len() as u16));
        }
        let bytes = &names.bytes;
        let name = |(start, length): &(u32, u16)| {
            &bytes[*start as usize..*start as usize + usize::from(*length)]
        };
        // Backwards, so that the next one is taken off the end.
        names.places.sort_unstable_by(|one, other| name(other).cmp(name(one)));
        Ok(names)
    }

    pub(super) fn next(&mut self) -> Option<OsString> {
        let (start, length) = self.places.pop()?;
        let start = start as usize;
        let name = &self.bytes[start..start + usize::from(length)];
        Some(OsString::from_vec(name.to_vec()))
    }
}
