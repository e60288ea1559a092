//! Snapshots of btrfs subvolumes, through the `btrfs` program (btrfs-subvolume(8)).

use crate::archive::scan::Own;
use crate::error::{Code, Error, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The inode of every subvolume's root directory (`BTRFS_FIRST_FREE_OBJECTID`).
pub(super) const SUBVOLUME_INODE: u64 = 256;
/// `f_type` of statfs(2) (`BTRFS_SUPER_MAGIC`).
const MAGIC: u64 = 0x9123_683E;

/// The subvolume that `source` (absolute, without symlinks) is or lies in, or why it
/// cannot be snapshot.
pub(super) fn enclosing_subvolume(source: &Path) -> Result<PathBuf, String> {
    let stat = rustix::fs::statfs(source).map_err(|e| e.to_string())?;
    if u64::try_from(stat.f_type).ok() != Some(MAGIC) {
        return Err("its file system is not btrfs".to_string());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root may remove a btrfs snapshot".to_string());
    }
    let device = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
    let (own, _) = device(source).map_err(|e| e.to_string())?;
    for path in source.ancestors() {
        match device(path) {
            // Every subvolume has a device number of its own.
            Ok((dev, SUBVOLUME_INODE)) if dev == own => return Ok(path.to_path_buf()),
            Ok((dev, _)) if dev == own => {}
            _ => break,
        }
    }
    Err("the root of its subvolume is not visible from here".to_string())
}

/// A snapshot shows the subvolumes inside as empty directories, so there must be none.
pub(super) fn no_subvolume_inside(subvolume: &Path, source: &Path) -> Result<(), String> {
    let list = Command::new("btrfs")
        .args(["subvolume", "list", "-o"])
        .arg(subvolume)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("the `btrfs` program cannot be run: {e}"))?;
    if !list.status.success() {
        return Err(String::from_utf8_lossy(&list.stderr).trim().to_string());
    }
    // The paths are relative to the top of the file system, which need not be mounted; so
    // each of their endings is looked for below the source.
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let Some((_, listed)) = line.split_once(" path ") else { continue };
        let mut ending = Path::new(listed).components();
        while !ending.as_path().as_os_str().is_empty() {
            let candidate = source.join(ending.as_path());
            let inside = fs::symlink_metadata(&candidate)
                .is_ok_and(|m| m.is_dir() && m.ino() == SUBVOLUME_INODE);
            if inside && !is_capture(&candidate, source) {
                return Err(format!("the subvolume {} lies inside it", candidate.display()));
            }
            ending.next();
        }
    }
    Ok(())
}

/// Whether a backup of `source` leaves the subvolume at `path` out, as a capture that is left
/// from another one.
fn is_capture(path: &Path, source: &Path) -> bool {
    path.parent() == Some(source) && path.file_name().and_then(Own::of) == Some(Own::Capture)
}

/// Makes a read-only snapshot of `subvolume` at `place`.
pub(super) fn snapshot(subvolume: &Path, place: &Path) -> Result<()> {
    run(&["subvolume", "snapshot", "-r"], &[subvolume, place], "snapshot", subvolume)
}

/// Deletes the snapshot at `place`.
pub(super) fn delete(place: &Path) -> Result<()> {
    run(&["subvolume", "delete"], &[place], "remove snapshot", place)
}

fn run(verb: &[&str], paths: &[&Path], attempted: &'static str, subject: &Path) -> Result<()> {
    let failed = || Error::new(Code::CaptureFailed, attempted, subject.display());
    let output = Command::new("btrfs")
        .args(verb)
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed().source(e))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed().cause(String::from_utf8_lossy(&output.stderr).trim()))
    }
}
