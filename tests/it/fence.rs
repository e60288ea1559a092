//! Held containers run again, whoever dies; captures freeze files and vanish after use.

mod capture;
mod death;

use crate::support::image::{TestContainer, docker, docker_answers};
use backstop::config::{ContainerSelection, Quiesce};
use backstop::docker::{Container, Docker};
use backstop::error::{Code, Result};
use backstop::fence::{Guardian, HeldContainers, Journal, LiveJournal, quiesce, recover};
use backstop::progress::{Progress, Silent, Warnings};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const EXE: &str = env!("CARGO_BIN_EXE_backstop");

fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

/// The containers, selected by name in this order.
async fn selected(docker: &Docker, names: &[&str], how: Quiesce) -> Vec<Container> {
    let selections: Vec<ContainerSelection> = names
        .iter()
        .map(|name| {
            let json = serde_json::json!({
                "select": format!("name={name}"), "quiesce": how, "stop_timeout": "10m",
            });
            serde_json::from_value(json).unwrap()
        })
        .collect();
    docker.select(&selections).await.unwrap().containers
}

async fn guard(state: &Path, id: &str, containers: &[Container]) -> Arc<Guardian> {
    let journal = LiveJournal::create(state, Journal::new(id, containers)).unwrap();
    Guardian::spawn(journal, Path::new(EXE), None).await.unwrap()
}

async fn held(docker: &Docker, guardian: &Arc<Guardian>) -> HeldContainers {
    quiesce(docker, guardian, &silent()).await.unwrap()
}

fn journals(state: &Path) -> usize {
    std::fs::read_dir(state.join("journal")).map_or(0, Iterator::count)
}

async fn nothing_to_undo(_: &Journal) -> Result<()> {
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn containers_are_held_and_run_again_and_the_downtime_is_told() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    for how in [Quiesce::Stop, Quiesce::Pause] {
        let state = tempfile::tempdir().unwrap();
        let (one, two) = (TestContainer::run(&[], &[]), TestContainer::run(&[], &[]));
        let never_started = TestContainer::create(&[], &[]);
        let paused = TestContainer::run(&[], &[]);
        self::docker(&["pause", &paused.name]);
        let names = [&one, &two, &never_started, &paused].map(|c| c.name.as_str());
        let containers = selected(&docker, &names, how).await;

        let guardian = guard(state.path(), "backup", &containers).await;
        let held = held(&docker, &guardian).await;
        let expected = if how == Quiesce::Stop { "exited" } else { "paused" };
        assert_eq!([one.state(), two.state()], [expected, expected]);
        assert_eq!(never_started.state(), "created");

        let downtime = held.resume().await.unwrap();
        assert_eq!([one.state(), two.state()], ["running", "running"]);
        assert_eq!(never_started.state(), "created");
        assert_eq!(paused.state(), "paused");
        let mut told: Vec<_> = downtime.iter().map(|d| d.container.as_str()).collect();
        told.sort_unstable();
        let mut expected = [one.name.as_str(), two.name.as_str()];
        expected.sort_unstable();
        assert_eq!(told, expected);
        assert!(downtime.iter().all(|d| d.seconds > 0.0));

        guardian.finish().unwrap();
        assert_eq!(journals(state.path()), 0);
        assert!(guardian.check_alive().is_err());
        self::docker(&["unpause", &paused.name]);
    }
}

#[tokio::test]
async fn dependents_are_held_first_and_resumed_last_once_their_needs_are_healthy() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let project = format!("com.docker.compose.project={}", crate::support::image::unique("p"));
    let db = TestContainer::run(
        &[
            "--label",
            &project,
            "--label",
            "com.docker.compose.service=db",
            "--health-cmd",
            "/busy exists /busy",
            "--health-interval",
            "200ms",
        ],
        &[],
    );
    let web = TestContainer::run(
        &[
            "--label",
            &project,
            "--label",
            "com.docker.compose.service=web",
            "--label",
            "com.docker.compose.depends_on=db:service_healthy:false",
        ],
        &[],
    );
    let containers = selected(&docker, &[&db.name, &web.name], Quiesce::Stop).await;
    let guardian = guard(state.path(), "backup", &containers).await;
    held(&docker, &guardian).await.resume().await.unwrap();

    let at = |c: &TestContainer, what: &str| -> jiff::Timestamp {
        let format = format!("{{{{.State.{what}}}}}");
        self::docker(&["inspect", "-f", &format, &c.name]).parse().unwrap()
    };
    assert!(at(&web, "FinishedAt") <= at(&db, "FinishedAt"));
    assert!(at(&db, "StartedAt") < at(&web, "StartedAt"));
    let health = self::docker(&["inspect", "-f", "{{.State.Health.Status}}", &db.name]);
    assert_eq!(health, "healthy");
    let unhealthy = backstop::fence::wait_healthy(&docker, &containers).await;
    assert!(unhealthy.is_empty());
    guardian.finish().unwrap();
}

