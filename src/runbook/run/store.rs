//! The runs of a state directory.

use super::entry::{Created, Entry, Line};
use super::journal::{FILE, Journal};
use super::recorder::Recorder;
use super::state::RunState;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::repository::{BackupId, create_dir, sync_dir, write_new};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The runbook's text beside the journal.
const TEXT: &str = "runbook.yaml";

/// The output of a step that names the restore which it made.
pub(in crate::runbook) const RESTORE: &str = "restore";

/// Where runs are kept: `runs/` in the state directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// One run on disk.
#[derive(Debug)]
pub struct Run {
    /// Its directory.
    pub dir: PathBuf,
    /// What its journal said when it was opened.
    pub state: RunState,
    /// Every line of the journal.
    pub lines: Vec<Line>,
    journal: Journal,
}

impl Store {
    /// The runs of a state directory.
    pub fn in_dir(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("runs") }
    }

    /// Begins a run: its text and its first line are durable, and nothing else has happened.
    /// `created.run` is a [`new_id`]; `created.sha256` is filled in.
    pub(in crate::runbook) fn create(&self, text: &str, mut created: Created) -> Result<Run> {
        create_dir(&self.dir)?;
        let id = created.run.clone();
        created.sha256 = sha256(text);
        // A run without its first line is none: the directory appears when it is complete.
        let (building, dir) = (self.dir.join(format!(".new-{id}")), self.dir.join(&id));
        create_dir(&building.join("logs"))?;
        write_new(&building.join(TEXT), text.as_bytes())?;
        let entry = Entry::RunCreated(Box::new(created));
        Journal::open(&building)?.append(0, entry, &|value| value, &mut |_| Ok(()))?;
        sync_dir(&building)?;
        std::fs::rename(&building, &dir).map_err(|e| Error::io("create run", &dir, e))?;
        sync_dir(&self.dir)?;
        self.open(&id)
    }

    /// The ids of all runs, newest first.
    pub fn ids(&self) -> Result<Vec<String>> {
        let failed = |e| Error::io("list the runs in", &self.dir, e);
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().join(FILE).is_file() {
                ids.push(name);
            }
        }
        ids.sort();
        ids.reverse();
        Ok(ids)
    }

    /// The run that `wanted` names: `latest`, an id, or a unique beginning or end of one.
    ///
    /// # Errors
    /// `run_not_found`; `usage` where it fits several.
    pub fn find(&self, wanted: &str) -> Result<Run> {
        let ids = self.ids()?;
        let missing = |cause: &str| Error::new(Code::RunNotFound, "find run", wanted).cause(cause);
        if wanted == "latest" {
            let id = ids.first().ok_or_else(|| missing("there is none yet"))?;
            return self.open(id);
        }
        let fits = |id: &&String| id.starts_with(wanted) || id.ends_with(wanted);
        let fitting: Vec<&String> =
            ids.iter().filter(|_| !wanted.is_empty()).filter(fits).collect();
        match fitting.as_slice() {
            [only] => self.open(only),
            [] => Err(missing("no id begins or ends so")),
            several => match several.iter().find(|id| id.as_str() == wanted) {
                Some(id) => self.open(id),
                None => Err(Error::new(Code::Usage, "find run", wanted)
                    .cause(format!("{} runs fit", several.len()))
                    .hint("give more of its id; `backstop runbook status` lists them")),
            },
        }
    }

    /// The run of this whole id.
    ///
    /// # Errors
    /// `run_damaged` where its journal cannot be understood.
    pub fn open(&self, id: &str) -> Result<Run> {
        let dir = self.dir.join(id);
        let mut journal = Journal::open(&dir)?;
        let lines = journal.read()?;
        let damaged = || Error::new(Code::RunDamaged, "read the journal of run", id);
        let mut state = lines
            .first()
            .and_then(RunState::begin)
            .ok_or_else(|| damaged().cause("its first line is missing"))?;
        lines.iter().skip(1).for_each(|line| state.apply(line));
        Ok(Run { dir, state, lines, journal })
    }

    /// How large the journal of a run is.
    pub(in crate::runbook) fn journal_bytes(&self, id: &str) -> Result<u64> {
        let path = self.dir.join(id).join(FILE);
        let meta = std::fs::metadata(&path).map_err(|e| Error::io("look at", &path, e))?;
        Ok(meta.len())
    }

    /// The run that made the restore `key`, as far as runs can be read.
    pub fn of_restore(&self, key: &str) -> Result<Option<Run>> {
        Ok(self.all(|_| {})?.into_iter().find(|run| run.made(key)))
    }

    /// Every run, newest first; one that cannot be read is left out and told by `complain`.
    pub fn all(&self, mut complain: impl FnMut(Error)) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for id in self.ids()? {
            match self.open(&id) {
                Ok(run) => runs.push(run),
                Err(error) => complain(error),
            }
        }
        Ok(runs)
    }
}

impl Run {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.state.created.run
    }

    /// Whether one of its steps made the restore `key`.
    pub fn made(&self, key: &str) -> bool {
        let mut units = self.state.units.values();
        units.any(|unit| unit.outputs.get(RESTORE).is_some_and(|made| made == key))
    }

    /// The text with which it was begun.
    ///
    /// # Errors
    /// `run_damaged` where it is not that text any more.
    pub fn text(&self) -> Result<String> {
        let path = self.dir.join(TEXT);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        match sha256(&text) == self.state.created.sha256 {
            true => Ok(text),
            false => Err(Error::new(Code::RunDamaged, "read", path.display())
                .cause("it is not the text with which the run was begun")),
        }
    }

    /// How many bytes of its journal were read.
    pub fn journal_bytes(&self) -> u64 {
        self.journal.len()
    }

    /// Where the output of one attempt lies.
    pub fn log_file(&self, unit: &str, attempt: u32) -> PathBuf {
        log_file(&self.dir, unit, attempt)
    }

    pub(in crate::runbook) fn into_recorder(self) -> Recorder {
        Recorder::new(self.journal, self.state)
    }
}

/// Where the output of one attempt of a run in `dir` lies.
pub(in crate::runbook) fn log_file(dir: &Path, unit: &str, attempt: u32) -> PathBuf {
    dir.join("logs").join(format!("{unit}.{attempt}.log"))
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// `20261121030000123_4f2a9c01`: when, to the millisecond, so that the newest is the last by name,
/// and random digits.
pub fn new_id() -> Result<String> {
    let stamp = clock::now().strftime("%Y%m%d%H%M%S%3f");
    Ok(format!("{stamp}_{}", BackupId::random()?.short()))
}
