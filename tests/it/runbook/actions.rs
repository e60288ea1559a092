//! The actions against real parts.

use super::bench::Bench;
use crate::support::cluster::Cluster;
use backstop::runbook::{Ended, Outcome};
use std::fs;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn statements_take_effect_once_although_the_runner_dies_after_the_commit() {
    let bench = Bench::new();
    let database = Cluster::shared().database("runbook");
    database.sql("CREATE TABLE orders (id int)");
    let component = database.component();
    let mut engine = bench.engine();
    let mut config = engine.setting.config.as_ref().clone();
    let name = component.name.clone();
    config.databases = vec![component];
    engine.setting.config = Arc::new(config);
    let steps = format!(
        "name: sql\ntitle: SQL\nsteps:\n\
         - {{id: insert, action: sql.run, with: {{database: {name}, sql: 'INSERT INTO orders VALUES (7) RETURNING id'}}}}\n\
         - {{id: count, action: sql.assert, with: {{database: {name}, sql: 'SELECT count(*) FROM orders', equals: '1'}}}}\n\
         - {{id: is, action: sql.assert, with: {{database: {name}, sql: 'SELECT count(*) = {{{{ steps.count.value }}}} FROM orders'}}}}\n\
         - {{id: person, action: manual, with: {{instructions: 'saw {{{{ steps.insert.value }}}}'}}}}\n"
    );
    let (run, outcome) = bench.start(&engine, &steps).await.unwrap();
    assert_eq!(outcome, Outcome::Waiting { step: "person".into() }, "{:?}", bench.view(&run));
    // As after a kill between the commit and the outcome: the journal ends before that.
    let journal = bench.state_dir().join("runs").join(&run).join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let end = text.find("\"attempt_ended\"").unwrap();
    let cut = text[..end].rfind('\n').unwrap() + 1;
    fs::write(&journal, &text[..cut]).unwrap();
    let (_, outcome) = engine.resume(&run, false).await.unwrap();
    assert_eq!(outcome, Outcome::Waiting { step: "person".into() }, "{:?}", bench.view(&run));
    assert_eq!(database.sql("SELECT count(*) FROM orders").trim(), "1");
    let view = bench.view(&run);
    assert_eq!((view.steps[0].attempts, view.waiting.unwrap().shown.unwrap()), (1, "saw 7".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_say_what_they_found_instead() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let check = |action: &str, with: &str| {
        format!("name: check\ntitle: Check\nsteps: [{{id: it, action: {action}, with: {with}}}]\n")
    };
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (action, with) in [
        ("tcp.check", format!("{{host: 127.0.0.1, port: {port}}}")),
        ("tcp.check", "{host: 127.0.0.1, port: 1, open: false}".into()),
        ("disk.assert", "{path: EFFECTS/new/dir, free: 1}".into()),
        (
            "host.assert",
            format!("{{name: '{own}', programs: [sh], variables: [PATH], memory_mib: 1}}"),
        ),
        ("file.assert", "{path: EFFECTS, kind: directory}".into()),
        ("file.assert", "{path: EFFECTS/none, exists: false}".into()),
        ("notify", "{message: hello, command: [tee, EFFECTS/said]}".into()),
    ] {
        let (run, outcome) = bench.start(&bench.engine(), &check(action, &with)).await.unwrap();
        assert_eq!(outcome, Outcome::Ended(Ended::Succeeded), "{action} {:?}", bench.view(&run));
    }
    assert_eq!(bench.effect("said"), ["hello"]);
    for (action, with, found) in [
        ("tcp.check", "{host: 127.0.0.1, port: 1}", "refused"),
        ("http.check", "{url: 'http://127.0.0.1:1/'}", "refused"),
        ("disk.assert", "{path: /, free: 900PiB}", "is free"),
        ("host.assert", "{programs: [no-such-program]}", "not in the PATH"),
        ("file.assert", "{path: EFFECTS/said, contains: bye}", "no line does"),
    ] {
        let (run, outcome) = bench.start(&bench.engine(), &check(action, with)).await.unwrap();
        assert_eq!(outcome, Outcome::Ended(Ended::Failed));
        let reason = bench.view(&run).steps[0].reason.clone().unwrap();
        assert!(reason.contains(found), "{reason}");
    }
}
