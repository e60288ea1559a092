//! How well the parts of a backup belong to one instant: the judgement and its reason.

use crate::repository::manifest::{Consistency, DatabaseFence, Level};
use jiff::Timestamp;

/// What was seen of one database between the fence and the end of the capture.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    /// The fence, with both transaction ids.
    pub(super) fence: DatabaseFence,
    /// Whether no transaction that writes ended in between.
    pub(super) unmoved: bool,
    /// Whether a client that is not backstop was or came there in between.
    pub(super) clients_seen: bool,
}

/// What was seen of the whole stack.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// When the fence was taken, by this host's clock.
    pub(super) fenced_at: Timestamp,
    /// The databases that are part of the backup.
    pub(super) databases: Vec<Observed>,
    /// Whether files are part of the backup.
    pub(super) has_files: bool,
    /// Whether containers were held during the fence.
    pub(super) writers_held: bool,
    /// Files that changed or vanished under the reader, as `COMPONENT/path`.
    pub(super) files_changed: Vec<String>,
}

impl Evidence {
    /// Draws the conclusion that the manifest records.
    pub(super) fn judge(self) -> Consistency {
        let (level, because) = self.level();
        let fenced_at = match self.databases.first() {
            Some(first) => Some(first.fence.server_time),
            None => self.has_files.then_some(self.fenced_at),
        };
        let transactions = self
            .databases
            .iter()
            .map(|seen| seen.fence.next_xid_at_release.saturating_sub(seen.fence.next_xid_at_fence))
            .max()
            .unwrap_or(0);
        Consistency {
            level,
            because,
            fenced_at,
            databases: self.databases.into_iter().map(|seen| seen.fence).collect(),
            transactions_during_capture: transactions,
            files_changed_during_capture: self.files_changed,
        }
    }

    fn level(&self) -> (Level, String) {
        if self.databases.is_empty() {
            return (Level::Independent, "only files were taken".into());
        }
        let parts = self.databases.len() + usize::from(self.has_files);
        if parts == 1 {
            return (Level::Fenced, "one database is one snapshot".into());
        }
        let moved: Vec<&str> = self
            .databases
            .iter()
            .filter(|seen| !seen.unmoved && seen.clients_seen)
            .map(|seen| seen.fence.name.as_str())
            .collect();
        if !moved.is_empty() {
            return (
                Level::Snapshot,
                format!("transactions ended in {} during the capture", moved.join(", ")),
            );
        }
        if !self.files_changed.is_empty() {
            let because = match self.files_changed.as_slice() {
                [only] => format!("{only} changed while it was read"),
                several => format!("{} files changed while they were read", several.len()),
            };
            return (Level::Snapshot, because);
        }
        if !self.writers_held {
            return (Level::Snapshot, "no container that writes was held".into());
        }
        let because = if self.databases.iter().all(|seen| seen.unmoved) {
            "the writers were held, and no transaction ended during the capture"
        } else {
            "the writers were held; transaction ids moved without any client but backstop \
             (the server's own work, such as autovacuum)"
        };
        (Level::Fenced, because.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(release: u64, unmoved: bool, clients_seen: bool) -> Observed {
        let now = crate::clock::now();
        Observed {
            fence: DatabaseFence {
                name: "shop".into(),
                snapshot: "00000003-00000001-1".into(),
                wal_lsn: "0/1".into(),
                next_xid_at_fence: 100,
                next_xid_at_release: release,
                server_time: now,
            },
            unmoved,
            clients_seen,
        }
    }

    fn evidence(databases: Vec<Observed>) -> Evidence {
        Evidence {
            fenced_at: crate::clock::now(),
            databases,
            has_files: true,
            writers_held: true,
            files_changed: Vec::new(),
        }
    }

    #[test]
    fn unmoved_counters_prove_a_fence() {
        let consistency = evidence(vec![observed(100, true, false)]).judge();
        assert_eq!(consistency.level, Level::Fenced);
        assert_eq!(consistency.transactions_during_capture, 0);
    }

    #[test]
    fn the_servers_own_transactions_do_not_break_a_fence() {
        let consistency = evidence(vec![observed(103, false, false)]).judge();
        assert_eq!(consistency.level, Level::Fenced);
        assert_eq!(consistency.transactions_during_capture, 3);
        assert!(consistency.because.contains("autovacuum"));
    }

    #[test]
    fn a_client_that_wrote_breaks_the_fence() {
        assert_eq!(evidence(vec![observed(103, false, true)]).judge().level, Level::Snapshot);
    }

    #[test]
    fn a_changed_file_breaks_the_fence() {
        let mut seen = evidence(vec![observed(100, true, false)]);
        seen.files_changed = vec!["uploads/a".into()];
        assert_eq!(seen.judge().level, Level::Snapshot);
    }

    #[test]
    fn without_held_writers_nothing_is_proven() {
        let mut seen = evidence(vec![observed(100, true, false)]);
        seen.writers_held = false;
        assert_eq!(seen.judge().level, Level::Snapshot);
    }

    #[test]
    fn files_alone_have_no_common_instant() {
        assert_eq!(evidence(Vec::new()).judge().level, Level::Independent);
    }
}
