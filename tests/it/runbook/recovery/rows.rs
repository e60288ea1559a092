//! Rows that come back, and their way back, in the tables that people have.

use super::{CONTENT, Place};
use backstop::runbook::Ended;

#[test]
fn without_tables_all_that_have_a_key_are_looked_through() {
    let place = Place::new();
    place.sql("CREATE TABLE loose (x int); INSERT INTO loose VALUES (1)");
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    let whole = place.sql(CONTENT);
    // Its items are gone with it, and come back after it.
    place.sql(
        "DELETE FROM item WHERE customer = 4; DELETE FROM customer WHERE id = 4; DELETE FROM loose",
    );
    let steps = "- {id: data, action: database.restore, with: {database: shop, backup: latest}}\n\
         - {id: some, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}', tables: [customer], where: id = 5}}\n\
         - {id: all, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}'}}\n\
         - {id: gone, action: database.drop_scratch, with: {restore: '{{ steps.data.restore }}'}}\n";
    let found = place.ends(steps, Ended::Succeeded);
    assert_eq!((&found["some"]["rows"], &found["all"]["rows"]), (&0.into(), &11.into()));
    assert_eq!(
        found["all"]["summary"],
        "1 of public.customer, 10 of public.item; \
         cannot bring back: public.loose (no primary key)"
    );
    assert_eq!(place.sql(CONTENT), whole);
    assert_eq!(place.sql("SELECT count(*) FROM loose"), "0", "its rows cannot be told apart");
}

/// Builds the database beside the live one and brings all lost rows back.
const ALL_BACK: &str = "\
- {id: data, action: database.restore, with: {database: shop, backup: latest}}
- {id: all, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}'}}
";
const BAD: &str =
    "- {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}\n";

#[test]
fn taking_rows_away_leaves_those_that_newer_rows_refer_to() {
    let place = Place::new();
    place.sql(
        "CREATE TABLE parent (id int PRIMARY KEY, up int REFERENCES parent ON DELETE CASCADE); \
         CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE); \
         INSERT INTO parent VALUES (1, NULL), (2, 1), (3, NULL), (4, 3), (5, NULL); \
         INSERT INTO child VALUES (30, 3), (50, 5)",
    );
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    place.sql("DELETE FROM parent");
    assert_eq!(place.sql("SELECT count(*) FROM child"), "0");
    // The new row needs 2, which needs 1; a changed one needs 5.
    let newer = "- {id: newer, action: sql.run, with: {database: shop, sql: 'INSERT INTO child VALUES (99, 2); UPDATE child SET id = 51 WHERE id = 50'}}\n";
    place.ends(&format!("{ALL_BACK}{newer}{BAD}"), Ended::Failed);
    let ids = |table: &str| {
        place.sql(&format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM {table}"))
    };
    assert_eq!(ids("parent"), "1,2,5");
    assert_eq!(ids("child"), "51,99");
}

#[test]
fn rows_of_tables_that_inherit_come_back_once() {
    let place = Place::new();
    place.sql(
        "CREATE TABLE base (id int PRIMARY KEY, name text); \
         CREATE TABLE derived (PRIMARY KEY (id)) INHERITS (base); \
         CREATE TABLE split (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE low PARTITION OF split FOR VALUES FROM (0) TO (10); \
         INSERT INTO base VALUES (1, 'a'), (2, 'b'); INSERT INTO derived VALUES (3, 'c'); \
         INSERT INTO split VALUES (1), (2)",
    );
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    let all = "SELECT string_agg(tableoid::regclass || ':' || id, ',' ORDER BY id) FROM base";
    let whole = place.sql(all);
    place.sql("DELETE FROM base WHERE id > 1; DELETE FROM split WHERE id = 2");
    let left = place.sql(all);
    place.ends(&format!("{ALL_BACK}{BAD}"), Ended::Failed);
    assert_eq!((place.sql(all), place.sql("SELECT count(*) FROM split")), (left, "1".into()));
    let found = place.ends(ALL_BACK, Ended::Succeeded);
    assert_eq!(found["all"]["summary"], "1 of public.base, 1 of public.derived, 1 of public.split");
    assert_eq!(place.sql(all), whole);
}

#[test]
fn rows_with_a_deferrable_key_come_back() {
    let place = Place::new();
    place.sql(
        "CREATE TABLE late (id int, part text, \
           PRIMARY KEY (id, part) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO late VALUES (1, 'a'), (2, 'b')",
    );
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    place.sql("DELETE FROM late WHERE id = 2");
    let found = place.ends(ALL_BACK, Ended::Succeeded);
    assert_eq!(found["all"]["summary"], "1 of public.late");
    assert_eq!(place.sql("SELECT count(*) FROM late"), "2");
}

#[test]
fn sequences_go_on_after_the_rows_that_came_back() {
    let place = Place::new();
    place.sql(
        "CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text); \
         CREATE TABLE counted (id serial PRIMARY KEY, name text); \
         INSERT INTO numbered (name) SELECT 'n' || i FROM generate_series(1, 5) i; \
         INSERT INTO counted (name) SELECT 'n' || i FROM generate_series(1, 5) i",
    );
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    place.sql(
        "TRUNCATE numbered RESTART IDENTITY; DELETE FROM counted WHERE id = 2; \
         SELECT setval('counted_id_seq', 100)",
    );
    place.ends(ALL_BACK, Ended::Succeeded);
    place.sql(
        "INSERT INTO numbered (name) VALUES ('new'); INSERT INTO counted (name) VALUES ('new')",
    );
    assert_eq!(place.sql("SELECT max(id) FROM numbered"), "6");
    assert_eq!(place.sql("SELECT max(id) FROM counted"), "101", "it never goes back");
}

#[test]
fn tables_whose_rows_cannot_come_back_are_named() {
    let place = Place::new();
    place.sql(
        "CREATE TABLE dropped (id int PRIMARY KEY); CREATE TABLE loose (x int); \
         CREATE TABLE same (x int); INSERT INTO loose VALUES (1); INSERT INTO same VALUES (1)",
    );
    place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
    place.sql("DROP TABLE dropped; DELETE FROM loose; DELETE FROM item WHERE id = 7");
    let shown = "- {id: shown, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}', dry_run: true}}\n";
    let (data, all) = ALL_BACK.split_once('\n').unwrap();
    let found = place.ends(&format!("{data}\n{shown}{all}"), Ended::Succeeded);
    let cannot = "public.dropped (dropped), public.loose (no primary key)";
    for step in ["shown", "all"] {
        assert_eq!(
            found[step]["summary"],
            format!("1 of public.item; cannot bring back: {cannot}")
        );
        assert_eq!(
            found[step]["unsaved"],
            serde_json::json!(cannot.split(", ").collect::<Vec<_>>())
        );
    }
}
