//! Which change times prove that a file was not changed. That is asked of each file system by
//! itself: a tree may have others mounted inside of it.

use super::entry::Entry;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, Dev, Mode, OFlags, fstat, fstatfs, openat, statat, statfs, syncfs};
use rustix::fs::{CWD, FileType, StatFs};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// File systems whose change times prove nothing: in memory a store through a mapping leaves no
/// trace, others make change times up, take them from a host of its own, or from an image that
/// may be another one tomorrow, with the times and inodes of this one.
/// `f_type` of statfs(2).
const WITHOUT_PROOF: [u64; 16] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x9584_58f6, // hugetlbfs
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
    0x6573_5546, // FUSE
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x517b,      // SMB
    0x0102_1997, // 9P
    0x786f_4256, // vboxsf
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // EROFS
    0x9660,      // ISO 9660
    0x28cd_3d45, // cramfs
    0x7275,      // romfs
];

fn proves(found: &StatFs) -> bool {
    // The type of this field differs between processors, and some extend its sign.
    let magic = i128::from(found.f_type) as u64 & 0xffff_ffff;
    !WITHOUT_PROOF.contains(&magic)
}

/// What is known of the file systems that a scan has come through, by their device numbers.
/// The numbers mean nothing later: many are given anew with every mount.
#[derive(Debug, Default, Clone)]
pub(crate) struct Proofs(BTreeMap<u64, bool>);

impl Proofs {
    /// Whether an unchanged change time proves that the file of `entry` was not changed. It does
    /// not on a file system that could not be asked.
    pub(crate) fn cover(&self, entry: &Entry) -> bool {
        self.0.get(&entry.device).copied().unwrap_or(false)
    }

    /// Asks the file system of `name` in `directory`, which is on `device`, unless that was done
    /// before. A file may be on another one than its directory, by being a mount point itself.
    pub(super) fn ask(&mut self, device: Dev, directory: impl AsFd, name: &OsStr) {
        if self.0.contains_key(&device) {
            return;
        }
        // Neither opens the file nor needs the right to read it.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let asked = || -> Result<_, Errno> {
            let file = openat(directory, name, flags, Mode::empty())?;
            Ok((fstat(&file)?.st_dev, proves(&fstatfs(&file)?)))
        };
        // It may be another file by now, or none.
        if let Ok((asked, proves)) = asked() {
            self.0.insert(asked, proves);
        }
    }
}

/// Writes what is dirty on the file system of `root`, and on those that are mounted at `mounts`
/// below it, to their disks. After that the next store through a mapping changes the file's
/// change time again: the kernel stamps it when a clean page becomes dirty, not with every store.
/// What is scanned afterwards is what a later backup may compare with.
///
/// # Errors
/// When `root` cannot be opened, or something not be written. A mount that nobody can open holds
/// no file that a scan could open.
pub fn settle_mappings(root: &Path, mounts: &[PathBuf]) -> Result<()> {
    let failed = |path: &Path, e: Errno| Error::io("sync", path, e.into());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
    let directory = open(root).map_err(|e| failed(root, e))?;
    let device = fstat(&directory).map_err(|e| failed(root, e))?.st_dev;
    syncfs(&directory).map_err(|e| failed(root, e))?;
    let mut settled = BTreeSet::from([device]);
    for mount in mounts {
        if let Some(device) = mounted_with_proof(mount)
            && !settled.contains(&device)
            && let Ok(file) = open(mount)
        {
            syncfs(&file).map_err(|e| failed(mount, e))?;
            settled.insert(device);
        }
    }
    Ok(())
}

/// The device of a mount whose change times have to be right. Opening anything but a file or a
/// directory may do something; and no file system is kept waiting for that is not trusted.
fn mounted_with_proof(mount: &Path) -> Option<Dev> {
    let found = statat(CWD, mount, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let kind = FileType::from_raw_mode(found.st_mode);
    let can_be_opened = matches!(kind, FileType::Directory | FileType::RegularFile);
    (can_be_opened && proves(&statfs(mount).ok()?)).then_some(found.st_dev)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::scan::{Excludes, Scan, Scanned};

    #[test]
    fn a_file_system_in_memory_proves_nothing_by_its_change_times() {
        let dir = Path::new("/dev/shm");
        if !statfs(dir).is_ok_and(|found| !proves(&found)) {
            eprintln!("skipped: /dev/shm is no tmpfs here");
            return;
        }
        let dir = tempfile::tempdir_in(dir).unwrap();
        std::fs::write(dir.path().join("a"), "a").unwrap();
        let mut scan = Scan::open(dir.path(), Excludes::none()).unwrap();
        let Some(Scanned::Entry(entry)) = scan.nth(1) else { panic!("a file is expected") };
        assert!(!scan.proofs().cover(&entry));
        settle_mappings(dir.path(), &[]).unwrap();
    }

    #[test]
    fn what_was_not_asked_or_is_gone_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "a").unwrap();
        let mut scan = Scan::open(dir.path(), Excludes::none()).unwrap();
        let Some(Scanned::Entry(entry)) = scan.nth(1) else { panic!("a file is expected") };
        let mut proofs = Proofs::default();
        assert!(!proofs.cover(&entry));
        let root = std::fs::File::open(dir.path()).unwrap();
        proofs.ask(entry.device, &root, OsStr::new("gone"));
        assert!(!proofs.cover(&entry));
        proofs.ask(entry.device, &root, OsStr::new("a"));
        assert_eq!(proofs.cover(&entry), proves(&statfs(dir.path()).unwrap()));
    }

    #[test]
    fn a_mount_that_is_gone_or_no_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = ["/nonexistent/mount", "/dev/null", "/proc"].map(PathBuf::from);
        settle_mappings(dir.path(), &mounts).unwrap();
        assert!(settle_mappings(Path::new("/nonexistent/tree"), &[]).is_err());
    }
}
