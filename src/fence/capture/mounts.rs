//! What is mounted where: `/proc/self/mountinfo`, proc(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The mount points this process sees, in the order they were mounted.
#[derive(Debug)]
pub(super) struct Mounts(Vec<PathBuf>);

impl Mounts {
    pub(super) fn read() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    fn parse(text: &[u8]) -> Self {
        let point = |line: &[u8]| {
            let field = line.split(|b| *b == b' ').nth(4)?;
            Some(PathBuf::from(OsString::from_vec(unescape(field))))
        };
        Self(text.split(|b| *b == b'\n').filter_map(point).collect())
    }

    /// The mount that an absolute path without symlinks lies in: the last of those with
    /// the longest mount point.
    fn of(&self, path: &Path) -> Option<usize> {
        let around = self.0.iter().enumerate().filter(|(_, point)| path.starts_with(point));
        around.max_by_key(|(n, point)| (point.components().count(), *n)).map(|(n, _)| n)
    }

    /// Whether two absolute paths lie in one mount.
    pub(super) fn same(&self, one: &Path, other: &Path) -> bool {
        self.of(one).is_some_and(|mount| self.of(other) == Some(mount))
    }

    /// A mount point strictly below `path`.
    pub(super) fn below(&self, path: &Path) -> Option<&Path> {
        self.all_below(path).next()
    }

    /// All mount points strictly below `path`.
    pub(super) fn all_below<'a, 'p>(
        &'a self,
        path: &'p Path,
    ) -> impl Iterator<Item = &'a Path> + use<'a, 'p> {
        let points = self.0.iter().map(PathBuf::as_path);
        points.filter(move |point| *point != path && point.starts_with(path))
    }
}

/// Space, tab, newline and backslash are written as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let value = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_last_mount_around_it() {
        let mounts = Mounts::parse(
            b"1 0 8:1 / / rw - ext4 /dev/a rw\n\
              2 1 8:2 / /srv rw shared:1 - xfs /dev/b rw\n\
              3 2 8:3 / /srv/with\\040space rw - btrfs /dev/c rw\n",
        );
        let p = Path::new;
        assert!(mounts.same(p("/srv/a"), p("/srv")));
        assert!(!mounts.same(p("/srv"), p("/")));
        assert!(!mounts.same(p("/srv/with space/x"), p("/srv")));
        assert!(mounts.same(p("/srvx"), p("/")));
        assert_eq!(mounts.below(p("/srv")), Some(p("/srv/with space")));
        assert_eq!(mounts.below(p("/srv/with space")), None);
        let all: Vec<_> = mounts.all_below(p("/")).collect();
        assert_eq!(all, [p("/srv"), p("/srv/with space")]);
    }
}
