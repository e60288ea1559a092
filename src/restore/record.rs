//! The record of one restore: what was swapped, where the old state lies, how to go back.
//!
//! One JSON file in `STATE/restores/`, written before anything is built and again before
//! and after the swap. After a crash it says whether a swap was under way, and every step
//! of it can be recognised on disk, so that it can be undone from any point.

use super::Restoration;
use super::database_swap::DatabaseSwap;
use super::tree_swap::TreeSwap;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::repository::{BackupId, create_dir, write_replacing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The new state is being built beside the old.
    Building,
    /// The new state lies beside the old, verified, and waits for whoever asked for it: it stays
    /// until it goes live or is dropped.
    Built,
    /// Old and new are changing places. Undone when it is cut short.
    Swapping,
    /// The new state is live, and the containers are being started on it. The old one is made
    /// live again when it is cut short.
    Resuming,
    /// The new state is live, the old is kept aside.
    Swapped,
    /// The old state is becoming live again. Finished when it is cut short.
    SwappingBack,
    /// The old state is live again, the new is kept aside.
    RolledBack,
    /// Nothing was swapped, and what was built is removed.
    Abandoned,
    /// What was kept aside is removed.
    Purged,
}

impl Stage {
    /// The stage as JSON writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Built => "built",
            Self::Swapping => "swapping",
            Self::Resuming => "resuming",
            Self::Swapped => "swapped",
            Self::SwappingBack => "swapping_back",
            Self::RolledBack => "rolled_back",
            Self::Abandoned => "abandoned",
            Self::Purged => "purged",
        }
    }
}

/// One restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreRecord {
    /// Names this restore; part of every name it gives.
    pub key: String,
    /// Its place in the order in which restores went live, or were begun where they have not; the
    /// clock may be set back.
    #[serde(default)]
    pub sequence: u64,
    /// The backup that is restored.
    pub backup: BackupId,
    /// Its name.
    pub backup_name: String,
    /// The safety backup of what is replaced, if one was taken.
    pub safety_backup: Option<BackupId>,
    /// When it was started, UTC.
    pub started_at: Timestamp,
    /// How far it has come.
    pub stage: Stage,
    /// Whether what is built waits for a swap that is asked for by itself.
    #[serde(default)]
    pub staged: bool,
    /// File trees that change places.
    pub trees: Vec<TreeSwap>,
    /// Databases that change places.
    pub databases: Vec<DatabaseSwap>,
}

impl RestoreRecord {
    /// A restore of `backup` that begins now, after those which `state_dir` records.
    pub(super) fn begin(state_dir: &Path, backup: &BackupId, backup_name: &str) -> Result<Self> {
        let random = BackupId::random()?;
        let started_at = clock::now();
        Ok(Self {
            key: format!("{}_{}", started_at.strftime("%Y%m%d%H%M%S"), random.suffix()),
            sequence: next_sequence(state_dir)?,
            backup: backup.clone(),
            backup_name: backup_name.into(),
            safety_backup: None,
            started_at,
            stage: Stage::Building,
            staged: false,
            trees: Vec::new(),
            databases: Vec::new(),
        })
    }

    /// Where it stands when nothing is swapped, or no longer is.
    pub(super) fn unswapped(&self) -> Stage {
        if self.staged { Stage::Built } else { Stage::Abandoned }
    }

    /// Puts it after all others: one that was built before them may go live after them, and the
    /// way back is the opposite of the order in which they did.
    pub(super) fn become_newest(&mut self, state_dir: &Path) -> Result<()> {
        self.sequence = next_sequence(state_dir)?;
        Ok(())
    }

