//! Several databases in one backup, and roles that a user may not read.

use super::*;
use crate::support::cluster::{Cluster, PASSWORD, SUPERUSER, USER, encode};
use crate::support::image::{TestContainer, docker_answers};

fn url(cluster: &Cluster, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{}", cluster.port(), encode(database))
}

fn entry(name: &str, url: &str) -> String {
    format!(
        "[[databases]]\nname = \"{name}\"\nurl = \"{url}\"\npassword_env = \"SHOP_DB_PASSWORD\"\n"
    )
}

#[test]
fn databases_of_two_servers_share_one_fence() {
    if !docker_answers() {
        return;
    }
    let (one, other) = (Cluster::start(), Cluster::start());
    let (first, second, third) = (one.database("a"), one.database("b"), other.database("c"));
    for database in [&first, &second, &third] {
        database.sql("CREATE TABLE item (id int); INSERT INTO item VALUES (1), (2)");
    }
    let writer = TestContainer::run(&[], &["/busy", "graceful"]);
    let entries = [
        entry("first", &url(&one, SUPERUSER, first.name())),
        entry("second", &url(&one, SUPERUSER, second.name())),
        entry("third", &url(&other, SUPERUSER, third.name())),
    ];
    let held_by = format!("[[containers]]\nselect = \"name={}\"\n", writer.name);
    let site = Site::new(PASSWORD, &[entries.concat(), held_by].concat());
    let record = site.json(&["backup"]);
    let consistency = &record["consistency"];
    assert_eq!(level(&record), "fenced", "{consistency}");
    assert_eq!(held(&record), [writer.name.as_str()]);
    let fences = consistency["databases"].as_array().unwrap();
    assert_eq!(fences.len(), 3);
    let manifest = site.manifest(&record);
    let globals: Vec<&Value> = manifest["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|component| component["type"] == "globals")
        .collect();
    assert_eq!(globals.len(), 2, "one script a server: {globals:?}");
    assert_eq!(globals[0]["databases"], serde_json::json!(["first", "second"]));
    assert_eq!(globals[1]["databases"], serde_json::json!(["third"]));

    for database in [&first, &second, &third] {
        database.sql("DELETE FROM item");
    }
    site.json(&["restore", "latest", "--yes", "--no-safety"]);
    for database in [&first, &second, &third] {
        assert_eq!(database.sql("SELECT count(*) FROM item"), "2");
    }
    assert_eq!(writer.state(), "running");
}

#[test]
fn one_database_under_two_names_is_refused() {
    let cluster = Cluster::shared();
    let database = cluster.database("twin");
    let by_ip = url(cluster, SUPERUSER, database.name());
    let by_name = by_ip
        .replace("127.0.0.1", "localhost")
        .replace(&format!("{SUPERUSER}@"), &format!("{USER}@"));
    let site = Site::new(PASSWORD, &[entry("shop", &by_ip), entry("again", &by_name)].concat());
    let ran = site.run(&["backup"]).failed(2, "config_invalid");
    assert!(ran.stderr.contains("again") && ran.stderr.contains("shop"), "{ran:?}");
    site.run(&["backup", "--only", "again"]).ok();
}

#[test]
fn roles_that_a_user_may_not_read_are_a_warning_and_no_shortfall() {
    let cluster = Cluster::shared();
    let database = cluster.database("roles");
    database.sql("CREATE TABLE item (id int)");
    let site = Site::new(PASSWORD, &entry("shop", &url(cluster, USER, database.name())));
    let record = site.json(&["backup"]);
    let warnings = record["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["code"], "permission_denied");
    assert_eq!(site.manifest(&record)["warnings"], record["warnings"]);
}
