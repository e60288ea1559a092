//! A tree that was scanned at the fence and is archived later, from copies.
//!
//! The metadata wait in an unnamed temporary file, so a million files cost no memory.

mod record;

use super::{Content, Files, Opened, Source};
use crate::archive::base::{Base, Met};
use crate::archive::entry::{Entry, Kind};
use crate::archive::fault::{Fault, Trouble};
use crate::archive::proof::Proofs;
use crate::archive::scan::{Excludes, Scan, Scanned, Totals};
use crate::error::{Code, Error, Result};
use record::Record;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The metadata of a tree whose files were copied.
pub struct Spool {
    file: File,
    totals: Totals,
    proofs: Proofs,
}

impl Spool {
    /// Scans the tree at `root` and has every regular file copied that `base` does not hold:
    /// `copy` gets its entry, its number (from 0, without gaps only as long as nothing fails)
    /// and the open file. The metadata are kept in an unnamed file in the directory `scratch`.
    ///
    /// Whoever reads what was scanned must compare it with an equal base: a file that it holds
    /// has no copy.
    ///
    /// `copy` may fail with `NotFound` or `PermissionDenied`, which is recorded as a fault
    /// of the file; any other failure ends the scan.
    ///
    /// # Errors
    /// [`Code::CaptureFailed`] when a copy failed, [`Code::Interrupted`] when cancelled.
    pub fn scan(
        root: &Path,
        excludes: Excludes,
        mut base: Option<Base>,
        scratch: &Path,
        cancel: &CancellationToken,
        mut copy: impl FnMut(&Entry, u64, &File) -> io::Result<()>,
    ) -> Result<Self> {
        let failed = |e| Error::io("keep the list of files in", scratch, e);
        let mut output = BufWriter::new(tempfile::tempfile_in(scratch).map_err(failed)?);
        let mut totals = Totals::default();
        let mut number = 0;
        let mut scan = Scan::open(root, excludes)?;
        while let Some(scanned) = scan.next() {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "copy files of", root.display()));
            }
            let record = match scanned {
                Scanned::Entry(entry) if is_held(&mut base, &entry, &scan)? => Record::Entry(entry),
                Scanned::Entry(entry) if entry.kind == Kind::File => {
                    let record = copied(&mut scan, entry, number, &mut copy);
                    number += 1;
                    record.map_err(|(path, e)| {
                        Error::new(Code::CaptureFailed, "copy", root.join(path).display()).source(e)
                    })?
                }
                Scanned::Entry(entry) => Record::Entry(entry),
                Scanned::Held(held) => Record::Entry(held.row.entry),
                Scanned::Gone(_) | Scanned::Known(_) => continue,
                Scanned::Fault(fault) => Record::Fault(fault),
            };
            match &record {
                Record::Fault(_) => totals.faults += 1,
                Record::Entry(entry) | Record::Copied { entry, .. } => {
                    totals.add(&entry.path, entry.kind, entry.size);
                }
            }
            record.write(&mut output).map_err(failed)?;
        }
        let file = output.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(Self { file, totals, proofs: scan.proofs().clone() })
    }

    /// What was scanned.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The tree as a source; the copy of file `number` is `staging/number`.
    pub fn into_source(mut self, staging: &Path) -> Result<SpoolSource> {
        let rewound = self.file.flush().and_then(|()| self.file.rewind());
        rewound.map_err(|e| Error::io("read the list of files for", staging, e))?;
        let input = BufReader::with_capacity(1 << 16, self.file);
        let staging = staging.to_owned();
        Ok(SpoolSource { input, staging, proofs: self.proofs, copy: None })
    }
}

fn is_held(base: &mut Option<Base>, entry: &Entry, scan: &Scan) -> Result<bool> {
    Ok(match base {
        Some(base) => matches!(base.meet(entry, scan.proofs().cover(entry))?, Met::Held(_)),
        None => false,
    })
}

fn copied(
    scan: &mut Scan,
    mut entry: Entry,
    number: u64,
    copy: &mut impl FnMut(&Entry, u64, &File) -> io::Result<()>,
) -> Result<Record, (PathBuf, io::Error)> {
    let (file, before) = match scan.open_file(&mut entry) {
        Ok(opened) => opened,
        Err(error) => return Ok(missed(scan, &entry, &error)),
    };
    entry.refresh(&before);
    let copied = copy(&entry, number, &file);
    let attempt = copied.and_then(|()| rustix::fs::fstat(&file).map_err(io::Error::from));
    match attempt {
        Ok(after) => {
            let changed = !entry.is_unchanged(&after);
            Ok(Record::Copied { entry, number, changed })
        }
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                Ok(missed(scan, &entry, &error))
            }
            _ => Err((entry.path, error)),
        },
    }
}

fn missed(scan: &mut Scan, entry: &Entry, error: &io::Error) -> Record {
    scan.forget(entry);
    let trouble = match error.kind() {
        io::ErrorKind::NotFound => Trouble::Vanished,
        _ => Trouble::Unreadable,
    };
    Record::Fault(Fault::new(&entry.path, trouble, error))
}

/// A tree that was scanned earlier, with its files' content in numbered copies.
pub struct SpoolSource {
    input: BufReader<File>,
    staging: PathBuf,
    /// As they were when the tree was scanned: an equal base is asked with equal trust.
    proofs: Proofs,
    copy: Option<(u64, bool)>,
}

impl Source for SpoolSource {
    fn next(&mut self) -> Result<Option<Scanned>> {
        let record = Record::read(&mut self.input)
            .map_err(|e| Error::io("read the list of files for", &self.staging, e))?;
        self.copy = None;
        Ok(record.map(|record| match record {
            Record::Entry(entry) => Scanned::Entry(entry),
            Record::Fault(fault) => Scanned::Fault(fault),
            Record::Copied { entry, number, changed } => {
                self.copy = Some((number, changed));
                Scanned::Entry(entry)
            }
        }))
    }

    fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>> {
        self.open_file(entry).map(Content::File)
    }

    fn forget(&mut self, _entry: &Entry) {}
}

impl Files for SpoolSource {
    fn open_file(&mut self, _entry: &mut Entry) -> io::Result<Opened> {
        let missing = || io::Error::other("has no copy");
        let (number, changed) = self.copy.ok_or_else(missing)?;
        // Not `NotFound`: the file did not vanish, its copy did.
        let file = File::open(self.staging.join(number.to_string()))
            .map_err(|e| io::Error::other(format!("its copy cannot be read: {e}")))?;
        Ok(Opened::Copy { file, changed })
    }

    fn is_proven(&self, entry: &Entry) -> bool {
        self.proofs.cover(entry)
    }
}
