//! Thinning out the repository, through the program.

mod kill;
mod list;

use crate::support::host::{Host, Ran, sign};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

/// A full backup.
fn full(host: &Host) -> Value {
    host.json(&["backup", "--kind", "full", "--reason", "scheduled"])
}

/// Makes backups older by so many days, as if they had been taken then.
fn age(host: &Host, backups: &[(&Value, i64)]) {
    for (record, days) in backups {
        let dir = host.backup_dir(record);
        let file = dir.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let at: jiff::Timestamp = manifest["started_at"].as_str().unwrap().parse().unwrap();
        let then = at.checked_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        manifest["started_at"] = then.to_string().into();
        fs::write(&file, serde_json::to_vec(&manifest).unwrap()).unwrap();
        sign(&dir);
    }
    forget_catalog(host);
}

/// The next command builds the catalog from the repository and the journal.
fn forget_catalog(host: &Host) {
    fs::remove_file(host.state().join("catalog.duckdb")).unwrap();
}

/// What `prune` says: whether each backup stays, and why.
fn verdicts(printed: &Value) -> BTreeMap<String, (bool, String)> {
    let verdict = |one: &Value| {
        let reasons: Vec<&str> =
            one["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
        (id(one).to_owned(), (one["keep"].as_bool().unwrap(), reasons.join("; ")))
    };
    printed.as_array().unwrap().iter().map(verdict).collect()
}

#[test]
fn prune_explains_every_backup_and_deletes_what_no_rule_keeps() {
    let host = Host::with_files();
    let first = full(&host);
    let incremental = host.back_up();
    let damaged = full(&host);
    let dated = full(&host);
    let newest = full(&host);
    age(&host, &[(&first, 10), (&incremental, 9), (&damaged, 0), (&dated, 3)]);
    fs::write(host.backup_dir(&damaged).join("files/uploads.tar.zst"), "junk").unwrap();
    host.run(&["verify", id(&damaged)]).ended(6);
    host.run(&["keep", id(&incremental), "--reason", "before the audit"]).ok();

    // Without rules nothing goes.
    let none = verdicts(&host.json(&["prune", "--yes"]));
    assert!(none.values().all(|(keep, why)| *keep && why == "the config has no [retention]"));
    assert!(host.run(&["prune", "--yes"]).ok().stdout.contains("has no [retention]"));

    host.configure("[retention]\nkeep_daily = 1\n");
    let printed = host.json(&["prune", "--dry-run"]);
    let listed = host.json(&["list"]);
    assert_eq!(printed.as_array().unwrap().len(), listed.as_array().unwrap().len());
    let said = verdicts(&printed);
    let of = |record: &Value| said[id(record)].clone();
    let today = |record: &Value| {
        let at: jiff::Timestamp = record["started_at"].as_str().unwrap().parse().unwrap();
        format!("daily {}", at.to_zoned(jiff::tz::TimeZone::system()).date())
    };
    assert_eq!(of(&newest), (true, format!("newest good; {}", today(&newest))));
    let own = format!("{} of the damaged", today(&damaged));
    assert_eq!(of(&damaged), (true, own), "a series of its own");
    assert_eq!(of(&dated), (false, "no rule keeps it".into()));
    assert_eq!(of(&incremental), (true, "kept by hand: before the audit".into()));
    let needed = format!("needed by {}", incremental["name"].as_str().unwrap());
    assert_eq!(of(&first), (true, needed));
    assert_eq!(host.backups_and_incoming(), (5, 0), "a dry run deletes nothing");

    // Nobody is there to answer.
    host.run(&["prune"]).failed(2, "confirmation_required");
    assert_eq!(host.backups_and_incoming(), (5, 0));

    let done = verdicts(&host.json(&["prune", "--yes"]));
    assert_eq!(done, said);
    assert!(!host.backup_dir(&dated).exists());
    assert_eq!(host.backups_and_incoming(), (4, 0));
    let to = host.path().join("to");
    host.run(&["restore", id(&incremental), "--to", to.to_str().unwrap()]).ok();
    let again = host.run(&["prune", "--yes"]).ok();
    assert!(again.stdout.contains("Nothing goes; 4 backups stay."), "{again:?}");
    let events = host.json(&["sql", "SELECT backup FROM events WHERE event = 'backup_deleted'"]);
    assert_eq!(events[0]["backup"], dated["id"]);
}

#[test]
fn what_is_not_there_any_more_is_no_good_backup_to_keep() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("all of it is gone", |dir| {
            fs::remove_dir_all(dir).unwrap();
            fs::create_dir(dir).unwrap();
        }),
        ("its archive is cut off", |dir| {
            fs::write(dir.join("files/uploads.tar.zst"), "cut off").unwrap();
        }),
        ("its manifest is another one", |dir| {
            let manifest = dir.join("manifest.json");
            let text = fs::read_to_string(&manifest).unwrap();
            fs::write(&manifest, text.replace("\"stack\": \"shop\"", "\"stack\": \"shot\""))
                .unwrap();
        }),
    ];
    for (what, harm) in harms {
        let host = Host::with_files();
        host.configure("[retention]\nkeep_last = 1\n");
        let (oldest, older, newest) = (full(&host), full(&host), full(&host));
        harm(&host.backup_dir(&newest));
        let said = verdicts(&host.json(&["prune", "--dry-run"]));
        assert!(said[id(&older)].1.starts_with("newest good"), "{what}: {said:?}");
        let ran = host.run(&["prune", "--yes", "--json"]).ok();
        assert!(ran.stderr.contains("backup_damaged"), "{what}: {ran:?}");
        let done = verdicts(&ran.json());
        let stay = [&oldest, &older, &newest].map(|record| done[id(record)].0);
        assert_eq!(stay, [false, true, true], "{what}: {done:?}");
        let last = host.json(&["show", id(&newest)])["last_verification"].clone();
        assert_eq!(last["ok"], false, "{what}: {last}");
        let next = host.back_up();
        assert_eq!(next["parent"], older["id"], "{what}: {next}");
    }
}

