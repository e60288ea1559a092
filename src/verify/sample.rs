//! Samples: each reads those parts of the repository that were read longest ago, so that
//! everything is read in time.

use super::coverage::{Coverage, forget_others};
use super::{Opened, Verification, finish, opened};
use crate::archive::frame::FrameReader;
use crate::backup::{lock, open_repository};
use crate::catalog::{BackupRecord, Catalog, Sampled, VerifyLevel};
use crate::clock;
use crate::error::Result;
use crate::progress::Event as ProgressEvent;
use crate::repository::manifest::{Detail, Object};
use crate::repository::{Damage, LockMode, PublishedBackup, Repository, hash_blob, is_no_damage};
use crate::setting::Setting;
use crate::size;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

/// An archive larger than this is read in parts of about this many stored bytes.
const PART: u64 = 64 << 20;

/// How much a sample reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// So many hundredths of all stored bytes.
    Percent(f64),
    /// So many stored bytes.
    Bytes(u64),
}

impl FromStr for Share {
    type Err = String;

    /// Reads `5%` or `2GiB`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            let bytes = size::parse(text)
                .map_err(|_| format!("`{text}` is no share such as 5% or 2GiB"))?;
            return if bytes > 0 {
                Ok(Self::Bytes(bytes))
            } else {
                Err("nothing is no sample".into())
            };
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::Percent(percent)),
            _ => Err(format!("`{text}` is no share above 0% and up to 100%")),
        }
    }
}

impl Share {
    fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => (total as f64 * percent / 100.0).ceil() as u64,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Reads a part of what `records` store: whole files compared with their SHA-256, and of
/// archives above 64 MiB parts, whose frames are compared with their checksums. What was read
/// longest ago, or never, comes first. Records a result for every backup that was touched.
///
/// # Errors
/// `interrupted`; what was read until then counts.
pub async fn sample(
    setting: &Setting,
    records: &[BackupRecord],
    share: Share,
) -> Result<Vec<Verification>> {
    let repository = open_repository(setting)?;
    let _lock = lock(setting, &repository, LockMode::Shared).await?;
    let all = Catalog::of(&setting.config).session(&setting.progress)?.list()?;
    let known = all.iter().map(|record| record.id.as_str()).collect();
    forget_others(&setting.config.catalog_dir(), &known);
    let (part, records) = (setting.clone(), records.to_vec());
    setting.blocking(move || Round::prepare(&part, &repository, records)?.read(share)).await
}

/// Something that is read at once.
struct Unit {
    /// Of a backup in [`Round::backups`].
    backup: usize,
    object: usize,
    name: String,
    bytes: u64,
    frames: Option<Range<usize>>,
    read_at: Option<Timestamp>,
}

struct Round<'a> {
    setting: &'a Setting,
    repository: &'a Repository,
    backups: Vec<(BackupRecord, PublishedBackup, Coverage)>,
    units: Vec<Unit>,
    unreadable: Vec<(BackupRecord, Damage)>,
}

