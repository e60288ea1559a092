//! Restore without touching the live stack: files below a directory, databases under new
//! names.

use super::Restored;
use super::checked::Wanted;
use super::database_swap::DatabaseSwap;
use super::plan::{Plan, PlannedDatabase};
use super::record::{RestoreRecord, Stage};
use super::recover::remove_built;
use super::tree_swap::TreeSwap;
use crate::backup::{Place, Selection, Source, lock, open_repository, require_space};
use crate::catalog::BackupRecord;
use crate::clock::Stopwatch;
use crate::config::real_path;
use crate::database::{database_exists, derived_name, rename_database};
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::repository::{LockMode, create_dir};
use crate::setting::Setting;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What goes where.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Which parts of the backup.
    pub selection: Selection,
    /// Files go to `DIR/files/NAME`.
    pub dir: Option<PathBuf>,
    /// Databases of the backup and their new names.
    pub databases: Vec<(String, String)>,
    /// Whether what is whole comes back though something is damaged.
    pub salvage: bool,
}

/// Restores elsewhere. With `dry_run` everything is verified and nothing written.
///
/// Everything is built under names of this run's own and gets the wanted one in the end, if
/// that is still free: what another run has made under it is never touched.
///
/// # Errors
/// What was built and has not got its name yet is removed.
pub async fn elsewhere(
    setting: &Setting,
    record: &BackupRecord,
    wanted: &Elsewhere,
    dry_run: bool,
) -> Result<Restored> {
    let watch = Stopwatch::start();
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    setting.progress.step("verify");
    let selection = wanted.restricted(record)?;
    let parts = Wanted { selection: &selection, salvage: wanted.salvage, live: false };
    let plan = Plan::prepare_elsewhere(setting, record, parts).await?;
    plan.refuse_all_lost(record)?;
    if let Some(dir) = &wanted.dir {
        refuse_live(setting, plan.docker.as_ref(), dir).await?;
        let bytes = plan.trees.iter().map(|tree| tree.component.source_bytes).sum();
        require_space(dir, bytes, "restore files to")?;
    }
    wanted.note_databases(setting, record);
    let restore = wanted.plan(setting, &plan)?;
    wanted.refuse_occupied(&plan, &restore).await?;

    setting.progress.step("build");
    if !dry_run {
        build(setting, &plan, restore.clone()).await?;
    }
    Ok(Restored {
        dry_run,
        key: None,
        backup: record.id.clone(),
        backup_name: record.name.clone(),
        safety_backup: None,
        places: restore.places(),
        lost: plan.lost.clone(),
        downtime: Vec::new(),
        seconds: watch.elapsed().as_secs_f64(),
    })
}

/// Builds everything beside where it goes, and moves it there. The record is there only
/// meanwhile, so that `recover` removes what a death leaves.
async fn build(setting: &Setting, plan: &Plan, mut restore: RestoreRecord) -> Result<()> {
    for tree in &restore.trees {
        if let Some(files) = tree.new.parent() {
            create_dir(files)?;
        }
    }
    restore.save(&setting.config.state.dir, Stage::Building)?;
    let work = plan.build(setting, &mut restore);
    let built = setting.unless_interrupted("restore", work).await;
    let placed = match built {
        Ok(_) => place(plan, &mut restore).await,
        Err(e) => Err(e),
    };
    if placed.is_err()
        && let Err(e) = remove_built(setting, &mut restore).await
    {
        setting.progress.warn(e.code(), e.to_string());
        return placed;
    }
    restore.forget(&setting.config.state.dir)?;
    placed
}

/// Gives everything that was built its name. What has it is no longer this run's to remove.
async fn place(plan: &Plan, restore: &mut RestoreRecord) -> Result<()> {
    while let Some(tree) = restore.trees.first() {
        // Replaces an empty directory, and nothing else (rename(2)).
        match std::fs::rename(&tree.new, &tree.live) {
            Err(e)
                if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) =>
            {
                return Err(occupied(&tree.live));
            }
            renamed => renamed.map_err(|e| Error::io("rename", &tree.new, e))?,
        }
        restore.trees.remove(0);
    }
    while let Some(swap) = restore.databases.first() {
        let target = &planned_database(plan, &swap.component)?.reach.target;
        if let Err(error) = rename_database(target, &swap.new, &swap.database).await {
            let is_taken = database_exists(target, &swap.database).await?;
            return Err(if is_taken { taken(&swap.database) } else { error });
        }
        restore.databases.remove(0);
    }
    Ok(())
}

