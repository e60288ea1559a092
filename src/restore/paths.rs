//! Single files and subtrees out of a backup, by seeking: what is not wanted is not read.

use super::elsewhere::{occupied, refuse_live};
use super::{Restoration, Restored};
use crate::archive::extract::{Extraction, extract};
use crate::archive::index::IndexReader;
use crate::backup::{INDEX, connect_if_needed, lock, open_repository};
use crate::browse::FilePath;
use crate::catalog::BackupRecord;
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::Detail;
use crate::repository::{LockMode, PublishedBackup, create_dir};
use crate::setting::Setting;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Restores `paths`, with what lies below them, to `DIR/files/COMPONENT/…`. Every content is
/// compared with its hash. With `dry_run` they are only looked for.
///
/// # Errors
/// `file_not_found` before anything is written; after any other failure what was written is
/// removed.
pub async fn restore_paths(
    setting: &Setting,
    record: &BackupRecord,
    paths: &[FilePath],
    dir: &Path,
    dry_run: bool,
) -> Result<Restored> {
    let watch = Stopwatch::start();
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let backup = repository.backup(&record.name)?;
    // Files come out without Docker too; then no volume can be told from another directory.
    let docker = connect_if_needed(setting).await.ok().flatten();
    refuse_live(setting, docker.as_ref(), dir).await?;

    setting.progress.step("verify");
    let mut trees = Tree::group(paths, dir);
    for tree in &mut trees {
        tree.check(setting, &backup)?;
    }
    setting.progress.step("build");
    if !dry_run {
        create_dir(&dir.join("files"))?;
        for tree in trees.clone() {
            let (part, backup) = (setting.part(), backup.clone());
            let worker = part.clone();
            let work = part.blocking(move || tree.build(&worker, &backup));
            setting.unless_interrupted("restore", work).await?;
        }
    }
    let places = trees.iter().map(|tree| Restoration {
        component: tree.component.clone(),
        place: tree.target.display().to_string(),
        kept: None,
    });
    Ok(Restored {
        dry_run,
        key: None,
        backup: record.id.clone(),
        backup_name: record.name.clone(),
        safety_backup: None,
        places: places.collect(),
        lost: Vec::new(),
        downtime: Vec::new(),
        seconds: watch.elapsed().as_secs_f64(),
    })
}

/// The wanted paths of one component, and where they go.
#[derive(Debug, Clone)]
struct Tree {
    component: String,
    paths: Vec<FilePath>,
    target: PathBuf,
}

impl Tree {
    fn group(paths: &[FilePath], dir: &Path) -> Vec<Self> {
        let mut trees: BTreeMap<&str, Vec<FilePath>> = BTreeMap::new();
        for path in paths {
            trees.entry(&path.component).or_default().push(path.clone());
        }
        let tree = |(component, paths): (&str, Vec<FilePath>)| {
            let target = dir.join("files").join(component);
            Self { component: component.to_owned(), paths, target }
        };
        trees.into_iter().map(tree).collect()
    }

    /// Makes sure that everything wanted is in the backup, and its place free. Paths that were
    /// given as the index shows them become those of the files.
    fn check(&mut self, setting: &Setting, backup: &PublishedBackup) -> Result<()> {
        if std::fs::read_dir(&self.target).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(occupied(&self.target));
        }
        let manifest = backup.manifest();
        let missing = |path: &FilePath| {
            Error::new(Code::FileNotFound, "restore", path.to_string()).cause(path.absence(
                &manifest.name,
                &manifest.components,
                &manifest.omitted,
            ))
        };
        // Without any file tree there is no index.
        if let Some(path) = self.paths.iter().find(|path| !path.has_tree(&manifest.components)) {
            return Err(missing(path));
        }
        let damages =
            backup.check_bytes(&|object| object == INDEX, &setting.cancel, &mut |_| {})?;
        if let Some(damage) = damages.first() {
            return Err(Error::new(Code::BackupDamaged, "restore from", &manifest.name)
                .cause(format!("{} {}", damage.object, damage.fault)));
        }
        let index = IndexReader::open(&backup.open(INDEX)?)?;
        for path in &mut self.paths {
            let found = index.find_shown(&self.component, &path.path)?;
            path.path = found.ok_or_else(|| missing(path))?.entry.path;
        }
        Ok(())
    }

    /// Builds the tree beside its target, and moves it there.
    fn build(&self, setting: &Setting, backup: &PublishedBackup) -> Result<()> {
        let mut name = self.target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".backstop-{}", std::process::id()));
        let beside = self.target.with_file_name(name);
        let built = self.extract(setting, backup, &beside).and_then(|()| {
            std::fs::rename(&beside, &self.target).map_err(|e| match e.kind() {
                std::io::ErrorKind::DirectoryNotEmpty => occupied(&self.target),
                _ => Error::io("rename", &beside, e),
            })
        });
        if built.is_err() {
            // The first error says more than one about what is left.
            let _ = std::fs::remove_dir_all(&beside);
        }
        built
    }

    fn extract(&self, setting: &Setting, backup: &PublishedBackup, to: &Path) -> Result<()> {
        let index = IndexReader::open(&backup.open(INDEX)?)?;
        let components = &backup.manifest().components;
        let detail = components.iter().find_map(|component| match &component.detail {
            Detail::Files(files) if component.name == self.component => Some(files),
            _ => None,
        });
        let archive = backup.open(detail.map_or("files", |files| files.object.as_str()))?;
        let locate = |stored_in: &str, archive: &str| backup.locate(stored_in, archive);
        let select = |path: &Path| self.paths.iter().any(|wanted| wanted.covers(path));
        let task = format!("restore {}", self.component);
        let what = Extraction {
            archive: &archive,
            locate: Some(&locate),
            target: to,
            index: Some((&index, &self.component)),
            select: Some(&select),
            task: &task,
        };
        let extracted = extract(&what, &setting.progress, &setting.cancel)?;
        let first = extracted.incomplete.first().map(ToString::to_string).unwrap_or_default();
        super::files::warn_incomplete(setting, &self.component, extracted.incomplete_count, &first);
        Ok(())
    }
}
