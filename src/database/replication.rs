//! Logical replication of a database: it does not follow the database's name.
//!
//! Source: PostgreSQL manual, "pg_replication_slots" and "pg_subscription". Both are shared by
//! all databases of a server, and everybody may read what is asked for here.

use super::maintenance;
use super::target::Target;
use crate::error::Result;

/// What replicates a database, or is replicated into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replication {
    /// Its logical replication slots that nobody reads now.
    pub slots: Vec<String>,
    /// Those that somebody reads now.
    pub active_slots: Vec<String>,
    /// Its subscriptions.
    pub subscriptions: Vec<String>,
}

/// Asks the server of `target` about its database `name`.
pub async fn replication(target: &Target, name: &str) -> Result<Replication> {
    const ATTEMPTED: &str = "look for logical replication of database";
    let connection = maintenance::connect(target, &[]).await?;
    let slots = "SELECT slot_name::text, active FROM pg_replication_slots \
                 WHERE database = $1 ORDER BY slot_name";
    let mut found = Replication::default();
    for row in connection.rows(ATTEMPTED, slots, &[&name]).await? {
        let list = if row.get(1) { &mut found.active_slots } else { &mut found.slots };
        list.push(row.get(0));
    }
    let subscriptions = "SELECT s.subname::text FROM pg_subscription s \
                         JOIN pg_database d ON d.oid = s.subdbid \
                         WHERE d.datname = $1 ORDER BY s.subname";
    for row in connection.rows(ATTEMPTED, subscriptions, &[&name]).await? {
        found.subscriptions.push(row.get(0));
    }
    Ok(found)
}