/// The backup's database of the component `name`.
fn planned_database<'a>(plan: &'a Plan, name: &str) -> Result<&'a PlannedDatabase> {
    let found = plan.databases.iter().find(|planned| planned.component.name == name);
    found.ok_or_else(|| {
        Error::new(Code::ComponentNotFound, "restore database", name)
            .cause("the backup has no database of this name")
    })
}

/// Refuses a directory inside of what it must not touch: the live trees and the repository.
pub(super) async fn refuse_live(
    setting: &Setting,
    docker: Option<&Docker>,
    dir: &Path,
) -> Result<()> {
    let dir = real_path(dir);
    let repository = &setting.config.repository;
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    if repository.url.is_none() {
        places.push(("the repository".into(), repository.path.clone()));
    }
    for copy in &repository.copies {
        places.extend(copy.path.clone().map(|path| (format!("the copy {}", copy.name), path)));
    }
    for tree in &setting.config.files {
        // A volume that cannot be found holds no directory of this host.
        if let Ok(source) = Source::locate(tree, docker).await
            && let Place::Directory(path) = source.place
        {
            places.push((format!("the live files of {}", tree.name), path));
        }
    }
    for (what, path) in places {
        if dir.starts_with(real_path(&path)) {
            return Err(Error::new(Code::RestoreFailed, "restore files to", dir.display())
                .cause(format!("it lies inside of {what}, {}", path.display()))
                .hint("choose a directory outside of the stack for --to"));
        }
    }
    Ok(())
}

pub(super) fn occupied(target: &Path) -> Error {
    Error::new(Code::RestoreFailed, "restore files to", target.display())
        .cause("the directory is not empty")
        .hint("choose a new directory for --to")
}

fn taken(name: &str) -> Error {
    Error::new(Code::RestoreFailed, "restore database to", name)
        .cause("a database of this name exists")
        .hint("choose another name, or drop that database first")
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

    /// Says which databases stay out because they have no name to go to.
    fn note_databases(&self, setting: &Setting, record: &BackupRecord) {
        let left: Vec<&str> = record
            .components
            .iter()
            .filter(|component| component.detail.type_name() == "database")
            .map(|component| component.name.as_str())
            .filter(|name| self.selection.wants_database(name))
            .filter(|name| !self.databases.iter().any(|(old, _)| old == name))
            .collect();
        if !left.is_empty() {
            setting.progress.note(format!(
                "left out: {}; --database OLD=NEW restores one under another name",
                left.join(", ")
            ));
        }
    }

    /// What is built where, under names of its own, and what it is called in the end.
    fn plan(&self, setting: &Setting, plan: &Plan) -> Result<RestoreRecord> {
        let manifest = plan.backup.manifest();
        let mut restore =
            RestoreRecord::begin(&setting.config.state.dir, &manifest.id, &manifest.name)?;
        for tree in &plan.trees {
            if let Some(dir) = &self.dir {
                let dir = std::path::absolute(dir).map_err(|e| Error::io("look at", dir, e))?;
                let target = dir.join("files").join(&tree.component.name);
                restore.trees.push(TreeSwap::beside(&tree.component.name, &target, &restore.key));
            }
        }
        for (old, new) in &self.databases {
            if plan.lost.iter().any(|lost| lost.component.as_ref() == Some(old)) {
                continue;
            }
            planned_database(plan, old)?;
            restore.databases.push(DatabaseSwap {
                component: old.clone(),
                database: new.clone(),
                new: derived_name(new, "restore", &restore.key),
                kept: derived_name(new, "before", &restore.key),
                live_existed: false,
                left_out: Vec::new(),
            });
        }
        Ok(restore)
    }

    /// Refuses what is there already, before anything is built.
    async fn refuse_occupied(&self, plan: &Plan, restore: &RestoreRecord) -> Result<()> {
        for tree in &restore.trees {
            let entries = std::fs::read_dir(&tree.live).map(|mut entries| entries.next().is_some());
            if matches!(entries, Ok(true)) {
                return Err(occupied(&tree.live));
            }
        }
        for swap in &restore.databases {
            let target = &planned_database(plan, &swap.component)?.reach.target;
            if database_exists(target, &swap.database).await? {
                return Err(taken(&swap.database));
            }
        }
        Ok(())
    }
}
