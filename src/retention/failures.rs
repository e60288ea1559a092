//! How long failed attempts stay in the catalog. They hold nothing but their error.

use super::policy::Policy;
use crate::catalog::{BackupRecord, Status};
use jiff::SignedDuration;

/// The newest so many stay.
const LAST: usize = 10;
/// So do those of this many days.
const DAYS: i64 = 30;

/// Whether the row at each place stays and why; none for backups that are no failures.
/// `records` are newest first.
pub(super) fn judge(records: &[BackupRecord], policy: &Policy) -> Vec<Option<(bool, String)>> {
    let begin = policy.now.checked_sub(SignedDuration::from_hours(24 * DAYS));
    let mut seen = 0;
    let judge = |record: &BackupRecord| {
        if record.is_unfinished() {
            return Some((true, "being written".into()));
        }
        if record.status != Status::Failed {
            return None;
        }
        if !policy.concerns(record) {
            return Some((true, format!("of another stack, {}", record.stack)));
        }
        seen += 1;
        if seen <= LAST {
            return Some((true, format!("one of the last {LAST} failures")));
        }
        if begin.as_ref().is_ok_and(|begin| record.started_at >= *begin) {
            return Some((true, format!("failed within {DAYS} days")));
        }
        Some((false, format!("failed more than {DAYS} days ago")))
    };
    records.iter().map(judge).collect()
}