#[test]
fn what_a_backup_that_cannot_be_read_may_need_is_not_deleted() {
    let host = Host::with_files();
    host.configure("[retention]\nkeep_last = 1\n");
    let first = full(&host);
    let incremental = host.back_up();
    let newest = full(&host);
    let manifest = host.backup_dir(&incremental).join("manifest.json");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, "{").unwrap();
    // As long as the catalog knows what it needs, that is all that stays.
    let goes = |host: &Host| {
        let said = verdicts(&host.json(&["prune", "--dry-run"]));
        [&first, &incremental, &newest].map(|one| said.get(id(one)).map(|(keep, _)| !keep))
    };
    assert_eq!(goes(&host), [Some(true), Some(true), Some(false)]);
    forget_catalog(&host);
    assert_eq!(goes(&host), [Some(false), None, Some(false)]);
    let said = verdicts(&host.json(&["prune", "--yes"]));
    assert!(said[id(&first)].1.contains("cannot be read and may need it"), "{said:?}");
    host.run(&["delete", id(&first), "--yes"]).failed(1, "backup_needed");

    // One that can be read and is not what was written says nothing of what it needs either.
    let (text, needed) = (String::from_utf8(whole.clone()).unwrap(), id(&first));
    let last = needed.chars().last().unwrap();
    let other = format!("{}{}", &needed[..31], if last == '0' { '1' } else { '0' });
    assert!(text.contains(needed));
    fs::write(&manifest, text.replace(needed, &other)).unwrap();
    forget_catalog(&host);
    assert_eq!(goes(&host), [Some(false), None, Some(false)]);
    let listed = host.run(&["list"]).ok();
    assert!(listed.stderr.contains("does not fit SHA256SUMS"), "{listed:?}");

    // With its manifest it is as good as it was.
    fs::write(&manifest, whole).unwrap();
    let to = host.path().join("restored");
    host.run(&["restore", id(&incremental), "--to", to.to_str().unwrap()]).ok();
    assert_eq!(goes(&host), [Some(true), Some(true), Some(false)]);
}

