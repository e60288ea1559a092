//! One copy: what it lacks, in the order of the history.

use super::Synced;
use super::held::{Found, Held, look};
use super::pins::bring_pins;
use super::sent::Sent;
use super::suspects::Suspects;
use crate::backup::open_copy;
use crate::config::Copy;
use crate::deadline;
use crate::error::{Code, Error, Result};
use crate::progress::Event;
use crate::repository::manifest::MANIFEST;
use crate::repository::{Damage, Lock, LockMode, Mended, PublishedBackup, Received, Repository};
use crate::setting::Setting;
use crate::verify::{KnownDamage, record_damage};
use std::collections::BTreeSet;

/// Sends what is missing in `copy`, and again what is damaged there.
pub(super) fn sync(setting: &Setting, source: &Repository, copy: &Copy) -> Synced {
    let mut synced = Synced {
        copy: copy.name.clone(),
        place: copy.place().to_string(),
        sent: Vec::new(),
        sent_bytes: 0,
        mended: Vec::new(),
        complete: false,
        error: None,
        failure: None,
        to_verify: Vec::new(),
    };
    // A mount whose server is gone would keep this command for good.
    let answers = copy.path.as_deref().map_or(Ok(()), deadline::answers);
    match answers.and_then(|()| send_missing(setting, source, copy, &mut synced)) {
        Ok(()) => synced.complete = true,
        Err(e) => synced.fail(e),
    }
    synced
}

