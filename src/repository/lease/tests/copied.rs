//! What becomes part of a backup, where the same lies in the store already.

use super::*;
use crate::error::Code;
use crate::repository::{Considered, Damage, Mended};

const ARCHIVE: &str = "files/uploads.tar.zst";
const TABLE: &str = "databases/shop/1.dat";

const ALL: Considered<'static> = Considered { needs: &|_| true, pin: &|_| true };

#[test]
fn a_new_backup_is_sound_whatever_became_of_the_same_content_in_the_store() {
    let storage = MemoryStorage::new();
    let host = Host::on(Arc::new(storage.clone()));
    let full = host.writes(None, 'a').unwrap();
    let damaged = b"the sane in all";
    storage.write(&format!("backups/{}/{TABLE}", full.manifest().name), damaged).unwrap();
    let next = host.writes(Some(&full), 'b').unwrap();
    assert_eq!(full.read(TABLE).unwrap(), damaged);
    assert_eq!(next.read(TABLE).unwrap(), b"the same in all");

    // A copy whose newest backup is damaged so is not built upon either.
    let copy = MemoryStorage::new();
    let taker = Host::on(Arc::new(copy.clone()));
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let next = source.writes(Some(&full), 'b').unwrap();
    taker.receives(&full).unwrap();
    copy.write(&format!("backups/{}/{TABLE}", full.manifest().name), damaged).unwrap();
    taker.receives(&next).unwrap();
    let there = taker.repository.backup(&next.manifest().name).unwrap();
    assert_eq!(there.read(TABLE).unwrap(), b"the same in all");
}

#[test]
fn what_an_interrupted_attempt_left_counts_once_it_has_the_right_bytes() {
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let copy = MemoryStorage::new();
    let dir = format!("backups/{}", full.manifest().name);
    // Of the same size; nothing can be removed there.
    copy.write(&format!("{dir}/{ARCHIVE}"), b"archivE a").unwrap();
    copy.write(&format!("{dir}/{TABLE}"), b"the same in all").unwrap();
    let uploaded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = uploaded.clone();
    let hooked = copy.hooked(move |request| {
        if request.verb == "upload" {
            seen.lock().unwrap().push(request.name.clone());
        }
        let is_kept = request.verb == "remove" && request.name.starts_with("backups/");
        if is_kept { Fault::Refused } else { Fault::None }
    });
    // A repository is created where nothing lies.
    let home = Host::on(Arc::new(MemoryStorage::new()));
    let repository = Repository { storage: Arc::new(hooked), ..home.repository.clone() };
    let taker = Host { repository, ..home };
    taker.receives(&full).unwrap();
    let there = taker.repository.backup(&full.manifest().name).unwrap();
    assert_eq!(there.read(ARCHIVE).unwrap(), full.read(ARCHIVE).unwrap());
    assert_eq!(*uploaded.lock().unwrap(), [format!("{dir}/{ARCHIVE}")]);
}

#[test]
fn nothing_is_sent_where_somebody_is_deleting_it_until_that_is_over() {
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let copy = MemoryStorage::new();
    let taker = Host::on(Arc::new(copy.clone()));
    taker.receives(&full).unwrap();
    let there = taker.repository.backup(&full.manifest().name).unwrap();
    let lock = taker.repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
    let named = (there.manifest().id.clone(), there.manifest().name.clone());
    let cancel = CancellationToken::new();
    let deletion = taker.repository.deletion([named].into(), ALL, &cancel, &lock).unwrap();
    copy.remove(&format!("backups/{}/manifest.json", there.manifest().name)).unwrap();
    std::mem::forget(deletion);
    drop(lock);
    assert_eq!(taker.receives(&full).unwrap_err().code(), Code::Locked);
    copy.pass(AT_ONCE.stale + Duration::from_secs(1));
    assert_eq!(taker.clears().unwrap().len(), 1);
    taker.receives(&full).unwrap();
    assert_eq!(assert_sound(&taker, &copy, &"sent again").len(), 1);
}

#[test]
fn what_is_damaged_is_sent_again_unless_the_other_one_is_damaged_as_well() {
    let (here, copy) = (MemoryStorage::new(), MemoryStorage::new());
    let source = Host::on(Arc::new(here.clone()));
    let full = source.writes(None, 'a').unwrap();
    let taker = Host::on(Arc::new(copy.clone()));
    taker.receives(&full).unwrap();
    let object = format!("backups/{}/{ARCHIVE}", full.manifest().name);
    here.write(&object, b"archiVe a").unwrap();
    copy.write(&object, b"archivE a").unwrap();
    let mend = || {
        let lock = taker.repository.lock(LockMode::Exclusive, Duration::ZERO)?;
        let suspected = BTreeSet::from([ARCHIVE.to_owned(), TABLE.to_owned()]);
        let cancel = CancellationToken::new();
        taker.repository.mend(&full, &suspected, &cancel, &mut |_| {}, &lock)
    };
    let both = Damage::new(ARCHIVE, "has other bytes than were written");
    assert_eq!(mend().unwrap(), Mended::Damaged(both));
    assert_eq!(copy.read(&object).unwrap().unwrap(), b"archivE a");
    here.write(&object, b"archive a").unwrap();
    assert_eq!(mend().unwrap(), Mended::Sent(vec![ARCHIVE.into()]));
    assert_eq!(copy.read(&object).unwrap().unwrap(), b"archive a");
    assert_eq!(mend().unwrap(), Mended::Sent(Vec::new()));
    assert_sound(&taker, &copy, &"mended");
}

#[test]
fn a_manifest_that_is_damaged_is_sent_again_with_the_checksums() {
    let source = Host::on(Arc::new(MemoryStorage::new()));
    let full = source.writes(None, 'a').unwrap();
    let copy = MemoryStorage::new();
    let taker = Host::on(Arc::new(copy.clone()));
    taker.receives(&full).unwrap();
    copy.write(&format!("backups/{}/manifest.json", full.manifest().name), b"{").unwrap();
    let lock = taker.repository.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
    let (suspected, cancel) = (["manifest.json".to_owned()].into(), CancellationToken::new());
    taker.repository.mend(&full, &suspected, &cancel, &mut |_| {}, &lock).unwrap();
    assert_eq!(assert_sound(&taker, &copy, &"mended").len(), 1);
}
