//! A restored database takes the place of the live one, and gives it back.

use super::*;
use crate::support::cluster::SUPERUSER;
use backstop::database::{database_exists, drop_database, swap};

/// Which database bears this name, by the number in its table.
fn mark(cluster: &Cluster, name: &str) -> String {
    cluster.psql(name, "SELECT mark FROM which")
}

fn marked<'a>(cluster: &'a Cluster, prefix: &str, mark: u32) -> TestDatabase<'a> {
    let database = cluster.database(prefix);
    database.sql(&format!("CREATE TABLE which AS SELECT {mark} AS mark"));
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_ends_sessions_keeps_the_old_and_can_be_undone() {
    let cluster = Cluster::shared();
    let (live, scratch) = (marked(cluster, "Live \"x\"", 1), marked(cluster, "scratch", 2));
    let aside = format!("{}_before", live.name());
    for user in [USER, SUPERUSER] {
        let at = target(&cluster.component("shop", user, live.name()));
        // One client in a transaction, one that comes back whenever it is thrown out.
        let busy = client(&live.component()).await;
        busy.batch_execute("BEGIN; INSERT INTO which VALUES (0)").await.unwrap();
        let component = live.component();
        let stubborn = tokio::spawn(async move {
            loop {
                if let Ok((client, connection)) =
                    tokio_postgres::connect(component.url.expose(), tokio_postgres::NoTls).await
                {
                    let connection = tokio::spawn(connection);
                    let _ = client.batch_execute("SELECT pg_sleep(1000)").await;
                    connection.abort();
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });

        let swapped = swap::swap(&at, live.name(), scratch.name(), &aside).await.unwrap();
        assert_eq!(swapped.aside.as_deref(), Some(aside.as_str()));
        assert_eq!((mark(cluster, live.name()), mark(cluster, &aside)), ("2".into(), "1".into()));
        assert!(busy.batch_execute("COMMIT").await.is_err());

        swap::swap_back(&at, &swapped, scratch.name()).await.unwrap();
        assert_eq!(mark(cluster, live.name()), "1");
        assert_eq!(mark(cluster, scratch.name()), "2");
        assert!(!database_exists(&at, &aside).await.unwrap());
        stubborn.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_database_is_simply_replaced() {
    let cluster = Cluster::shared();
    let (live, scratch) = (marked(cluster, "gone", 1), marked(cluster, "scratch", 2));
    let at = target(&live.component());
    drop_database(&at, live.name()).await.unwrap();
    drop_database(&at, live.name()).await.unwrap();
    let swapped = swap::swap(&at, live.name(), scratch.name(), "gone_before").await.unwrap();
    assert_eq!(swapped.aside, None);
    assert_eq!(mark(cluster, live.name()), "2");
    swap::swap_back(&at, &swapped, scratch.name()).await.unwrap();
    assert!(!database_exists(&at, live.name()).await.unwrap());
    assert_eq!(mark(cluster, scratch.name()), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_cannot_end_a_session_changes_nothing_and_names_it() {
    let cluster = Cluster::start();
    let (live, scratch) = (marked(&cluster, "live", 1), marked(&cluster, "scratch", 2));
    let superuser = client(&cluster.component("shop", SUPERUSER, live.name())).await;
    let at = target(&live.component());
    let error = swap::swap(&at, live.name(), scratch.name(), "aside").await.unwrap_err();
    assert!(error.to_string().contains("user postgres"), "{error}");
    superuser.batch_execute("SELECT 1").await.unwrap();
    drop(superuser);
    assert_eq!(mark(&cluster, live.name()), "1");
    assert_eq!(mark(&cluster, scratch.name()), "2");
    let none = cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'aside'");
    assert_eq!(none, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_swap_asked_for_does_not_happen_later() {
    let cluster = Cluster::start();
    let (live, scratch) = (marked(&cluster, "live", 1), marked(&cluster, "scratch", 2));
    // A session that may not be ended makes the renames wait.
    let superuser = client(&cluster.component("shop", SUPERUSER, live.name())).await;
    let at = target(&live.component());
    let dying = tokio::spawn({
        let (at, live, scratch) = (at.clone(), live.name().to_owned(), scratch.name().to_owned());
        async move { swap::swap(&at, &live, &scratch, "aside").await }
    });
    let under_way = "SELECT count(*) FROM pg_stat_activity \
                     WHERE query LIKE '%RENAME%' AND state = 'active' AND pid <> pg_backend_pid()";
    while cluster.psql("postgres", under_way) == "0" {
        assert!(!dying.is_finished());
    }
    dying.abort();
    drop(dying.await);
    swap::settle(&at, live.name(), scratch.name(), "aside").await.unwrap();
    assert_eq!(cluster.psql("postgres", under_way), "0");
    drop(superuser);
    assert!(!database_exists(&at, "aside").await.unwrap());
    assert_eq!(mark(&cluster, live.name()), "1");
    swap::swap(&at, live.name(), scratch.name(), "aside").await.unwrap();
    assert_eq!(mark(&cluster, live.name()), "2");
}
