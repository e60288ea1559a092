//! The file trees of a backup: taken at the instant, archived now or later.

use super::parent::ParentTrees;
use super::plain::{Plain, PlainFile};
use super::plan::PlannedSource;
use super::sources::Place;
use crate::archive::index::{IndexWriter, StoredIndex};
use crate::archive::scan::Excludes;
use crate::archive::source::{
    Compared, LiveSource, ReadAhead, Source as Files, Spool, StreamSource,
};
use crate::archive::{Base, Lists, Tree, WrittenTree, settle_mappings, write_tree};
use crate::docker::Docker;
use crate::error::{Error, Result};
use crate::fence::capture::{Captured, Plan as CapturePlan, mounts_below};
use crate::fence::{Hold, JournalCapture};
use crate::repository::manifest::{Component, Detail, Elsewhere, FilesDetail, Object};
use crate::repository::{BackupId, create_dir};
use crate::setting::Setting;
use std::path::{Path, PathBuf};
use tokio_util::io::SyncIoBridge;

/// The index of a backup, relative to its directory.
pub(crate) const INDEX: &str = "files/index.parquet";

/// What differs in its trees from the backup it builds upon, likewise.
pub(crate) const CHANGES: &str = "files/changes.parquet";

/// A tree and how it will be captured; decided before anything is held.
pub(super) struct Job {
    planned: PlannedSource,
    capture: Option<CapturePlan>,
}

impl Job {
    /// Decides how each tree is captured.
    pub(super) fn plan(planned: Vec<PlannedSource>, id: &BackupId) -> Result<Vec<Self>> {
        planned
            .into_iter()
            .map(|planned| {
                let tree = &planned.source.tree;
                let capture = match &planned.source.place {
                    Place::Directory(path) => {
                        Some(CapturePlan::new(path, &tree.name, tree.capture, id.as_str())?)
                    }
                    Place::Container { .. } => None,
                };
                Ok(Self { planned, capture })
            })
            .collect()
    }

    /// Writes what is dirty in the tree to the disk, on every file system in it, which then need
    /// not be done while the writers are held. Blocking.
    fn settle(&self) -> Result<()> {
        match &self.planned.source.place {
            Place::Directory(root) => settle_mappings(root, &mounts_below(root)?),
            Place::Container { .. } => Ok(()),
        }
    }

    /// What the journal must know before the capture exists.
    pub(super) fn journal_entry(&self) -> Option<JournalCapture> {
        self.capture.as_ref().and_then(CapturePlan::journal_entry)
    }
}

/// Does for all jobs what can be done before anything is held.
pub(super) fn settle(jobs: Vec<Job>) -> Result<Vec<Job>> {
    jobs.iter().try_for_each(Job::settle)?;
    Ok(jobs)
}

/// A tree that was captured and is archived later.
struct Deferred {
    job: Job,
    captured: Captured,
    spool: Option<Spool>,
}

/// What was archived.
pub(super) struct Archived {
    pub(super) components: Vec<Component>,
    /// Size and hash of every archive as it was written.
    pub(super) objects: Vec<Object>,
    /// The index as it was before it was encrypted, if it was.
    pub(super) index: Option<PlainFile>,
    /// Files that changed or vanished under the reader, as `COMPONENT/path`.
    pub(super) changed: Vec<String>,
}

/// Writes the archives of a backup and the lists they share.
pub(super) struct Writer {
    dir: PathBuf,
    id: BackupId,
    lists: Lists,
    /// Where the index and the changes are written: in the backup, or in the state directory
    /// where they have to be encrypted yet.
    plain: (PathBuf, PathBuf),
    parent: Option<ParentTrees>,
    archived: Archived,
    deferred: Vec<Deferred>,
    setting: Setting,
}

impl Writer {
    /// Creates the index below `dir`, the directory of the backup. What `parent` holds is not
    /// stored again.
    pub(super) fn create(
        dir: &Path,
        id: &BackupId,
        parent: Option<ParentTrees>,
        setting: &Setting,
    ) -> Result<Self> {
        create_dir(&dir.join("files"))?;
        let plain = match setting.recipients.are_there() {
            true => {
                let plain = Plain::create(setting, id)?;
                (plain.index(), plain.changes())
            }
            false => (dir.join(INDEX), dir.join(CHANGES)),
        };
        let changes = parent.as_ref().map(|_| IndexWriter::create_changes(&plain.1)).transpose()?;
        Ok(Self {
            dir: dir.to_path_buf(),
            id: id.clone(),
            lists: Lists::new(IndexWriter::create(&plain.0)?, changes),
            plain,
            parent,
            archived: Archived {
                components: Vec::new(),
                objects: Vec::new(),
                index: None,
                changed: Vec::new(),
            },
            deferred: Vec::new(),
            setting: setting.clone(),
        })
    }

