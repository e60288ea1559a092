//! An SSH server of a test's own, on a port of the loopback.

use super::port;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian and most others have the server, which is not on everybody's PATH.
const SSHD: &str = "/usr/sbin/sshd";

/// A real `sshd`, which lets this user in with one key, ended when this is dropped.
pub(crate) struct SshServer {
    port: u16,
    directory: TempDir,
    process: Child,
}

impl SshServer {
    /// Whether there is a program to start.
    pub(crate) fn is_there() -> bool {
        Path::new(SSHD).exists() && Command::new("ssh").arg("-V").output().is_ok()
    }

    /// Starts one, and returns once it answers.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for key in ["host-key", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key))
                .status();
            assert!(made.unwrap().success());
        }
        // Where the part of the server without rights lives; only root needs it.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let port = port::free();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n\
             Subsystem sftp internal-sftp\n",
            at("host-key").display(),
            at("key.pub").display(),
        );
        fs::write(at("config"), config).unwrap();
        let process = Command::new(SSHD)
            .arg("-D")
            .arg("-f")
            .arg(at("config"))
            .arg("-E")
            .arg(at("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, directory, process };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The secret key that it lets in.
    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// A directory to be put in front of the PATH: its `ssh` knows this server, and notes
    /// nothing of it in the user's own files.
    pub(crate) fn programs(&self) -> PathBuf {
        let programs = self.directory.path().join("bin");
        fs::create_dir_all(&programs).unwrap();
        let known = self.directory.path().join("known_hosts");
        let key = fs::read_to_string(self.directory.path().join("host-key.pub")).unwrap();
        fs::write(&known, format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
        let ssh = programs.join("ssh");
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F none -o UserKnownHostsFile='{}' \"$@\"\n",
            known.display()
        );
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        programs
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let sessions = below(self.process.id());
        drop(self.process.kill());
        drop(self.process.wait());
        for session in sessions {
            let pid = i32::try_from(session).ok().and_then(rustix::process::Pid::from_raw);
            let kill = rustix::process::Signal::KILL;
            let _ = pid.map(|pid| rustix::process::kill_process(pid, kill));
        }
    }
}

/// The children of a process, and theirs.
fn below(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|pid| [vec![pid], below(pid)].concat()).collect()
}

/// The command lines of processes that name `path`.
pub(crate) fn naming(path: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(path.to_str().unwrap())).collect()
}
