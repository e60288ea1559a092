//! Every shipped runbook on the sample stack, its runner killed and the run resumed: the stack is
//! what it is without the kill, each effect happened once, and nothing is left behind.
//!
//! All kill points take an hour, so a run of the tests takes some of each runbook's, others each
//! time. `BACKSTOP_TEST_KILLS=all` takes all, `=17` takes that one.

use super::bench::Bench;
use super::crash::attempt;
use super::disasters::write_rotation;
use crate::support::site::{KEPT_TREE, Site};
use backstop::runbook::{Ended, Outcome, StepState};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// How many kill points of a runbook a run of the tests takes.
const SOME: usize = 4;

/// A disaster and the way out of it.
struct Case {
    runbook: &'static str,
    /// What is given to the run.
    parameters: fn(&Site, &Value) -> Vec<String>,
    /// The disaster.
    strike: fn(&Site),
}

/// What one run left: the outcome, the steps, the state, and how often each effect happened.
#[derive(Debug, PartialEq)]
struct Left {
    outcome: String,
    steps: Vec<(String, StepState)>,
    state: String,
    kept_databases: usize,
    kept_trees: usize,
    backups: usize,
}

impl Case {
    fn text(&self) -> String {
        fs::read_to_string(format!("runbooks/{}.yaml", self.runbook)).unwrap()
    }

    /// A place for one run, after the disaster.
    fn bench(&self, site: &Site, backup: &Value, name: &str) -> Bench {
        let dir = site.path().join(name);
        fs::create_dir(&dir).unwrap();
        let bench = Bench::at(&dir);
        fs::write(bench.config(), site.config_text(&bench.state_dir())).unwrap();
        fs::write(dir.join("runbook.yaml"), self.text()).unwrap();
        let parameters = (self.parameters)(site, backup);
        fs::write(dir.join("parameters"), parameters.join("\n")).unwrap();
        (self.strike)(site);
        bench
    }

    /// What the run left, which is cleared away.
    fn left(&self, site: &Site, bench: &Bench, what: &str) -> Left {
        let view = bench.view("latest");
        let outcome = fs::read_to_string(bench.dir.join("outcome")).unwrap();
        let left = site.left_over(&view.id);
        assert_eq!(left, Vec::<String>::new(), "{} killed at {what}: {view:?}", self.runbook);
        site.assert_sound(what);
        let count = |sql: &str| site.sql(sql).parse::<usize>().unwrap();
        let listed = site.ran(&["list", "--json"]).ok().json();
        let ours = |backup: &&Value| {
            let label = backup["labels"]["runbook"].as_str().unwrap_or_default();
            label.starts_with(&view.id)
        };
        let left = Left {
            outcome,
            steps: view.steps.iter().map(|step| (step.id.clone(), step.state)).collect(),
            state: site.state(),
            kept_databases: count("SELECT count(*) FROM pg_database WHERE datname ~ '_before_'"),
            kept_trees: kept_trees(site),
            backups: listed.as_array().unwrap().iter().filter(ours).count(),
        };
        site.purge(&bench.dir);
        left
    }

    fn kill(&self) {
        let Some((site, backup)) = Site::with_backup() else { return };
        let reference = self.bench(&site, &backup, "reference");
        assert!(attempt(&reference, None, 0));
        let trace = fs::read_to_string(reference.dir.join("points")).unwrap();
        let points: Vec<&str> = trace.lines().collect();
        let expected = self.left(&site, &reference, "nothing");
        let good = format!("{:?}", Outcome::Ended(Ended::Succeeded));
        assert_eq!(expected.outcome, good, "{expected:?}");

        let chosen = chosen(points.len());
        for place in &chosen {
            let point = format!("{} ({})", points[*place], place + 1);
            let bench = self.bench(&site, &backup, &format!("kill-{place}"));
            assert!(!attempt(&bench, Some(place + 1), 20), "{point}");
            lose_catalog(&bench.state_dir(), *place);
            assert!(attempt(&bench, None, 0), "{point}");
            assert_eq!(self.left(&site, &bench, &point), expected, "killed at {point}");
        }
        println!("{}: {} of {} kill points", self.runbook, chosen.len(), points.len());
    }
}

fn kept_trees(site: &Site) -> usize {
    let beside = site.stack.uploads().parent().unwrap().to_owned();
    let names = fs::read_dir(beside).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(KEPT_TREE)).count()
}

/// The places of the points at which the runner is killed this time.
fn chosen(count: usize) -> Vec<usize> {
    match std::env::var("BACKSTOP_TEST_KILLS").as_deref() {
        Ok("all") => (0..count).collect(),
        Ok(one) => vec![one.parse::<usize>().unwrap() - 1],
        Err(_) => {
            let stride = count.div_ceil(SOME);
            let first = std::process::id() as usize % stride;
            (first..count).step_by(stride).collect()
        }
    }
}

/// A crash may take the catalog along: the run goes on from its journal.
fn lose_catalog(state: &Path, place: usize) {
    if place.is_multiple_of(3) {
        for name in ["catalog.duckdb", "catalog.duckdb.wal"] {
            let _ = fs::remove_file(state.join(name));
        }
    }
}

fn of_backup(_: &Site, backup: &Value) -> Vec<String> {
    vec![format!("backup={}", backup["id"].as_str().unwrap())]
}

#[test]
fn database_corruption() {
    Case {
        runbook: "database-corruption",
        parameters: of_backup,
        strike: |site| drop(site.sql("DELETE FROM uploads WHERE id % 2 = 0")),
    }
    .kill();
}

#[test]
fn file_system_corruption() {
    Case {
        runbook: "file-system-corruption",
        parameters: of_backup,
        strike: |site| {
            for entry in fs::read_dir(site.stack.uploads()).unwrap() {
                fs::write(entry.unwrap().path(), "overwritten").unwrap();
            }
        },
    }
    .kill();
}

#[test]
fn partial_data_loss() {
    Case {
        runbook: "partial-data-loss",
        parameters: of_backup,
        strike: |site| {
            for name in site.sql("DELETE FROM uploads WHERE id < 4 RETURNING name").lines() {
                fs::remove_file(site.stack.uploads().join(name)).unwrap();
            }
        },
    }
    .kill();
}

#[test]
fn configuration_corruption() {
    Case {
        runbook: "configuration-corruption",
        parameters: of_backup,
        strike: |site| {
            fs::write(site.project_dir().join("docker-compose.yml"), "services: {}\n").unwrap();
            fs::remove_file(site.project_dir().join(".env")).unwrap();
        },
    }
    .kill();
}

#[test]
fn complete_system_failure() {
    Case {
        runbook: "complete-system-failure",
        parameters: of_backup,
        strike: |site| {
            site.stack.remove();
            fs::remove_dir_all(site.project_dir()).unwrap();
        },
    }
    .kill();
}

#[test]
fn security_breach() {
    Case {
        runbook: "security-breach",
        parameters: |site, backup| {
            let mut parameters = write_rotation(site);
            parameters.extend(of_backup(site, backup));
            let since = backup["finished_at"].as_str().unwrap();
            parameters.push(format!("compromised_since={since}"));
            parameters
        },
        strike: |site| {
            site.sql("INSERT INTO uploads (name, size, sha256) VALUES ('backdoor', 1, 'x')");
            fs::write(site.stack.uploads().join("backdoor.php"), "<?php").unwrap();
        },
    }
    .kill();
}