    /// Takes every tree, now: what cannot be captured is archived before this returns.
    pub(super) async fn capture(
        mut self,
        jobs: Vec<Job>,
        docker: Option<&Docker>,
        hold: &Hold,
    ) -> Result<Self> {
        for job in jobs {
            self = match (&job.capture, &job.planned.source.place) {
                (Some(_), Place::Directory(_)) => {
                    let journal = hold.journal().clone();
                    let setting = self.setting.clone();
                    setting.blocking(move || self.take(job, &journal)).await?
                }
                _ => self.download(job, docker).await?,
            };
        }
        Ok(self)
    }

    fn take(
        mut self,
        job: Job,
        journal: &std::sync::Arc<crate::fence::LiveJournal>,
    ) -> Result<Self> {
        let Some(plan) = &job.capture else { return Ok(self) };
        // The writers are held: nothing becomes dirty behind this.
        job.settle()?;
        let captured = plan.take(journal, &self.setting.progress)?;
        let Place::Directory(root) = job.planned.source.place.clone() else { return Ok(self) };
        let excludes = Excludes::new(&job.planned.source.tree.exclude)?;
        let spool = match &captured {
            Captured::Live => {
                let live = LiveSource::open(&root, excludes)?;
                let mut files = ReadAhead::start(Compared::new(live, self.base(&job)))?;
                self.write(&job, &mut files, captured.method().as_str())?;
                return Ok(self);
            }
            Captured::Directory(_) => None,
            Captured::Staging(staging) => {
                let copy =
                    |_: &_, number, file: &std::fs::File| staging.reflink(file, number).map(drop);
                let (base, cancel) = (self.base(&job), &self.setting.cancel);
                Some(Spool::scan(&root, excludes, base, &self.dir, cancel, copy)?)
            }
        };
        self.deferred.push(Deferred { job, captured, spool });
        Ok(self)
    }

    /// Archives a volume from Docker's archive API.
    async fn download(mut self, job: Job, docker: Option<&Docker>) -> Result<Self> {
        let (Place::Container { id, path, .. }, Some(docker)) = (&job.planned.source.place, docker)
        else {
            return Ok(self);
        };
        let stream = docker.download(id, path).await?;
        let prefix = PathBuf::from(path.file_name().unwrap_or_default());
        let setting = self.setting.clone();
        setting
            .blocking(move || {
                let excludes = Excludes::new(&job.planned.source.tree.exclude)?;
                let name = job.planned.source.tree.name.clone();
                let bridge = SyncIoBridge::new(stream);
                let mut files = StreamSource::new(bridge, &name, &prefix, excludes);
                self.write(&job, &mut files, "docker")?;
                Ok(self)
            })
            .await
    }

    /// Archives what was only captured, removes the captures, and ends the index.
    pub(super) async fn finish(self) -> Result<Archived> {
        let setting = self.setting.clone();
        setting.blocking(move || self.finish_now()).await
    }