#[tokio::test]
async fn one_that_somebody_else_let_go_or_removed_is_told() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let [still, runs, ran, gone] = std::array::from_fn(|_| TestContainer::run(&[], &[]));
    let names = [&still, &runs, &ran, &gone].map(|c| c.name.as_str());
    let containers = selected(&docker, &names, Quiesce::Stop).await;
    let guardian = guard(state.path(), "backup", &containers).await;
    let mut held = held(&docker, &guardian).await;
    assert_eq!(held.strays().await, [""; 0]);
    self::docker(&["start", &runs.name]);
    self::docker(&["start", &ran.name]);
    self::docker(&["stop", &ran.name]);
    self::docker(&["rm", &gone.name]);
    let told = held.strays().await;
    assert_eq!(told.len(), 3, "{told:?}");
    for name in [&runs.name, &ran.name, &gone.name] {
        assert!(told.iter().any(|sentence| sentence.contains(name.as_str())), "{told:?}");
    }
    // What is held again is no stray any more, but for what is gone.
    held.hold_again().await.unwrap();
    assert_eq!([runs.state(), ran.state()], ["exited", "exited"]);
    assert_eq!(held.strays().await.len(), 1);

    // A container that is gone does not run again, and nobody says it does.
    let error = held.release().await.unwrap_err();
    assert_eq!(error.code(), Code::NotResumed);
    assert!(error.to_string().contains(&gone.name), "{error}");
    assert_eq!([still.state(), runs.state(), ran.state()], ["running"; 3]);
    drop(held);
    assert_eq!(journals(state.path()), 0);
}

#[tokio::test]
async fn one_that_does_not_stop_by_itself_is_named() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let stubborn = TestContainer::run(&[], &["/busy", "stubborn"]);
    let graceful = TestContainer::run(&[], &[]);
    let names = [&stubborn, &graceful].map(|c| c.name.as_str());
    let mut containers = selected(&docker, &names, Quiesce::Stop).await;
    containers[0].stop_timeout = Duration::from_secs(1);
    let guardian = guard(state.path(), "backup", &containers).await;
    let warnings = Warnings::before(silent());
    let progress: Arc<dyn Progress> = warnings.clone();
    quiesce(&docker, &guardian, &progress).await.unwrap().resume().await.unwrap();
    let told = warnings.seen();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].code, Code::ContainerKilled);
    assert!(told[0].message.contains(&stubborn.name), "{told:?}");
    assert_eq!([stubborn.state(), graceful.state()], ["running"; 2]);
    guardian.finish().unwrap();
}

#[tokio::test]
async fn dropping_held_containers_resumes_them() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let container = TestContainer::run(&[], &[]);
    let containers = selected(&docker, &[&container.name], Quiesce::Stop).await;
    let guardian = guard(state.path(), "backup", &containers).await;
    drop(held(&docker, &guardian).await);
    assert_eq!(container.state(), "running");
    assert_eq!(journals(state.path()), 0);
}

#[tokio::test]
async fn giving_up_while_a_stop_is_in_flight_resumes() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let container = TestContainer::run(&[], &["/busy", "slow", "2000"]);
    let containers = selected(&docker, &[&container.name], Quiesce::Stop).await;
    let guardian = guard(state.path(), "backup", &containers).await;
    let before = container.started_at();
    let progress = silent();
    let interrupted = async {
        while !docker.logs(&container.id, 10).await.unwrap().contains("asked") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = quiesce(&docker, &guardian, &progress) => panic!("held before it was interrupted"),
        () = interrupted => {}
    }
    assert_eq!(container.state(), "running");
    assert_ne!(container.started_at(), before);
    assert_eq!(journals(state.path()), 0);
}

