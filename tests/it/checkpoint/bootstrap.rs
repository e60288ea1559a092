//! The scripts of `docs/integrations/bootstrap/`, run on machines where nearly nothing is there.

use crate::support::hanging::HangingMount;
use crate::support::host::Ran;
use crate::support::mount::{SmallMount, run};
use crate::support::need::{self, Need};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A machine without a home, Docker, PostgreSQL or any state; it has bash, and backstop.
struct Machine {
    place: tempfile::TempDir,
    /// What is done to its disks, in a mount namespace of its own.
    disks: String,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// None where only root could make one.
    fn empty() -> Option<Self> {
        if !need::all(&[Need::Root]) {
            return None;
        }
        let place = tempfile::Builder::new().prefix("backstop-bare-").tempdir().unwrap();
        fs::create_dir(place.path().join("bin")).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        for program in ["bash", "env"] {
            let found = std::env::split_paths(&path).map(|dir| dir.join(program));
            let found = found.into_iter().find(|it| it.exists()).unwrap();
            symlink(found, place.path().join("bin").join(program)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_backstop"), place.path().join("bin/backstop")).unwrap();
        let disks = "mount -t tmpfs tmpfs /var/lib".to_owned();
        Some(Self { place, disks, variables: Vec::new() })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// With a config of these lines behind the name of the stack.
    fn configured(mut self, lines: &str) -> Self {
        let file = self.path().join("backstop.toml");
        fs::write(&file, format!("[stack]\nname = \"bare\"\n{lines}")).unwrap();
        self.variables.push(("BACKSTOP_CONFIG".into(), file.display().to_string()));
        self
    }

    /// Runs a program with nothing in its environment but a PATH that holds nearly nothing.
    fn run(&self, arguments: &[&str]) -> Ran {
        let script = format!("{}; exec \"$@\"", self.disks);
        let path = self.path().join("bin").display().to_string();
        let output = Command::new("unshare")
            .args(["--mount", "bash", "-ec", &script, "bash"])
            .args(["env", "-i", &format!("PATH={path}")])
            .arg(format!("DOCKER_HOST=unix://{}/no.sock", self.path().display()))
            .args(self.variables.iter().map(|(name, value)| format!("{name}={value}")))
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .output();
        Ran::of(&output.unwrap())
    }

    /// Runs the shell script, and what the playbook runs. Both come to their ends; what the
    /// first said on stderr.
    #[track_caller]
    fn bootstraps(&self) -> Vec<String> {
        let script = format!("{ROOT}/docs/integrations/bootstrap/bootstrap.sh");
        let ran = self.run(&["bash", &script]).ok();
        assert!(ran.stdout.ends_with("The machine is set up.\n"), "{ran:?}");
        let lines = ran.stderr.lines().map(str::to_owned).collect();
        let commands = commands();
        assert_eq!(commands.len(), 4, "{commands:?}");
        for command in commands {
            let words: Vec<&str> = command.split_whitespace().collect();
            self.run(&words).ok();
        }
        lines
    }
}

/// The commands of the playbook, in order.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(playbook()).unwrap();
    let lines = text.lines().map(str::trim);
    let commands = lines.filter_map(|line| line.strip_prefix("ansible.builtin.command: "));
    commands.map(str::to_owned).collect()
}

fn playbook() -> PathBuf {
    Path::new(ROOT).join("docs/integrations/bootstrap/playbook.yml")
}

/// One line for each checkpoint of the script, of this outcome and with this reason.
#[track_caller]
fn each_says(lines: &[String], outcome: &str, why: &str) {
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in lines {
        assert!(line.contains(&format!(": {outcome} (")) && line.contains(why), "{line}");
    }
}

#[test]
fn nothing_is_there() {
    let Some(machine) = Machine::empty() else { return };
    each_says(&machine.bootstraps(), "skipped", "there is none yet");
    let ran = machine.run(&["backstop", "checkpoint", "auto", "pre-ansible", "--strict"]);
    ran.ended(3);
    // Not even backstop.
    fs::remove_file(machine.path().join("bin/backstop")).unwrap();
    let script = format!("{ROOT}/docs/integrations/bootstrap/bootstrap.sh");
    assert_eq!(machine.run(&["bash", &script]).ok().stderr, "");
}

#[test]
fn neither_docker_nor_postgresql() {
    let Some(machine) = Machine::empty() else { return };
    let place = machine.path().display().to_string();
    fs::create_dir(machine.path().join("home")).unwrap();
    fs::write(machine.path().join("home/.profile"), "mine").unwrap();
    let machine = machine.configured(&format!(
        "[state]\ndir = \"{place}/state\"\n[repository]\npath = \"{place}/repository\"\n\
         [[databases]]\nname = \"shop\"\nurl = \"postgres://a@127.0.0.1:1/shop\"\n\
         [[files]]\nname = \"home\"\npath = \"{place}/home\"\n\
         [[containers]]\nselect = \"compose=shop\"\n"
    ));
    let lines = machine.bootstraps();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in &lines {
        assert!(line.contains(": partial ") && line.contains("Docker"), "{line}");
        assert!(line.contains("database shop") || line.contains("pg_dump"), "{line}");
    }
    // What was there can be restored.
    let out = format!("{place}/out");
    machine.run(&["backstop", "restore", "latest", "--to", &out]).ok();
    assert_eq!(fs::read_to_string(format!("{out}/files/home/.profile")).unwrap(), "mine");
}

#[test]
fn a_disk_that_is_read_only() {
    let Some(mut machine) = Machine::empty() else { return };
    machine.disks = "mount --bind / / ; mount -o remount,bind,ro / ; \
                     mount -t tmpfs -o ro tmpfs /run; mount -t tmpfs -o ro tmpfs /dev/shm"
        .into();
    each_says(&machine.bootstraps(), "skipped", "there is none yet");
    let place = machine.path().display().to_string();
    let machine = machine.configured(&format!(
        "[state]\ndir = \"{place}/state\"\n[repository]\npath = \"{place}/repository\"\n\
         [[files]]\nname = \"bin\"\npath = \"{place}/bin\"\n"
    ));
    each_says(&machine.bootstraps(), "skipped", "Read-only file system");
    assert!(machine.run(&["backstop", "checkpoint", "report"]).ok().stdout.contains("No check"));
}

#[test]
fn a_disk_that_is_full() {
    let disk = tempfile::tempdir().unwrap();
    let full = disk.path().join("full");
    let Some(_small) = SmallMount::at(&full, "64k") else { return };
    let Some(machine) = Machine::empty() else { return };
    let filled = format!("cat /dev/zero > {}/filler", full.display());
    run(Command::new("sh").args(["-c", &filled]));
    let (place, full) = (machine.path().display().to_string(), full.display().to_string());
    let machine = machine.configured(&format!(
        "[state]\ndir = \"{full}/state\"\n[repository]\npath = \"{full}/repository\"\n\
         [[files]]\nname = \"bin\"\npath = \"{place}/bin\"\n"
    ));
    each_says(&machine.bootstraps(), "skipped", "No space left on device");
}

#[test]
fn a_network_mount_that_hangs() {
    let Some(machine) = Machine::empty() else { return };
    let Some(hanging) = HangingMount::new() else { return };
    let (place, nas) = (machine.path().display().to_string(), hanging.path());
    let nas = nas.display();
    let machine = machine.configured(&format!(
        "[state]\ndir = \"{place}/state\"\n[repository]\npath = \"{nas}/repository\"\n\
         [[files]]\nname = \"bin\"\npath = \"{place}/bin\"\n"
    ));
    each_says(&machine.bootstraps(), "skipped", "does not answer within");
}

#[test]
fn the_playbook_is_one_that_ansible_runs() {
    if !need::all(&[Need::Ansible]) {
        return;
    }
    let Some(machine) = Machine::empty() else { return };
    let file = playbook();
    let temporary = machine.path().join("tmp").display().to_string();
    let home = format!("HOME={}", machine.path().display());
    // The program lies where a system has its own, for Ansible has need of those.
    let path = format!("PATH={}:/usr/bin:/bin", machine.path().join("bin").display());
    let (local, remote) =
        (format!("ANSIBLE_LOCAL_TEMP={temporary}"), format!("ANSIBLE_REMOTE_TEMP={temporary}"));
    let ran = machine
        .run(&[
            "env",
            &home,
            &path,
            &local,
            &remote,
            "LC_ALL=C.UTF-8",
            "ansible-playbook",
            "--connection",
            "local",
            "--inventory",
            "localhost,",
            file.to_str().unwrap(),
        ])
        .ok();
    assert!(ran.stdout.contains("failed=0"), "{ran:?}");
    assert!(ran.stdout.contains("pre-ansible: skipped (not-ready)"), "{ran:?}");
}
