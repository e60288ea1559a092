//! Real file systems in files, mounted for one test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system, unmounted and removed when dropped.
pub(crate) struct LoopMount {
    at: PathBuf,
    _dir: tempfile::TempDir,
}

impl LoopMount {
    /// A new btrfs; says so and returns none where it cannot be mounted.
    pub(crate) fn btrfs() -> Option<Self> {
        Self::make("mkfs.btrfs", &["-q"])
    }

    /// A new XFS with reflinks.
    pub(crate) fn xfs() -> Option<Self> {
        Self::make("mkfs.xfs", &["-q", "-m", "reflink=1"])
    }

    /// A new ext4 at the directory `at`, which is created.
    pub(crate) fn ext4_at(at: &Path) -> Option<Self> {
        Self::make_at("mkfs.ext4", &["-q", "-F"], Some(at))
    }

    fn make(mkfs: &str, options: &[&str]) -> Option<Self> {
        Self::make_at(mkfs, options, None)
    }

    fn make_at(mkfs: &str, options: &[&str], at: Option<&Path>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may mount");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        if !run(Command::new(mkfs).args(options).arg(&image)) {
            eprintln!("skipped: {mkfs} is missing");
            return None;
        }
        let at = at.map_or_else(|| dir.path().join("mnt"), Path::to_path_buf);
        std::fs::create_dir_all(&at).unwrap();
        if !run(Command::new("mount").args(["-o", "loop"]).args([&image, &at])) {
            eprintln!("skipped: the kernel mounts no {mkfs} file system");
            return None;
        }
        Some(Self { at, _dir: dir })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        // Lazily, so that it goes also while a failed test still has a file open.
        run(Command::new("umount").arg("-l").arg(&self.at));
    }
}

/// Runs a program quietly; whether it succeeded.
pub(crate) fn run(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|s| s.success())
}

/// A tmpfs of a few mebibytes, unmounted when dropped.
pub(crate) struct SmallMount(PathBuf);

impl SmallMount {
    /// Mounts one of `size` at the new directory `at`; says so and returns none where only
    /// root could.
    pub(crate) fn at(at: &Path, size: &str) -> Option<Self> {
        if !super::need::all(&[super::need::Need::Root]) {
            return None;
        }
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at);
        assert!(run(&mut mount), "a tmpfs is mounted at {}", at.display());
        Some(Self(at.to_path_buf()))
    }

    /// `mount -o remount,ro`.
    pub(crate) fn make_read_only(&self) {
        assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0)));
    }
}

impl Drop for SmallMount {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}
