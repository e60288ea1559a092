//! The quiesce journal: what has to be undone if backstop dies.
//!
//! `STATE/journal/ID.json` names the containers that may be held and the captures that may
//! exist. It is durable before the first container is touched, replaced atomically, and
//! gone once nothing is left to undo. `STATE/journal/ID.lock` is held by flock(2) by the
//! process at work, and its lines (`holding ID`, `held ID`, `resumed ID`) say how far each
//! container has come. They are not synced: after another boot no stop is in flight any
//! more, and every container of the journal counts as held.

mod claim;
mod live;

pub(super) use claim::announce;
pub use claim::{Claim, claim, list};
pub use live::LiveJournal;

use crate::clock;
use crate::config::Quiesce;
use crate::docker::{Container, waves};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What has to be undone if backstop dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The backup's or the restore's id, and the journal's own name.
    pub id: String,
    /// The process that wrote it.
    pub pid: u32,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// When it was written, UTC.
    pub started_at: Timestamp,
    /// The containers that may be held. Only those that ran before.
    pub containers: Vec<JournalContainer>,
    /// The captures that may exist.
    pub captures: Vec<JournalCapture>,
    /// The restore that must be undone before the containers are resumed.
    #[serde(default)]
    pub restore: Option<String>,
}

/// A container that may be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalContainer {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it is held.
    pub action: Quiesce,
    /// How long it may take to stop, in whole seconds, rounded up.
    pub stop_timeout: u64,
    /// How long it may take to become healthy, in whole seconds, rounded up.
    pub health_timeout: u64,
    /// Its place in the order of starting, from 0; stopped in the opposite order.
    pub wave: usize,
    /// The containers of this journal that must be healthy before it is started.
    pub needs_healthy: Vec<String>,
}

/// A capture that may exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalCapture {
    /// Where it lies; the last part begins with `.backstop-capture-`.
    pub path: PathBuf,
    /// What it is.
    pub kind: CaptureKind,
}

/// What a capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureKind {
    /// A read-only btrfs subvolume.
    Snapshot,
    /// A directory of reflink copies.
    Staging,
}

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Docker has been asked to hold it; whether it did is not known.
    Holding,
    /// It is held.
    Held,
    /// It runs again.
    Resumed,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Held => "held",
            Self::Resumed => "resumed",
        }
    }

    /// Reads the lines of a lock file. The last line of a container counts; one that was
    /// cut short by a death counts for nothing.
    fn read(lines: &str) -> BTreeMap<String, Self> {
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        let mut steps = BTreeMap::new();
        for (word, id) in whole.lines().filter_map(|line| line.split_once(' ')) {
            let known = [Self::Holding, Self::Held, Self::Resumed];
            if let Some(step) = known.into_iter().find(|step| step.as_str() == word) {
                steps.insert(id.to_string(), step);
            }
        }
        steps
    }
}

impl Journal {
    /// A journal for the `containers` that run; the others are left as they are.
    pub fn new(id: &str, containers: &[Container]) -> Self {
        let running: Vec<Container> =
            containers.iter().filter(|c| c.is_running()).cloned().collect();
        let ceil = |length: Duration| {
            length.as_secs().saturating_add(u64::from(length.subsec_nanos() > 0))
        };
        let entries = waves(&running).into_iter().enumerate().flat_map(|(wave, members)| {
            members.into_iter().map(move |c| JournalContainer {
                wave,
                action: c.quiesce,
                stop_timeout: ceil(c.stop_timeout),
                health_timeout: ceil(c.health_timeout),
                needs_healthy: c
                    .depends_on
                    .iter()
                    .filter(|d| d.healthy)
                    .map(|d| d.id.clone())
                    .collect(),
                id: c.id,
                name: c.name,
            })
        });
        Self {
            id: id.to_string(),
            pid: std::process::id(),
            boot_id: boot_id(),
            started_at: clock::now(),
            containers: entries.collect(),
            captures: Vec::new(),
            restore: None,
        }
    }

    /// How long it may take until every container runs again, where Docker answers: stops in
    /// flight are waited for together, and a wave begins when those that it needs are healthy.
    pub(super) fn longest_undo(&self) -> Duration {
        let seconds = |of: fn(&JournalContainer) -> u64, among: &dyn Fn(&str) -> bool| {
            self.containers.iter().filter(|c| among(&c.id)).map(of).max().unwrap_or(0)
        };
        let stops = seconds(|c| c.stop_timeout, &|_| true);
        let needed =
            |id: &str| self.containers.iter().any(|c| c.needs_healthy.iter().any(|n| n == id));
        let waves = self.containers.iter().map(|c| c.wave).max().unwrap_or(0) as u64;
        let health = seconds(|c| c.health_timeout, &needed).saturating_mul(waves);
        Duration::from_secs(stops.saturating_add(health))
    }

    /// Whether the machine has not been restarted since it was written.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id()
    }

    /// Whether nothing is left to undo.
    pub fn is_settled(&self) -> bool {
        self.containers.is_empty() && self.captures.is_empty() && self.restore.is_none()
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_of_a_container_counts() {
        let steps = Step::read("holding a\nheld a\nholding b\nodd\nwhat c\nresumed a\nheld b");
        assert_eq!(steps.get("a"), Some(&Step::Resumed));
        assert_eq!(steps.get("b"), Some(&Step::Holding));
        assert_eq!(steps.len(), 2);
    }
}