impl<'a> Round<'a> {
    /// Lists everything that could be read, what was read longest ago first.
    fn prepare(
        setting: &'a Setting,
        repository: &'a Repository,
        records: Vec<BackupRecord>,
    ) -> Result<Self> {
        let (backups, units, unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let mut round = Self { setting, repository, backups, units, unreadable };
        for record in records {
            match opened(repository, &record)? {
                Opened::Readable(backup) => {
                    let coverage = Coverage::read(&setting.config.catalog_dir(), &record.id);
                    round.backups.push((record, *backup, coverage));
                    round.list(round.backups.len() - 1)?;
                }
                Opened::Damaged(damage) => round.unreadable.push((record, damage)),
                Opened::Deleted => {}
            }
        }
        // Sorting is stable: of the same age, the newest backup comes first.
        round.units.sort_by_key(|unit| unit.read_at);
        Ok(round)
    }

    fn list(&mut self, number: usize) -> Result<()> {
        let (_, backup, coverage) = &self.backups[number];
        let archives: BTreeSet<&str> = backup
            .manifest()
            .components
            .iter()
            .filter_map(|component| match &component.detail {
                Detail::Files(files) => Some(files.object.as_str()),
                _ => None,
            })
            .collect();
        for (place, object) in backup.manifest().objects.iter().enumerate() {
            // What is encrypted has no parts that can be compared without its key.
            let parts = match archives.contains(object.path.as_str()) && object.size > PART {
                true => parts(backup, object),
                false => vec![(object.size, None)],
            };
            for (bytes, frames) in parts {
                let name = match &frames {
                    Some(frames) => format!("{}#{}", object.path, frames.start),
                    None => object.path.clone(),
                };
                let read_at = coverage.of(&name);
                self.units.push(Unit {
                    backup: number,
                    object: place,
                    name,
                    bytes,
                    frames,
                    read_at,
                });
            }
        }
        Ok(())
    }

    fn read(mut self, share: Share) -> Result<Vec<Verification>> {
        let state_dir = &self.setting.config.catalog_dir();
        let total: u64 = self.units.iter().map(|unit| unit.bytes).sum();
        let (budget, mut taken) = (share.of(total), 0);
        let mut damages: BTreeMap<usize, Vec<Damage>> = BTreeMap::new();
        let task = "verify a sample".to_owned();
        let progress = &self.setting.progress;
        let total_bytes = Some(budget.min(total));
        progress.report(ProgressEvent::Started { task: task.clone(), total_bytes });
        let mut stopped = None;
        for unit in &mut self.units {
            if taken >= budget {
                break;
            }
            let (_, backup, coverage) = &mut self.backups[unit.backup];
            let found = match check(self.setting, backup, unit) {
                Ok(found) => found,
                Err(e) => {
                    stopped = Some(e);
                    break;
                }
            };
            let now = clock::now();
            coverage.note(&unit.name, now);
            unit.read_at = Some(now);
            taken += unit.bytes;
            damages.entry(unit.backup).or_default().extend(found);
            progress.report(ProgressEvent::Advanced { task: task.clone(), bytes: unit.bytes });
        }
        progress.report(ProgressEvent::Finished { task });
        let mut results = Vec::new();
        for (record, damage) in &self.unreadable {
            let level = (VerifyLevel::Full, None);
            let damages = vec![damage.clone()];
            results.extend(finish(self.setting, self.repository, record, level, damages)?);
        }
        for (number, found) in damages {
            let (record, backup, coverage) = &self.backups[number];
            let mut all = backup.check_sizes()?;
            all.extend(backup.check_references(&|_| true)?);
            for damage in found {
                if !all.iter().any(|known| known.object == damage.object) {
                    all.push(damage);
                }
            }
            let level = (VerifyLevel::Full, Some(self.sampled(number)));
            let found = finish(self.setting, self.repository, record, level, all)?;
            // What a disk that is gone did not give was not read.
            coverage.save(state_dir, &record.id)?;
            results.extend(found);
        }
        if let Some(error) = stopped {
            return Err(error);
        }
        Ok(results)
    }

    /// How much of a backup was ever read.
    fn sampled(&self, number: usize) -> Sampled {
        let units: Vec<&Unit> = self.units.iter().filter(|unit| unit.backup == number).collect();
        let bytes = |units: &mut dyn Iterator<Item = &&Unit>| units.map(|unit| unit.bytes).sum();
        Sampled {
            covered_bytes: bytes(&mut units.iter().filter(|unit| unit.read_at.is_some())),
            total_bytes: bytes(&mut units.iter()),
            // Never comes before every time.
            oldest: units.iter().map(|unit| unit.read_at).min().flatten(),
        }
    }
}

/// The parts of an archive; the whole where its table cannot be read, which its hash tells.
fn parts(backup: &PublishedBackup, object: &Object) -> Vec<(u64, Option<Range<usize>>)> {
    let opened = backup.open(&object.path).and_then(|blob| FrameReader::open(&blob));
    let Ok(frames) = opened else { return vec![(object.size, None)] };
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (number, frame) in frames.table().frames().iter().enumerate() {
        bytes += u64::from(frame.stored);
        if bytes >= PART {
            parts.push((bytes, Some(start..number + 1)));
            (start, bytes) = (number + 1, 0);
        }
    }
    if bytes > 0 {
        parts.push((bytes, Some(start..frames.table().frames().len())));
    }
    parts
}

/// What is wrong with one unit.
fn check(setting: &Setting, backup: &PublishedBackup, unit: &Unit) -> Result<Vec<Damage>> {
    let object = &backup.manifest().objects[unit.object];
    let read = match &unit.frames {
        Some(frames) => backup
            .open(&object.path)
            .and_then(|blob| FrameReader::open(&blob))
            .and_then(|it| it.check(frames.clone(), &setting.cancel))
            .map(|()| true),
        None => backup
            .stored(&object.path)
            .and_then(|blob| hash_blob(&setting.cancel, &blob))
            .map(|(size, sha256)| size == object.size && sha256 == object.sha256),
    };
    match read {
        Ok(true) => Ok(Vec::new()),
        Ok(false) => Ok(vec![Damage::new(&object.path, "has other bytes than were written")]),
        Err(e) if is_no_damage(&e) => Err(e),
        Err(e) => Ok(vec![Damage::new(&object.path, &e.to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_size() {
        assert_eq!("5%".parse(), Ok(Share::Percent(5.0)));
        assert_eq!("0.5 %".parse(), Ok(Share::Percent(0.5)));
        assert_eq!("2GiB".parse(), Ok(Share::Bytes(2 << 30)));
        for wrong in ["0%", "101%", "-1%", "%", "", "0", "some"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert_eq!(Share::Percent(50.0).of(3), 2);
    }
}
