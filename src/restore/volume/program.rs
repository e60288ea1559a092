//! This program as files that run in any container of this architecture.

use super::ROOM;
use crate::docker::Upload;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The running program, which the kernel finds even when its file was replaced.
const EXECUTABLE: &str = "/proc/self/exe";

/// The running program and the shared libraries that it has loaded, by file name.
#[derive(Debug)]
pub(super) struct Program {
    libraries: BTreeMap<String, PathBuf>,
}

impl Program {
    /// Reads from proc(5) `maps` which libraries this process has loaded.
    pub(super) fn of_process() -> Result<Self> {
        let maps = Path::new("/proc/self/maps");
        let text = std::fs::read_to_string(maps).map_err(|e| Error::io("read", maps, e))?;
        Ok(Self { libraries: libraries(&text) })
    }

    /// The words that run its hidden command `volume-helper WORK` in the container. The
    /// dynamic loader is started itself (ld.so(8)): the container may have none, or another.
    pub(super) fn argv(&self, work: &str) -> Vec<String> {
        let mut argv = Vec::new();
        if let Some(loader) = self.libraries.keys().find(|name| name.starts_with("ld")) {
            argv.extend([format!("/{ROOM}/{loader}"), "--library-path".into(), format!("/{ROOM}")]);
        }
        argv.extend([format!("/{ROOM}/backstop"), "volume-helper".into(), work.into()]);
        argv
    }

    /// What has to be uploaded into the container's `/`.
    pub(super) fn uploads(&self) -> Vec<Upload> {
        let program = ("backstop".to_string(), PathBuf::from(EXECUTABLE));
        let libraries = self.libraries.iter().map(|(name, path)| (name.clone(), path.clone()));
        libraries
            .chain([program])
            .map(|(name, source)| Upload { name: format!("{ROOM}/{name}"), source })
            .collect()
    }
}

fn libraries(maps: &str) -> BTreeMap<String, PathBuf> {
    let paths = maps.lines().filter_map(|line| Some(&line[line.find('/')?..])).map(Path::new);
    let mut libraries: BTreeMap<String, PathBuf> = paths
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_string(), path.to_path_buf())))
        .filter(|(name, _)| is_library(name))
        .collect();
    let files: Vec<PathBuf> = libraries.values().cloned().collect();
    for file in files {
        libraries.extend(links_to(&file).into_iter().map(|name| (name, file.clone())));
    }
    libraries
}

fn is_library(name: &str) -> bool {
    name.ends_with(".so") || name.contains(".so.")
}

/// The symlinks beside a library that lead to it. The kernel shows the file itself
/// (`libstdc++.so.6.0.30`), programs ask for the name that a link gives it
/// (`libstdc++.so.6`).
fn links_to(library: &Path) -> Vec<String> {
    let Some((directory, name)) = library.parent().zip(library.file_name()) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == Path::new(name)))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_library(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_comes_under_the_name_that_programs_ask_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("libstdc++.so.6.0.30");
        std::fs::write(&file, "").unwrap();
        for (name, to) in [("libstdc++.so.6", "libstdc++.so.6.0.30"), ("libz.so.1", "libz.so.1.2")]
        {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        }
        let found = libraries(&format!("7f00-7f01 r-xp 0 fe:00 1 {}\n", file.display()));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["libstdc++.so.6", "libstdc++.so.6.0.30"]);
        assert_eq!(found["libstdc++.so.6"], file);
    }

    #[test]
    fn loaded_libraries_are_found_once_and_nothing_else() {
        let found = libraries(
            "7f00-7f01 r-xp 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
             7f02-7f03 r--p 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
             7f04-7f05 r-xp 0 fe:00 2 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\n\
             7f06-7f07 r-xp 0 fe:00 3 /usr/bin/backstop\n\
             7f08-7f09 rw-p 0 00:00 0 [stack]\n7f0a-7f0b rw-p 0 00:00 0\n",
        );
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert!(names.starts_with(&["ld-linux-x86-64.so.2", "libc.so.6"]), "{names:?}");
        assert!(!names.contains(&"backstop"));
        let argv = Program { libraries: found }.argv("act");
        assert_eq!(argv[0], "/.backstop/ld-linux-x86-64.so.2");
        assert_eq!(argv[3..], ["/.backstop/backstop", "volume-helper", "act"]);
        let argv = Program { libraries: BTreeMap::new() }.argv("act");
        assert_eq!(argv, ["/.backstop/backstop", "volume-helper", "act"]);
    }
}
