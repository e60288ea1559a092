//! Restore without touching the live stack: files below a directory, databases under new
//! names.

use super::plan::Plan;
use super::{Restoration, Restored, databases, files};
use crate::backup::{Selection, lock};
use crate::catalog::BackupRecord;
use crate::clock::Stopwatch;
use crate::database::{database_exists, drop_database};
use crate::error::{Code, Error, Result};
use crate::repository::{LockMode, Repository, create_dir};
use crate::setting::Setting;
use std::path::PathBuf;

/// What goes where.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Which parts of the backup.
    pub selection: Selection,
    /// Files go to `DIR/files/NAME`.
    pub dir: Option<PathBuf>,
    /// Databases of the backup and their new names.
    pub databases: Vec<(String, String)>,
}

/// Restores elsewhere. With `dry_run` everything is verified and nothing written.
///
/// # Errors
/// What was written until then is removed.
pub async fn elsewhere(
    setting: &Setting,
    record: &BackupRecord,
    wanted: &Elsewhere,
    dry_run: bool,
) -> Result<Restored> {
    let watch = Stopwatch::start();
    let repository = Repository::open(&setting.config.repository.path)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    setting.progress.step("verify");
    let plan = Plan::prepare(setting, record, &wanted.restricted(record)?).await?;
    let mut places = Vec::new();

    setting.progress.step("build");
    if let Some(dir) = &wanted.dir {
        for tree in &plan.trees {
            let target = dir.join("files").join(&tree.component.name);
            places.push(Restoration {
                component: tree.component.name.clone(),
                place: target.display().to_string(),
                kept: None,
            });
            if dry_run {
                continue;
            }
            refuse_occupied(&target)?;
            create_dir(&dir.join("files"))?;
            let work =
                files::extract(setting, &plan.backup, &tree.component, &tree.detail, &target);
            if let Err(error) = setting.unless_interrupted("restore", work).await {
                let _ = std::fs::remove_dir_all(&target);
                return Err(error);
            }
        }
    }
    for (old, new) in &wanted.databases {
        let planned = plan.databases.iter().find(|planned| planned.component.name == *old);
        let planned = planned.ok_or_else(|| {
            Error::new(Code::ComponentNotFound, "restore database", old)
                .cause("the backup has no database of this name")
        })?;
        if database_exists(&planned.reach.target, new).await? {
            return Err(Error::new(Code::RestoreFailed, "restore database to", new)
                .cause("a database of this name exists")
                .hint("choose another name, or drop that database first"));
        }
        places.push(Restoration {
            component: old.clone(),
            place: format!("database {new}"),
            kept: None,
        });
        if dry_run {
            continue;
        }
        let work = databases::build(setting, &plan, planned, new);
        if let Err(error) = setting.unless_interrupted("restore", work).await {
            drop_database(&planned.reach.target, new).await?;
            return Err(error);
        }
    }
    Ok(Restored {
        dry_run,
        key: None,
        backup: record.id.clone(),
        backup_name: record.name.clone(),
        safety_backup: None,
        places,
        downtime: Vec::new(),
        seconds: watch.elapsed().as_secs_f64(),
    })
}

impl Elsewhere {
    /// The components that have a place to go to.
    fn restricted(&self, record: &BackupRecord) -> Result<Selection> {
        let known = record.components.iter().map(|component| component.name.as_str());
        self.selection.check(known)?;
        let trees = record
            .components
            .iter()
            .filter(|component| component.detail.type_name() == "files")
            .filter(|component| self.dir.is_some() && self.selection.wants_files(&component.name))
            .map(|component| component.name.clone());
        let names: Vec<String> =
            trees.chain(self.databases.iter().map(|(old, _)| old.clone())).collect();
        if names.is_empty() {
            return Err(Error::new(Code::ComponentNotFound, "restore", &record.name)
                .cause("nothing of the backup has a place to go to"));
        }
        Ok(Selection::new(names))
    }
}

fn refuse_occupied(target: &std::path::Path) -> Result<()> {
    match std::fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(Error::new(Code::RestoreFailed, "restore files to", target.display())
            .cause("the directory is not empty")
            .hint("choose a new directory for --to")),
        _ => Ok(()),
    }
}
