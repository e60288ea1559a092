//! File trees: what lies there now against the backup's index.

use super::{reason, walk};
use crate::archive::Base;
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::IndexReader;
use crate::backup::{INDEX, Place, Selection, Source, plain_index};
use crate::config::FileTree;
use crate::docker::Docker;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::Detail;
use crate::restore::plan::configured_tree;
use crate::setting::Setting;
use crate::storage::Blob;
use serde::Serialize;

/// How a live file tree differs from a backup of it.
///
/// Of directories only existence, owner and permissions count: their times tell of the files in
/// them. Extended attributes are not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileLosses {
    /// The component's name.
    pub tree: String,
    /// What the backup does not have.
    pub newer: Tally,
    /// What has another type, size, time, owner or permissions than in the backup, as it is now.
    pub changed: Tally,
    /// How many of the changed files have nothing but another change time (`ctime`): somebody has
    /// touched, linked or copied them, or written to them and set their time back. After a restore
    /// all files are among them.
    pub touched: u64,
    /// What the backup has and the live tree lacks, as it was then.
    pub gone: Tally,
    /// How many files and directories could not be looked at.
    pub unreadable: u64,
    /// The first paths of what is newer, or changed and not just touched, relative to the tree.
    pub examples: Vec<String>,
    /// Why nothing is known of it; then all else is empty.
    pub unknown: Option<String>,
}

/// A number of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Files of every kind but directories; each name of one with several counts.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// The bytes of the files; of one with several names they count once.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Directory => self.directories += 1,
            _ => self.files += 1,
        }
        self.bytes = self.bytes.saturating_add(entry.size);
    }

    /// How many files and directories were counted.
    pub fn entries(&self) -> u64 {
        self.files + self.directories
    }

    /// Whether nothing was counted.
    pub fn is_nothing(&self) -> bool {
        self.entries() == 0
    }
}

/// Looks at the file trees of `backup` one after the other.
pub(super) async fn count(
    setting: &Setting,
    backup: &PublishedBackup,
    selection: &Selection,
) -> Result<Vec<FileLosses>> {
    let mut trees = Vec::new();
    for component in &backup.manifest().components {
        if let Detail::Files(detail) = &component.detail
            && selection.wants_files(&component.name)
        {
            trees.push(configured_tree(&setting.config, component, detail));
        }
    }
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let (work, opened) = (setting.clone(), backup.clone());
    let index = setting.blocking(move || open_index(&work, &opened)).await;
    let index = match index {
        Ok(index) => index,
        Err(error) => {
            let why = reason(error)?;
            let unknown = |tree: FileTree| FileLosses::unknown(tree.name, why.clone());
            return Ok(trees.into_iter().map(unknown).collect());
        }
    };
    let mut found = Vec::new();
    for tree in trees {
        let name = tree.name.clone();
        found.push(match look(setting, backup, &index, tree).await {
            Ok(losses) => losses,
            Err(error) => FileLosses::unknown(name, reason(error)?),
        });
    }
    Ok(found)
}

/// The index of the backup, compared with what was written: a wrong one would make wrong numbers.
fn open_index(setting: &Setting, backup: &PublishedBackup) -> Result<IndexReader> {
    let damages = backup.check_bytes(&|object| object == INDEX, &setting.cancel, &mut |_| {})?;
    if let Some(first) = damages.first() {
        return Err(Error::new(Code::BackupDamaged, "read the index of", &backup.manifest().name)
            .cause(format!("{} {}", first.object, first.fault)));
    }
    let blob = match backup.open(INDEX) {
        Err(error) if matches!(error.code(), Code::KeyMissing | Code::KeyWrong) => {
            // The host that wrote it may have kept it in the clear.
            match plain_index(setting, &backup.manifest().id) {
                Some(kept) => Blob::file(&kept)?,
                None => return Err(error),
            }
        }
        opened => opened?,
    };
    IndexReader::open(&blob)
}

async fn look(
    setting: &Setting,
    backup: &PublishedBackup,
    index: &IndexReader,
    tree: FileTree,
) -> Result<FileLosses> {
    let docker = match (&tree.path, &tree.volume) {
        (None, Some(_)) => Some(Docker::connect().await?),
        _ => None,
    };
    let root = match Source::locate(&tree, docker.as_ref()).await?.place {
        Place::Directory(root) => root,
        Place::Container { volume, .. } => {
            return Err(Error::new(Code::PermissionDenied, "look at volume", volume).cause(
                "this process cannot read it where it lies, and Docker would hand out all of it",
            ));
        }
    };
    let base = Base::new(index, &tree.name, backup.manifest().started_at);
    let cancel = setting.cancel.clone();
    setting.blocking(move || walk::compare(&root, tree, base, &cancel)).await
}

impl FileLosses {
    fn unknown(tree: String, why: String) -> Self {
        Self { tree, unknown: Some(why), ..Self::default() }
    }

    /// Whether all of it was looked at, and nothing that is counted differs.
    pub fn is_nothing(&self) -> bool {
        let Self { newer, changed, gone, unreadable, unknown, .. } = self;
        let is_same = newer.is_nothing() && changed.is_nothing() && gone.is_nothing();
        is_same && *unreadable == 0 && unknown.is_none()
    }
}
