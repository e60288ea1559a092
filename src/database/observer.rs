//! Did anything write between two moments, and was anybody there to do it?
//!
//! Transaction ids are handed out for a whole server, and autovacuum and analyze take some
//! too. So a moved counter alone does not mean that the application wrote: a transaction of
//! the application needs a session in its database, and sessions are what is looked for.

use super::connection::{Connection, Server};
use crate::error::Result;

/// What was seen on the server at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// `pg_current_snapshot()` in full, `xmin:xmax:xip_list`. The list matters: `xmax` does
    /// not move when an older transaction commits.
    snapshot: String,
    /// The next transaction id that the server will hand out, epoch included.
    pub(super) next_xid: u64,
    /// Sessions of others in this database.
    clients: u64,
    /// `pg_stat_database.sessions`: sessions ever begun in this database, where the counter
    /// can be relied on.
    sessions: Option<i64>,
}

/// What the observer saw between the fence and the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The next transaction id at the release.
    pub next_xid_at_release: u64,
    /// Transactions of the whole server that took an id or ended in between.
    pub transactions: u64,
    /// Whether no transaction took an id and none ended.
    pub unmoved: bool,
    /// Whether another session was, or may have been, in this database.
    pub clients_seen: bool,
    /// What was concluded, in one sentence without a full stop.
    pub reason: String,
}

impl Release {
    /// Whether nobody wrote to this database between the fence and the release: nothing
    /// moved, or nobody was there who could have moved it.
    pub fn is_fenced(&self) -> bool {
        self.unmoved || !self.clients_seen
    }
}

/// Takes a sample, in one round trip. `own` are the process ids of our own sessions.
pub(super) async fn sample(connection: &Connection, own: &[i32]) -> Result<Sample> {
    const ATTEMPTED: &str = "watch the transactions of database";
    let unexpected = || connection.unexpected(ATTEMPTED, "a sample");
    let rows = connection.texts(ATTEMPTED, &question(connection.server(), own)).await?;
    let mut values = rows.iter().flat_map(|row| (0..row.len()).map(|i| row.get(i)));
    let mut next = || values.next().flatten().map(str::to_owned);
    next(); // pg_stat_clear_snapshot() answers with an empty row
    let snapshot = next().ok_or_else(unexpected)?;
    let age: i64 = next().and_then(|t| t.parse().ok()).ok_or_else(unexpected)?;
    let clients = next().and_then(|t| t.parse().ok()).ok_or_else(unexpected)?;
    let sessions = next().and_then(|t| t.parse().ok());
    let (_, xmax, _) = parts(&snapshot).ok_or_else(unexpected)?;
    Ok(Sample { next_xid: next_xid(xmax, age), snapshot, clients, sessions })
}

/// The statements of a sample. Their order matters: a session that ends between the list of
/// sessions and the counter has already been counted when it leaves the list.
fn question(server: &Server, own: &[i32]) -> String {
    let snapshot = if server.major >= 13 { "pg_current_snapshot" } else { "txid_current_snapshot" };
    let own = own.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    // The counter exists since 14, but 14 may show one that is half a second old. Without
    // track_counts nothing is counted.
    let sessions = if server.major >= 15 {
        "SELECT sessions FROM pg_stat_database \
         WHERE datname = current_database() AND current_setting('track_counts')::bool"
    } else {
        "SELECT NULL"
    };
    // Background processes without a user, autovacuum among them, have no usesysid; unlike
    // backend_type, everybody may read it.
    format!(
        "SELECT pg_stat_clear_snapshot(); \
         SELECT {snapshot}()::text, age('3'::xid); \
         SELECT count(*) FROM pg_stat_activity \
           WHERE datname = current_database() AND usesysid IS NOT NULL AND pid NOT IN ({own}); \
         {sessions}"
    )
}

/// The next transaction id from `age('3')`, which is its distance from the first normal id
/// modulo 2^32, and the epoch of a snapshot taken just before.
fn next_xid(xmax: u64, age: i64) -> u64 {
    const EPOCH: u64 = 1 << 32;
    let low = u64::try_from((age + 3).rem_euclid(1 << 32)).unwrap_or_default();
    let whole = xmax / EPOCH * EPOCH + low;
    if whole < xmax { whole + EPOCH } else { whole }
}

/// `xmin`, `xmax` and the ids still in progress, of a snapshot's text.
fn parts(snapshot: &str) -> Option<(u64, u64, Vec<u64>)> {
    let mut fields = snapshot.split(':');
    let xmin = fields.next()?.parse().ok()?;
    let xmax = fields.next()?.parse().ok()?;
    let running = fields.next()?.split(',').filter_map(|id| id.parse().ok()).collect();
    Some((xmin, xmax, running))
}

