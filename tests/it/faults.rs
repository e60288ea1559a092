//! Faults, through the program: each has its code, says what was attempted and what helps,
//! leaves a failed row and nothing half done, and tells no password.

mod catalog;
mod databases;
mod disks;
mod docker;
mod repository;
mod secrets;

use crate::support::host::{Host, Ran, files_with_password, tells_password};
use serde_json::Value;

/// Asserts that a backup fails so, and everything that holds of each failure.
#[track_caller]
fn fails(host: &Host, code: &str) -> Ran {
    let published = host.backups_and_incoming().0;
    let ran = host.run(&["backup"]).failed(1, code);
    leaves_nothing_but_a_row(host, &ran, code);
    assert_eq!(host.backups_and_incoming().0, published);
    ran
}

/// Asserts that the failure is in the list and nowhere else.
#[track_caller]
fn leaves_nothing_but_a_row(host: &Host, ran: &Ran, code: &str) {
    assert!(!tells_password(ran.stderr.as_bytes()) && !tells_password(ran.stdout.as_bytes()));
    assert_eq!(host.backups_and_incoming().1, 0, "nothing is left in incoming");
    assert_eq!(files_with_password(&host.state()), Vec::<std::path::PathBuf>::new());
    let row = failed_row(host);
    assert_eq!(row["error"]["code"], code);
    for field in ["message", "attempted", "hint"] {
        assert!(row["error"][field].as_str().is_some_and(|text| !text.is_empty()), "{row}");
    }
    assert!(ran.stderr.contains(row["error"]["message"].as_str().unwrap()), "{row} {ran:?}");
    assert!(row["path"].is_null() && row["finished_at"].is_string(), "{row}");
}

/// The newest row, which is that of a failed backup.
#[track_caller]
fn failed_row(host: &Host) -> Value {
    let row = host.json(&["list"])[0].clone();
    assert_eq!(row["status"], "failed", "{row}");
    row
}