#[test]
fn old_failures_are_forgotten_for_good() {
    let host = Host::with_files();
    host.back_up();
    let live = host.live();
    fs::rename(&live, host.path().join("away")).unwrap();
    for _ in 0..12 {
        host.run(&["backup"]).ended(1);
    }
    let journal = host.state().join("events.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let year = &text.split("\"started_at\":\"").nth(1).unwrap()[..4];
    fs::write(&journal, text.replace(&format!("\"started_at\":\"{year}"), "\"started_at\":\"2020"))
        .unwrap();
    forget_catalog(&host);
    host.configure("[retention]\nkeep_last = 1\n");
    let said = verdicts(&host.json(&["prune", "--yes"]));
    let gone: Vec<_> = said.values().filter(|(keep, _)| !keep).collect();
    assert_eq!(gone.len(), 2, "{said:?}");
    assert!(gone.iter().all(|(_, why)| why == "failed more than 30 days ago"));
    for _ in 0..2 {
        assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 11);
        forget_catalog(&host);
    }
}

#[test]
fn a_kept_backup_is_known_to_every_host_and_not_deleted() {
    let host = Host::with_files();
    let (wanted, _other) = (full(&host), full(&host));
    let kept = host.json(&["keep", id(&wanted), "--reason", "before the audit"]);
    assert_eq!(kept["pin"]["reason"], "before the audit");
    host.run(&["verify", "--all"]).ok();

    let shown = |host: &Host| {
        let list = host.run(&["list"]).ok().stdout;
        let show = host.run(&["show", id(&wanted)]).ok().stdout;
        assert!(list.contains(", kept") && show.contains("before the audit"), "{list}{show}");
        assert_eq!(host.json(&["show", id(&wanted)])["pin"], kept["pin"]);
    };
    shown(&host);
    forget_catalog(&host);
    shown(&host);
    // Another host has a state of its own.
    fs::rename(host.state(), host.path().join("state-of-the-other")).unwrap();
    shown(&host);
    let asked = "SELECT kept FROM backups ORDER BY sequence";
    assert_eq!(host.json(&["sql", asked])[0]["kept"], true);

    let refused = host.run(&["delete", id(&wanted), "--yes"]).failed(1, "backup_kept");
    assert!(refused.stderr.contains("before the audit"), "{refused:?}");
    let loose = host.json(&["unkeep", id(&wanted)]);
    assert!(loose["pin"].is_null());
    assert!(host.run(&["unkeep", id(&wanted)]).ok().stdout.contains("was not kept"));
    host.run(&["keep", id(&wanted)]).ok();
    host.run(&["delete", id(&wanted), "--yes", "--force"]).ok();
    assert_eq!(fs::read_dir(host.repository().join("pins")).unwrap().count(), 0);
    host.run(&["keep", id(&wanted)]).failed(5, "backup_not_found");
}

#[test]
fn auto_prunes_after_a_backup_and_its_failure_is_a_warning() {
    let host = Host::with_files();
    let first = full(&host);
    host.configure("[retention]\nauto = true\nkeep_last = 2\n");
    for _ in 0..2 {
        full(&host);
    }
    assert!(!host.backup_dir(&first).exists());
    assert_eq!(host.backups_and_incoming(), (2, 0));

    // What a later version wrote may need any of these.
    let later = host.repository().join("backups/backup_full_of_a_later_version");
    let newest = host.json(&["show"]);
    fs::create_dir(&later).unwrap();
    let manifest = fs::read_to_string(host.backup_dir(&newest).join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["format"] = 99.into();
    fs::write(later.join("manifest.json"), manifest.to_string()).unwrap();
    sign(&later);
    let ran: Ran = host.run(&["backup", "--kind", "full"]).ok();
    assert!(ran.stderr.contains("the backup is good, but"), "{ran:?}");
    assert_eq!(host.backups_and_incoming(), (4, 0));
    host.run(&["prune", "--dry-run"]).failed(1, "repository_format");
}
