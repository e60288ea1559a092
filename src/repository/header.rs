//! `backstop-repository.json`: the file that makes a directory or a store a repository.

use super::lease::{self, LEASES, Pace};
use super::manifest::FORMAT;
use super::probe::{Probe, probe};
use super::relocation::{MovedTo, MovingFrom, Way, refuse, refuse_elsewhere};
use super::{BACKUPS, BackupId, write_replacing};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::storage::Storage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "backstop-repository.json";

/// How the claims of those begin who are creating a repository on a store.
const CLAIM: &str = "create-";

/// How often one that creates a repository makes way for others who do so too.
const ATTEMPTS: usize = 20;

/// What helps where the header is damaged or gone.
const MEND: &str = "write it again as docs/repository-format.md says, with the `repository_id` of \
                    the manifest of any of its backups; they are whole without it";

/// Format version and identity of a repository.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    pub(super) id: String,
    created_at: Timestamp,
    /// What the store was found to do; none in a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<Probe>,
    /// On a store: where the repository has gone to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_to: Option<PathBuf>,
    /// On a store: from where the repository is still coming here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moving_from: Option<PathBuf>,
}

impl Header {
    /// Reads the header of the repository at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        refuse_elsewhere(path)?;
        let file = path.join(NAME);
        match std::fs::read(&file) {
            Ok(text) => Self::parse(&text, &file.to_string_lossy(), &path.to_string_lossy()),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                let has_backups = std::fs::read_dir(path.join(BACKUPS))
                    .is_ok_and(|mut entries| entries.next().is_some());
                Err(match has_backups {
                    true => lost(&path.to_string_lossy()),
                    false => missing(&path.to_string_lossy()),
                })
            }
            Err(e) => Err(Error::io("read", &file, e)),
        }
    }

    /// Reads the header of the repository on a store.
    pub(super) fn read_from(storage: &dyn Storage) -> Result<Self> {
        let Some(header) = Self::look(storage)? else {
            return Err(match storage.names(BACKUPS)?.is_empty() {
                true => missing(&storage.shown("")),
                false => lost(&storage.shown("")),
            });
        };
        refuse(&storage.shown(""), header.gone(), header.coming())?;
        Ok(header)
    }

    /// The header on a store, wherever the repository is now; none where there is none.
    pub(super) fn look(storage: &dyn Storage) -> Result<Option<Self>> {
        let text = storage.read(NAME)?;
        text.map(|text| Self::parse(&text, &storage.shown(NAME), &storage.shown(""))).transpose()
    }

    /// Where the repository has gone to from this store.
    pub(super) fn gone(&self) -> Option<MovedTo> {
        self.moved_to.clone().map(|to| MovedTo { id: self.id.clone(), to })
    }

    /// From where it is still coming to this store.
    pub(super) fn coming(&self) -> Option<MovingFrom> {
        self.moving_from.clone().map(|from| MovingFrom { id: self.id.clone(), from })
    }

    /// Says on a store that the repository is on its way, or lies there again.
    pub(super) fn mark(mut self, storage: &dyn Storage, way: Way<'_>) -> Result<()> {
        (self.moved_to, self.moving_from) = match way {
            Way::To(to) => (Some(to.to_path_buf()), None),
            Way::From(from) => (None, Some(from.to_path_buf())),
            Way::Here => (None, None),
        };
        storage.write(NAME, &self.text(&storage.shown(""))?)
    }

    fn parse(text: &[u8], file: &str, repository: &str) -> Result<Self> {
        let header: Self = serde_json::from_slice(text)
            .map_err(|e| Error::new(Code::RepositoryFormat, "read", file).source(e).hint(MEND))?;
        if header.format > FORMAT {
            return Err(Error::new(Code::RepositoryFormat, "open repository", repository)
                .cause(format!("it has format {}, this version knows {FORMAT}", header.format)));
        }
        Ok(header)
    }

    /// A new one; `id` is that of the repository it is to be a copy of.
    fn new(id: Option<&str>, store: Option<Probe>) -> Result<Self> {
        let id = id.map_or_else(|| BackupId::random().map(String::from), |id| Ok(id.to_owned()))?;
        let created_at = clock::now();
        Ok(Self { format: FORMAT, id, created_at, store, moved_to: None, moving_from: None })
    }

    fn text(&self, repository: &str) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| {
            Error::new(Code::RepositoryFormat, "write header of", repository).source(e)
        })?;
        text.push(b'\n');
        Ok(text)
    }

    /// Makes the directory at `path` a repository.
    pub(super) fn create(path: &Path, id: Option<&str>) -> Result<()> {
        write_replacing(&path.join(NAME), &Self::new(id, None)?.text(&path.to_string_lossy())?)
    }

    /// Makes a prefix of a store a repository, unless somebody else does so at the same time.
    ///
    /// Each claims it before looking whether others do, and makes way if so. So of several, one
    /// at most has seen no claim but its own. Those of one repository's own copy or move write the
    /// same header, so they do not heed each other, nor what a killed one left.
    ///
    /// # Errors
    /// `repository_not_found` where something else lies there, `storage_failed` where the store
    /// is not fit.
    pub(super) fn create_on(storage: &dyn Storage, id: Option<&str>, pace: Pace) -> Result<()> {
        Self::create_coming(storage, id, None, pace)
    }

    /// The same for a repository that is still coming there.
    pub(super) fn create_coming(
        storage: &dyn Storage,
        id: Option<&str>,
        from: Option<&Path>,
        pace: Pace,
    ) -> Result<()> {
        refuse_foreign(storage)?;
        let store = probe(storage)?;
        let header =
            Self { moving_from: from.map(Path::to_path_buf), ..Self::new(id, Some(store))? }
                .text(&storage.shown(""))?;
        let unique = BackupId::random()?;
        let (ours, claim) = match id {
            Some(id) => (format!("{CLAIM}{id}-"), format!("{LEASES}/{CLAIM}{id}-{unique}")),
            None => (format!("{CLAIM}{unique}"), format!("{LEASES}/{CLAIM}{unique}")),
        };
        for attempt in 1..=ATTEMPTS {
            storage.write(&claim, b"")?;
            let alone = is_alone(storage, &claim, &ours, pace)?;
            let created = match alone && storage.size(NAME)?.is_none() {
                true => storage.write(NAME, &header),
                false => Ok(()),
            };
            storage.remove(&claim)?;
            created?;
            if storage.size(NAME)?.is_some() {
                return forget_claims(storage, &ours);
            }
            std::thread::sleep(pace.age.mul_f64(attempt as f64 / 10.0 * fraction(&claim, attempt)));
        }
        Err(Error::new(Code::Locked, "create repository in", storage.shown(""))
            .cause("others are doing so as well, or one of them died"))
    }
}

