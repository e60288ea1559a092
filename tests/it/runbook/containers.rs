//! The actions on containers and secrets, killed at every point.

use super::bench::Bench;
use super::crash::{World, attempt, kill_everywhere};
use crate::support::host::processes_of;
use crate::support::image::{docker, unique};
use crate::support::need::{self, Need};
use backstop::runbook::{Ended, Outcome, State, StepState};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A container's whole work. It starts no further process: one that does all the time cannot
/// always be frozen.
const IDLE: &str = "trap 'exit 0' TERM; sleep 100000 & wait";

fn image() -> String {
    std::env::var("BACKSTOP_POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:15".into())
}

/// A container with a shell in it, removed when dropped.
struct Idle(String);

impl Idle {
    fn run() -> Self {
        let name = unique("idle");
        docker(&["run", "-d", "--name", &name, "--entrypoint", "sh", &image(), "-c", IDLE]);
        Self(name)
    }

    fn state(&self) -> String {
        docker(&["inspect", "-f", "{{.State.Status}}", &self.0])
    }

    fn file(&self, path: &str) -> String {
        let output = Command::new("docker").args(["exec", &self.0, "cat", path]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The programs in it.
    fn programs(&self) -> String {
        docker(&["top", &self.0, "-eo", "pid,args"])
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", "-v", &self.0]).output());
    }
}

/// Two containers and a place for a secret.
struct Pair {
    one: Idle,
    other: Idle,
    secrets: PathBuf,
    text: &'static str,
}

impl Pair {
    fn new(bench: &Bench, text: &'static str) -> Self {
        let secrets = bench.dir.join("secrets");
        fs::create_dir(&secrets).unwrap();
        Self { one: Idle::run(), other: Idle::run(), secrets, text }
    }
}

impl World for Pair {
    fn text(&self) -> String {
        self.text
            .replace("OTHER", &self.other.0)
            .replace("ONE", &self.one.0)
            .replace("SECRETS", &self.secrets.display().to_string())
    }

    fn state(&self) -> Vec<(String, String)> {
        let mut told: Vec<String> = fs::read_to_string(self.secrets.join("told"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        told.dedup();
        let kept = fs::read_to_string(self.secrets.join("key")).unwrap_or_default();
        let same = told.last().is_some_and(|told| *told == kept);
        vec![
            ("one".into(), self.one.state()),
            ("other".into(), self.other.state()),
            ("made".into(), self.one.file("/tmp/made")),
            ("half".into(), self.one.file("/tmp/half")),
            ("secrets".into(), format!("{} {same}", told.len())),
            ("next".into(), self.secrets.join("key.next").exists().to_string()),
        ]
    }
}

const FORWARD: &str = "\
name: bench
title: Containers
steps:
- {id: stop, action: docker.stop, with: {containers: [ONE, OTHER], timeout: 5s}}
- {id: stopped, action: docker.assert, with: {containers: [ONE, OTHER], state: stopped}}
- {id: start, action: docker.start, with: {containers: '{{ steps.stop.stopped }}'}}
- {id: pause, action: docker.pause, with: {containers: [OTHER]}}
- {id: unpause, action: docker.unpause, with: {containers: '{{ steps.pause.paused }}'}}
- id: exec
  action: docker.exec
  with: {container: ONE, script: 'echo begun; test ! -e /tmp/made; echo half >/tmp/half; sleep 0.03; mv /tmp/half /tmp/made'}
  probe:
    action: docker.exec
    with: {container: ONE, script: 'test -e /tmp/made'}
    partial: {action: docker.exec, with: {container: ONE, script: 'test -e /tmp/half'}}
  cleanup: {action: docker.exec, with: {container: ONE, script: 'rm -f /tmp/half'}}
- id: rotate
  action: secret.rotate
  with:
    name: the key
    file: SECRETS/key
    command: [sh, -c, 's=$(cat); echo \"$s\" >> SECRETS/told']
    check: [sh, -c, 'test \"$(cat)\" = \"$(tail -n1 SECRETS/told)\"']
- {id: healthy, action: docker.assert, with: {containers: [ONE, OTHER], within: 5s}}
";

const BACKWARD: &str = "\
name: bench
title: Containers, undone
steps:
- {id: stop, action: docker.stop, with: {containers: [ONE], timeout: 5s}}
- {id: pause, action: docker.pause, with: {containers: [OTHER]}}
- {id: bad, action: docker.assert, with: {containers: [OTHER], state: running}, on_failure: rollback}
";

#[test]
fn containers_are_as_they_would_be_without_a_kill() {
    if !need::all(&[Need::Docker, Need::Root]) {
        return;
    }
    let points = kill_everywhere(|bench| Pair::new(bench, FORWARD), Ended::Succeeded);
    assert!(points >= 35, "{points}");
}

#[test]
fn containers_are_led_back_although_the_runner_is_killed() {
    if !need::all(&[Need::Docker, Need::Root]) {
        return;
    }
    let points = kill_everywhere(|bench| Pair::new(bench, BACKWARD), Ended::Failed);
    assert!(points >= 15, "{points}");
}

#[test]
fn a_program_in_a_container_does_not_outlive_its_attempt() {
    if !need::all(&[Need::Docker, Need::Root]) {
        return;
    }
    const TEXT: &str = "name: bench\ntitle: Bench\nsteps:\n- {id: long, action: docker.exec, with: {container: ONE, script: 'echo begun; sleep 4242'}}\n";
    let bench = Bench::new();
    let pair = Pair::new(&bench, TEXT);
    fs::write(bench.dir.join("runbook.yaml"), pair.text()).unwrap();
    // Before the intent, after it, and when the program has said something.
    assert!(!attempt(&bench, Some(3), 0));
    assert!(pair.one.programs().contains("4242"));
    // Without a probe a person has to say; until then nothing of it goes on.
    assert!(attempt(&bench, None, 0));
    let view = bench.view("latest");
    assert_eq!((view.state, view.steps[0].state), (State::Paused, StepState::Unknown));
    assert!(!pair.one.programs().contains("4242"), "{}", pair.one.programs());

    const LIMITED: &str = "name: bench\ntitle: Bench\nsteps:\n- {id: long, action: docker.exec, timeout: 2s, with: {container: ONE, script: 'echo begun; sleep 4243'}}\n";
    let bench = Bench::new();
    let pair = Pair::new(&bench, LIMITED);
    fs::write(bench.dir.join("runbook.yaml"), pair.text()).unwrap();
    assert!(attempt(&bench, None, 0));
    assert_eq!(bench.view("latest").steps[0].state, StepState::Unknown);
    assert!(!pair.one.programs().contains("4243"), "{}", pair.one.programs());
}

/// A compose project of two services, removed when dropped.
struct Project {
    name: String,
    dir: PathBuf,
}

impl Project {
    fn new(bench: &Bench) -> Self {
        let name = unique("project");
        let dir = bench.dir.join("project");
        fs::create_dir(&dir).unwrap();
        let service = format!("image: {}\n    entrypoint: [sh, -c, 'eval \"$$IDLE\"']", image());
        let text = format!(
            "version: '2.4'\nservices:\n  base:\n    {service}\n    environment: {{IDLE: \"${{IDLE}}\"}}\n  \
             web:\n    {service}\n    environment: {{IDLE: \"${{IDLE}}\"}}\n    depends_on: [base]\n"
        );
        fs::write(dir.join("docker-compose.yml"), text).unwrap();
        Self { name, dir }
    }

    fn containers(&self) -> String {
        let label = format!("label=com.docker.compose.project={}", self.name);
        docker(&["ps", "-a", "--filter", &label, "--format", "{{.ID}}"])
    }
}

impl World for Project {
    fn text(&self) -> String {
        format!(
            "name: bench\ntitle: Up\nsteps:\n- id: up\n  action: compose.up\n  with: {{project: {}, dir: {}, env: {{IDLE: \"{IDLE}\"}}, within: 30s}}\n\
             - {{id: runs, action: docker.assert, with: {{containers: ['compose={}']}}}}\n",
            self.name,
            self.dir.display(),
            self.name
        )
    }

    fn state(&self) -> Vec<(String, String)> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let format = "{{.Label \"com.docker.compose.service\"}} {{.State}}";
        let listed = docker(&["ps", "-a", "--filter", &label, "--format", format]);
        let mut lines: Vec<_> =
            listed.lines().map(|line| (line.to_owned(), String::new())).collect();
        lines.sort();
        lines
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for id in self.containers().lines() {
            drop(Command::new("docker").args(["rm", "-f", "-v", id]).output());
        }
        let network = format!("{}_default", self.name);
        drop(
            Command::new("docker").args(["network", "rm", &network]).stderr(Stdio::null()).output(),
        );
    }
}

#[test]
fn a_compose_project_is_up_although_the_runner_is_killed() {
    if !need::all(&[Need::Docker, Need::Root]) {
        return;
    }
    let points = kill_everywhere(Project::new, Ended::Succeeded);
    assert!(points >= 8, "{points}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_started_is_stopped_in_a_rollback_and_what_ran_goes_on() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let bench = Bench::new();
    let project = Project::new(&bench);
    let (one, other) = (Idle::run(), Idle::run());
    docker(&["stop", "-t", "1", &one.0]);
    let text = project.text()
        + &format!(
            "- {{id: start, action: docker.start, with: {{containers: [{}, {}]}}}}\n\
             - {{id: bad, action: tcp.check, with: {{host: 127.0.0.1, port: 1}}, on_failure: rollback}}\n",
            one.0, other.0
        );
    let (run, outcome) = bench.start(&bench.engine(), &text).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed), "{:?}", bench.view(&run));
    assert_eq!((one.state().as_str(), other.state().as_str()), ("exited", "running"));
    assert_eq!(project.containers().lines().count(), 2);
    assert!(
        project.state().iter().all(|(line, _)| line.ends_with("exited")),
        "{:?}",
        project.state()
    );
    assert_eq!(processes_of(&run), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_secret_is_in_no_output_and_a_check_that_fails_keeps_the_old_one() {
    let bench = Bench::new();
    let file = bench.dir.join("key");
    fs::write(&file, "the old one").unwrap();
    let text = |check: &str| {
        format!(
            "name: bench\ntitle: Bench\nsteps:\n\
             - {{id: rotate, action: secret.rotate, with: {{name: key, file: {0}, command: [sh, -c, 'echo got $(cat)'], check: [sh, -c, '{check}']}}}}\n\
             - {{id: use, action: shell, with: {{script: 'echo use $(cat {0})'}}}}\n",
            file.display()
        )
    };
    let (run, outcome) = bench.start(&bench.engine(), &text("exit 3")).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed), "{:?}", bench.view(&run));
    assert_eq!(fs::read_to_string(&file).unwrap(), "the old one");
    let (run, outcome) = bench.start(&bench.engine(), &text("test -n \"$(cat)\"")).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Succeeded), "{:?}", bench.view(&run));
    let secret = fs::read_to_string(&file).unwrap();
    assert_eq!(secret.len(), 40);
    let logs = bench.state_dir().join("runs").join(&run).join("logs");
    assert_eq!(fs::read_to_string(logs.join("use.1.log")).unwrap(), "use ***\n");
    assert!(!holds(&bench.state_dir(), &secret));
}

/// Whether any file below `dir` holds a text.
fn holds(dir: &std::path::Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, text),
            false => String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text),
        }
    })
}
