//! The actions that recover: backups, databases and files against a real server, and what
//! becomes of them when the runner is killed in the middle.

mod kills;
mod rows;

use super::bench::Bench;
use crate::support::cluster::{Cluster, SUPERUSER, TestDatabase};
use backstop::runbook::{Ended, Outcome, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A stack with a database and a file tree, and one backup of both.
struct Place {
    bench: Bench,
    database: TestDatabase<'static>,
}

impl Place {
    fn new() -> Self {
        let (bench, database) = (Bench::new(), Cluster::shared().database("recovery"));
        let url = Cluster::shared().url(SUPERUSER, database.name());
        let entry = format!("[[databases]]\nname = \"shop\"\nurl = {url:?}\n");
        let config = fs::read_to_string(bench.config()).unwrap() + &entry;
        fs::write(bench.config(), config).unwrap();
        let place = Self { bench, database };
        place.sql(
            "CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL); \
             CREATE TABLE item (id int PRIMARY KEY, customer int REFERENCES customer, name text, \
                                size int GENERATED ALWAYS AS (length(name)) STORED); \
             CREATE INDEX by_name ON item (name); \
             INSERT INTO customer SELECT i, 'c' || i FROM generate_series(1, 10) i; \
             INSERT INTO item (id, customer, name) \
             SELECT i, i % 10 + 1, E'a\\\\b\\t' || i FROM generate_series(1, 100) i",
        );
        fs::write(place.file("kept"), "as it was").unwrap();
        fs::create_dir(place.file("below")).unwrap();
        fs::write(place.file("below/lost"), "lost").unwrap();
        place
    }

    fn backed_up() -> Self {
        let place = Self::new();
        place.ends("- {id: backup, action: backup.create}\n", Ended::Succeeded);
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.dir.join("files").join(name)
    }

    fn sql(&self, sql: &str) -> String {
        Cluster::shared().psql(self.database.name(), sql)
    }

    /// Runs these steps to their end; the outputs of each.
    fn ends(&self, steps: &str, how: Ended) -> BTreeMap<String, Value> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let text = runbook(steps);
        let (run, outcome) = runtime
            .block_on(self.bench.start(&self.bench.engine(), &text))
            .unwrap_or_else(|e| panic!("{e} {}", e.to_json()));
        assert_eq!(outcome, Outcome::Ended(how), "{:#?}", self.bench.view(&run));
        self.outputs(&run)
    }

    fn outputs(&self, run: &str) -> BTreeMap<String, Value> {
        let run = Store::in_dir(&self.bench.state_dir()).find(run).unwrap();
        run.state.units.iter().map(|(name, unit)| (name.clone(), unit.outputs.clone())).collect()
    }

    /// Why the last run failed.
    fn fails(&self, steps: &str) -> String {
        self.ends(steps, Ended::Failed);
        let view = self.bench.view("latest");
        view.steps.iter().filter_map(|step| step.reason.clone()).collect::<Vec<_>>().join("\n")
    }

    /// The databases on the server whose names begin with that of this place's.
    fn databases(&self) -> Vec<String> {
        let own = self.database.name();
        let sql = format!(
            "SELECT datname FROM pg_database \
             WHERE datname = '{own}' OR starts_with(datname, '{own}_') ORDER BY 1"
        );
        let names = Cluster::shared().psql("postgres", &sql);
        names.lines().map(|name| name.replacen(own, "DB", 1)).collect()
    }

    /// What lies in the directory of the file tree and beside it, without keys.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.bench.dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with(".backstop-"))
            .map(|name| name.splitn(4, '-').take(2 + 1).collect::<Vec<_>>().join("-"))
            .map(|name| name.rsplit_once('-').map_or(name.clone(), |(kind, _)| kind.to_owned()))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let own = self.database.name().to_owned();
        let sql = format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{own}_')");
        for name in Cluster::shared().psql("postgres", &sql).lines() {
            Cluster::shared().psql("postgres", &format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
        }
    }
}

fn runbook(steps: &str) -> String {
    format!("name: bench\ntitle: Recovery\nsteps:\n{steps}")
}

const CONTENT: &str = "SELECT count(*), md5(string_agg(item::text, ',' ORDER BY id)) FROM item";