fn send_missing(
    setting: &Setting,
    source: &Repository,
    copy: &Copy,
    synced: &mut Synced,
) -> Result<()> {
    let state = setting.config.copy_state_dir(&copy.name);
    let target = open_copy(setting, copy, source)?;
    let lock = target.lock(LockMode::Exclusive, setting.lock_wait)?;
    let held = Held::of(source, &target)?;
    let suspects = Suspects::of(setting, copy, source);
    let known = KnownDamage::of(setting);
    let mut whole = BTreeSet::new();
    let mut damaged = None;
    let mut due = Vec::new();
    for name in source.names()? {
        let mut suspected = suspects.of_backup(&name);
        let found = held.find(&name)?;
        if found == Found::Whole && suspected.is_empty() {
            notice(setting, source, &known, &name)?;
            whole.insert(name);
            continue;
        }
        let work = match found {
            Found::Nothing => Work::Send,
            Found::Whole => Work::Mend(suspected),
            Found::Damaged(objects) => {
                suspected.extend(objects);
                Work::Mend(suspected)
            }
        };
        match source.backup(&name) {
            Ok(backup) => due.push((backup, work)),
            // Deleted in the meantime, or on a store not published yet.
            Err(e) if e.code() == Code::BackupNotFound => source.require_there()?,
            Err(e) if e.code() == Code::BackupDamaged => {
                setting.progress.warn(e.code(), e.to_string());
                unreadable(setting, source, &name, &e);
                damaged = Some(e);
            }
            Err(e) => return Err(e),
        }
    }
    due.sort_by_key(|(backup, _)| backup.manifest().sequence);
    let mut sent = Sent::read(&state);
    whole.iter().for_each(|name| sent.add(name));
    sent.keep(&whole)?;
    let mut again = Vec::new();
    // What somebody is deleting there, or died while he did, is tried once more in the end.
    for is_last in [false, true] {
        for (backup, work) in std::mem::take(&mut due) {
            setting.check_interrupted("sync copies of")?;
            let name = backup.manifest().name.clone();
            if target.directory().is_some() {
                // What is unmounted now is not begun anew on the disk below.
                target.require_there()?;
            }
            match work.does(setting, (source, &target), (&backup, &known), &lock, synced) {
                Ok(()) => {
                    sent.add(&name);
                    whole.insert(name);
                    sent.keep(&whole)?;
                }
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                Err(e) if e.code() == Code::Locked && !is_last => again.push((backup, work)),
                // Deleted here in the meantime: so it lacks files, and need not be sent.
                Err(_) if source.is_deleted(&name, &backup.manifest().id)? => {}
                // Damage is not passed on, and keeps nothing else from being sent.
                Err(e) if e.code() == Code::BackupDamaged => {
                    setting.progress.warn(e.code(), e.to_string());
                    damaged = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
        if !is_last {
            bring_pins(source, &target, &lock)?;
        }
        if is_last || (target.directory().is_none() && !again.is_empty()) {
            // What was cut off here and deleted since; now, since it could be gone on with before.
            target.clear_leftovers(&lock)?;
        }
        due = std::mem::take(&mut again);
    }
    let records = suspects.records.into_iter();
    synced.to_verify = records.filter(|record| whole.contains(&record.name)).collect();
    damaged.map_or(Ok(()), Err)
}

/// Looks at a backup that the copy has, where that costs no requests: what is missing here is known
/// from then on. The copy is complete all the same.
fn notice(setting: &Setting, source: &Repository, known: &KnownDamage, name: &str) -> Result<()> {
    if source.directory().is_none() || known.is_of(name) {
        return Ok(());
    }
    // Where nothing can be said of it, it was not to be sent.
    let missing = source.missing_of(name, None).unwrap_or_default();
    let Some(first) = missing.first() else { return Ok(()) };
    source.require_there()?;
    let text = format!("{name} is damaged here, and whole in the copy: {first}");
    setting.progress.warn(Code::BackupDamaged, text);
    record_damage(setting, source, name, missing);
    Ok(())
}

/// What there is to do for one backup.
enum Work {
    /// All of it is sent.
    Send,
    /// These objects may be damaged there.
    Mend(BTreeSet<String>),
}

impl Work {
    fn does(
        &self,
        setting: &Setting,
        (source, target): (&Repository, &Repository),
        (backup, known): (&PublishedBackup, &KnownDamage),
        lock: &Lock,
        synced: &mut Synced,
    ) -> Result<()> {
        let name = &backup.manifest().name;
        match self {
            Self::Send => {
                let (copy, bytes) = (&synced.copy, &mut synced.sent_bytes);
                send(setting, (source, target), (backup, known), lock, copy, bytes)?;
                synced.sent.push(name.clone());
            }
            Self::Mend(suspected) => {
                let places = (source, target);
                let mended = mend(setting, places, backup, suspected, lock, synced)?;
                if !mended.is_empty() {
                    let (copy, objects) = (&synced.copy, mended.join(", "));
                    setting.progress.note(format!("mended {name} in {copy}: {objects}"));
                    synced.mended.push(name.clone());
                }
            }
        }
        Ok(())
    }
}

/// Sends again what of a backup is damaged in the copy, and returns the names of that. What is
/// found to be damaged in `source` as well is recorded.
fn mend(
    setting: &Setting,
    (source, target): (&Repository, &Repository),
    backup: &PublishedBackup,
    suspected: &BTreeSet<String>,
    lock: &Lock,
    synced: &mut Synced,
) -> Result<Vec<String>> {
    const ATTEMPTED: &str = "mend the copy of";
    let (name, bytes) = (&backup.manifest().name, &mut synced.sent_bytes);
    let mut send = |suspected: &BTreeSet<String>| {
        let sent = &mut |sent| *bytes += sent;
        match target.mend(backup, suspected, &setting.cancel, sent, lock)? {
            Mended::Sent(names) => Ok(names),
            Mended::Damaged(damage) => {
                let both = Error::new(Code::BackupDamaged, ATTEMPTED, backup.shown())
                    .cause(format!(
                        "{} is damaged in both places: here it {}",
                        damage.object, damage.fault
                    ))
                    .hint("restore what you need of it with --salvage, here or with --copy");
                Err(record_found(setting, source, backup, vec![damage]).err().unwrap_or(both))
            }
        }
    };
    let mut mended = send(suspected)?;
    // With its manifest back, more may be seen to be missing.
    if let Found::Damaged(more) = look(target, name)? {
        mended.extend(send(&more)?);
    }
    let there = target.backup(name)?;
    refuse_damaged_copy(&there)?;
    match there.manifest() == backup.manifest() {
        true => Ok(mended),
        false => Err(Error::new(Code::BackupDamaged, ATTEMPTED, there.shown())
            .cause("another backup lies there under its name")),
    }
}

/// Looks at sizes, manifest and checksums, not at contents.
fn refuse_damaged_copy(backup: &PublishedBackup) -> Result<()> {
    match backup.check_sizes()?.first() {
        None => Ok(()),
        Some(damage) => {
            let error = Error::new(Code::BackupDamaged, "mend the copy of", backup.shown());
            Err(error.cause(damage).hint(
                "compare it with `backstop verify` here and with --copy; a damaged copy is \
                   deleted with `backstop --copy NAME delete ID`, and sent again by `sync`",
            ))
        }
    }
}

/// Whether a backup lies in the copy, and not only some of its objects.
fn is_whole(target: &Repository, name: &str) -> Result<bool> {
    match target.backup(name) {
        Ok(_) => Ok(true),
        Err(e) if e.code() == Code::BackupNotFound => Ok(false),
        // What could be mended there was; it does not keep others from being sent.
        Err(e) if e.code() == Code::BackupDamaged => Ok(true),
        Err(e) => Err(e),
    }
}

/// Records that a backup cannot be read because of damage.
pub(crate) fn unreadable(setting: &Setting, source: &Repository, name: &str, because: &Error) {
    record_damage(setting, source, name, vec![Damage::new(MANIFEST, &because.to_string())]);
}

/// Sends one backup of `source` to `target`, which progress calls `shown`. What it has contents in
/// must be there already. Damage of the backup itself is recorded; what is `known` of it is looked
/// at first.
///
/// # Errors
/// `backup_damaged`, also where what it needs is not there; `backup_not_found` where it was
/// deleted meanwhile; `interrupted`, and what the target meets.
pub(crate) fn send(
    setting: &Setting,
    (source, target): (&Repository, &Repository),
    (backup, known): (&PublishedBackup, &KnownDamage),
    lock: &Lock,
    shown: &str,
    sent_bytes: &mut u64,
) -> Result<()> {
    let manifest = backup.manifest();
    let mut damages = backup.check_sizes()?;
    if damages.is_empty() {
        // Nothing of it is sent in vain.
        damages = known.still_there(backup, &setting.cancel)?;
    }
    if !damages.is_empty() {
        return Err(damaged(setting, source, backup, damages));
    }
    for elsewhere in manifest.components.iter().flat_map(|component| component.elsewhere()) {
        let needed = backup.sibling(&elsewhere.backup)?.manifest().name.clone();
        if !is_whole(target, &needed)? {
            return Err(Error::new(Code::BackupDamaged, "send", &manifest.name)
                .cause(format!("it needs {needed}, which {shown} lacks")));
        }
    }
    let alike = manifest.parent.as_ref().and_then(|parent| {
        let parent = backup.sibling(parent).ok()?;
        target.backup(&parent.manifest().name).ok()
    });
    let task = format!("{} to {shown}", manifest.name);
    let total: u64 = manifest.objects.iter().map(|object| object.size).sum();
    let report = |event| setting.progress.report(event);
    report(Event::Started { task: task.clone(), total_bytes: Some(total) });
    let mut advance = |bytes| {
        *sent_bytes += bytes;
        report(Event::Advanced { task: task.clone(), bytes });
    };
    let received = target.receive(backup, alike.as_ref(), &setting.cancel, &mut advance, lock);
    report(Event::Finished { task: task.clone() });
    match received? {
        Received::Whole => Ok(()),
        Received::Damaged(damage) => Err(damaged(setting, source, backup, vec![damage])),
    }
}

/// Records what is wrong with a backup, and says so.
fn damaged(
    setting: &Setting,
    source: &Repository,
    backup: &PublishedBackup,
    damages: Vec<Damage>,
) -> Error {
    let first = damages.first();
    let cause = first.map(|damage| format!("{} {}", damage.object, damage.fault));
    if let Err(gone) = record_found(setting, source, backup, damages) {
        return gone;
    }
    Error::new(Code::BackupDamaged, "send", backup.shown()).cause(cause.unwrap_or_default()).hint(
        "`backstop list` says so from now on, and no backup builds upon it any more: restore \
             what you need of it with --salvage, then `backstop delete` it; `backstop verify` \
             reads all of it",
    )
}

/// Records what is wrong with a backup.
///
/// # Errors
/// `backup_not_found`: what somebody is deleting lacks files without being damaged, and so does
/// what is gone with its disk.
fn record_found(
    setting: &Setting,
    source: &Repository,
    backup: &PublishedBackup,
    damages: Vec<Damage>,
) -> Result<()> {
    let name = &backup.manifest().name;
    if let Err(e) = source.backup(name)
        && e.code() == Code::BackupNotFound
    {
        return Err(e);
    }
    record_damage(setting, source, name, damages);
    Ok(())
}