    /// Writes the record durably, with its new stage.
    pub(super) fn save(&mut self, state_dir: &Path, stage: Stage) -> Result<()> {
        self.stage = stage;
        let dir = directory(state_dir);
        create_dir(&dir)?;
        let path = dir.join(format!("{}.json", self.key));
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Code::Io, "write", path.display()).source(e))?;
        let text = padded(text);
        match write_replacing(&path, &text) {
            Err(e) if e.code() == Code::DiskFull => overwrite(&path, &text).map_err(|_| e),
            written => written,
        }
    }

    /// Takes the record away: nothing is left that it could lead to.
    pub(super) fn forget(self, state_dir: &Path) -> Result<()> {
        let path = directory(state_dir).join(format!("{}.json", self.key));
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))
    }

    /// Whether both concern a component of the same name.
    pub(super) fn shares_component_with(&self, other: &Self) -> bool {
        self.components().any(|component| other.components().any(|its| its == component))
    }

    fn components(&self) -> impl Iterator<Item = &str> {
        let trees = self.trees.iter().map(|tree| tree.component.as_str());
        trees.chain(self.databases.iter().map(|swap| swap.component.as_str()))
    }

    /// Whether the restored state is live.
    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Resuming | Stage::Swapped)
    }

    /// Whether nothing is left of what was built.
    pub(super) fn is_removed(&self) -> bool {
        self.trees.is_empty() && self.databases.is_empty()
    }

    /// Where each component is, and where what it replaced is kept.
    pub fn places(&self) -> Vec<Restoration> {
        let trees = self.trees.iter().map(|tree| Restoration {
            component: tree.component.clone(),
            place: tree.shown(&tree.live),
            kept: tree.live_existed.then(|| tree.shown(&tree.kept)),
        });
        let databases = self.databases.iter().map(|swap| Restoration {
            component: swap.component.clone(),
            place: format!("database {}", swap.database),
            kept: swap.live_existed.then(|| format!("database {}", swap.kept)),
        });
        trees.chain(databases).collect()
    }

    /// Every restore that is recorded, newest first.
    pub fn all(state_dir: &Path) -> Result<Vec<Self>> {
        let mut records =
            paths(state_dir)?.iter().map(|path| Self::read(path)).collect::<Result<Vec<_>>>()?;
        // Records of versions without a sequence are older than all others.
        records.sort_by(|a: &Self, b| (b.sequence, &b.key).cmp(&(a.sequence, &a.key)));
        Ok(records)
    }

    /// The restore that `key` names.
    pub(super) fn find(state_dir: &Path, key: &str) -> Result<Self> {
        // By its name alone: undoing one restore must not fail because of another's record.
        let named = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == key);
        match paths(state_dir)?.iter().find(|path| named(path)) {
            Some(path) => Self::read(path),
            None => Err(Error::new(Code::NothingToRollBack, "find restore", key)
                .cause("no restore has this key")
                .hint("`backstop rollback --list` shows the restores")),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(Code::Io, "read restore record", path.display()).source(e))
    }
}

fn next_sequence(state_dir: &Path) -> Result<u64> {
    // A record that cannot be read must not stand in the way of a restore.
    let readable = paths(state_dir)?.into_iter().filter_map(|path| RestoreRecord::read(&path).ok());
    Ok(readable.map(|record| record.sequence).max().unwrap_or(0) + 1)
}

/// The files of the records.
fn paths(state_dir: &Path) -> Result<Vec<PathBuf>> {
    let dir = directory(state_dir);
    let failed = |e| Error::io("list restores in", &dir, e);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The text filled up with blanks to whole blocks, so that a later stage fits over it.
fn padded(mut text: Vec<u8>) -> Vec<u8> {
    const BLOCK: usize = 4096;
    // Room for a longer stage at the same size.
    let length = (text.len() + 256).next_multiple_of(BLOCK);
    text.resize(length - 1, b' ');
    text.push(b'\n');
    text
}

/// Writes a record over what lies there, where a full disk leaves no room beside it: a stage
/// that cannot be recorded would be undone again and again.
fn overwrite(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(path)?;
    if file.metadata()?.len() != text.len() as u64 {
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(text, 0)?;
    file.sync_all()
}

fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("restores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_listed_newest_first_with_their_last_stage() {
        let dir = tempfile::tempdir().unwrap();
        let backup = BackupId::random().unwrap();
        let mut older = RestoreRecord::begin(dir.path(), &backup, "one").unwrap();
        // The clock was set back between the two.
        older.key = "29990101000000_aaaa".into();
        older.save(dir.path(), Stage::Building).unwrap();
        older.save(dir.path(), Stage::Swapped).unwrap();
        let mut newer = RestoreRecord::begin(dir.path(), &backup, "two").unwrap();
        newer.save(dir.path(), Stage::Building).unwrap();
        assert_eq!(RestoreRecord::all(dir.path()).unwrap(), vec![newer.clone(), older.clone()]);
        assert_eq!(RestoreRecord::find(dir.path(), &older.key).unwrap().stage, Stage::Swapped);
        assert!(RestoreRecord::find(dir.path(), "other").is_err());

        // It was built first, and goes live last.
        older.become_newest(dir.path()).unwrap();
        older.save(dir.path(), Stage::Swapped).unwrap();
        assert_eq!(RestoreRecord::all(dir.path()).unwrap(), vec![older.clone(), newer]);

        // A damaged record is reported where it is looked for, and hinders no restore.
        std::fs::write(directory(dir.path()).join("bad.json"), "{").unwrap();
        assert!(RestoreRecord::all(dir.path()).is_err());
        assert_eq!(RestoreRecord::find(dir.path(), &older.key).unwrap(), older);
        assert_eq!(RestoreRecord::begin(dir.path(), &backup, "three").unwrap().sequence, 4);
    }
}