#[tokio::test]
async fn when_one_cannot_be_held_the_others_run_again() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let (stays, goes) = (TestContainer::run(&[], &[]), TestContainer::run(&[], &[]));
    let containers = selected(&docker, &[&stays.name, &goes.name], Quiesce::Stop).await;
    let guardian = guard(state.path(), "backup", &containers).await;
    let before = stays.started_at();
    self::docker(&["rm", "-f", &goes.name]);
    let error = quiesce(&docker, &guardian, &silent()).await.unwrap_err();
    assert_eq!(error.code(), Code::ContainerNotFound, "{error}");
    assert_eq!(stays.state(), "running");
    assert_ne!(stays.started_at(), before, "it was held");
    guardian.finish().unwrap();
    assert_eq!(journals(state.path()), 0);
}

#[tokio::test]
async fn a_journal_of_another_boot_counts_every_container_as_held() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let (stopped, running) = (TestContainer::run(&[], &[]), TestContainer::run(&[], &[]));
    let names = [stopped.name.as_str(), running.name.as_str()];
    let containers = selected(&docker, &names, Quiesce::Stop).await;
    let mut journal = Journal::new("backup", &containers);
    journal.boot_id = "another".into();
    drop(LiveJournal::create(state.path(), journal).unwrap());
    self::docker(&["stop", &stopped.name]);
    let before = running.started_at();

    let done = recover(state.path(), PATIENCE, nothing_to_undo).await.unwrap();
    assert!(done.iter().all(|r| r.is_complete()), "{done:?}");
    assert_eq!([stopped.state(), running.state()], ["running", "running"]);
    assert_eq!(running.started_at(), before);
    assert_eq!(journals(state.path()), 0);
}

#[tokio::test]
async fn containers_that_had_not_been_touched_are_left_alone() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let container = TestContainer::run(&[], &[]);
    let containers = selected(&docker, &[&container.name], Quiesce::Stop).await;
    drop(LiveJournal::create(state.path(), Journal::new("backup", &containers)).unwrap());
    self::docker(&["stop", &container.name]);
    let done = recover(state.path(), PATIENCE, nothing_to_undo).await.unwrap();
    assert!(done[0].is_complete());
    assert_eq!(container.state(), "exited", "somebody else stopped it");
}

#[tokio::test]
async fn a_restore_is_undone_before_its_containers_start() {
    if !docker_answers() {
        return;
    }
    let docker = Docker::connect().await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let container = TestContainer::run(&[], &[]);
    let containers = selected(&docker, &[&container.name], Quiesce::Stop).await;
    let mut journal = Journal::new("restore", &containers);
    journal.boot_id = "another".into();
    journal.restore = Some("swap-1".into());
    drop(LiveJournal::create(state.path(), journal).unwrap());
    self::docker(&["stop", &container.name]);

    let seen = Mutex::new(Vec::new());
    let undo = async |journal: &Journal| {
        seen.lock().unwrap().push((journal.restore.clone(), container.state()));
        Ok(())
    };
    let done = recover(state.path(), PATIENCE, undo).await.unwrap();
    assert!(done[0].is_complete(), "{done:?}");
    assert_eq!(*seen.lock().unwrap(), [(Some("swap-1".to_string()), "exited".to_string())]);
    assert_eq!(container.state(), "running");
}

#[tokio::test]
async fn without_a_guardian_nothing_is_held() {
    let state = tempfile::tempdir().unwrap();
    let journal = |id: &str| LiveJournal::create(state.path(), Journal::new(id, &[])).unwrap();
    for exe in ["/nowhere/backstop", "/bin/true"] {
        let error = Guardian::spawn(journal(&exe.replace('/', "_")), Path::new(exe), None).await;
        assert_eq!(error.unwrap_err().code(), Code::GuardianFailed);
        assert_eq!(journals(state.path()), 0);
    }
}
