//! Backups that do not arrive: what they leave behind, and whom it hinders.

use super::host::{AT_ONCE, Host};
use super::*;
use crate::error::{Code, Result};
use crate::repository::{Damage, Received};
use std::path::Path;

fn receive(host: &Host, backup: &PublishedBackup, is_cut_off: bool) -> Result<Received> {
    let lock = host.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
    let cancel = CancellationToken::new();
    let mut objects = 0;
    let mut sent = |_| {
        objects += 1;
        // The first one has arrived, the second one is on its way.
        if is_cut_off && objects == 2 {
            cancel.cancel();
        }
    };
    host.repository.receive(backup, None, &cancel, &mut sent, &lock)
}

#[test]
fn of_a_damaged_backup_nothing_is_left_in_a_copy() {
    let stored = MemoryStorage::new();
    let full = Host::on(Arc::new(stored.clone())).writes(None, 'a').unwrap();
    let object = "files/uploads.tar.zst";
    stored.write(&format!("backups/{}/{object}", full.manifest().name), b"archive x").unwrap();
    let copy = MemoryStorage::new();
    let host = Host::on(Arc::new(copy.clone()));
    let received = receive(&host, &full, false).unwrap();
    let damage = Damage::new(object, "has other bytes than were written");
    assert_eq!(received, Received::Damaged(damage));
    assert_eq!(copy.all(), ["backstop-repository.json"]);
}

#[test]
fn what_was_cut_off_is_gone_on_with_or_cleared_away_and_hinders_nobody_until_then() {
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let next = source.writes(Some(&full), 'b').unwrap();
    let copy = MemoryStorage::new();
    let host = Host::on(Arc::new(copy.clone()));
    assert_eq!(receive(&host, &full, false).unwrap(), Received::Whole);
    let cut_off = || {
        assert_eq!(receive(&host, &next, true).unwrap_err().code(), Code::Interrupted);
        let left = copy.all();
        assert!(left.iter().any(|name| name.contains(&next.manifest().name)), "{left:?}");
        assert!(left.iter().any(|name| name.starts_with(LEASES)), "{left:?}");
    };
    cut_off();
    // Neither a move nor a deletion of what it would have needed waits for it.
    host.repository.depart(Path::new("/elsewhere")).unwrap();
    host.repository.arrive().unwrap();
    assert_eq!(receive(&host, &next, false).unwrap(), Received::Whole);
    assert_eq!(assert_sound(&host, &copy, &"gone on with").len(), 2);

    let next_there = host.repository.backup(&next.manifest().name).unwrap();
    host.deletes(&[&next_there]).unwrap();
    cut_off();
    let full_there = host.repository.backup(&full.manifest().name).unwrap();
    host.deletes(&[&full_there]).unwrap();
    copy.pass(AT_ONCE.stale + Duration::from_secs(1));
    assert_eq!(host.clears().unwrap().len(), 1);
    assert_eq!(copy.all(), ["backstop-repository.json"]);
}
