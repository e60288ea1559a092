//! A tiny image with one static program, and containers made from it.
//!
//! Everything carries a name of its own and is removed when its value is dropped, also
//! when the test panics.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

static NUMBER: AtomicU32 = AtomicU32::new(0);
static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());

/// A name that no other test uses.
pub(crate) fn unique(what: &str) -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("backstop-test-{}-{number}-{what}", std::process::id())
}

/// Whether Docker answers; says so where it does not, and the test is to be skipped.
pub(crate) fn docker_answers() -> bool {
    let answers = Command::new("docker")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !answers {
        eprintln!("skipped: no Docker daemon answers");
    }
    answers
}

/// Runs the docker client and returns what it prints.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output));
    text(&output)
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).trim().to_string()
}

/// The image, shared by the tests that run at the same time.
pub(crate) struct Image {
    pub(crate) name: String,
}

impl Image {
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = IMAGE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = shared.upgrade() {
            return image;
        }
        let image = Arc::new(Self::build());
        *shared = Arc::downgrade(&image);
        image
    }

    fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("data")).unwrap();
        let mut rustc = Command::new("rustc")
            .args(["--edition", "2021", "--crate-name", "busy", "-O"])
            .args(["-C", "target-feature=+crt-static", "-", "-o"])
            .arg(root.join("busy"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        rustc.stdin.take().unwrap().write_all(include_bytes!("busy.rs")).unwrap();
        assert!(rustc.wait().unwrap().success(), "rustc");
        std::os::unix::fs::symlink("/busy", root.join("bin/sh")).unwrap();

        let name = unique("image");
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let imported = Command::new("docker")
            .args(["import", "--change", "CMD [\"/busy\",\"graceful\"]", "-", &name])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(tar.wait().unwrap().success());
        assert!(imported.status.success(), "{}", text(&imported));
        Self { name }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["image", "rm", "-f", &self.name]).output());
    }
}

/// A container, removed when dropped.
pub(crate) struct TestContainer {
    pub(crate) name: String,
    pub(crate) id: String,
    _image: Arc<Image>,
}

impl TestContainer {
    /// `docker run -d OPTIONS IMAGE COMMAND`.
    pub(crate) fn run(options: &[&str], command: &[&str]) -> Self {
        Self::made("run", &["-d"], options, command)
    }

    /// `docker create OPTIONS IMAGE COMMAND`.
    pub(crate) fn create(options: &[&str], command: &[&str]) -> Self {
        Self::made("create", &[], options, command)
    }

    fn made(verb: &str, first: &[&str], options: &[&str], command: &[&str]) -> Self {
        let image = Image::shared();
        let name = unique("container");
        let mut args = vec![verb];
        args.extend(first);
        args.extend(["--name", &name]);
        args.extend(options);
        args.push(&image.name);
        args.extend(command);
        let id = docker(&args);
        Self { name, id, _image: image }
    }

    /// `running`, `paused`, `exited`, `created`.
    pub(crate) fn state(&self) -> String {
        docker(&["inspect", "-f", "{{.State.Status}}", &self.name])
    }

    /// When it was started last, as Docker prints it.
    pub(crate) fn started_at(&self) -> String {
        docker(&["inspect", "-f", "{{.State.StartedAt}}", &self.name])
    }
}

impl Drop for TestContainer {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", "-v", &self.name]).output());
    }
}

/// A named volume, removed when dropped.
pub(crate) struct TestVolume {
    pub(crate) name: String,
}

impl TestVolume {
    pub(crate) fn create() -> Self {
        let name = unique("volume");
        docker(&["volume", "create", &name]);
        Self { name }
    }
}

impl Drop for TestVolume {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["volume", "rm", "-f", &self.name]).output());
    }
}
