//! The output of one attempt: kept in a file of the run, masked and limited.

use super::audience::{Audience, News};
use super::secret::Secrets;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of output one attempt may keep.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Longer lines are cut into pieces.
const MAX_LINE: usize = 16 * 1024;

/// The log of one attempt.
pub struct StepLog {
    path: PathBuf,
    secrets: Secrets,
    audience: Arc<dyn Audience>,
    step: String,
    state: Mutex<State>,
}

struct State {
    file: Option<File>,
    written: u64,
    limit: u64,
}

impl StepLog {
    /// Appends to the file at `path`, which is made with the first line.
    pub(super) fn new(
        path: PathBuf,
        step: &str,
        secrets: Secrets,
        audience: Arc<dyn Audience>,
    ) -> Self {
        let written = std::fs::metadata(&path).map(|meta| meta.len()).unwrap_or(0);
        let state = Mutex::new(State { file: None, written, limit: MAX_BYTES });
        Self { path, secrets, audience, step: step.to_owned(), state }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps one line and shows it to whoever looks on. What cannot be kept is shown all the
    /// same: a full disk must not stop a recovery.
    pub fn line(&self, text: &str) {
        let text = self.secrets.mask(text.trim_end_matches(['\n', '\r']));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.written < state.limit {
            let mut line = text.clone();
            if state.written + line.len() as u64 >= state.limit {
                line = format!("… what followed was not kept: more than {} bytes", state.limit);
                state.written = state.limit;
            }
            if self.keep(&mut state, &line).is_ok() {
                state.written += line.len() as u64 + 1;
            }
        }
        drop(state);
        self.audience.tell(News::Output { step: &self.step, line: &text });
    }

    fn keep(&self, state: &mut State, line: &str) -> Result<()> {
        let failed = |e| Error::io("write the log", &self.path, e);
        if state.file.is_none() {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            state.file = Some(options.open(&self.path).map_err(failed)?);
        }
        match &mut state.file {
            Some(file) => writeln!(file, "{line}").map_err(failed),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    fn limited(self, limit: u64) -> Self {
        self.state.lock().unwrap().limit = limit;
        self
    }
}

/// Cuts a stream into lines; a secret is masked only in a whole line.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes in bytes and hands on every line that is whole.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        self.0.extend_from_slice(bytes);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            each(&String::from_utf8_lossy(&line[..end]));
        }
        // A secret that stands across a cut would show: what could be the beginning of one stays.
        if self.0.len() > 2 * MAX_LINE {
            let piece: Vec<u8> = self.0.drain(..MAX_LINE).collect();
            each(&String::from_utf8_lossy(&piece));
        }
    }

    /// Hands on what is left.
    pub(super) fn finish(self, mut each: impl FnMut(&str)) {
        if !self.0.is_empty() {
            each(&String::from_utf8_lossy(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::audience::Nobody;
    use super::*;

    fn log(dir: &Path) -> StepLog {
        StepLog::new(dir.join("a.1.log"), "a", Secrets::default(), Arc::new(Nobody))
    }

    #[test]
    fn output_is_kept_up_to_its_limit_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path()).limited(100);
        (0..100).for_each(|n| log.line(&format!("line {n}")));
        let kept = std::fs::read_to_string(log.path()).unwrap();
        assert!(kept.starts_with("line 0\nline 1\n"));
        assert!(kept.len() < 200 && kept.ends_with("more than 100 bytes\n"), "{kept}");
    }

    #[test]
    fn lines_are_put_together_from_pieces_and_endless_ones_are_cut() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        lines.push(b"on", |line| seen.push(line.to_owned()));
        lines.push(b"e\ntwo\nth", |line| seen.push(line.to_owned()));
        lines.push(&vec![b'x'; 3 * MAX_LINE], |line| seen.push(line.len().to_string()));
        lines.finish(|line| seen.push(line.len().to_string()));
        assert_eq!(seen[..2], ["one", "two"]);
        assert_eq!(seen[2..], [MAX_LINE.to_string(), (2 * MAX_LINE + 2).to_string()]);
    }
}
