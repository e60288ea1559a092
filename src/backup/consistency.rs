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

/// What is proven of the containers that write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Writers {
    /// None are selected: who writes is not known.
    Unknown,
    /// Those that ran are held, and the others did not run.
    Held,
    /// Containers are selected, and none of them ran.
    Stopped,
    /// These were not held, and ran or may have.
    Stirred(Vec<String>),
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
    /// What the containers that write did from the fence to the end of the capture.
    pub(super) writers: Writers,
    /// Files that changed or vanished under the reader, as `COMPONENT/path`.
    pub(super) files_changed: Vec<String>,
    /// Who may have written although the writers were held, each as a sentence.
    pub(super) disturbances: Vec<String>,
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
        let mut reasons = Vec::new();
        if !moved.is_empty() {
            reasons.push(format!("transactions ended in {} during the capture", moved.join(", ")));
        }
        if !self.files_changed.is_empty() {
            reasons.push(match self.files_changed.as_slice() {
                [only] => format!("{only} changed while it was read"),
                several => format!("{} files changed while they were read", several.len()),
            });
        }
        let writers = match &self.writers {
            Writers::Held => "the writers were held",
            Writers::Stopped => "no selected container was running",
            Writers::Unknown => {
                reasons.push("no container that writes was held".into());
                ""
            }
            Writers::Stirred(names) => {
                reasons.push(format!("{} was started during the capture", names.join(", ")));
                ""
            }
        };
        reasons.extend(self.disturbances.iter().cloned());
        if !reasons.is_empty() {
            return (Level::Snapshot, reasons.join("; "));
        }
        let because = if self.databases.iter().all(|seen| seen.unmoved) {
            format!("{writers}, and no transaction ended during the capture")
        } else {
            format!(
                "{writers}; transaction ids moved without any client but backstop (the server's \
                 own work, such as autovacuum)"
            )
        };
        (Level::Fenced, because)
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
            writers: Writers::Held,
            files_changed: Vec::new(),
            disturbances: Vec::new(),
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
    fn somebody_who_was_not_held_breaks_the_fence_and_is_named() {
        let mut seen = evidence(vec![observed(100, true, false)]);
        seen.files_changed = vec!["uploads/a".into()];
        seen.disturbances = vec!["container cron was not held".into()];
        let consistency = seen.judge();
        assert_eq!(consistency.level, Level::Snapshot);
        assert!(consistency.because.contains("uploads/a changed"), "{}", consistency.because);
        assert!(consistency.because.contains("container cron"), "{}", consistency.because);
    }

    #[test]
    fn without_held_writers_nothing_is_proven() {
        let mut seen = evidence(vec![observed(100, true, false)]);
        seen.writers = Writers::Unknown;
        assert_eq!(seen.judge().level, Level::Snapshot);
    }

    #[test]
    fn writers_that_do_not_run_are_as_good_as_held_until_one_is_started() {
        let mut seen = evidence(vec![observed(100, true, false)]);
        seen.writers = Writers::Stopped;
        let consistency = seen.clone().judge();
        assert_eq!(consistency.level, Level::Fenced);
        assert!(consistency.because.contains("no selected container was running"));
        seen.writers = Writers::Stirred(vec!["shop-app-1".into()]);
        let consistency = seen.clone().judge();
        assert_eq!(consistency.level, Level::Snapshot);
        assert!(consistency.because.contains("shop-app-1"));
        seen.writers = Writers::Stopped;
        seen.databases = vec![observed(103, false, true)];
        assert_eq!(seen.judge().level, Level::Snapshot, "somebody else wrote");
    }

    #[test]
    fn files_alone_have_no_common_instant() {
        assert_eq!(evidence(Vec::new()).judge().level, Level::Independent);
    }
}
