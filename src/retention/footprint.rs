//! What backups take on disk. Dumps share the files of unchanged tables as hard links: such a
//! file counts once, and is freed with the last backup that has it.

use crate::catalog::BackupRecord;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What each of some backups takes, by their places in the list they were measured from.
#[derive(Debug, Default)]
pub(super) struct Footprints {
    backups: HashMap<usize, Footprint>,
    shared: Vec<Shared>,
}

#[derive(Debug, Default)]
struct Footprint {
    /// Bytes of files that no other name leads to.
    own: u64,
    /// The shared files, once for each name.
    shared: Vec<usize>,
}

/// A file with several names.
#[derive(Debug)]
struct Shared {
    bytes: u64,
    links: u64,
}

impl Footprints {
    /// Measures the published backups at `places` of `records`.
    pub(super) fn measure(records: &[BackupRecord], places: &[usize]) -> Result<Self> {
        let mut footprints = Self::default();
        let mut known = HashMap::new();
        for place in places {
            let Some(record) = records.get(*place) else { continue };
            let mut footprint = Footprint::default();
            match &record.path {
                Some(path) => footprints.walk(path, &mut footprint, &mut known)?,
                // On a store nothing is shared, and every byte counts once.
                None if record.is_published() => footprint.own = record.stored_bytes,
                None => continue,
            }
            footprints.backups.insert(*place, footprint);
        }
        Ok(footprints)
    }

    fn walk(
        &mut self,
        dir: &Path,
        footprint: &mut Footprint,
        known: &mut HashMap<(u64, u64), usize>,
    ) -> Result<()> {
        let failed = |e| Error::io("measure", dir, e);
        let entries = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let found = match entry.metadata() {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                found => found.map_err(failed)?,
            };
            // `st_blocks` counts units of 512 bytes, see stat(2).
            let bytes = found.blocks() * 512;
            if found.is_dir() {
                footprint.own += bytes;
                self.walk(&entry.path(), footprint, known)?;
            } else if found.nlink() == 1 {
                footprint.own += bytes;
            } else {
                let file = *known.entry((found.dev(), found.ino())).or_insert_with(|| {
                    self.shared.push(Shared { bytes, links: found.nlink() });
                    self.shared.len() - 1
                });
                footprint.shared.push(file);
            }
        }
        Ok(())
    }

    /// The bytes that become free when exactly the backups at `places` are deleted.
    pub(super) fn freed(&self, places: &[usize]) -> u64 {
        let mut names: HashMap<usize, u64> = HashMap::new();
        let mut bytes = 0;
        for footprint in places.iter().filter_map(|place| self.backups.get(place)) {
            bytes += footprint.own;
            footprint.shared.iter().for_each(|file| *names.entry(*file).or_default() += 1);
        }
        let last = |(file, names): (usize, u64)| {
            self.shared.get(file).filter(|shared| shared.links <= names).map_or(0, |s| s.bytes)
        };
        bytes + names.into_iter().map(last).sum::<u64>()
    }
}

/// The sum over a set of backups that becomes larger and smaller.
pub(super) struct Tally<'a> {
    footprints: &'a Footprints,
    names: HashMap<usize, u64>,
    bytes: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(footprints: &'a Footprints) -> Self {
        Self { footprints, names: HashMap::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the backup at `place`.
    pub(super) fn add(&mut self, place: usize) {
        let Some(footprint) = self.footprints.backups.get(&place) else { return };
        self.bytes += footprint.own;
        for file in &footprint.shared {
            let names = self.names.entry(*file).or_default();
            if *names == 0 {
                self.bytes += self.footprints.shared[*file].bytes;
            }
            *names += 1;
        }
    }

    /// Takes a backup out that was added.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(footprint) = self.footprints.backups.get(&place) else { return };
        self.bytes -= footprint.own;
        for file in &footprint.shared {
            let names = self.names.entry(*file).or_default();
            *names = names.saturating_sub(1);
            if *names == 0 {
                self.bytes -= self.footprints.shared[*file].bytes;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Footprints {
        /// Backups of these bytes, and files that several of them share.
        pub(crate) fn of(own: &[u64], files: &[(u64, Vec<usize>)]) -> Self {
            let mut footprints = Self::default();
            for (place, own) in own.iter().enumerate() {
                let footprint = Footprint { own: *own, shared: Vec::new() };
                footprints.backups.insert(place, footprint);
            }
            for (bytes, holders) in files {
                let file = footprints.shared.len();
                footprints.shared.push(Shared { bytes: *bytes, links: holders.len() as u64 });
                for holder in holders {
                    footprints.backups.get_mut(holder).unwrap().shared.push(file);
                }
            }
            footprints
        }

        /// The same after all backups but those at `places` were deleted.
        pub(crate) fn only(&self, places: &[usize]) -> Self {
            let shared = |file: &Shared| Shared { bytes: file.bytes, links: file.links };
            let mut footprints =
                Self { shared: self.shared.iter().map(shared).collect(), ..Self::default() };
            for (new, old) in places.iter().enumerate() {
                let Footprint { own, shared } = &self.backups[old];
                let footprint = Footprint { own: *own, shared: shared.clone() };
                footprints.backups.insert(new, footprint);
            }
            footprints
        }
    }

    #[test]
    fn a_shared_file_counts_once_and_is_freed_with_its_last_name() {
        let footprints = Footprints::of(&[10, 20, 30], &[(100, vec![0, 1]), (7, vec![1, 2])]);
        let mut tally = Tally::new(&footprints);
        (0..3).for_each(|place| tally.add(place));
        assert_eq!(tally.bytes(), 167);
        tally.remove(1);
        assert_eq!(tally.bytes(), 147);
        tally.remove(0);
        assert_eq!(tally.bytes(), 37);
        assert_eq!(footprints.freed(&[0]), 10);
        assert_eq!(footprints.freed(&[0, 1]), 130);
        assert_eq!(footprints.freed(&[0, 1, 2]), 167);
    }

    #[test]
    fn links_on_disk_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let silent = || crate::repository::BackupId::random().unwrap();
        let record = |name: &str| {
            use crate::repository::manifest::{Kind, Reason};
            let mut record = BackupRecord::in_progress(
                silent(),
                name.into(),
                "shop",
                Kind::Full,
                Reason::Manual,
                crate::clock::now(),
            );
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.join("databases/shop")).unwrap();
            record.path = Some(path);
            record
        };
        let records = [record("a"), record("b")];
        let file = |name: &str| dir.path().join(name).join("databases/shop/1.dat");
        std::fs::write(file("a"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(file("a"), file("b")).unwrap();
        let footprints = Footprints::measure(&records, &[0, 1]).unwrap();
        assert!(footprints.freed(&[0]) < 100_000);
        assert!((100_000..200_000).contains(&footprints.freed(&[0, 1])));
    }
}
