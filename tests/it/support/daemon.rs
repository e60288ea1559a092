//! A Docker daemon of one test's own, begun again when it dies, as an init system does.
//!
//! Two daemons in one network namespace take each other's rules away, so whoever wants one begins
//! in a namespace of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Ends with all its containers when dropped.
pub(crate) struct Daemon {
    place: tempfile::TempDir,
    ending: Arc<AtomicBool>,
    pid: Arc<AtomicU32>,
    supervisor: Option<JoinHandle<()>>,
}

impl Daemon {
    /// With these images of the usual daemon.
    pub(crate) fn with_images(images: &[&str]) -> Self {
        let place = tempfile::Builder::new().prefix("backstop-dockerd-").tempdir().unwrap();
        let (ending, pid) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let supervisor = {
            let (dir, ending, pid) = (place.path().to_owned(), ending.clone(), pid.clone());
            std::thread::spawn(move || {
                while !ending.load(SeqCst) {
                    let mut child = start(&dir);
                    pid.store(child.id(), SeqCst);
                    child.wait().unwrap();
                    if !ending.load(SeqCst) {
                        sleep(Duration::from_secs(3));
                    }
                }
            })
        };
        let daemon = Self { place, ending, pid, supervisor: Some(supervisor) };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !daemon.docker(&["version"]) {
            assert!(Instant::now() < deadline, "{}", daemon.log());
            sleep(Duration::from_millis(200));
        }
        let mut saved =
            Command::new("docker").arg("save").args(images).stdout(Stdio::piped()).spawn().unwrap();
        let loaded = Command::new("docker")
            .args(["--host", &daemon.host(), "load", "--quiet"])
            .stdin(saved.stdout.take().unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(saved.wait().unwrap().success() && loaded.success());
        daemon
    }

    /// What `DOCKER_HOST` is set to.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.place.path().display())
    }

    /// The file with the daemon's process id.
    pub(crate) fn pid_file(&self) -> String {
        format!("{}/pid", self.place.path().display())
    }

    fn docker(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(arguments);
        command.output().unwrap().status.success()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }
}

fn start(dir: &Path) -> std::process::Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    // A daemon that was killed leaves it.
    let _ = std::fs::remove_file(dir.join("pid"));
    Command::new("dockerd")
        .args(["--bridge", "none"])
        .arg(format!("--data-root={}/data", dir.display()))
        .arg(format!("--exec-root={}/exec", dir.display()))
        .arg(format!("--pidfile={}/pid", dir.display()))
        .arg(format!("--host=unix://{}/docker.sock", dir.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let names = Command::new("docker").args(["--host", &self.host(), "ps", "-aq"]).output();
        let names = names.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        for id in names.unwrap_or_default().lines() {
            self.docker(&["rm", "--force", "--volumes", id]);
        }
        self.docker(&["network", "prune", "--force"]);
        self.ending.store(true, SeqCst);
        let pid = self.pid.load(SeqCst);
        if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
        // A containerd that lost its daemon has its files below this directory.
        let dir = self.place.path().display().to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let ours = String::from_utf8_lossy(&line).contains(&format!("{dir}/exec"));
            let pid = process.file_name().to_string_lossy().parse().ok();
            if let (true, Some(pid)) = (ours, pid.and_then(rustix::process::Pid::from_raw)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        sleep(Duration::from_millis(300));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if place.starts_with(&dir) {
                let _ = Command::new("umount").args(["--lazy", place]).status();
            }
        }
    }
}
