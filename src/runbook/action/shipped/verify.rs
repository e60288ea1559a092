//! `database.verify`: what was built against what was backed up.

use super::logged::logged;
use super::outputs;
use crate::backup::open_connection;
use crate::error::{Code, Error, Result};
use crate::restore::{Depth, examine, find_staged};
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(in crate::runbook) struct DatabaseVerify;

/// What is verified, and how thoroughly.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The output `restore` of the step that built it.
    restore: String,
    /// Whether its schema is compared with the dump's.
    #[serde(default = "yes")]
    schema: bool,
    /// Whether its tables and indexes are looked through, where the server has `amcheck`.
    #[serde(default = "yes")]
    amcheck: bool,
    /// Queries whose first value has to be true.
    #[serde(default)]
    queries: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Action for DatabaseVerify {
    type With = With;
    const NAME: &'static str = "database.verify";
    const ABOUT: &'static str = "Fails unless a restored database is what was backed up.";
    const OUTPUTS: &'static [&'static str] = &["database", "tables", "rows", "evidence"];
    const READS_ONLY: bool = true;

    fn plan(&self, with: &With) -> String {
        let mut what = vec!["rows".to_owned()];
        what.extend(with.schema.then(|| "schema".into()));
        what.extend(with.amcheck.then(|| "indexes and tables (amcheck)".into()));
        if !with.queries.is_empty() {
            what.push(crate::size::count(with.queries.len() as u64, "query", "queries"));
        }
        format!("verify the database {}: {}", with.restore, what.join(", "))
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let setting = logged(scope);
        let depth = Depth { schema: with.schema, amcheck: with.amcheck };
        let found = scope.unless_cancelled(examine(&setting, &with.restore, depth)).await?;
        if let Some(fault) = found.fault() {
            return Err(not_held(format!("{} is what was backed up", found.database), fault));
        }
        let record = find_staged(&setting, &with.restore)?;
        let swap = record.as_ref().and_then(|record| record.databases.first());
        let swap = swap.ok_or_else(|| Error::new(Code::ActionFailed, "verify", &with.restore))?;
        for query in &with.queries {
            let connection = open_connection(&setting, &swap.component, Some(&found.database));
            let connection = scope.unless_cancelled(connection).await?;
            let answer = scope.unless_cancelled(connection.ask_read_only(query)).await?;
            let value = answer.rows.first().and_then(|row| row.first()?.as_deref());
            if !matches!(value, Some("t" | "true")) {
                let found = format!("its first value is {}", value.unwrap_or("NULL"));
                return Err(not_held(format!("`{}` holds", query.trim()), found));
            }
        }
        Ok(outputs([
            ("database", found.database.clone().into()),
            ("tables", found.rows.tables.into()),
            ("rows", found.rows.rows.into()),
            ("evidence", json!({ "verified": found, "queries": with.queries })),
        ]))
    }
}
