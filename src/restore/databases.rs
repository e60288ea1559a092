//! Databases on their way back.

use super::plan::{Plan, PlannedDatabase};
use crate::backup::{Reach, fetch};
use crate::config::{Config, Database};
use crate::database::{Scratch, create_missing_roles, replication};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::DatabaseDetail;
use crate::setting::Setting;

/// The `[[databases]]` entry of a component: it says how to connect.
pub(super) fn configured<'a>(config: &'a Config, name: &str) -> Result<&'a Database> {
    config.databases.iter().find(|database| database.name == name).ok_or_else(|| {
        Error::new(Code::ComponentNotFound, "restore database", name)
            .cause("the config has no [[databases]] entry of this name")
            .hint("add one that says how to connect, or leave the database out with --only")
    })
}

/// Refuses a server that is older than the one that was dumped: PostgreSQL promises that a
/// dump loads into the same or a newer major version only (manual, "pg_dump", Notes).
pub(super) async fn check_version(reach: &Reach, detail: &DatabaseDetail) -> Result<()> {
    let connection = reach.maintenance().await?;
    let major = |version: &str| version.split('.').next().and_then(|text| text.parse::<u32>().ok());
    let server = connection.server();
    match major(&detail.server_version) {
        Some(dumped) if server.major < dumped => {
            Err(Error::new(Code::DatabaseFailed, "restore database", &detail.database)
                .cause(format!(
                    "it was dumped from PostgreSQL {}, the server is {}",
                    detail.server_version, server.version
                ))
                .hint("restore to a server that is at least as new"))
        }
        _ => reach.tools.check(server),
    }
}

/// What other servers read of a database does not follow its name: that is said, and refused
/// where somebody is reading now.
pub(super) async fn refuse_replicated(setting: &Setting, planned: &PlannedDatabase) -> Result<()> {
    let PlannedDatabase { component, reach, .. } = planned;
    let found = replication(&reach.target, reach.target.database()).await?;
    if let Some(slot) = found.active_slots.first() {
        return Err(Error::new(Code::RestoreFailed, "replace database", &component.name)
            .cause(format!("its logical replication slot {slot} is being read"))
            .hint(
                "stop whoever reads it: a slot stays with the replaced database, and its reader \
                 has to begin anew with a slot of the restored one",
            ));
    }
    let name = &component.name;
    for slot in found.slots {
        setting.progress.warn(
            Code::DatabaseFailed,
            format!(
                "the logical replication slot {slot} stays with the database that {name} \
                 replaces, where it keeps WAL: drop it, or make its reader begin anew"
            ),
        );
    }
    for subscription in found.subscriptions {
        setting.progress.warn(
            Code::DatabaseFailed,
            format!(
                "the subscription {subscription} goes on in the database that {name} replaces, \
                 which cannot be purged until it is dropped; in the restored one it is disabled"
            ),
        );
    }
    Ok(())
}

/// Builds the dumped database under the name `new` and verifies it there: every table that
/// was counted at the fence has as many rows.
pub(super) async fn build(
    setting: &Setting,
    plan: &Plan,
    planned: &PlannedDatabase,
    new: &str,
) -> Result<Scratch> {
    let PlannedDatabase { component, detail, reach, .. } = planned;
    for (script, databases) in &plan.globals {
        if databases.contains(&component.name) {
            let created =
                create_missing_roles(&reach.target, script, setting.progress.as_ref()).await?;
            for role in created {
                setting.progress.note(format!("created role {role}"));
            }
        }
    }
    let progress = setting.progress.as_ref();
    let scratch = Scratch::create(&reach.target, new, detail, progress).await?;
    let dump = fetch(setting, &plan.backup, &detail.object).await?;
    scratch.fill(&reach.tools, dump.path(), detail, reach.config.jobs, &setting.progress).await?;
    scratch.verify(&detail.tables, reach.config.jobs).await?;
    scratch.seal(detail, progress).await?;
    Ok(scratch)
}
