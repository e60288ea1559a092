//! `database.create`, `database.drop_scratch` and `database.end_sessions`.

use super::logged::logged;
use super::outputs;
use super::staged::key;
use crate::backup::open_server;
use crate::config::Config;
use crate::database::{Target, create_marked, drop_marked, end_sessions, mark_of};
use crate::error::{Code, Error, Result};
use crate::restore::discard_staged;
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(in crate::runbook) struct DatabaseCreate;
pub(in crate::runbook) struct DropScratch;
pub(in crate::runbook) struct EndSessions;

/// What is created.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct New {
    /// The database's name in the config, which says on what server.
    database: String,
    /// What the new one is called.
    dbname: String,
    /// The role that owns it; without it, the user of the config.
    owner: Option<String>,
}

/// What is dropped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Scratch {
    /// The output `restore` of the step that built it; or `database` and `dbname`.
    restore: Option<String>,
    /// The database's name in the config, which says on what server.
    database: Option<String>,
    /// What `database.create` made.
    dbname: Option<String>,
}

/// Whose sessions end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Sessions {
    /// The database's name in the config.
    database: String,
    /// Another database of the same server.
    dbname: Option<String>,
}

/// The longest name that PostgreSQL keeps whole, with room for the one it is made under.
fn is_name(name: &str) -> std::result::Result<(), String> {
    match name.len() {
        0 => Err("`dbname` is empty".into()),
        1..=crate::database::MAX_NAME_BYTES => Ok(()),
        _ => Err("`dbname` is longer than the 63 bytes that PostgreSQL keeps".into()),
    }
}

/// No database of the stack itself.
fn refuse_live(config: &Config, target: &Target, dbname: &str) -> Result<()> {
    let live = target.database() == dbname
        || config.databases.iter().any(|one| one.url.database() == dbname);
    match live {
        false => Ok(()),
        true => Err(Error::new(Code::ActionFailed, "use as a scratch database", dbname)
            .cause("it is a database of the stack")),
    }
}

impl Action for DatabaseCreate {
    type With = New;
    const NAME: &'static str = "database.create";
    const ABOUT: &'static str = "Creates an empty database.";
    const OUTPUTS: &'static [&'static str] = &["dbname"];
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn check(with: &New) -> std::result::Result<(), String> {
        is_name(&with.dbname)
    }

    fn plan(&self, with: &New) -> String {
        format!("create the database {} on the server of {}", with.dbname, with.database)
    }

    async fn run(&self, with: &New, scope: &Scope) -> Result<Outputs> {
        let target = open_server(&scope.setting, &with.database).await?;
        let key = key(scope);
        let work = create_marked(&target, &with.dbname, with.owner.as_deref(), &key);
        scope.unless_cancelled(work).await?;
        Ok(outputs([("dbname", with.dbname.clone().into())]))
    }

    async fn probe(&self, with: &New, scope: &Scope) -> Result<Probe> {
        let target = open_server(&scope.setting, &with.database).await?;
        Ok(match mark_of(&target, &with.dbname).await? {
            Some(mark) if mark == key(scope) => {
                Probe::Done(outputs([("dbname", with.dbname.clone().into())]))
            }
            _ => Probe::NotDone,
        })
    }

    async fn undo(&self, with: &New, _outputs: Option<&Outputs>, scope: &Scope) -> Result<()> {
        let target = open_server(&scope.setting, &with.database).await?;
        match mark_of(&target, &with.dbname).await? {
            Some(mark) if mark == key(scope) => drop_marked(&target, &with.dbname).await,
            _ => Ok(()),
        }
    }
}

impl Action for DropScratch {
    type With = Scratch;
    const NAME: &'static str = "database.drop_scratch";
    const ABOUT: &'static str = "Removes what was built beside the live state and did not go live.";
    const IDEMPOTENT: bool = true;

    fn check(with: &Scratch) -> std::result::Result<(), String> {
        match (&with.restore, &with.database, &with.dbname) {
            (Some(key), None, None) if !key.trim().is_empty() => Ok(()),
            (None, Some(_), Some(dbname)) => is_name(dbname),
            _ => Err("it needs either `restore`, or `database` and `dbname`".into()),
        }
    }

    fn plan(&self, with: &Scratch) -> String {
        match (&with.restore, &with.dbname) {
            (Some(key), _) => format!("remove what was built as {key}"),
            (None, dbname) => {
                format!("drop the database {}", dbname.as_deref().unwrap_or_default())
            }
        }
    }

    async fn run(&self, with: &Scratch, scope: &Scope) -> Result<Outputs> {
        if let Some(key) = &with.restore {
            discard_staged(&logged(scope), key).await?;
        }
        if let (Some(database), Some(dbname)) = (&with.database, &with.dbname) {
            let target = open_server(&scope.setting, database).await?;
            refuse_live(&scope.setting.config, &target, dbname)?;
            scope.unless_cancelled(drop_marked(&target, dbname)).await?;
        }
        Ok(Outputs::new())
    }
}

impl Action for EndSessions {
    type With = Sessions;
    const NAME: &'static str = "database.end_sessions";
    const ABOUT: &'static str = "Ends every client's session in a database.";
    const OUTPUTS: &'static [&'static str] = &["ended", "evidence"];
    const IDEMPOTENT: bool = true;

    fn plan(&self, with: &Sessions) -> String {
        let dbname = with.dbname.as_deref().map(|name| format!("{name} on the server of "));
        format!("end all sessions in {}{}", dbname.unwrap_or_default(), with.database)
    }

    async fn run(&self, with: &Sessions, scope: &Scope) -> Result<Outputs> {
        let target = open_server(&scope.setting, &with.database).await?;
        let name = with.dbname.as_deref().unwrap_or_else(|| target.database());
        let sessions = scope.unless_cancelled(end_sessions(&target, name)).await?;
        let who: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        who.iter().for_each(|session| scope.log.line(&format!("ended {session}")));
        Ok(outputs([
            ("ended", who.len().into()),
            ("evidence", json!({ "database": name, "sessions": who })),
        ]))
    }
}
