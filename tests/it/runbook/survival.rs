//! What a run outlives: daemons that its steps started, the loss of the catalog, its own retries,
//! statements on a server.

use super::bench::{Bench, runbook};
use super::crash::{World, attempt, attempt_awaiting, kill_everywhere};
use crate::support::cluster::{Cluster, TestDatabase, USER};
use crate::support::host::processes_of;
use backstop::catalog::Catalog;
use backstop::progress::Silent;
use backstop::runbook::{Ended, Entry, Outcome, State, StepState};
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

fn prepared(steps: &str) -> Bench {
    let bench = Bench::new();
    fs::write(bench.dir.join("runbook.yaml"), runbook(steps)).unwrap();
    bench
}

#[test]
fn a_daemon_of_a_dead_runner_keeps_its_lock_and_is_ended_before_anybody_goes_on() {
    // What leaves the group survives the runner, as a real daemon would.
    let steps = "- {id: daemon, action: shell, idempotent: true, with: {script: 'setsid sleep 4151 & sleep 0.2; echo x >> EFFECTS/begun; test -e EFFECTS/again && exit 0; sleep 4151'}}\n";
    for resumed in [true, false] {
        let bench = prepared(steps);
        // Before the intent, after it, the child is recorded, and it runs.
        let begun = bench.effects().join("begun");
        assert!(!attempt_awaiting(&bench, Some(4), 0, Some(&begun)));
        let dead = bench.view("latest").id;
        assert!(!processes_of(&dead).is_empty());
        assert_eq!(bench.view(&dead).state, State::Paused);
        fs::write(bench.effects().join("again"), "").unwrap();
        match resumed {
            true => assert!(attempt(&bench, None, 0)),
            // Another run on the same target needs the lock as well.
            false => {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let (_, outcome) = runtime
                    .block_on(bench.start(
                        &bench.engine(),
                        &runbook("- {id: a, action: wait, with: {for: 1ms}}\n"),
                    ))
                    .unwrap();
                assert_eq!(outcome, Outcome::Ended(Ended::Succeeded));
                assert_eq!(processes_of(&dead), Vec::<String>::new());
            }
        }
        if resumed {
            let view = bench.view(&dead);
            assert_eq!(view.state, State::Succeeded, "{view:?}");
            // What the second attempt started may stay: it left its group on purpose.
            let left = processes_of(&dead);
            assert_eq!(left.len(), 1, "{left:?}");
            end_processes_of(&dead);
        }
    }
}

