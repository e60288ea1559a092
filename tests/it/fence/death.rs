//! Killing backstop, its process group and its guardian while containers are held.
//!
//! The process that is killed is this test program again, started as the test `actor`.

use super::{EXE, PATIENCE, guard, journals, nothing_to_undo, selected};
use crate::support::image::{TestContainer, docker, docker_answers};
use backstop::config::{Capture, Quiesce};
use backstop::docker::Docker;
use backstop::fence::capture::{Captured, Plan};
use backstop::fence::{quiesce, recover};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes; only a failure waits for it.
const LONG: Duration = Duration::from_secs(60);

/// Not a test of its own: what is killed by the others.
#[tokio::test]
async fn actor() {
    let Ok(play) = std::env::var("BACKSTOP_TEST_ACTOR") else { return };
    let play: serde_json::Value = serde_json::from_str(&play).unwrap();
    let names: Vec<&str> =
        play["containers"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let how = serde_json::from_value(play["quiesce"].clone()).unwrap();
    let docker = Docker::connect().await.unwrap();
    let containers = selected(&docker, &names, how).await;
    let state = Path::new(play["state"].as_str().unwrap());
    let guardian = guard(state, "backup", &containers).await;
    println!("guarded");
    let held = quiesce(&docker, &guardian, &super::silent()).await.unwrap();
    println!("held");
    if play["resume"] == true {
        held.resume().await.unwrap();
        println!("resumed");
    }
    loop {
        tokio::time::sleep(LONG).await;
    }
}

struct Actor {
    child: Child,
    output: BufReader<ChildStdout>,
    state: tempfile::TempDir,
}

impl Actor {
    fn start(containers: &[&TestContainer], how: Quiesce, resume: bool) -> Self {
        Self::start_with(containers, how, resume, None)
    }

    fn start_with(
        containers: &[&TestContainer],
        how: Quiesce,
        resume: bool,
        docker_host: Option<&str>,
    ) -> Self {
        let state = tempfile::tempdir().unwrap();
        let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
        let play = serde_json::json!({
            "state": state.path(), "containers": names, "quiesce": how, "resume": resume,
        });
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(host) = docker_host {
            command.env("DOCKER_HOST", host);
        }
        let mut child = command
            .args(["--exact", "fence::death::actor", "--nocapture", "--test-threads=1"])
            .env("BACKSTOP_TEST_ACTOR", play.to_string())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, state }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "ended before {word}");
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The guardian, found by the journal in its arguments.
    fn guardian(&self) -> Option<Pid> {
        let journal = self.state.path().join("journal/backup.json");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        for pid in processes.filter_map(|p| p.file_name().to_str()?.parse::<i32>().ok()) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = command.split(|b| *b == 0);
            if arguments.any(|a| a == journal.as_os_str().as_encoded_bytes()) {
                return Pid::from_raw(pid);
            }
        }
        None
    }

    fn wait_for_guardian(&self) {
        eventually("the guardian ends", || self.guardian().is_none());
        assert_eq!(journals(self.state.path()), 0, "{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.state.path().join("guardian.log")).unwrap_or_default()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(pid) = self.guardian() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn eventually(what: &str, mut happens: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !happens() {
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn killed_while_containers_are_held_they_run_again() {
    if !docker_answers() {
        return;
    }
    for how in [Quiesce::Stop, Quiesce::Pause] {
        let (one, two) = (TestContainer::run(&[], &[]), TestContainer::run(&[], &[]));
        let stopped = TestContainer::create(&[], &[]);
        let mut actor = Actor::start(&[&one, &two, &stopped], how, false);
        actor.wait_for("held");
        assert_ne!(one.state(), "running");
        actor.kill();
        eventually("both run", || [&one, &two].iter().all(|c| c.state() == "running"));
        actor.wait_for_guardian();
        assert_eq!(stopped.state(), "created");
    }
}

#[test]
fn killed_with_its_process_group_after_signals_to_the_guardian_they_run_again() {
    if !docker_answers() {
        return;
    }
    let container = TestContainer::run(&[], &[]);
    let mut actor = Actor::start(&[&container], Quiesce::Stop, false);
    actor.wait_for("held");
    let guardian = actor.guardian().unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        kill_process(guardian, signal).unwrap();
    }
    kill_process_group(actor.pid(), Signal::KILL).unwrap();
    actor.child.wait().unwrap();
    eventually("it runs", || container.state() == "running");
    actor.wait_for_guardian();
}

#[test]
fn killed_while_a_stop_is_in_flight_the_container_runs_again() {
    if !docker_answers() {
        return;
    }
    let container = TestContainer::run(&[], &["/busy", "slow", "3000"]);
    let before = container.started_at();
    let mut actor = Actor::start(&[&container], Quiesce::Stop, false);
    eventually("the stop arrives", || docker(&["logs", &container.name]).contains("asked"));
    actor.kill();
    assert_eq!(container.state(), "running", "still stopping");
    eventually("it was restarted", || container.started_at() != before);
    actor.wait_for_guardian();
    assert_eq!(container.state(), "running");
}

#[test]
fn killed_in_the_moment_of_the_request_the_others_do_not_wait_for_it() {
    if !docker_answers() {
        return;
    }
    // The first never stops by itself, so its stop is in flight for the ten minutes of its
    // timeout; the second is held.
    let (stubborn, graceful) =
        (TestContainer::run(&[], &["/busy", "stubborn"]), TestContainer::run(&[], &[]));
    let mut actor = Actor::start(&[&stubborn, &graceful], Quiesce::Stop, false);
    eventually("one is held", || graceful.state() == "exited");
    actor.kill();
    // Nothing that it had open keeps `backstop backup | cat` from ending.
    actor.output.read_to_end(&mut Vec::new()).unwrap();
    eventually("the other runs", || graceful.state() == "running");
    assert!(actor.guardian().is_some(), "it watches the stop in flight");
    docker(&["kill", &stubborn.name]);
    actor.wait_for_guardian();
    assert_eq!(stubborn.state(), "running");
}

#[test]
fn while_docker_is_unreachable_the_guardian_keeps_trying() {
    if !docker_answers() || std::env::var_os("DOCKER_HOST").is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    let container = TestContainer::run(&[], &[]);
    let host = format!("unix://{}", socket.display());
    let mut actor = Actor::start_with(&[&container], Quiesce::Stop, false, Some(&host));
    actor.wait_for("held");
    std::fs::remove_file(&socket).unwrap();
    actor.kill();
    eventually("it has tried", || actor.log().matches("cannot connect to Docker").count() > 2);
    assert_eq!(container.state(), "exited");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    eventually("it runs", || container.state() == "running");
    actor.wait_for_guardian();
}

#[test]
fn killed_after_they_were_resumed_nothing_is_started() {
    if !docker_answers() {
        return;
    }
    let container = TestContainer::run(&[], &[]);
    let mut actor = Actor::start(&[&container], Quiesce::Stop, true);
    actor.wait_for("resumed");
    docker(&["stop", &container.name]);
    actor.kill();
    actor.wait_for_guardian();
    assert_eq!(container.state(), "exited", "a person stopped it");
}

#[tokio::test]
async fn when_the_guardian_died_too_recover_resumes() {
    if !docker_answers() {
        return;
    }
    let (held, slow) =
        (TestContainer::run(&[], &[]), TestContainer::run(&[], &["/busy", "slow", "2000"]));
    let mut actor = Actor::start(&[&held, &slow], Quiesce::Stop, false);
    let state = actor.state.path().to_path_buf();
    eventually("one is held", || held.state() == "exited");
    eventually("a stop is in flight", || docker(&["logs", &slow.name]).contains("asked"));

    let done = recover(&state, PATIENCE, nothing_to_undo).await.unwrap();
    assert!(done.is_empty(), "it lives: {done:?}");

    let before = slow.started_at();
    kill_process(actor.guardian().unwrap(), Signal::KILL).unwrap();
    actor.kill();
    let done = recover(&state, PATIENCE, nothing_to_undo).await.unwrap();
    assert_eq!(done.len(), 1);
    assert!(done[0].is_complete(), "{done:?}");
    assert_eq!([held.state(), slow.state()], ["running", "running"]);
    assert_ne!(slow.started_at(), before);
    assert_eq!(journals(&state), 0);
}

#[tokio::test]
async fn recover_waits_for_a_guardian_at_work() {
    if !docker_answers() {
        return;
    }
    let container = TestContainer::run(&[], &["/busy", "slow", "3000"]);
    let mut actor = Actor::start(&[&container], Quiesce::Stop, false);
    eventually("the stop arrives", || docker(&["logs", &container.name]).contains("asked"));
    let before = container.started_at();
    actor.kill();
    let state = actor.state.path().to_path_buf();
    let done = recover(&state, PATIENCE, nothing_to_undo).await.unwrap();
    assert!(done.iter().all(|r| r.is_complete()), "{done:?}");
    assert_eq!(container.state(), "running");
    assert_ne!(container.started_at(), before);
    assert_eq!(journals(&state), 0);
}

#[tokio::test]
async fn a_dead_guardian_is_noticed_before_anything_is_held() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let container = TestContainer::run(&[], &[]);
    let containers = selected(&docker, &[&container.name], Quiesce::Stop).await;
    // A guardian that says it is ready and dies.
    let exe = state.path().join("short-lived");
    std::fs::write(&exe, "#!/bin/sh\necho ready\n").unwrap();
    crate::support::make_executable(&exe);
    let journal = backstop::fence::LiveJournal::create(
        state.path(),
        backstop::fence::Journal::new("backup", &containers),
    );
    let guardian = backstop::fence::Guardian::spawn(journal.unwrap(), &exe, None).await.unwrap();
    eventually("it dies", || guardian.check_alive().is_err());
    let error = quiesce(&docker, &guardian, &super::silent()).await.unwrap_err();
    assert_eq!(error.code(), backstop::error::Code::GuardianFailed);
    assert_eq!(container.state(), "running");
}

#[tokio::test]
async fn the_guardian_removes_captures_that_are_left() {
    let (state, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let left = tree.path().join(".backstop-capture-backup-uploads");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("0"), "x").unwrap();
    let plan = Plan::new(tree.path(), "uploads", Capture::Archive, "backup").unwrap();
    let mut journal = backstop::fence::Journal::new("backup", &[]);
    journal.captures.push(backstop::fence::journal::JournalCapture {
        path: left.clone(),
        kind: backstop::fence::journal::CaptureKind::Staging,
    });
    let journal = backstop::fence::LiveJournal::create(state.path(), journal).unwrap();
    let guardian = backstop::fence::Guardian::spawn(journal, Path::new(EXE), None).await.unwrap();
    let captured = plan.take(guardian.journal(), &super::silent()).unwrap();
    assert!(matches!(captured, Captured::Live));
    drop(guardian);
    assert!(!left.exists());
    assert_eq!(journals(state.path()), 0);
}
