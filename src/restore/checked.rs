//! The first step of every restore: the backup is opened and every byte that is wanted is read.

use super::salvage;
use crate::backup::{CHANGES, INDEX, Selection, open_repository};
use crate::catalog::BackupRecord;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, Detail};
use crate::repository::{Checked, Damage, PublishedBackup};
use crate::setting::Setting;

/// What of a backup is wanted, and whether it may be damaged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) selection: &'a Selection,
    /// Whether what is whole comes back though something is damaged.
    pub(super) salvage: bool,
    /// Whether it replaces what is live.
    pub(super) live: bool,
}

/// Opens the backup and reads every byte that is wanted. Returns what is damaged, where that
/// is accepted.
pub(super) async fn open_checked(
    setting: &Setting,
    record: &BackupRecord,
    wanted: Wanted<'_>,
) -> Result<(PublishedBackup, Vec<Damage>)> {
    if !record.is_published() {
        return Err(Error::new(Code::BackupNotFound, "restore backup", &record.name)
            .cause(format!("its status is {}", record.status.as_str())));
    }
    let (backup, mut damages) = match wanted.salvage {
        true => {
            let (part, record) = (setting.clone(), record.clone());
            setting.blocking(move || salvage::open(&part, &record)).await?
        }
        false => (open_repository(setting)?.backup(&record.name)?, Vec::new()),
    };
    let (keyed, selection) = (backup.clone(), wanted.selection);
    setting.blocking(move || keyed.check_key()).await?;
    let manifest = backup.manifest();
    selection.check(manifest.components.iter().map(|component| component.name.as_str()))?;
    let objects = wanted_objects(&manifest.components, selection);
    let (checked, cancel) = (backup.clone(), setting.cancel.clone());
    let chosen = selection.clone();
    let wants_files = move |name: &str| chosen.wants_files(name);
    damages.extend(
        setting
            .blocking(move || {
                let concerned = |object: &str| match &objects {
                    // Only questions read them, and can do without.
                    None => object != CHANGES,
                    Some(wanted) => wanted.iter().any(|wanted| {
                        object == wanted
                            || object.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
                    }),
                };
                let seen = &mut Checked::new();
                let mut damages = checked.check_bytes(&concerned, &cancel, &mut |_| {})?;
                damages.extend(checked.check_reference_bytes(&wants_files, &cancel, seen)?);
                Ok(damages)
            })
            .await?,
    );
    match damages.first() {
        Some(first) if !wanted.salvage => Err(Error::new(
            Code::BackupDamaged,
            "restore backup",
            &record.name,
        )
        .cause(match damages.len() - 1 {
            0 => format!("{} {}", first.object, first.fault),
            more => format!("{} {}, and {more} more", first.object, first.fault),
        })
        .hint("--salvage restores what is whole; or choose another backup with `backstop list`")),
        _ => Ok((backup, damages)),
    }
}

/// The stored files and directories that a restore of `selection` reads; none means all.
/// Without a choice even what is not read must be whole: damage anywhere is news. With one,
/// what is undamaged can still be saved.
fn wanted_objects(components: &[Component], selection: &Selection) -> Option<Vec<String>> {
    if selection.is_everything() {
        return None;
    }
    let mut wanted = Vec::new();
    for component in components {
        match &component.detail {
            Detail::Files(files) if selection.wants_files(&component.name) => {
                wanted.extend([files.object.clone(), INDEX.to_string()]);
            }
            Detail::Database(database) if selection.wants_database(&component.name) => {
                wanted.push(database.object.clone());
            }
            Detail::Globals { object, databases }
                if databases.iter().any(|name| selection.wants_database(name)) =>
            {
                wanted.push(object.clone());
            }
            _ => {}
        }
    }
    Some(wanted)
}