#[test]
fn a_backup_is_chosen_once_and_verified() {
    let place = Place::new();
    let backup = place
        .ends("- {id: b, action: backup.create, with: {labels: {why: test}}}\n", Ended::Succeeded);
    let (id, at) = (backup["b"]["id"].clone(), backup["b"]["data_as_of"].clone());
    let found = place.ends(
        "- {id: chosen, action: backup.select}\n\
         - {id: good, action: backup.verify, with: {backup: '{{ steps.chosen.id }}', level: deep}}\n\
         - {id: newer, action: backup.create, with: {only: [files]}}\n\
         - {id: labelled, action: backup.select, with: {labels: {why: test}}}\n\
         - {id: holding, action: backup.select, with: {components: [files]}}\n",
        Ended::Succeeded,
    );
    assert_eq!(found["chosen"]["id"], id);
    assert_eq!(found["labelled"]["id"], id);
    assert_eq!(found["holding"]["id"], found["newer"]["id"]);
    let components = found["chosen"]["components"].as_array().unwrap();
    assert!(components.contains(&"shop".into()) && components.contains(&"files".into()));
    assert_eq!(found["good"]["evidence"]["verified"], "deep");

    let before =
        |time: &Value| format!("- {{id: it, action: backup.select, with: {{before: {time}}}}}\n");
    assert!(place.fails(&before(&at)).contains("it holds what was there at"));
    let found = place.ends(&before(&found["newer"]["started_at"]), Ended::Succeeded);
    assert_eq!(found["it"]["id"], id);
    assert!(
        place
            .fails("- {id: it, action: backup.select, with: {components: [none]}}\n")
            .contains("does not hold none")
    );
}

#[test]
fn a_restored_database_is_verified_before_it_goes_live_and_can_go_back() {
    let place = Place::backed_up();
    let original = place.sql(CONTENT);
    place.sql("DELETE FROM item WHERE id > 50");
    fs::write(place.file("kept"), "changed").unwrap();
    fs::remove_file(place.file("below/lost")).unwrap();
    let changed = place.sql(CONTENT);
    let steps = "\
- {id: chosen, action: backup.select}
- {id: data, action: database.restore, with: {database: shop, backup: '{{ steps.chosen.id }}'}}
- {id: sound, action: database.verify, with: {restore: '{{ steps.data.restore }}', queries: ['SELECT count(*) = 100 FROM item']}}
- {id: files, action: files.restore, with: {files: files, backup: '{{ steps.chosen.id }}'}}
- {id: swap-files, action: files.swap, with: {restore: '{{ steps.files.restore }}'}}
- {id: swap-data, action: database.swap, with: {restore: '{{ steps.data.restore }}'}}
";
    let bad = "- {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}\n";
    place.ends(&format!("{steps}{bad}"), Ended::Failed);
    assert_eq!(place.sql(CONTENT), changed, "the rollback turned it back");
    assert_eq!(fs::read_to_string(place.file("kept")).unwrap(), "changed");
    // What was live for a moment may hold what was written then: it is kept.
    assert_eq!((place.databases().len(), place.beside().len()), (2, 1));

    let found = place.ends(steps, Ended::Succeeded);
    assert_eq!(place.sql(CONTENT), original);
    assert_eq!(fs::read_to_string(place.file("below/lost")).unwrap(), "lost");
    assert_eq!((&found["sound"]["tables"], &found["sound"]["rows"]), (&2.into(), &110.into()));
    let verified = &found["sound"]["evidence"]["verified"];
    assert!(verified["schema"]["objects"].as_u64().unwrap() > 3, "{verified}");
    assert!(verified["amcheck"]["indexes"].as_u64().unwrap() > 3, "{verified}");
    assert_eq!(place.databases().len(), 3, "the replaced one is kept");
    assert!(found["swap-data"]["kept"].as_str().unwrap().contains("_before_"));
}

