//! Databases in containers, whole compose projects, and paused writers.

use super::*;
use crate::support::image::TestContainer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A role of its own, whose password no container was started with.
const SECRET: &str = "not-for-argv-7f3a";

fn files(stack: &Stack) -> String {
    format!(
        "[[files]]\nname = \"uploads\"\nvolume = \"{}\"\nexclude = [\"*.tmp\"]\n",
        stack.volume()
    )
}

fn database(url: &str, more: &str) -> String {
    format!(
        "[[databases]]\nname = \"shop\"\nurl = \"{url}\"\n\
         password_env = \"SHOP_DB_PASSWORD\"\n{more}\n"
    )
}

fn writers(stack: &Stack, quiesce: &str) -> String {
    let project = stack.project();
    format!(
        "[[containers]]\nselect = \"label=backstop.quiesce={project}\"\nquiesce = \"{quiesce}\"\n"
    )
}

/// Whether a process shows the secret in its arguments.
fn argv_tells() -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let tells = |line: Vec<u8>| line.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok()).any(tells)
}

/// What was written into the container itself, outside of its volumes. The server's own
/// socket directory comes and goes with the server.
fn written_inside(container: &str) -> Vec<String> {
    let mut lines: Vec<String> = docker(&["diff", container]).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_database_in_its_container_goes_through_docker_exec() {
    let Some(stack) = Stack::start() else { return };
    let db = stack.container("db");
    let sql = format!("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{SECRET}'");
    stack.in_database(&format!("psql -qd shop -c \"{sql}\""));
    let config = |format: &str| {
        let more = format!("container = \"{}\"\nformat = \"{format}\"", name_of(&db));
        let url = "postgres://keeper@127.0.0.1:5432/shop";
        [database(url, &more), files(&stack), writers(&stack, "stop")].concat()
    };
    let site = Site::new(SECRET, &config("custom"));
    let before = written_inside(&db);
    let (seen, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                seen.fetch_or(argv_tells(), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let load = stack.load(4, 40);
        for (format, stored) in
            [("custom", "custom"), ("plain", "plain"), ("tar", "tar"), ("directory", "custom")]
        {
            site.configure(&config(format));
            let record = site.json(&["backup"]);
            assert_eq!(level(&record), "fenced", "{record}");
            let manifest = site.manifest(&record);
            assert_eq!(component(&manifest, "shop")["format"], stored);
            let audit = site.audit_copy(&stack, &record, &format!("copy_{format}"));
            assert!(audit.clean(), "{format}: {audit:?}");
        }
        load.stop();
        done.store(true, Ordering::SeqCst);
    });
    assert!(!seen.load(Ordering::SeqCst), "a process showed the password");
    assert_eq!(written_inside(&db), before);
    assert!(!docker(&["inspect", &db]).contains(SECRET));

    // The live restore and the swap go the same way.
    let rows = stack.audit().rows;
    site.json(&["backup"]);
    stack.in_database("psql -qd shop -c 'DROP TABLE uploads CASCADE'");
    site.json(&["restore", "latest", "--yes", "--no-safety"]);
    let audit = stack.audit();
    assert!(audit.clean() && audit.rows == rows, "{audit:?}");
    assert_eq!(written_inside(&db), before);

    // Where it does not run nothing is touched, and the container is named.
    let app = stack.container("app");
    let since = started_at(&app);
    docker(&["stop", &db]);
    let ran = site.run(&["backup"]).failed(1, "database_unreachable");
    assert!(ran.stderr.contains(&name_of(&db)), "{ran:?}");
    assert_eq!(started_at(&app), since);
    assert!(!running(&db), "it was not started");
}

#[test]
fn a_whole_project_is_held_but_for_its_database() {
    let Some(stack) = Stack::start() else { return };
    let (app, db) = (stack.container("app"), stack.container("db"));
    let label = format!("com.docker.compose.project={}", stack.project());
    let idle = TestContainer::create(&["--label", &label], &["/busy", "graceful"]);
    let project = format!("[[containers]]\nselect = \"compose={}\"\n", stack.project());
    let config =
        |url: &str, more: &str| [database(url, more), files(&stack), project.clone()].concat();
    let site = Site::of(&stack, &config(&stack.database_url("shop"), ""));

    // By the published port, by its own address, by its name.
    let ip = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &db,
    ]);
    let own = format!("postgres://shop@{ip}:5432/shop");
    let named = format!("container = \"{}\"", name_of(&db));
    let published = stack.database_url("shop");
    let by_name = published.replace("127.0.0.1", "localhost");
    for (url, more) in [(&own, ""), (&own, named.as_str()), (&by_name, ""), (&published, "")] {
        site.configure(&config(url, more));
        let plan = site.json(&["backup", "--dry-run"]);
        assert_eq!(plan["held"].as_array().unwrap().len(), 1, "{url}: {plan}");
        assert_eq!(plan["held"][0]["container"], name_of(&app));
    }

    let since = started_at(&db);
    let load = stack.load(4, 40);
    let ran = site.run(&["backup", "--json"]).ok();
    load.stop();
    let record = ran.json();
    assert!(ran.stderr.contains("serves a database"), "{}", ran.stderr);
    assert_eq!((level(&record), held(&record)), ("fenced", vec![name_of(&app).as_str()]));
    let manifest = site.manifest(&record);
    for container in [&app, &db, &idle.id] {
        assert_eq!(component(&manifest, &name_of(container))["type"], "container");
    }
    let audit = site.audit_copy(&stack, &record, "copy");
    assert!(audit.clean(), "{audit:?}");

    let key = site.json(&["restore", "latest", "--yes", "--no-safety"])["key"].clone();
    stack.wait_until("the application is healthy", || stack.healthy());
    assert!(stack.audit().clean());
    site.run(&["rollback", key.as_str().unwrap(), "--yes"]).ok();
    assert!(running(&app));
    assert_eq!(started_at(&db), since, "the database ran all the time");
    assert_eq!(idle.state(), "created", "what did not run was not started");
}

#[test]
fn paused_writers_are_fenced() {
    let Some(stack) = Stack::start() else { return };
    let url = stack.database_url("shop");
    let site =
        Site::of(&stack, &[database(&url, ""), files(&stack), writers(&stack, "pause")].concat());
    let app = stack.container("app");
    let since = started_at(&app);
    let clients = 4;
    let load = stack.load(clients, 40);
    let record = site.json(&["backup"]);
    load.stop();
    assert_eq!((level(&record), held(&record).len()), ("fenced", 1));
    assert!(running(&app) && started_at(&app) == since, "it was frozen, not restarted");
    // A pause does not wait for what was begun: an upload may have stored its file and not
    // yet its row, as after a power cut. Never the other way round.
    let audit = site.audit_copy(&stack, &record, "copy");
    assert!(audit.rows_without_file.is_empty() && audit.mismatched.is_empty(), "{audit:?}");
    assert!(audit.files_without_row.len() <= clients as usize, "{audit:?}");
    assert!(audit.rows > 0);
}
