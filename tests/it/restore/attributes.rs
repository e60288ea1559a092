//! What belongs to a database itself, and not to what is in it.

use crate::support::cluster::{Cluster, SUPERUSER, bin_dir};
use crate::support::host::Host;
use std::process::{Command, Stdio};

const ATTRIBUTES: &str = "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), \
    datcollate, datctype, datistemplate, datallowconn, datconnlimit, spcname, \
    shobj_description(d.oid, 'pg_database'), \
    (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), \
    (SELECT string_agg(setrole::regrole || ':' || array_to_string(setconfig, ','), ' ' \
                       ORDER BY setrole::regrole::text) \
     FROM pg_db_role_setting WHERE setdatabase = d.oid) \
    FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = ";

#[test]
fn everything_that_belongs_to_a_database_survives_its_restore() {
    let host = Host::with_database();
    let (cluster, name) = (Cluster::shared(), host.database().name());
    let (role, space) = (format!("{name}_role"), format!("{name}_space"));
    let directory = cluster.socket_directory().join(&space);
    for sql in [
        &*format!("COPY (SELECT 1) TO PROGRAM 'mkdir {}'", directory.display()),
        &format!("CREATE TABLESPACE {space} LOCATION '{}'", directory.display()),
        &format!("ALTER DATABASE {name} SET TABLESPACE {space}"),
        &format!("CREATE ROLE {role}"),
        &format!("ALTER DATABASE {name} OWNER TO {role}"),
        &format!("ALTER DATABASE {name} CONNECTION LIMIT 7"),
        &format!("ALTER DATABASE {name} IS_TEMPLATE true"),
        &format!("COMMENT ON DATABASE {name} IS 'it''s the shop''s \\\\ own'"),
        &format!("ALTER DATABASE {name} SET work_mem = '7MB'"),
        &format!("ALTER DATABASE {name} SET search_path = \"$user\", public, \"odd, one\""),
        &format!("ALTER ROLE {role} IN DATABASE {name} SET statement_timeout = '7s'"),
        &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        &format!("GRANT CONNECT ON DATABASE {name} TO shop"),
        &format!("GRANT CREATE ON DATABASE {name} TO {role} WITH GRANT OPTION"),
    ] {
        cluster.psql("postgres", sql);
    }
    let attributes = || cluster.psql("postgres", &format!("{ATTRIBUTES}'{name}'"));
    let before = attributes();
    for part in [&role, &space, "|t|", "|7|", "own", "work_mem=7MB", "statement_timeout=7s"] {
        assert!(before.contains(part), "{part}: {before}");
    }
    host.back_up();
    let ran = host.run(&["restore", "latest", "--yes", "--no-safety"]).ok();
    assert!(!ran.stderr.contains("not restored"), "{ran:?}");
    assert_eq!(attributes(), before);

    // A template can be purged, on either side.
    let key = host.json(&["rollback", "--list"])[0]["key"].as_str().unwrap().to_owned();
    host.run(&["rollback", &key, "--yes"]).ok();
    assert_eq!(attributes(), before);
    host.run(&["rollback", &key, "--purge", "--yes"]).ok();
    for sql in [
        &*format!("ALTER DATABASE {name} IS_TEMPLATE false"),
        &format!("ALTER DATABASE {name} SET TABLESPACE pg_default"),
        &format!("ALTER DATABASE {name} OWNER TO shop"),
        &format!("ALTER ROLE {role} IN DATABASE {name} RESET ALL"),
        &format!("REVOKE ALL ON DATABASE {name} FROM {role}"),
        &format!("DROP TABLESPACE {space}"),
        &format!("DROP ROLE {role}"),
    ] {
        cluster.psql("postgres", sql);
    }
}

#[test]
fn a_replicated_database_is_not_replaced_behind_its_readers_back() {
    let cluster =
        Cluster::start_with("wal_level = logical\nmax_wal_senders = 4\nmax_replication_slots = 4");
    let host = Host::with_files();
    let database = cluster.database("replicated");
    database.sql("CREATE TABLE item AS SELECT 1 AS x");
    let name = database.name();
    let url = format!("postgres://{SUPERUSER}@127.0.0.1:{}/{name}", cluster.port());
    host.configure_url(Some(&url), "", "");
    host.back_up();
    cluster.psql(name, "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
    cluster.psql(name, "CREATE PUBLICATION feed FOR ALL TABLES");
    cluster.psql(
        name,
        "CREATE SUBSCRIPTION taker CONNECTION 'host=nowhere.invalid' \
                        PUBLICATION feed WITH (connect = false)",
    );
    let restore = ["restore", "latest", "--only", "databases", "--yes", "--no-safety"];

    let mut reader = Command::new(bin_dir().join("pg_recvlogical"))
        .args(["--no-loop", "--slot", "feed", "--start", "--file", "-"])
        .args(["--option", "proto_version=1", "--option", "publication_names=feed"])
        .args(["--dbname", &cluster.url(SUPERUSER, name)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while cluster.psql("postgres", "SELECT active FROM pg_replication_slots") != "t" {
        assert!(reader.try_wait().unwrap().is_none(), "pg_recvlogical ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ran = host.run(&restore).failed(1, "restore_failed");
    assert!(ran.stderr.contains("feed is being read"), "{ran:?}");
    reader.kill().unwrap();
    reader.wait().unwrap();
    while cluster.psql("postgres", "SELECT active FROM pg_replication_slots") != "f" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    let ran = host.run(&restore).ok();
    assert!(
        ran.stderr.contains("slot feed") && ran.stderr.contains("subscription taker"),
        "{ran:?}"
    );
    assert_eq!(cluster.psql(name, "SELECT count(*) FROM item"), "1");
}
