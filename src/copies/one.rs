//! One copy: what it lacks, in the order of the history.

use super::Synced;
use super::pins::bring_pins;
use super::sent::Sent;
use crate::backup::open_copy;
use crate::config::Copy;
use crate::error::{Code, Error, Result};
use crate::progress::Event;
use crate::repository::{Lock, LockMode, PublishedBackup, Repository};
use crate::setting::Setting;
use std::collections::BTreeSet;

/// Sends what is missing in `copy`.
pub(super) fn sync(setting: &Setting, source: &Repository, copy: &Copy) -> Synced {
    let mut synced = Synced {
        copy: copy.name.clone(),
        place: copy.place().to_string(),
        sent: Vec::new(),
        sent_bytes: 0,
        complete: false,
        error: None,
        failure: None,
    };
    match send_missing(setting, source, copy, &mut synced) {
        Ok(()) => synced.complete = true,
        Err(e) => {
            synced.error = Some(e.to_json());
            synced.failure = Some(e);
        }
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
    let mut there: BTreeSet<String> = target.names()?.into_iter().collect();
    let mut sent = Sent::read(&state);
    let mut damaged = None;
    let mut missing = Vec::new();
    for name in source.names()? {
        if there.contains(&name) {
            match lies_there(&target, &sent, &name) {
                Ok(true) => {
                    sent.add(&name);
                    continue;
                }
                Ok(false) => {}
                // It is not replaced: somebody has to look at what happened to it.
                Err(e) if e.code() == Code::BackupDamaged => {
                    setting.progress.warn(e.code(), e.to_string());
                    damaged = Some(e);
                    continue;
                }
                Err(e) => return Err(e),
            }
        }
        match source.backup(&name) {
            Ok(backup) => missing.push(backup),
            Err(e) if e.code() == Code::BackupNotFound => {}
            Err(e) if e.code() == Code::BackupDamaged => damaged = Some(e),
            Err(e) => return Err(e),
        }
    }
    missing.sort_by_key(|backup| backup.manifest().sequence);
    for backup in &missing {
        setting.check_interrupted("sync copies of")?;
        match send(setting, &target, backup, &lock, &synced.copy, &mut synced.sent_bytes) {
            Ok(()) => {
                synced.sent.push(backup.manifest().name.clone());
                sent.add(&backup.manifest().name);
                there.insert(backup.manifest().name.clone());
                sent.keep(&there)?;
            }
            // Damage is not passed on, and keeps nothing else from being sent.
            Err(e) if e.code() == Code::BackupDamaged => {
                setting.progress.warn(e.code(), e.to_string());
                damaged = Some(e);
            }
            // Deleted here in the meantime.
            Err(_) if source.backup(&backup.manifest().name).is_err() => {}
            Err(e) => return Err(e),
        }
    }
    sent.keep(&there)?;
    bring_pins(source, &target, &lock)?;
    if target.directory().is_none() {
        // What was cut off here and deleted since; now, since it could be gone on with before.
        target.clear_leftovers(&lock)?;
    }
    damaged.map_or(Ok(()), Err)
}

/// Whether a backup lies in the copy, with every object of the right size. On a store that is
/// asked once.
///
/// # Errors
/// `backup_damaged` where it lies there, but not whole.
fn lies_there(target: &Repository, sent: &Sent, name: &str) -> Result<bool> {
    if target.directory().is_none() {
        return Ok(sent.has(name) || is_whole(target, name)?);
    }
    let backup = match target.backup(name) {
        Err(e) if e.code() == Code::BackupNotFound => return Ok(false),
        opened => opened?,
    };
    refuse_damaged(&backup, "keep the copy of").map(|()| true)
}

/// Looks at sizes, manifest and checksums, not at contents.
fn refuse_damaged(backup: &PublishedBackup, attempted: &str) -> Result<()> {
    match backup.check_sizes()?.first() {
        None => Ok(()),
        Some(damage) => {
            Err(Error::new(Code::BackupDamaged, attempted, backup.shown()).cause(damage).hint(
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
        // What is damaged there is a matter for `verify`; it is not replaced.
        Err(e) if e.code() == Code::BackupDamaged => Ok(true),
        Err(e) => Err(e),
    }
}

/// Sends one backup to `target`, which progress calls `shown`. What it has contents in must be
/// there already.
pub(crate) fn send(
    setting: &Setting,
    target: &Repository,
    backup: &PublishedBackup,
    lock: &Lock,
    shown: &str,
    sent_bytes: &mut u64,
) -> Result<()> {
    let manifest = backup.manifest();
    refuse_damaged(backup, "send")?;
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
    received.map(drop)
}
