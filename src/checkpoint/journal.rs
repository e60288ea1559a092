//! Where attempts are noted: one line of JSON each, in the first place that takes it.
//!
//! A bootstrap begins before there is a repository, a config or a state directory. So the
//! journal is no part of the repository, lies wherever something can be written, and is read
//! from all of these places.

use super::Attempt;
use crate::config::{Config, state_dir};
use crate::deadline;
use crate::error::{Error, Result};
use crate::repository::create_dir;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file in each of the places.
const FILE: &str = "checkpoints.jsonl";

/// The most that is read of one journal, in bytes.
const MOST: u64 = 16 << 20;

/// Notes an attempt, durably, in the first place that takes it; returns that place.
///
/// # Errors
/// Why the last place did not, where none did.
pub fn note(config: Option<&Config>, attempt: &Attempt) -> Result<PathBuf> {
    let mut line = serde_json::to_vec(attempt)
        .map_err(|e| Error::io("write", Path::new(FILE), std::io::Error::other(e)))?;
    line.push(b'\n');
    let mut last = None;
    for dir in places(config) {
        let (line, file) = (line.clone(), dir.join(FILE));
        let noted = deadline::of_path(&dir, move |dir| append(dir, &line));
        match noted.unwrap_or_else(|| Err(deadline::unreachable(&dir))) {
            Ok(()) => return Ok(file),
            Err(e) => last = Some(e),
        }
    }
    let none = || Error::io("write", Path::new(FILE), ErrorKind::NotFound.into());
    Err(last.unwrap_or_else(none))
}

/// All attempts that are noted of this stack, or before there was a config, oldest first.
pub fn read(config: Option<&Config>) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for dir in places(config) {
        let text = deadline::of_path(&dir, |dir| content(&dir.join(FILE)));
        let text = text.and_then(std::result::Result::ok).unwrap_or_default();
        // What a crash cut short is no attempt.
        attempts.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
    }
    let is_own = |attempt: &Attempt| match (config, &attempt.stack, &attempt.state_dir) {
        (Some(config), Some(stack), Some(dir)) => {
            *stack == config.stack.name && *dir == config.state.dir
        }
        _ => true,
    };
    attempts.retain(is_own);
    attempts.sort_by_key(|attempt| attempt.at);
    attempts
}

/// The directories in which the journal may lie, the preferred one first: the state directory of
/// the config; the one without any config; the user's; one that lasts until the next boot.
fn places(config: Option<&Config>) -> Vec<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let user = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")));
    let of_boot = of("XDG_RUNTIME_DIR");
    let below = [user, of_boot].into_iter().flatten().filter(|dir| dir.is_absolute());
    let id = rustix::process::geteuid().as_raw();
    let temporary = std::env::temp_dir().join(format!("backstop-{id}"));
    let stated = config.map(|config| config.state.dir.clone());
    let all = stated.into_iter().chain([state_dir()]).chain(below.map(|dir| dir.join("backstop")));
    let mut seen = BTreeSet::new();
    all.chain([temporary]).filter(|dir| seen.insert(dir.clone())).collect()
}

/// Refuses a directory that somebody else could have put there, as in `/tmp`.
fn own(dir: &Path) -> std::io::Result<()> {
    if dir.parent() != Some(std::env::temp_dir().as_path()) {
        return Ok(());
    }
    let found = std::fs::symlink_metadata(dir)?;
    match found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(std::io::Error::new(ErrorKind::PermissionDenied, "it is somebody else's")),
    }
}

fn append(dir: &Path, line: &[u8]) -> Result<()> {
    create_dir(dir)?;
    let file = dir.join(FILE);
    let write = || -> std::io::Result<()> {
        own(dir)?;
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(no_link);
        let mut file = options.open(&file)?;
        let before = file.metadata()?.len();
        let mut text = Vec::new();
        if before > 0 {
            let mut end = [b'\n'];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut end)?;
            if end != *b"\n" {
                text.push(b'\n');
            }
        }
        text.extend_from_slice(line);
        if let Err(e) = file.write_all(&text).and_then(|()| file.sync_all()) {
            // Half a line on a full disk helps nobody.
            let _ = file.set_len(before);
            return Err(e);
        }
        Ok(())
    };
    write().map_err(|e| Error::io("write", &file, e))
}

fn content(file: &Path) -> std::io::Result<String> {
    if let Some(dir) = file.parent() {
        own(dir)?;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Mode;

    #[test]
    fn a_line_that_was_cut_short_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = serde_json::to_vec(&Attempt::new("one", Mode::Auto, None)).unwrap();
        one.push(b'\n');
        append(dir.path(), &one).unwrap();
        append(dir.path(), b"{\"phase\": \"cut sho").unwrap();
        append(dir.path(), &one).unwrap();
        let text = content(&dir.path().join(FILE)).unwrap();
        let read: Vec<Attempt> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(read.iter().map(|it| it.phase.as_str()).collect::<Vec<_>>(), ["one", "one"]);
    }

    #[test]
    fn a_directory_of_temporary_files_has_to_be_our_own() {
        let shared = std::env::temp_dir();
        let dir = tempfile::tempdir_in(&shared).unwrap();
        assert!(own(dir.path()).is_ok());
        let link = dir.path().with_extension("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(own(&link).is_err());
        std::fs::remove_file(link).unwrap();
    }
}