/// Compares the sample taken just before the fence with the one at the release.
pub(super) fn compare(server: &Server, fence: &Sample, release: &Sample) -> Release {
    let running = |sample: &Sample| parts(&sample.snapshot).map_or(vec![], |(_, _, ids)| ids);
    let after = running(release);
    let ended = running(fence).into_iter().filter(|id| !after.contains(id)).count();
    let taken = release.next_xid.saturating_sub(fence.next_xid);
    let unmoved = fence.snapshot == release.snapshot && taken == 0;
    let transactions = taken + u64::try_from(ended).unwrap_or_default();
    let transactions = if unmoved { 0 } else { transactions.max(1) };
    let (clients_seen, who) = clients(server, fence, release);
    let reason = match (unmoved, clients_seen) {
        (true, _) => "no transaction took an id or ended in between".to_owned(),
        (false, false) => format!(
            "{transactions} transaction(s) of the server's own processes or of other databases, \
             while {who}"
        ),
        (false, true) => format!("{transactions} transaction(s) in between, while {who}"),
    };
    Release { next_xid_at_release: release.next_xid, transactions, unmoved, clients_seen, reason }
}

fn clients(server: &Server, fence: &Sample, release: &Sample) -> (bool, String) {
    let there = fence.clients.max(release.clients);
    if server.standby {
        return (true, "the primary's clients cannot be seen from this standby".into());
    }
    if there > 0 {
        return (true, format!("{there} other session(s) were in this database"));
    }
    match (fence.sessions, release.sessions) {
        (Some(before), Some(after)) if before == after => {
            (false, "no other session was in this database".into())
        }
        (Some(before), Some(after)) => {
            let came = after.saturating_sub(before);
            (true, format!("{came} session(s) came to this database and went"))
        }
        _ => (
            true,
            format!("this server ({}) does not count sessions that come and go", server.version),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server { version: "15.18".into(), major: 15, standby: false, port: 5432 }
    }

    fn seen(snapshot: &str, next_xid: u64, clients: u64, sessions: Option<i64>) -> Sample {
        Sample { snapshot: snapshot.into(), next_xid, clients, sessions }
    }

    #[test]
    fn the_same_snapshot_and_next_id_is_unmoved_whoever_is_there() {
        let sample = seen("10:12:10", 12, 3, Some(7));
        let release = compare(&server(), &sample, &sample);
        assert!(release.unmoved && release.is_fenced() && release.transactions == 0);
    }

    #[test]
    fn an_older_transaction_that_ends_is_a_move() {
        let before = seen("10:12:10", 12, 1, Some(7));
        let after = seen("12:12:", 12, 1, Some(7));
        let release = compare(&server(), &before, &after);
        assert!(!release.unmoved && !release.is_fenced());
        assert_eq!(release.transactions, 1);
    }

    #[test]
    fn an_id_that_is_taken_and_not_yet_ended_is_a_move() {
        let before = seen("12:12:", 12, 1, Some(7));
        let after = seen("12:12:", 13, 1, Some(7));
        assert!(!compare(&server(), &before, &after).unmoved);
    }

    #[test]
    fn a_move_without_any_client_is_still_fenced() {
        let before = seen("12:12:", 12, 0, Some(7));
        let after = seen("14:14:", 14, 0, Some(7));
        let release = compare(&server(), &before, &after);
        assert!(!release.unmoved && release.is_fenced());
        assert_eq!((release.transactions, release.next_xid_at_release), (2, 14));
    }

    #[test]
    fn clients_that_came_and_went_or_cannot_be_seen_are_no_fence() {
        let before = seen("12:12:", 12, 0, Some(7));
        let came = seen("14:14:", 14, 0, Some(8));
        assert!(!compare(&server(), &before, &came).is_fenced());
        let blind = seen("14:14:", 14, 0, None);
        assert!(!compare(&server(), &before, &blind).is_fenced());
        let standby = Server { standby: true, ..server() };
        let quiet = seen("14:14:", 14, 0, Some(7));
        assert!(!compare(&standby, &before, &quiet).is_fenced());
    }

    #[test]
    fn the_next_id_carries_the_epoch() {
        assert_eq!(next_xid(740, 737), 740);
        assert_eq!(next_xid((1 << 32) + 5, 4), (1 << 32) + 7);
        // The snapshot was taken before the counter went over the end of its epoch.
        assert_eq!(next_xid((1 << 32) - 1, 2), (1 << 32) + 5);
        // age() is a signed 32-bit difference.
        assert_eq!(next_xid(3_000_000_000, 3_000_000_000 - 3 - (1 << 32)), 3_000_000_000);
    }
}