/// Whether nobody else claims the prefix, whose claims do not begin with `ours`. Who died while
/// claiming it is forgotten.
fn is_alone(storage: &dyn Storage, claim: &str, ours: &str, pace: Pace) -> Result<bool> {
    let mut alone = true;
    for name in storage.names(LEASES)? {
        let object = format!("{LEASES}/{name}");
        if !name.starts_with(CLAIM) || name.starts_with(ours) {
            continue;
        }
        match lease::age(storage, &object, claim)? {
            Some(age) if age > pace.stale => storage.remove(&object)?,
            // One that is gone meanwhile was there when it was listed.
            _ => alone = false,
        }
    }
    Ok(alone)
}

/// Removes what killed ones of ours left.
fn forget_claims(storage: &dyn Storage, ours: &str) -> Result<()> {
    let names = storage.names(LEASES)?;
    let mut left = names.iter().filter(|name| name.starts_with(ours));
    left.try_for_each(|name| storage.remove(&format!("{LEASES}/{name}")))
}

/// Some number from 0 to 1 that others do not have at the same time.
fn fraction(claim: &str, attempt: usize) -> f64 {
    let digit = claim.chars().rev().nth(attempt).and_then(|digit| digit.to_digit(16));
    f64::from(digit.unwrap_or(8)) / 16.0
}

fn missing(repository: &str) -> Error {
    Error::new(Code::RepositoryNotFound, "open repository", repository)
        .cause("it holds no backstop-repository.json")
}

/// Backups without a header: to begin another repository beside them would lose their history.
fn lost(repository: &str) -> Error {
    Error::new(Code::RepositoryFormat, "open repository", repository)
        .cause("it holds backups, and no backstop-repository.json")
        .hint(MEND)
}

/// A prefix in which something else lies is not taken.
fn refuse_foreign(storage: &dyn Storage) -> Result<()> {
    let ours = [LEASES, NAME];
    match storage.names("")?.iter().find(|name| !ours.contains(&name.as_str())) {
        None => Ok(()),
        // Another host was quicker, and uses it already.
        Some(_) if storage.size(NAME)?.is_some() => Ok(()),
        Some(first) => {
            Err(Error::new(Code::RepositoryNotFound, "create repository in", storage.shown(""))
                .cause(format!("`{first}` lies there, and no backstop-repository.json"))
                .hint("choose an empty or a new prefix in repository.url"))
        }
    }
}