/// Ends what carries the mark of a run.
fn end_processes_of(run: &str) {
    let mark = format!("BACKSTOP_RUN={run}");
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let carries = environment.split(|byte| *byte == 0).any(|it| it == mark.as_bytes());
        let pid = process.file_name().to_string_lossy().parse().ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
            && carries
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_from_its_journal_when_the_catalog_is_lost_or_damaged_in_the_middle() {
    for loss in ["rm -f STATE/catalog.duckdb*", "echo rubbish > STATE/catalog.duckdb"] {
        let bench = Bench::new();
        let steps = format!(
            "- {{id: one, action: test.append, with: {{file: log, line: one}}}}\n\
             - {{id: lose, action: shell, with: {{script: '{}'}}}}\n\
             - {{id: two, action: test.append, with: {{file: log, line: two}}}}\n\
             - {{id: person, action: manual, with: {{instructions: Look.}}}}\n",
            loss.replace("STATE", &bench.state_dir().display().to_string())
        );
        let engine = bench.engine();
        let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
        assert_eq!(outcome, Outcome::Waiting { step: "person".into() });
        assert_eq!(bench.effect("log"), ["one", "two"]);
        let known = || {
            let progress: Arc<dyn backstop::progress::Progress> = Arc::new(Silent);
            let session = Catalog::in_dir(&bench.state_dir()).session(&progress).unwrap();
            session.recorded_runs().unwrap()
        };
        assert_eq!(known()[&run].1, "WAITING");
        fs::write(bench.state_dir().join("catalog.duckdb"), "rubbish").unwrap();
        backstop::runbook::approve(&bench.state_dir(), &run, "person").unwrap();
        let (_, outcome) = engine.resume(&run, false).await.unwrap();
        assert_eq!(outcome, Outcome::Ended(Ended::Succeeded));
        assert_eq!(known()[&run].1, "SUCCEEDED");
    }
}

#[test]
fn a_retry_keeps_its_time_and_its_count_although_the_runner_is_killed() {
    let steps = "- {id: flaky, action: test.flaky, with: {file: tries, failures: 2}, retry: {limit: 2, interval: 2s, backoff: 1}}\n";
    let bench = prepared(steps);
    // Before and after the intent and after the outcome: the retry is due, and nobody is there.
    assert!(!attempt(&bench, Some(3), 0));
    let waits = |bench: &Bench| {
        let run = bench.engine().store().find("latest").unwrap();
        let mut waits = Vec::new();
        let mut due = None;
        for line in &run.lines {
            match &line.entry {
                Entry::AttemptEnded { retry_at: Some(at), .. } => due = Some(*at),
                Entry::AttemptStarted { .. } => {
                    waits.extend(due.take().map(|due| line.at >= due));
                }
                _ => {}
            }
        }
        (waits, due)
    };
    assert!(waits(&bench).1.is_some());
    assert_eq!(bench.view("latest").steps[0].state, StepState::Pending);
    assert!(attempt(&bench, None, 0));
    assert_eq!(waits(&bench), (vec![true, true], None));
    assert_eq!(bench.states("latest"), ["flaky SUCCEEDED 3"]);
}

/// A database with one table.
struct Orders(TestDatabase<'static>);

impl Orders {
    fn new(bench: &Bench) -> Self {
        let database = Cluster::shared().database("runbook_crash");
        database.sql("CREATE TABLE orders (id int)");
        let url = Cluster::shared().url(USER, database.name());
        let mut config = fs::OpenOptions::new().append(true).open(bench.config()).unwrap();
        writeln!(config, "[[databases]]\nname = \"shop\"\nurl = {url:?}").unwrap();
        Self(database)
    }

    /// How many sessions are left, once those that were just closed had the time to end.
    fn sessions(&self) -> String {
        const ASK: &str = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let mut left = self.0.sql(ASK);
        for _ in 0..100 {
            if left == "0" {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            left = self.0.sql(ASK);
        }
        left
    }
}

impl World for Orders {
    fn text(&self) -> String {
        "name: bench\ntitle: SQL\nsteps:\n\
         - {id: insert, action: sql.run, with: {database: shop, sql: 'INSERT INTO orders VALUES (7) RETURNING id'}}\n\
         - {id: vacuum, action: sql.run, idempotent: true, with: {database: shop, transaction: false, sql: 'VACUUM orders'}}\n\
         - {id: more, action: sql.run, with: {database: shop, sql: 'INSERT INTO orders VALUES ({{ steps.insert.value }} + 1)'}}\n\
         - {id: count, action: sql.assert, with: {database: shop, sql: 'SELECT sum(id) FROM orders', equals: '15'}}\n"
            .into()
    }

    fn state(&self) -> Vec<(String, String)> {
        let rows = self.0.sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders");
        vec![("rows".into(), rows), ("sessions".into(), self.sessions())]
    }
}

#[test]
fn statements_take_effect_once_wherever_the_runner_is_killed() {
    let points = kill_everywhere(Orders::new, Ended::Succeeded);
    assert!(points >= 16, "{points}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_does_not_go_on_in_the_server() {
    let bench = Bench::new();
    let orders = Orders::new(&bench);
    let steps = "- {id: slow, action: sql.run, timeout: 1s, with: {database: shop, sql: 'INSERT INTO orders SELECT 1 FROM pg_sleep(4161)'}}\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(steps)).await.unwrap();
    assert!(matches!(outcome, Outcome::Paused { .. }), "{outcome:?}");
    assert_eq!(bench.view(&run).steps[0].state, StepState::Unknown);
    assert_eq!(orders.sessions(), "0");

    let check = "- {id: look, action: wait, with: {for: 1ms}, preconditions: [{action: sql.assert, timeout: 1s, with: {database: shop, sql: 'SELECT pg_sleep(4161) IS NULL'}}]}\n";
    let (_, outcome) = bench.start(&bench.engine(), &runbook(check)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!(orders.sessions(), "0");
}