/// Another number of rows of a table in the only backup, as if it had been counted so.
fn count_otherwise(place: &Place, rows: u32) {
    let backups = place.bench.dir.join("repository/backups");
    let backup = fs::read_dir(backups).unwrap().next().unwrap().unwrap().path();
    let file = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let parts = manifest["components"].as_array_mut().unwrap();
    let database = parts.iter_mut().find(|part| part["type"] == "database").unwrap();
    let mut tables = database["tables"].as_array_mut().unwrap().iter_mut();
    let item = tables.find(|table| table["table"] == "public.item").unwrap();
    assert_eq!((&item["rows"], &item["exact"]), (&100.into(), &true.into()));
    item["rows"] = rows.into();
    fs::write(&file, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    crate::support::host::sign(&backup);
}

#[test]
fn what_a_runbook_does_not_verify_is_compared_all_the_same_before_it_goes_live() {
    let place = Place::backed_up();
    place.sql("DELETE FROM item WHERE id > 50");
    let changed = place.sql(CONTENT);
    let steps = "\
- {id: data, action: database.restore, with: {database: shop, backup: latest}}
- {id: swap, action: database.swap, with: {restore: '{{ steps.data.restore }}'}}
";
    count_otherwise(&place, 101);
    let said = place.fails(steps);
    assert!(said.contains("public.item has 100 rows instead of 101"), "{said}");
    assert_eq!(place.sql(CONTENT), changed);
    assert_eq!(place.databases(), ["DB"], "what was built is gone");
    let run = place.bench.view("latest");
    let states: Vec<_> = run.steps.iter().map(|step| step.state.as_str()).collect();
    assert_eq!(states, ["FAILED", "PENDING"]);
}

#[test]
fn what_is_not_as_it_was_backed_up_is_found() {
    let place = Place::backed_up();
    let begin = "\
- {id: data, action: database.restore, with: {database: shop, backup: latest}}
- {id: harm, action: sql.run, with: {database: shop, dbname: '{{ steps.data.scratch }}', sql: 'HARM'}}
- {id: sound, action: database.verify, with: {restore: '{{ steps.data.restore }}', MORE}, on_failure: rollback}
";
    for (harm, more, says) in [
        (
            "DELETE FROM item WHERE id = 7",
            "schema: false",
            "public.item has 99 rows instead of 100",
        ),
        ("DROP INDEX by_name", "amcheck: false", "it lacks INDEX public by_name"),
        ("CREATE VIEW extra AS SELECT 1 AS x", "amcheck: false", "VIEW public extra"),
        ("SELECT 1", "queries: [\"SELECT count(*) = 1 FROM item\"]", "its first value is f"),
    ] {
        let said = place.fails(&begin.replace("HARM", harm).replace("MORE", more));
        assert!(said.contains(says), "{said}");
        assert_eq!(place.databases(), ["DB"], "the rollback dropped what was built");
    }
}

#[test]
fn lost_rows_come_back_beside_newer_ones_and_can_be_taken_away() {
    let place = Place::backed_up();
    place.sql("DELETE FROM item WHERE id <= 20; DELETE FROM customer WHERE id = 2 AND NOT EXISTS (SELECT FROM item WHERE customer = 2); UPDATE item SET name = 'newer' WHERE id = 30; INSERT INTO item (id, customer, name) VALUES (500, 1, 'new')");
    let before = place.sql(CONTENT);
    let steps = "\
- {id: data, action: database.restore, with: {database: shop, backup: latest}}
- {id: shown, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}', dry_run: true, tables: [{table: customer}, {table: item, where: 'id > 5'}]}}
- {id: copied, action: database.copy_rows, with: {database: shop, restore: '{{ steps.data.restore }}', tables: [{table: customer}, {table: public.item, where: 'id > 5', key: [id]}]}}
";
    let bad = "- {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}\n";
    place.ends(&format!("{steps}{bad}"), Ended::Failed);
    assert_eq!(place.sql(CONTENT), before, "the rollback took them away");
    let drop = "- {id: drop, action: database.drop_scratch, with: {restore: '{{ steps.data.restore }}'}}\n";
    let found = place.ends(&format!("{steps}{drop}"), Ended::Succeeded);
    assert_eq!(found["shown"]["summary"], "15 of public.item");
    assert_eq!(found["copied"]["rows"], 15);
    assert_eq!(found["shown"]["tables"][1]["shown"].as_array().unwrap().len(), 15);
    assert_eq!(place.sql("SELECT count(*) FROM item WHERE id BETWEEN 6 AND 20"), "15");
    assert_eq!(place.sql("SELECT count(*) FROM item WHERE id <= 5"), "0");
    assert_eq!(place.sql("SELECT name FROM item WHERE id = 30"), "newer");
    assert_eq!(place.sql("SELECT name = E'a\\\\b\\t7' FROM item WHERE id = 7"), "t");
    assert_eq!(place.databases(), ["DB"]);
    let record = fs::read_to_string(found["copied"]["record"].as_str().unwrap()).unwrap();
    assert_eq!(record.lines().count(), 15);
}

#[test]
fn evidence_is_kept_with_its_hashes() {
    let place = Place::backed_up();
    fs::write(place.file("evil.php"), "evil").unwrap();
    let dump = place.bench.dir.join("evidence/shop.dump");
    let own = place.database.name();
    let session = Cluster::shared();
    let url = session.url(SUPERUSER, own);
    let mut idle = std::process::Command::new(crate::support::cluster::bin_dir().join("psql"))
        .args(["--no-psqlrc", "--dbname", &url, "--command", "SELECT pg_sleep(1000)"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let seen = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{own}' AND query LIKE '%pg_sleep(1000)%' AND pid <> pg_backend_pid()"
    );
    while session.psql("postgres", &seen) != "1" {
        std::thread::sleep(Duration::from_millis(50));
    }
    let found = place.ends(
        &format!(
            "- {{id: end, action: database.end_sessions, with: {{database: shop}}}}\n\
             - {{id: dump, action: database.dump, with: {{database: shop, to: {}}}}}\n\
             - {{id: away, action: files.quarantine, with: {{files: files, paths: [evil.php]}}}}\n\
             - {{id: new, action: database.create, with: {{database: shop, dbname: {own}_new}}}}\n\
             - {{id: fill, action: sql.run, with: {{database: shop, dbname: {own}_new, sql: 'CREATE TABLE t AS SELECT 1 AS x'}}}}\n",
            dump.display()
        ),
        Ended::Succeeded,
    );
    assert!(!idle.wait().unwrap().success(), "its session was ended");
    assert!(found["end"]["ended"].as_u64().unwrap() >= 1);
    let hash = backstop::repository::hash_file(&Default::default(), &dump).unwrap();
    assert_eq!(
        (found["dump"]["bytes"].clone(), found["dump"]["sha256"].clone()),
        (hash.0.into(), hash.1.into())
    );
    assert!(!place.file("evil.php").exists());
    let quarantine = PathBuf::from(found["away"]["place"].as_str().unwrap());
    assert_eq!(fs::read_to_string(quarantine.join("files/evil.php")).unwrap(), "evil");
    assert_eq!(place.databases(), ["DB", "DB_new"]);

    let again = format!(
        "- {{id: dump, action: database.dump, with: {{database: shop, to: {}}}}}\n",
        dump.display()
    );
    assert!(place.fails(&again).contains("there is something of this name"));
    for refused in [
        format!(
            "- {{id: it, action: database.create, with: {{database: shop, dbname: {own}_new}}}}\n"
        ),
        format!(
            "- {{id: it, action: database.drop_scratch, with: {{database: shop, dbname: {own}}}}}\n"
        ),
        "- {id: it, action: database.drop_scratch, with: {database: shop, dbname: postgres}}\n"
            .into(),
    ] {
        place.ends(&refused, Ended::Failed);
        assert_eq!(place.databases(), ["DB", "DB_new"]);
    }
    let drop = format!(
        "- {{id: it, action: database.drop_scratch, with: {{database: shop, dbname: {own}_new}}}}\n"
    );
    place.ends(&drop, Ended::Succeeded);
    assert_eq!(place.databases(), ["DB"]);
}

#[test]
fn lost_files_come_back_beside_newer_ones_and_can_be_taken_away() {
    let place = Place::backed_up();
    fs::remove_dir_all(place.file("below")).unwrap();
    fs::write(place.file("kept"), "newer").unwrap();
    let steps = "\
- {id: built, action: files.restore, with: {files: files, backup: latest}}
- {id: shown, action: files.copy_missing, with: {files: files, restore: '{{ steps.built.restore }}', dry_run: true}}
- {id: back, action: files.copy_missing, with: {files: files, restore: '{{ steps.built.restore }}'}}
";
    let bad = "- {id: bad, action: shell, idempotent: true, with: {script: exit 1}, on_failure: rollback}\n";
    place.ends(&format!("{steps}{bad}"), Ended::Failed);
    assert!(!place.file("below").exists(), "the rollback took it away");
    let drop = "- {id: drop, action: database.drop_scratch, with: {restore: '{{ steps.built.restore }}'}}\n";
    let found = place.ends(&format!("{steps}{drop}"), Ended::Succeeded);
    assert_eq!(found["shown"]["shown"], serde_json::json!(["below/lost"]));
    assert_eq!(found["back"]["summary"], "1 file, 4 B");
    assert_eq!(fs::read_to_string(place.file("below/lost")).unwrap(), "lost");
    assert_eq!(fs::read_to_string(place.file("kept")).unwrap(), "newer");
    assert_eq!(place.beside(), Vec::<String>::new());
}
