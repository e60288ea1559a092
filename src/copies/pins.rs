//! What is kept by hand is kept in the copies as well.

use crate::error::Result;
use crate::repository::{BackupId, Lock, Pin, Repository};

/// Carries over what is kept in `source`, and takes back what a sync carried over earlier and is
/// kept there no longer. A pin that was set in the copy itself is the copy's own, also where the
/// repository keeps the same backup; and so is one whose backup the repository has no more.
pub(super) fn bring_pins(source: &Repository, target: &Repository, lock: &Lock) -> Result<()> {
    let (ours, theirs) = (source.pins()?, target.pins()?);
    for (id, pin) in &ours {
        let pin = Pin { brought: true, ..pin.clone() };
        let is_due = theirs.get(id).is_none_or(|there| there.brought && *there != pin);
        if is_due {
            target.pin(id, &pin, lock)?;
        }
    }
    let taken_back = theirs.iter().filter(|(id, pin)| pin.brought && !ours.contains_key(*id));
    for (id, _) in taken_back {
        if holds(source, id)? {
            target.unpin(id, lock)?;
        }
    }
    Ok(())
}

/// Makes `target` keep exactly what `source` keeps: it is to take its place.
pub(crate) fn move_pins(source: &Repository, target: &Repository, lock: &Lock) -> Result<()> {
    let (ours, theirs) = (source.pins()?, target.pins()?);
    for (id, pin) in ours.iter().filter(|(id, pin)| theirs.get(*id) != Some(*pin)) {
        target.pin(id, pin, lock)?;
    }
    for id in theirs.keys().filter(|id| !ours.contains_key(*id)) {
        target.unpin(id, lock)?;
    }
    Ok(())
}

/// Whether the backup of this id lies in the repository, and can be read. Several names may end
/// in the first digits of its id.
fn holds(repository: &Repository, id: &BackupId) -> Result<bool> {
    let suffix = format!("_{}", id.suffix());
    let mut names = repository.names()?;
    names.retain(|name| name.ends_with(&suffix));
    Ok(names.iter().any(|name| repository.backup(name).is_ok_and(|it| it.manifest().id == *id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::LockMode;
    use std::time::Duration;

    struct Two {
        _dir: tempfile::TempDir,
        source: Repository,
        copy: Repository,
        lock: Lock,
    }

    fn two() -> Two {
        let dir = tempfile::tempdir().unwrap();
        let open = |name| Repository::open_or_create(&dir.path().join(name)).unwrap();
        let (source, copy) = (open("source"), open("copy"));
        let lock = copy.lock(LockMode::Exclusive, Duration::ZERO).unwrap();
        Two { _dir: dir, source, copy, lock }
    }

    fn pin(reason: &str) -> Pin {
        Pin { at: None, host: None, reason: Some(reason.into()), brought: false }
    }

    #[test]
    fn what_a_copy_keeps_itself_is_neither_replaced_nor_taken_back() {
        let two = two();
        let (own, both) = (BackupId::random().unwrap(), BackupId::random().unwrap());
        for id in [&own, &both] {
            two.copy.pin(id, &pin("legal hold"), &two.lock).unwrap();
        }
        two.source.pin(&both, &pin("audit"), &two.lock).unwrap();
        bring_pins(&two.source, &two.copy, &two.lock).unwrap();
        two.source.unpin(&both, &two.lock).unwrap();
        bring_pins(&two.source, &two.copy, &two.lock).unwrap();
        let kept = two.copy.pins().unwrap();
        assert_eq!((&kept[&own], &kept[&both]), (&pin("legal hold"), &pin("legal hold")));
    }

    #[test]
    fn what_was_brought_follows_the_repository_while_that_has_the_backup() {
        let two = two();
        let id = BackupId::random().unwrap();
        two.source.pin(&id, &pin("audit"), &two.lock).unwrap();
        bring_pins(&two.source, &two.copy, &two.lock).unwrap();
        two.source.pin(&id, &pin("longer"), &two.lock).unwrap();
        bring_pins(&two.source, &two.copy, &two.lock).unwrap();
        let brought = Pin { brought: true, ..pin("longer") };
        assert_eq!(two.copy.pins().unwrap()[&id], brought);
        two.source.unpin(&id, &two.lock).unwrap();
        bring_pins(&two.source, &two.copy, &two.lock).unwrap();
        assert_eq!(two.copy.pins().unwrap()[&id], brought, "its backup is only there");
    }

    #[test]
    fn what_is_moved_keeps_what_it_kept_and_nothing_else() {
        let two = two();
        let (kept, gone) = (BackupId::random().unwrap(), BackupId::random().unwrap());
        let brought = Pin { brought: true, ..pin("audit") };
        two.source.pin(&kept, &brought, &two.lock).unwrap();
        two.copy.pin(&gone, &pin("earlier"), &two.lock).unwrap();
        move_pins(&two.source, &two.copy, &two.lock).unwrap();
        assert_eq!(two.copy.pins().unwrap(), [(kept, brought)].into());
    }
}
