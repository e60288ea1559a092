//! What would be lost by going back to a backup, asked of a live server and a live tree.

use crate::support::host::Host;
use backstop::backup::Selection;
use backstop::config::{Config, Environment};
use backstop::encryption::{Identities, NOBODY};
use backstop::progress::Silent;
use backstop::repository::Repository;
use backstop::restore::{Losses, Tally, losses};
use backstop::setting::Setting;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The host as the library sees it, whose database belongs to a user without rights on others'
/// tables.
fn setting(host: &Host) -> Setting {
    let environment = Environment {
        variables: std::collections::BTreeMap::new(),
        directory: host.path().to_path_buf(),
        system_directory: host.path().to_path_buf(),
    };
    let mut config = Config::load_from(Some(&host.config()), &environment).unwrap().config;
    let component = host.database().component();
    for database in &mut config.databases {
        (database.url, database.password_env) = (component.url.clone(), None);
    }
    Setting {
        config: Arc::new(config),
        recipients: NOBODY.clone(),
        identities: Identities::default(),
        config_file: None,
        executable: env!("CARGO_BIN_EXE_backstop").into(),
        lock_wait: Duration::ZERO,
        progress: Arc::new(Silent),
        cancel: CancellationToken::new(),
    }
}

async fn lost(host: &Host, record: &Value) -> Losses {
    let repository = Repository::open(&host.repository()).unwrap();
    let backup = repository.backup(record["name"].as_str().unwrap()).unwrap();
    losses(&setting(host), &backup, &Selection::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn right_after_a_backup_nothing_would_be_lost() {
    let host = Host::with_database();
    let record = host.back_up();
    let found = lost(&host, &record).await;
    assert!(found.is_nothing(), "{found}");
    assert_eq!((found.databases.len(), found.files.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_files_since_a_backup_are_counted_and_nothing_is_touched() {
    let host = Host::with_database();
    host.database().sql(
        "CREATE TABLE large AS SELECT i, repeat('x', 900) FROM generate_series(1, 4000) i; \
         CREATE TABLE \"Odd Name\" (i int); CREATE TABLE old AS SELECT 1 AS i; \
         CREATE TABLE shrinks AS SELECT generate_series(1, 9) i; ANALYZE large",
    );
    host.configure_database(
        "count_rows_up_to = \"1MB\"\nexclude_tables = [\"public.cache_*\"]",
        "",
    );
    let record = host.back_up();
    host.database().sql(
        "INSERT INTO item SELECT i, 'new' FROM generate_series(1001, 1007) i; \
         INSERT INTO \"Odd Name\" VALUES (1); DROP TABLE old; DELETE FROM shrinks WHERE i > 5; \
         INSERT INTO large SELECT i, repeat('x', 900) FROM generate_series(1, 1000) i; \
         ANALYZE large; CREATE TABLE fresh AS SELECT generate_series(1, 3) i; \
         CREATE TABLE cache_pages AS SELECT generate_series(1, 50) i",
    );
    host.write("new.txt", "new");
    fs::remove_file(host.live().join("one.txt")).unwrap();

    let before = host.live_state();
    let found = lost(&host, &record).await;
    assert_eq!(host.live_state(), before);
    let database = &found.databases[0];
    assert_eq!(database.unknown, None, "{found}");
    let tables: Vec<_> = database
        .tables
        .iter()
        .map(|it| (it.table.as_str(), it.then, it.now, it.newer, it.estimate))
        .collect();
    assert_eq!(
        tables,
        [
            ("public.\"Odd Name\"", 0, 1, 1, false),
            ("public.item", 1000, 1007, 7, false),
            ("public.large", 4000, 5000, 1000, true),
            ("public.shrinks", 9, 5, 0, false),
        ]
    );
    let alone = |tables: &[backstop::restore::TableCount]| {
        tables.iter().map(|it| (it.table.clone(), it.rows)).collect::<Vec<_>>()
    };
    assert_eq!(alone(&database.tables_new), [("public.fresh".to_owned(), 3)]);
    assert_eq!(alone(&database.tables_gone), [("public.old".to_owned(), 1)]);
    assert_eq!((database.rows_newer, database.rows_fewer), (1011, 5));
    assert!(database.uncounted.is_empty(), "{found}");
    let tree = &found.files[0];
    assert_eq!(tree.newer, Tally { files: 1, directories: 0, bytes: 3 });
    assert_eq!(tree.gone, Tally { files: 1, directories: 0, bytes: 3 });
    assert_eq!(tree.examples, ["new.txt"]);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["databases"][0]["rows_newer"], 1011);
    assert_eq!(json["files"][0]["tree"], "uploads");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_locked_or_of_others_are_named_and_not_waited_for() {
    let host = Host::with_database();
    let name = host.database().name().to_owned();
    host.cluster().psql(&name, "CREATE TABLE secret AS SELECT 1 AS i; ANALYZE secret");
    let record = host.back_up();
    let component = host.database().component();
    let (client, connection) =
        tokio_postgres::connect(component.url.expose(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let look = tokio::time::timeout(Duration::from_secs(60), lost(&host, &record));
    let found = look.await.expect("no lock is waited for");
    assert_eq!(found.databases[0].uncounted, ["public.item", "public.secret"], "{found}");
    assert!(found.databases[0].tables_gone.is_empty() && !found.is_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_unknown_and_the_tree_is_counted() {
    let host = Host::with_database();
    let record = host.back_up();
    let name = host.database().name();
    host.cluster().psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    let found = lost(&host, &record).await;
    let why = found.databases[0].unknown.as_deref().unwrap();
    assert!(why.contains("does not exist"), "{why}");
    assert!(found.files[0].is_nothing(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_tree_differs_by_change_times_alone() {
    let host = Host::with_database();
    let record = host.back_up();
    host.write("new.txt", "new");
    host.json(&["restore", record["name"].as_str().unwrap(), "--yes"]);
    let found = lost(&host, &record).await;
    assert!(found.databases[0].is_nothing(), "{found}");
    let tree = &found.files[0];
    assert!(tree.newer.is_nothing() && tree.gone.is_nothing(), "{found}");
    assert_eq!((tree.changed.files, tree.touched), (2, 2), "{found}");
}
