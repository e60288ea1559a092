//! A mount that does not answer, as of a network file system whose server is gone.

use super::mount::run;
use super::need::{self, Need};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Mounts a FUSE file system, and never says a word.
const SERVER: &str = "
import ctypes, os, signal, sys
fd = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = 'fd=%d,rootmode=40000,user_id=0,group_id=0' % fd
if libc.mount(b'gone', sys.argv[1].encode(), b'fuse.gone', 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print('mounted', flush=True)
signal.pause()
";

/// A directory that hangs whoever looks into it, until this is dropped.
pub(crate) struct HangingMount {
    // Of its own: who removes the directory of a test must not walk into it.
    place: tempfile::TempDir,
    server: Child,
}

impl HangingMount {
    /// Mounts it; says so and returns none where that cannot be done.
    pub(crate) fn new() -> Option<Self> {
        if !need::all(&[Need::Root, Need::Python, Need::Fuse]) {
            return None;
        }
        let place = tempfile::Builder::new().prefix("backstop-gone-").tempdir().unwrap();
        let at = place.path().join("nas");
        std::fs::create_dir(&at).unwrap();
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .arg(&at)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = BufReader::new(server.stdout.take().unwrap()).read_line(&mut line);
        assert!(said.is_ok() && line == "mounted\n", "{line}");
        Some(Self { place, server })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("nas")
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        // Without its server the kernel refuses what still waits.
        drop(self.server.kill());
        drop(self.server.wait());
        run(Command::new("umount").arg("-l").arg(self.path()));
    }
}