    fn finish_now(mut self) -> Result<Archived> {
        for Deferred { job, captured, spool } in std::mem::take(&mut self.deferred) {
            let method = captured.method().as_str();
            match (&captured, spool) {
                (Captured::Directory(directory), _) => {
                    let excludes = Excludes::new(&job.planned.source.tree.exclude)?;
                    let live = LiveSource::open(directory.path(), excludes)?;
                    let mut files = ReadAhead::start(Compared::new(live, self.base(&job)))?;
                    self.write(&job, &mut files, method)?;
                }
                (Captured::Staging(staging), Some(spool)) => {
                    let spool = spool.into_source(staging.path())?;
                    let mut files = ReadAhead::start(Compared::new(spool, self.base(&job)))?;
                    self.write(&job, &mut files, method)?;
                }
                _ => {}
            }
            if let Err(e) = captured.remove() {
                // The guardian tries again; the backup is complete without it.
                self.setting.progress.warn(e.code(), e.to_string());
            }
        }
        let Self { dir, lists, plain, mut archived, setting, .. } = self;
        let remove = |path: &Path| match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
            _ => Ok(()),
        };
        if archived.components.is_empty() {
            drop(lists);
            remove(&plain.1)?;
            let files = dir.join("files");
            std::fs::remove_dir_all(&files).map_err(|e| Error::io("remove", &files, e))?;
            return Ok(archived);
        }
        let (index, changes) = lists.finish()?;
        archived.index = Some(PlainFile { size: index.size, sha256: index.sha256.clone() });
        archived.objects.push(seal(&setting, &dir, INDEX, &plain.0, index)?);
        let is_compared = |component: &Component| component.changes_since().is_some();
        match changes {
            Some(changes) if archived.components.iter().any(is_compared) => {
                archived.objects.push(seal(&setting, &dir, CHANGES, &plain.1, changes)?);
                if setting.recipients.are_there() {
                    remove(&plain.1)?;
                }
            }
            // They would be the index once more.
            _ => remove(&plain.1)?,
        }
        Ok(archived)
    }

    /// The tree as the parent has it, where it can be compared before a file is read.
    fn base(&self, job: &Job) -> Option<Base> {
        is_comparable(job).then(|| self.known(job)).flatten()
    }

    /// The tree as the parent has it.
    fn known(&self, job: &Job) -> Option<Base> {
        self.parent.as_ref()?.base(&job.planned.source.tree.name)
    }

    fn write(&mut self, job: &Job, files: &mut dyn Files, method: &str) -> Result<()> {
        let tree = &job.planned.source.tree;
        let object = format!("files/{}.tar.zst", tree.name);
        let archive = self.dir.join(self.setting.recipients.stored_name(&object));
        let what = Tree {
            component: &tree.name,
            archive: &archive,
            object: &object,
            recipients: &self.setting.recipients,
            stored_in: self.id.as_str(),
            level: self.setting.config.repository.compression_level,
            contents: self.parent.as_ref().map(ParentTrees::contents),
            total_bytes: Some(job.planned.source_bytes).filter(|bytes| *bytes > 0),
        };
        // What was not compared while it was read is compared as it was read.
        let known = if is_comparable(job) { None } else { self.known(job) };
        self.lists.compare(known);
        let written = write_tree(
            &what,
            files,
            &mut self.lists,
            &self.setting.progress,
            &self.setting.cancel,
        )?;
        self.note(job, object, written, method)
    }

    fn note(
        &mut self,
        job: &Job,
        object: String,
        written: WrittenTree,
        method: &str,
    ) -> Result<()> {
        let tree = &job.planned.source.tree;
        let elsewhere = written
            .elsewhere
            .into_iter()
            .map(|(backup, object)| Ok(Elsewhere { backup: BackupId::try_from(backup)?, object }));
        let elsewhere = elsewhere.collect::<Result<_>>()?;
        let changed = written.changed.iter().map(|path| format!("{}/{path}", tree.name));
        self.archived.changed.extend(changed);
        self.archived.objects.push(Object {
            path: self.setting.recipients.stored_name(&object),
            size: written.stored.size,
            sha256: written.stored.sha256,
        });
        self.archived.components.push(Component {
            name: tree.name.clone(),
            source_bytes: written.source_bytes,
            stored_bytes: written.stored.size,
            file_count: written.file_count,
            detail: Detail::Files(FilesDetail {
                path: match &job.planned.source.place {
                    Place::Directory(path) => Some(path.clone()),
                    Place::Container { .. } => None,
                },
                volume: tree.volume.clone(),
                object,
                elsewhere,
                changes_since: self.known(job).and(self.parent.as_ref()).map(|it| it.id().clone()),
                capture: method.into(),
                exclude: tree.exclude.clone(),
                unreadable: written.unreadable,
            }),
        });
        Ok(())
    }
}

/// Whether the tree is compared with the parent's while it is read: a stream is not.
fn is_comparable(job: &Job) -> bool {
    matches!(job.planned.source.place, Place::Directory(_))
}

/// Encrypts a list that was written to `plain`, where it has to be; the object it is then.
fn seal(
    setting: &Setting,
    dir: &Path,
    object: &str,
    plain: &Path,
    StoredIndex { size, sha256, .. }: StoredIndex,
) -> Result<Object> {
    let path = setting.recipients.stored_name(object);
    if !setting.recipients.are_there() {
        return Ok(Object { path, size, sha256 });
    }
    let (_, stored) = setting.recipients.seal_file(plain, &dir.join(&path), &setting.cancel)?;
    Ok(Object { path, size: stored.size, sha256: stored.sha256 })
}
