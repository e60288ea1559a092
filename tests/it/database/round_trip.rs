//! What was dumped can be restored, in every format and place.

use super::*;
use crate::support::cluster::{SUPERUSER, identifier};
use backstop::database::{
    Scratch, database_exists, derived_name, drop_database, list_dump, read_dump,
};
use std::os::unix::fs::PermissionsExt;

const CONTENT: &str = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (\
    SELECT id::text, \"Näme\" FROM \"Ünï\".\"odd \"\"table\" \
    UNION ALL SELECT loid::text || pageno, encode(data, 'hex') FROM pg_largeobject) t";

/// A database with odd names, rows, a view, a function, a large object, settings and grants.
fn furnish(cluster: &Cluster, database: &TestDatabase<'_>) {
    database.sql(
        r#"CREATE SCHEMA "Ünï";
           CREATE TABLE "Ünï"."odd ""table" (id bigserial PRIMARY KEY, "Näme" text UNIQUE);
           INSERT INTO "Ünï"."odd ""table" ("Näme")
             SELECT E'Zeile\n\t\\.' || i || 'ß€' FROM generate_series(1, 500) i;
           CREATE VIEW "Ünï".v AS SELECT count(*) FROM "Ünï"."odd ""table";
           CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
           SELECT lo_from_bytea(0, decode('00ff10', 'hex'));
           CREATE TABLE empty ()"#,
    );
    let name = identifier(database.name());
    cluster.psql("postgres", &format!("ALTER DATABASE {name} SET search_path TO \"Ünï\", public"));
    cluster.psql("postgres", &format!("ALTER DATABASE {name} SET app.note TO 'it''s'"));
    cluster.psql("postgres", &format!("ALTER ROLE {USER} IN DATABASE {name} SET work_mem = '9MB'"));
    cluster.psql("postgres", &format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_survives_the_way_there_and_back() {
    let cluster = Cluster::shared();
    let database = cluster.database("Ünï \"code\" -x = 'y'\\");
    furnish(cluster, &database);
    let content = cluster.psql(database.name(), CONTENT);
    let (here, beside) = (tools().await, tools_beside(cluster).await);
    // The owner of a database may not set every setting of a role; a superuser may.
    let component = cluster.component("shop", SUPERUSER, database.name());
    for format in FORMATS {
        for (place, tools) in [("here", &here), ("beside", &beside)] {
            if format == DumpFormat::Directory && place == "beside" {
                continue;
            }
            let backup = tempfile::tempdir().unwrap();
            let detail = back_up(&component, format, tools, backup.path()).await;
            assert_eq!(detail.owner, USER);
            assert_eq!(detail.settings.len(), 2);
            assert_eq!(detail.role_settings[0].setting, "work_mem=9MB");
            let path = backup.path().join(&detail.object);
            private(&path);
            let listing = list_dump(tools, &path, format).await.unwrap();
            assert!(listing.iter().any(|entry| entry.contains("odd")), "{listing:?}");
            assert!(read_dump(tools, &path, format).await.unwrap() > 1000);

            let name = derived_name(database.name(), "restore", &format!("{format:?}{place}"));
            let scratch = Scratch::create(&target(&component), &name, &detail, silent().as_ref())
                .await
                .unwrap();
            let jobs = 3.try_into().unwrap();
            scratch.fill(tools, &path, &detail, jobs, &silent()).await.unwrap();
            scratch.verify(&detail.tables, component.jobs).await.unwrap();
            assert_eq!(cluster.psql(&name, CONTENT), content, "{format:?} {place}");
            let prepared = Prepared::connect(scratch.target()).await.unwrap();
            let made = describe(prepared.connection()).await.unwrap();
            assert_eq!((&made.owner, &made.ctype), (&detail.owner, &detail.ctype));
            assert_eq!(
                (&made.settings, &made.role_settings),
                (&detail.settings, &detail.role_settings)
            );
            assert_eq!(sorted(made.acl), sorted(detail.acl.clone()));
            drop(prepared);
            scratch.drop().await.unwrap();
            assert!(!database_exists(&target(&component), &name).await.unwrap());
        }
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// Nobody else may read the dump.
fn private(path: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    if path.is_dir() {
        assert_eq!(mode(path), 0o700);
        for entry in std::fs::read_dir(path).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    } else {
        assert_eq!(mode(path), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_database_needs_no_superuser_to_restore_it() {
    let cluster = Cluster::shared();
    let database = cluster.database("owned");
    fill(&database, 100);
    let (backup, tools) = (tempfile::tempdir().unwrap(), tools().await);
    let component = database.component();
    let detail = back_up(&component, DumpFormat::Directory, &tools, backup.path()).await;
    let name = format!("{}_again", database.name());
    let scratch =
        Scratch::create(&target(&component), &name, &detail, silent().as_ref()).await.unwrap();
    let path = backup.path().join(&detail.object);
    scratch.fill(&tools, &path, &detail, 2.try_into().unwrap(), &silent()).await.unwrap();
    scratch.verify(&detail.tables, component.jobs).await.unwrap();
    cluster.psql(&name, "DELETE FROM item WHERE id <= 3");
    let error = scratch.verify(&detail.tables, component.jobs).await.unwrap_err();
    assert_eq!(error.code(), backstop::error::Code::BackupDamaged);
    assert!(error.to_string().contains("public.item has 97 rows instead of 100"), "{error}");
    scratch.drop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn encoding_and_icu_locale_come_back() {
    let cluster = Cluster::shared();
    let (backup, tools) = (tempfile::tempdir().unwrap(), tools().await);
    for (name, options) in [
        ("latin", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
        ("icu", "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
    ] {
        cluster.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 {options}"));
        cluster.psql(name, "CREATE TABLE t AS SELECT 'größer'::text AS x");
        let component = cluster.component(name, SUPERUSER, name);
        let detail = back_up(&component, DumpFormat::Custom, &tools, backup.path()).await;
        let at = target(&component);
        drop_database(&at, name).await.unwrap();
        let scratch = Scratch::create(&at, name, &detail, silent().as_ref()).await.unwrap();
        let path = backup.path().join(&detail.object);
        scratch.fill(&tools, &path, &detail, 1.try_into().unwrap(), &silent()).await.unwrap();
        let prepared = Prepared::connect(scratch.target()).await.unwrap();
        let made = describe(prepared.connection()).await.unwrap();
        assert_eq!((&made.encoding, &made.collate), (&detail.encoding, &detail.collate));
        assert_eq!(
            (&made.locale_provider, &made.locale),
            (&detail.locale_provider, &detail.locale)
        );
        assert_eq!(cluster.psql(name, "SELECT x FROM t"), "größer");
        drop(prepared);
        scratch.drop().await.unwrap();
    }
}
