//! What the fence of a database promises.

use super::*;
use crate::support::cluster::SUPERUSER;
use backstop::database::{HeldSnapshot, Scratch};

async fn fence(component: &Database) -> HeldSnapshot {
    Prepared::connect(&target(component)).await.unwrap().fence().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_after_the_fence_are_in_no_dump() {
    let cluster = Cluster::shared();
    let (one, two) = (cluster.database("one"), cluster.database("two"));
    let mut prepared = Vec::new();
    for database in [&one, &two] {
        fill(database, 10);
        prepared.push(Prepared::connect(&target(&database.component())).await.unwrap());
    }
    let mut held = Vec::new();
    for prepared in prepared {
        held.push(prepared.fence().await.unwrap());
    }
    for database in [&one, &two] {
        database.sql("INSERT INTO item SELECT i, 'late' FROM generate_series(11, 99) i");
        database.sql("DELETE FROM item WHERE id = 1");
    }
    let (backup, tools) = (tempfile::tempdir().unwrap(), tools().await);
    for (database, held) in [&one, &two].into_iter().zip(held) {
        let mut request = DumpRequest::new(&database.component(), 3, backup.path());
        request.backup.push(database.name());
        let dumped = dump::dump(&held, &tools, &request, &silent()).await.unwrap();
        assert_eq!(dumped.tables.len(), 1);
        assert_eq!((dumped.tables[0].rows, dumped.tables[0].exact), (10, true));
        let detail = describe(held.connection()).await.unwrap().detail(
            database.name(),
            request.format,
            &[],
            &dumped,
        );
        let name = format!("{}_new", database.name());
        let scratch =
            Scratch::create(held.target(), &name, &detail, silent().as_ref()).await.unwrap();
        let dump = request.backup.join(&detail.object);
        let jobs = 2.try_into().unwrap();
        scratch.fill(&tools, &dump, &detail, jobs, &silent()).await.unwrap();
        scratch.verify(&detail.tables, jobs).await.unwrap();
        let seen = cluster.psql(&name, "SELECT count(*), min(id), max(id) FROM item");
        assert_eq!(seen, "10|1|10");
        scratch.drop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_tells_writers_from_the_servers_own_transactions() {
    let cluster = Cluster::start();
    let (database, other) = (cluster.database("shop"), cluster.database("other"));
    let component = database.component();
    fill(&database, 10);

    // Nobody does anything.
    let held = fence(&component).await;
    let release = held.observe_release().await.unwrap();
    assert!(release.unmoved && release.is_fenced() && !release.clients_seen, "{release:?}");
    let record = held.record(&release);
    assert_eq!(record.next_xid_at_fence, record.next_xid_at_release);
    assert!(record.wal_lsn.contains('/') && record.name == "shop");

    // Another database of the server writes.
    other.sql("CREATE TABLE t ()");
    let release = held.observe_release().await.unwrap();
    assert!(!release.unmoved && release.is_fenced() && !release.clients_seen, "{release:?}");
    assert!(release.transactions > 0);

    // A client that only reads came and went, so the counter is still as before.
    let held = fence(&component).await;
    database.sql("SELECT count(*) FROM item");
    let release = held.observe_release().await.unwrap();
    assert!(release.unmoved && release.is_fenced(), "{release:?}");

    // A client wrote and went.
    let held = fence(&component).await;
    database.sql("DELETE FROM item WHERE id = 1");
    let release = held.observe_release().await.unwrap();
    assert!(!release.is_fenced() && release.clients_seen, "{release:?}");
    assert_eq!(release.transactions, 1);
    assert_eq!(release.next_xid_at_release, held.record(&release).next_xid_at_fence + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_transactions_are_seen_whether_they_begin_or_end() {
    let cluster = Cluster::start();
    let database = cluster.database("shop");
    fill(&database, 10);
    let component = database.component();
    let client = client(&component).await;

    let held = fence(&component).await;
    assert!(held.observe_release().await.unwrap().is_fenced(), "idle clients do not matter");
    client.batch_execute("BEGIN; DELETE FROM item WHERE id = 1").await.unwrap();
    let begun = held.observe_release().await.unwrap();
    assert!(!begun.is_fenced() && begun.transactions == 1, "{begun:?}");

    let held = fence(&component).await;
    assert!(held.observe_release().await.unwrap().unmoved, "it was open before and still is");
    client.batch_execute("COMMIT").await.unwrap();
    let ended = held.observe_release().await.unwrap();
    assert!(!ended.is_fenced() && ended.transactions == 1, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn autovacuum_alone_does_not_break_the_fence() {
    let cluster = Cluster::start_with("autovacuum_naptime = 1s");
    let database = cluster.database("shop");
    fill(&database, 1000);
    let held = fence(&database.component()).await;
    cluster.psql("postgres", "ALTER SYSTEM SET autovacuum = on");
    cluster.psql("postgres", "SELECT pg_reload_conf()");
    let moved = loop {
        let release = held.observe_release().await.unwrap();
        if !release.unmoved {
            break release;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(moved.is_fenced() && !moved.clients_seen, "{moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_fence_ends_its_sessions() {
    let cluster = Cluster::shared();
    let database = cluster.database("dropped");
    let held = fence(&database.component()).await;
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' \
         AND application_name = 'backstop'",
        database.name()
    );
    assert_eq!(cluster.psql("postgres", &sessions), "2");
    drop(held);
    while cluster.psql("postgres", &sessions) != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_time_limits_do_not_end_a_held_snapshot() {
    let cluster = Cluster::shared();
    let database = cluster.database("limits");
    let name = crate::support::cluster::identifier(database.name());
    for setting in ["idle_in_transaction_session_timeout = 50", "statement_timeout = 50"] {
        cluster.psql("postgres", &format!("ALTER DATABASE {name} SET {setting}"));
    }
    let held = fence(&database.component()).await;
    let wait = "SELECT pg_sleep(0.2)";
    assert!(cluster.try_psql(SUPERUSER, "postgres", wait).status.success());
    held.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_countable_tables_are_counted() {
    let cluster = Cluster::shared();
    let database = cluster.database("counted");
    database.sql(
        "CREATE SCHEMA audit; CREATE TABLE audit.log AS SELECT generate_series(1, 5) i; \
         CREATE TABLE \"Odd Table\" AS SELECT generate_series(1, 3) i; \
         CREATE TABLE part (i int) PARTITION BY LIST (i); \
         CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1); \
         INSERT INTO part VALUES (1), (1); \
         CREATE TABLE emptied AS SELECT generate_series(1, 4) i",
    );
    let mut component = database.component();
    component.exclude_tables = vec!["audit.*".into()];
    let held = fence(&component).await;
    database.sql("TRUNCATE emptied");
    let backup = tempfile::tempdir().unwrap();
    let request = DumpRequest::new(&component, 3, backup.path());
    let dumped = dump::dump(&held, &tools().await, &request, &silent()).await.unwrap();
    let seen: Vec<_> = dumped.tables.iter().map(|t| (t.table.as_str(), t.rows, t.exact)).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.contains(&("public.\"Odd Table\"", 3, true)), "{seen:?}");
    assert!(seen.contains(&("public.part_1", 2, true)), "{seen:?}");
    // Truncated after the fence: neither the dump nor a count can see what it held.
    assert!(seen.iter().any(|(table, _, exact)| *table == "public.emptied" && !exact));
}
