//! The journal file: one JSON object a line, each durable before anybody acts upon it.
//!
//! Runners and people in other shells append to it, one at a time (`flock(2)` on a file beside
//! it). A line that a crash cut short is no line; its number is then used again.

use super::entry::{Entry, Line};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::repository::{Lock, LockMode};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in the directory of a run.
pub(super) const FILE: &str = "journal.jsonl";
/// How long one line of another process takes at most.
const WAIT: Duration = Duration::from_secs(30);
/// No journal becomes longer.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Where the lines that are known end.
    offset: u64,
    /// The number of the last line.
    seq: u64,
}

impl Journal {
    /// Opens the journal in `dir`, a new one where there is none; nothing is read yet.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io("open the journal", &path, e))?;
        Ok(Self { path, file, offset: 0, seq: 0 })
    }

    /// The lines that were added since the last call.
    ///
    /// # Errors
    /// `run_damaged` where lines are missing in between.
    pub(super) fn read(&mut self) -> Result<Vec<Line>> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.offset))
            .and_then(|_| Read::by_ref(&mut self.file).take(MAX_BYTES).read_to_end(&mut bytes))
            .map_err(|e| Error::io("read the journal", &self.path, e))?;
        let mut lines = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (text, after) = rest.split_at(end);
            rest = &after[1..];
            self.offset += end as u64 + 1;
            if text.is_empty() {
                continue;
            }
            // One that a crash cut short, and that a later line's newline ended.
            let Ok(line) = serde_json::from_slice::<Line>(text) else { continue };
            if line.seq != self.seq + 1 {
                return Err(Error::new(Code::RunDamaged, "read the journal", self.path.display())
                    .cause(format!("line {} is followed by line {}", self.seq, line.seq)));
            }
            self.seq = line.seq;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Appends one line durably, after what others appended; returns these and then it.
    /// `allow` may refuse once it has seen them.
    pub(super) fn append(
        &mut self,
        epoch: u64,
        entry: Entry,
        mask: &dyn Fn(serde_json::Value) -> serde_json::Value,
        allow: &mut dyn FnMut(&[Line]) -> Result<()>,
    ) -> Result<Vec<Line>> {
        let _lock = Lock::take(&self.path.with_extension("lock"), LockMode::Exclusive, WAIT)?;
        let mut lines = self.read()?;
        allow(&lines)?;
        let line = Line { seq: self.seq + 1, at: clock::now(), epoch, entry };
        let unwritable = |e: serde_json::Error| {
            Error::new(Code::RunDamaged, "write the journal", self.path.display()).source(e)
        };
        let value = mask(serde_json::to_value(&line).map_err(unwritable)?);
        // What is in memory is what a successor will read.
        let line: Line = serde_json::from_value(value.clone()).map_err(unwritable)?;
        let end = self
            .file
            .seek(SeekFrom::End(0))
            .map_err(|e| Error::io("write the journal", &self.path, e))?;
        let mut text = Vec::new();
        if end > self.offset {
            text.push(b'\n');
        }
        serde_json::to_writer(&mut text, &value).map_err(unwritable)?;
        text.push(b'\n');
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("write the journal", &self.path, e))?;
        self.offset = end + text.len() as u64;
        self.seq = line.seq;
        lines.push(line);
        Ok(lines)
    }

    /// How many bytes of whole lines are known.
    pub(super) fn len(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(step: &str) -> Entry {
        Entry::StepSkipped { step: step.into(), reason: "so".into() }
    }

    fn append(journal: &mut Journal, step: &str) -> Vec<Line> {
        journal.append(1, skipped(step), &|value| value, &mut |_| Ok(())).unwrap()
    }

    fn steps(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| match &line.entry {
                Entry::StepSkipped { step, .. } => format!("{} {step}", line.seq),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_line_that_was_cut_short_is_no_line_and_the_next_takes_its_number() {
        let dir = tempfile::tempdir().unwrap();
        append(&mut Journal::open(dir.path()).unwrap(), "a");
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(br#"{"seq":2,"at":"2026-11-21T0"#).unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(steps(&journal.read().unwrap()), ["1 a"]);
        assert_eq!(steps(&append(&mut journal, "b")), ["2 b"]);
        assert_eq!(steps(&Journal::open(dir.path()).unwrap().read().unwrap()), ["1 a", "2 b"]);
    }

    #[test]
    fn what_others_appended_is_seen_before_ones_own_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = Journal::open(dir.path()).unwrap();
        let mut other = Journal::open(dir.path()).unwrap();
        append(&mut one, "a");
        assert_eq!(steps(&append(&mut other, "b")), ["1 a", "2 b"]);
        assert_eq!(steps(&append(&mut one, "c")), ["2 b", "3 c"]);
        let refused = one.append(1, skipped("d"), &|value| value, &mut |_| {
            Err(Error::new(Code::Locked, "write", "x"))
        });
        assert!(refused.is_err());
        assert_eq!(steps(&Journal::open(dir.path()).unwrap().read().unwrap()).len(), 3);
    }

    #[test]
    fn a_line_that_is_gone_from_the_middle_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        ["a", "b", "c"].iter().for_each(|step| drop(append(&mut journal, step)));
        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.contains("\"b\"")).collect();
        std::fs::write(&path, without.join("\n") + "\n").unwrap();
        let error = Journal::open(dir.path()).unwrap().read().unwrap_err();
        assert_eq!(error.code(), Code::RunDamaged);
    }
}
