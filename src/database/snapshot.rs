//! The fence of one database: an exported snapshot, held open, and a watch on what moves.

use super::connection::{Connection, Server};
use super::observer::{self, Release, Sample};
use super::target::Target;
use crate::error::{Code, Error, Result};
use crate::repository::manifest::DatabaseFence;
use jiff::Timestamp;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// How long the fence and the look at its end may each take. Writers are held meanwhile,
/// and each is a round trip or two, so a server that takes longer is treated as gone.
const HELD_LIMIT: Duration = Duration::from_secs(30);

/// Connections opened and made ready before the writers are held, so that the fence itself
/// takes no longer than two round trips.
pub struct Prepared {
    target: Target,
    holder: Connection,
    observer: Connection,
}

impl Prepared {
    /// Opens both connections to `target`.
    pub async fn connect(target: &Target) -> Result<Self> {
        let holder = Connection::open(target).await?;
        let observer = Connection::open(target).await?;
        if observer.server().major >= 15 {
            // A session is counted when its statistics are flushed. Ours must be in the
            // counter before the fence, or they would look like somebody else's.
            for connection in [&holder, &observer] {
                const FLUSH: &str = "SELECT pg_stat_force_next_flush()";
                connection.run("prepare the fence of database", FLUSH).await?;
            }
        }
        Ok(Self { target: target.clone(), holder, observer })
    }

    /// What the server said about itself.
    pub fn server(&self) -> &Server {
        self.observer.server()
    }

    /// A connection outside any transaction, for questions before the fence.
    pub fn connection(&self) -> &Connection {
        &self.observer
    }

    /// Takes the fence: exports a snapshot of this instant and keeps it.
    pub async fn fence(self) -> Result<HeldSnapshot> {
        let subject = self.target.component().to_owned();
        within("take the fence of database", &subject, self.take()).await
    }

    async fn take(self) -> Result<HeldSnapshot> {
        const ATTEMPTED: &str = "take the fence of database";
        let Self { target, holder, observer } = self;
        let own = [holder.pid(), observer.pid()];
        // The watch begins before the snapshot, so that nothing falls between the two.
        let before = observer::sample(&observer, &own).await?;
        let wal = if holder.server().standby {
            "pg_last_wal_replay_lsn()"
        } else {
            "pg_current_wal_lsn()"
        };
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SELECT pg_export_snapshot(), {wal}, \
                    (extract(epoch FROM clock_timestamp()) * 1000000)::int8"
        );
        let rows = holder.texts(ATTEMPTED, &sql).await?;
        let value = |index| rows.first().and_then(|row| row.get(index)).map(str::to_owned);
        let (Some(snapshot), Some(wal_lsn), Some(clock)) = (value(0), value(1), value(2)) else {
            return Err(holder.unexpected(ATTEMPTED, "the exported snapshot"));
        };
        let server_time = clock
            .parse()
            .ok()
            .and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok())
            .ok_or_else(|| holder.unexpected(ATTEMPTED, "the server's clock"))?;
        Ok(HeldSnapshot { target, holder, observer, own, before, snapshot, wal_lsn, server_time })
    }
}

/// An exported snapshot and the open transaction that keeps it. Dropping it rolls the
/// transaction back, after which nobody can use the snapshot any more.
pub struct HeldSnapshot {
    target: Target,
    holder: Connection,
    observer: Connection,
    own: [i32; 2],
    before: Sample,
    snapshot: String,
    wal_lsn: String,
    server_time: Timestamp,
}

impl HeldSnapshot {
    /// Looks at what happened since the fence. To be called when the files are captured and
    /// before the writers are let go, and before any further session of ours is opened in
    /// this database, since it would be taken for somebody else's.
    pub async fn observe_release(&self) -> Result<Release> {
        let subject = self.target.component();
        let look = observer::sample(&self.observer, &self.own);
        let after = within("watch the transactions of database", subject, look).await?;
        Ok(observer::compare(self.observer.server(), &self.before, &after))
    }

    /// The manifest's record of this fence.
    pub fn record(&self, release: &Release) -> DatabaseFence {
        DatabaseFence {
            name: self.target.component().to_owned(),
            snapshot: self.snapshot.clone(),
            wal_lsn: self.wal_lsn.clone(),
            next_xid_at_fence: self.before.next_xid,
            next_xid_at_release: release.next_xid_at_release,
            server_time: self.server_time,
        }
    }

    /// Fails where the holding session was lost, and with it the snapshot.
    pub async fn check(&self) -> Result<()> {
        self.holder.run("keep the snapshot of database", "SELECT 1").await
    }

    /// The database it belongs to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The snapshot's identifier, for `pg_dump --snapshot`.
    pub fn id(&self) -> &str {
        &self.snapshot
    }

    /// What the server said about itself.
    pub fn server(&self) -> &Server {
        self.observer.server()
    }

    /// The server's clock at the fence.
    pub fn server_time(&self) -> Timestamp {
        self.server_time
    }

    /// A connection outside the held transaction.
    pub fn connection(&self) -> &Connection {
        &self.observer
    }
}

async fn within<T>(
    attempted: &str,
    subject: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(HELD_LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::new(Code::DatabaseUnreachable, attempted, subject)
            .cause(format!("no answer within {} seconds", HELD_LIMIT.as_secs())))
    })
}
