//! The runner gets SIGKILL at every point of every step: after `resume` the state is what it is
//! without the kill, each effect happened once, and no process is left.

use super::bench::Bench;
use crate::support::host::processes_of;
use backstop::runbook::{Ended, Outcome, Point, Points, StepState, Store};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const FORWARD: &str = "\
name: bench
title: Forward
steps:
- {id: one, action: test.append, with: {file: log, line: one}}
- id: idempotent
  action: shell
  idempotent: true
  with: {script: 'echo {{ steps.one.line }} > EFFECTS/copy'}
- id: probed
  action: shell
  with: {script: 'test ! -e EFFECTS/made; echo half > EFFECTS/made.part; sleep 0.03; mv EFFECTS/made.part EFFECTS/made; echo done'}
  probe: {action: file.assert, with: {path: EFFECTS/made}, partial: {action: file.assert, with: {path: EFFECTS/made.part}}}
  cleanup: {action: shell, with: {script: 'rm -f EFFECTS/made.part'}}
  outputs: {text: \"'made'\"}
- {id: skipped, action: test.append, if: \"steps.probed.text != 'made'\", with: {file: log, line: never}}
- id: asked
  action: test.append
  approval: {prompt: 'Append {{ steps.probed.text }}?'}
  compensate: {action: test.append, with: {file: log, line: undone}}
  with: {file: log, line: '{{ steps.probed.text }}'}
  verify: [{action: file.assert, with: {path: EFFECTS/log, contains: made}}]
  recheck: [{action: file.assert, with: {path: EFFECTS/made}}]
- {id: flaky, action: test.flaky, with: {file: tries, failures: 1}, retry: {limit: 1, interval: 20ms}}
- id: instead
  action: test.append
  preconditions: [{action: file.assert, with: {path: EFFECTS/nothing}}]
  with: {file: log, line: never}
  rescue: [{action: test.append, with: {file: log, line: instead}}]
- {id: last, action: test.append, with: {file: log, line: last}}
";

const BACKWARD: &str = "\
name: bench
title: Backward
steps:
- {id: one, action: test.append, with: {file: log, line: one}}
- id: two
  action: test.append
  with: {file: log, line: two}
  compensate: {action: test.append, with: {file: undone, line: two}}
- {id: three, action: test.append, with: {file: log, line: three}}
- {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}
rescue:
- {id: tell, action: test.append, with: {file: told, line: '{{ run.failed_step }}'}}
";

/// The runner: it ends itself at the point of which it was told.
#[test]
#[ignore = "the process that the crash tests start and that ends itself"]
fn runner() {
    let Ok(dir) = std::env::var("BACKSTOP_TEST_RUNNER") else { return };
    let bench = Bench::at(Path::new(&dir));
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let (fatal, later) = (number("BACKSTOP_TEST_POINT"), number("BACKSTOP_TEST_LATER"));
    let reached = AtomicUsize::new(0);
    let trace = bench.dir.join("points");
    let points: Points = Arc::new(move |point, step| {
        let count = reached.fetch_add(1, Ordering::SeqCst) + 1;
        super::effect::append(&trace, &format!("{point:?} {step}"));
        if Some(count) == fatal {
            let awaited = std::env::var_os("BACKSTOP_TEST_AWAIT").map(PathBuf::from);
            while awaited.as_ref().is_some_and(|path| !path.exists()) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if point == Point::MidEffect {
                std::thread::sleep(Duration::from_millis(later.unwrap_or(0) as u64));
            }
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(Duration::from_secs(1000));
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.unwrap().block_on(async {
        let mut engine = bench.engine_with(Arc::new(backstop::runbook::Nobody), Some(points));
        // A guardian may still be at work for the one that was killed.
        engine.setting.lock_wait = Duration::from_secs(60);
        match engine.store().ids().unwrap().first() {
            Some(run) => engine.resume(run, false).await.unwrap().1,
            None => {
                let text = fs::read_to_string(bench.dir.join("runbook.yaml")).unwrap();
                bench.start(&engine, &text).await.unwrap().1
            }
        }
    });
    fs::write(bench.dir.join("outcome"), format!("{outcome:?}")).unwrap();
}

/// Runs or resumes in a process of its own; whether it lived to its end.
pub(super) fn attempt(bench: &Bench, fatal: Option<usize>, later: usize) -> bool {
    attempt_awaiting(bench, fatal, later, None)
}

/// The same; a kill waits until this file is there.
pub(super) fn attempt_awaiting(
    bench: &Bench,
    fatal: Option<usize>,
    later: usize,
    awaited: Option<&Path>,
) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some(path) = awaited {
        command.env("BACKSTOP_TEST_AWAIT", path);
    }
    command
        .args(["--exact", "runbook::crash::runner", "--ignored", "--nocapture"])
        .env("BACKSTOP_TEST_RUNNER", &bench.dir)
        .env("BACKSTOP_TEST_LATER", later.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(point) = fatal {
        command.env("BACKSTOP_TEST_POINT", point.to_string());
    }
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    !killed
}

/// What is the same with and without a kill: the outcome, what effects left, and the steps.
type Result = (String, Vec<(String, String)>, Vec<(String, StepState)>);

/// What a runbook works on, made anew for each kill and removed when dropped.
pub(super) trait World {
    /// The runbook.
    fn text(&self) -> String;
    /// What it left behind, without names that differ from one world to the next.
    fn state(&self) -> Vec<(String, String)>;
}

/// Nothing but the files of the bench.
struct Files(&'static str);

impl World for Files {
    fn text(&self) -> String {
        self.0.to_owned()
    }

    fn state(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

fn result(bench: &Bench, world: &impl World) -> Result {
    let outcome = fs::read_to_string(bench.dir.join("outcome")).unwrap();
    let view = bench.view("latest");
    let steps = view.steps.into_iter().map(|step| (step.id, step.state)).collect();
    (outcome, [bench.all_effects(), world.state()].concat(), steps)
}

fn prepared<W: World>(make: &impl Fn(&Bench) -> W) -> (Bench, W) {
    let bench = Bench::new();
    let world = make(&bench);
    fs::write(bench.dir.join("runbook.yaml"), world.text()).unwrap();
    (bench, world)
}

/// Kills at every point, once each; returns how many there are.
pub(super) fn kill_everywhere<W: World>(make: impl Fn(&Bench) -> W + Sync, ended: Ended) -> usize {
    let (reference, world) = prepared(&make);
    assert!(attempt(&reference, None, 0));
    let expected = result(&reference, &world);
    let outcome = format!("{:?}", Outcome::Ended(ended));
    assert_eq!(expected.0, outcome, "{expected:?} {:?}", reference.view("latest"));
    let trace = fs::read_to_string(reference.dir.join("points")).unwrap();
    let points: Vec<&str> = trace.lines().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::SeqCst);
                    let Some(point) = points.get(place) else { return };
                    kill_at(place, point, &make, &expected);
                }
            });
        }
    });
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for point in &points {
        *kinds.entry(point.split(' ').next().unwrap()).or_default() += 1;
    }
    println!("{} kill points: {kinds:?}", points.len());
    points.len()
}

/// Kills at one point, and resumes.
fn kill_at<W: World>(place: usize, point: &str, make: &impl Fn(&Bench) -> W, expected: &Result) {
    let (bench, world) = prepared(make);
    // A child is hit at once, and when it is at work.
    assert!(
        !attempt(&bench, Some(place + 1), if place.is_multiple_of(2) { 0 } else { 20 }),
        "{point}"
    );
    disturb(&bench, place);
    assert!(attempt(&bench, None, 0));
    let view = bench.view("latest");
    assert_eq!(result(&bench, &world), *expected, "killed at {point}: {view:?}");
    assert_eq!(processes_of(&view.id), Vec::<String>::new(), "killed at {point}");
    // A finished run stays as it is, and the catalog has it again.
    assert!(attempt(&bench, None, 0));
    assert_eq!(result(&bench, &world), *expected);
}

/// What else a crash may do: the catalog is lost, a line of the journal is half written.
fn disturb(bench: &Bench, place: usize) {
    if place.is_multiple_of(3) {
        for name in ["catalog.duckdb", "catalog.duckdb.wal"] {
            let _ = fs::remove_file(bench.state_dir().join(name));
        }
    }
    if place % 2 == 1 {
        let run = Store::in_dir(&bench.state_dir()).ids().unwrap().remove(0);
        let journal = bench.state_dir().join("runs").join(run).join("journal.jsonl");
        let mut file = fs::OpenOptions::new().append(true).open(journal).unwrap();
        std::io::Write::write_all(&mut file, br#"{"seq":7,"at":"2026-1"#).unwrap();
    }
}

#[test]
fn a_kill_at_any_point_changes_nothing_in_the_end() {
    let points = kill_everywhere(|_| Files(FORWARD), Ended::Succeeded);
    assert!(points >= 35, "{points}");
}

#[test]
fn a_kill_at_any_point_of_a_rollback_changes_nothing_in_the_end() {
    let points = kill_everywhere(|_| Files(BACKWARD), Ended::Failed);
    assert!(points >= 30, "{points}");
}
