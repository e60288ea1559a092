//! Progress as JSON lines, for programs that follow along.

use super::{Event, Progress};
use crate::clock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the bytes of a task are summed up before a line tells them. Archives report
/// every chunk, far more often than anybody reads.
const QUIET: Duration = Duration::from_millis(500);

/// Writes one JSON object a line: `at` (RFC 3339, UTC), `event`, and the event's fields.
///
/// A reader that went away does not stop the work: lines that cannot be written are lost.
pub struct JsonLines<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    out: W,
    /// Bytes of each task that no line has told yet, and when one last did.
    untold: BTreeMap<String, (u64, Instant)>,
}

#[derive(Serialize)]
struct Line {
    at: jiff::Timestamp,
    #[serde(flatten)]
    event: Event,
}

impl JsonLines<io::Stderr> {
    /// Writes to standard error.
    pub fn stderr() -> Self {
        Self::to(io::stderr())
    }
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub fn to(out: W) -> Self {
        Self { state: Mutex::new(State { out, untold: BTreeMap::new() }) }
    }
}

impl<W: Write + Send> Progress for JsonLines<W> {
    fn report(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Advanced { task, bytes } => state.advance(task, bytes),
            Event::Finished { task } => {
                if let Some((bytes @ 1.., _)) = state.untold.remove(&task) {
                    state.write(Event::Advanced { task: task.clone(), bytes });
                }
                state.write(Event::Finished { task });
            }
            event => state.write(event),
        }
    }
}

impl<W: Write> State<W> {
    fn advance(&mut self, task: String, bytes: u64) {
        let now = Instant::now();
        let (untold, told_at) = self.untold.entry(task.clone()).or_insert((0, now));
        *untold += bytes;
        if now.duration_since(*told_at) < QUIET {
            return;
        }
        let bytes = std::mem::take(untold);
        *told_at = now;
        self.write(Event::Advanced { task, bytes });
    }

    fn write(&mut self, event: Event) {
        let Ok(mut line) = serde_json::to_vec(&Line { at: clock::now(), event }) else { return };
        line.push(b'\n');
        // One write a line, so that lines of several processes do not mix.
        let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use serde_json::{Value, json};

    fn lines(report: impl FnOnce(&dyn Progress)) -> Vec<Value> {
        let progress = JsonLines::to(Vec::new());
        report(&progress);
        let out = progress.state.into_inner().unwrap().out;
        let lines = String::from_utf8(out).unwrap();
        lines
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let at = line.as_object_mut().unwrap().remove("at").unwrap();
                assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
                line
            })
            .collect()
    }

    #[test]
    fn every_event_is_one_object_a_line() {
        let said = lines(|progress| {
            progress.step("quiesce");
            progress.note("2 containers\nheld");
            progress.warn(Code::DiskFull, "tight");
        });
        assert_eq!(
            said,
            [
                json!({ "event": "step", "step": "quiesce" }),
                json!({ "event": "note", "message": "2 containers\nheld" }),
                json!({ "event": "warned", "code": "disk_full", "message": "tight" }),
            ]
        );
    }

    #[test]
    fn bytes_are_summed_up_and_none_is_lost() {
        let task = || "files uploads".to_owned();
        let said = lines(|progress| {
            progress.report(Event::Started { task: task(), total_bytes: Some(3000) });
            (0..3000).for_each(|_| progress.report(Event::Advanced { task: task(), bytes: 1 }));
            progress.report(Event::Finished { task: task() });
        });
        let bytes: u64 = said.iter().filter_map(|line| line["bytes"].as_u64()).sum();
        assert_eq!(bytes, 3000);
        assert!(said.len() < 1000, "{}", said.len());
        assert_eq!(said.last().unwrap()["event"], "finished");
    }

    #[test]
    fn a_reader_that_went_away_stops_nothing() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let progress: &dyn Progress = &JsonLines::to(writer);
        progress.step("quiesce");
        progress.step("fence");
    }
}
