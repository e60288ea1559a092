//! `sql.run` and `sql.assert`: statements in a database of the stack.

use super::outputs;
use crate::backup::open_connection;
use crate::database::{Answer, Connection, Outcome};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Probe, Scope, not_held};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How many rows become an output.
const MAX_ROWS: usize = 1000;

pub(in crate::runbook) struct SqlRun;
pub(in crate::runbook) struct SqlAssert;

/// What is run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The database's name in the config.
    database: String,
    /// Another database of the same server.
    dbname: Option<String>,
    /// One or more statements.
    sql: String,
    /// Whether they are one transaction, so that a killed runner can be told whether they took
    /// effect. Statements such as VACUUM need `false`, and then a probe or `idempotent`.
    #[serde(default = "yes")]
    transaction: bool,
}

/// What is asked, and what has to be answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Question {
    /// The database's name in the config.
    database: String,
    /// Another database of the same server.
    dbname: Option<String>,
    /// One SELECT. Without further keys its first value has to be true.
    sql: String,
    /// The first value, as text.
    equals: Option<String>,
    /// What the first value is at least.
    at_least: Option<f64>,
    /// What the first value is at most.
    at_most: Option<f64>,
    /// How many rows there have to be.
    rows: Option<usize>,
}

fn yes() -> bool {
    true
}

/// What a statement returned, as an output of its step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlAnswer {
    /// The first value of the first row.
    pub value: Option<String>,
    /// The rows, values as text by column; at most 1000.
    pub rows: Vec<serde_json::Map<String, Value>>,
    /// How many rows were returned or changed by the last statement.
    pub count: u64,
}

impl SqlAnswer {
    fn of(answer: Answer) -> Self {
        let value = answer.rows.first().and_then(|row| row.first()?.clone());
        let named = |row: Vec<Option<String>>| {
            let cells = row.into_iter().map(|cell| cell.map_or(Value::Null, Value::from));
            answer.columns.iter().cloned().zip(cells).collect()
        };
        let rows = answer.rows.into_iter().take(MAX_ROWS).map(named).collect();
        Self { value, rows, count: answer.count }
    }

    fn outputs(&self) -> Outputs {
        outputs([
            ("value", self.value.clone().map_or(Value::Null, Value::from)),
            ("rows", json!(self.rows)),
            ("count", self.count.into()),
        ])
    }
}

async fn connect(scope: &Scope, database: &str, dbname: Option<&str>) -> Result<Connection> {
    scope.unless_cancelled(open_connection(&scope.setting, database, dbname)).await
}

fn shown(database: &str, dbname: Option<&str>) -> String {
    dbname.map_or_else(|| database.to_owned(), |dbname| format!("{dbname} (server of {database})"))
}

impl Action for SqlRun {
    type With = With;
    const NAME: &'static str = "sql.run";
    const ABOUT: &'static str = "Runs statements in a database, by default as one transaction.";
    const OUTPUTS: &'static [&'static str] = &["value", "rows", "count"];
    const SECRETS: &'static [&'static str] = &["sql"];
    const PROBES: bool = true;

    fn plan(&self, with: &With) -> String {
        format!("run in {}: {}", shown(&with.database, with.dbname.as_deref()), with.sql.trim())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let connection = connect(scope, &with.database, with.dbname.as_deref()).await?;
        if !with.transaction {
            scope.note("transaction", false)?;
            let answer = scope.unless_cancelled(connection.ask(&with.sql)).await?;
            return Ok(SqlAnswer::of(answer).outputs());
        }
        let transaction = connection.begin().await?;
        scope.note("transaction", transaction.id())?;
        scope.note("session", connection.session())?;
        let answer = scope.unless_cancelled(transaction.ask(&with.sql)).await?;
        let answer = SqlAnswer::of(answer);
        // A successor that finds the transaction committed knows by this what it returned.
        scope.note("answer", json!(answer))?;
        // When the server does not answer, nobody knows; the probe asks it later.
        transaction.commit().await.map_err(|e| match e.code() {
            Code::DatabaseUnreachable => {
                Error::new(Code::TimedOut, "learn whether it took effect in", &with.database)
                    .source(e)
            }
            _ => e,
        })?;
        Ok(answer.outputs())
    }

    async fn probe(&self, with: &With, scope: &Scope) -> Result<Probe> {
        match scope.noted("transaction") {
            // The transaction is noted before its first statement.
            None => return Ok(Probe::NotDone),
            Some(Value::String(_)) => {}
            Some(_) => return Ok(Probe::Unknown("it was no transaction".into())),
        }
        let connection = connect(scope, &with.database, with.dbname.as_deref()).await?;
        Ok(match effect(&connection, scope).await? {
            Effect::Took => {
                let answer = scope.noted("answer").unwrap_or_default();
                let answer: SqlAnswer = serde_json::from_value(answer).unwrap_or_default();
                Probe::Done(answer.outputs())
            }
            Effect::TookNot => Probe::NotDone,
            Effect::Unknown(why) => Probe::Unknown(why),
        })
    }
}

/// What became of the transaction that an attempt noted as `transaction` and `session`.
pub(super) enum Effect {
    Took,
    TookNot,
    Unknown(String),
}

/// Asks the server, and ends the session where that is still at it: its client is dead.
pub(super) async fn effect(connection: &Connection, scope: &Scope) -> Result<Effect> {
    let Some(Value::String(id)) = scope.noted("transaction") else { return Ok(Effect::TookNot) };
    let session = scope.noted("session").and_then(|pid| pid.as_i64()).unwrap_or_default();
    for _ in 0..100 {
        match connection.outcome(&id).await? {
            Outcome::Committed => return Ok(Effect::Took),
            Outcome::RolledBack => return Ok(Effect::TookNot),
            Outcome::Forgotten => break,
            Outcome::Running => connection.end_session(session).await?,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Effect::Unknown(format!("the server does not tell what became of transaction {id}")))
}

impl Action for SqlAssert {
    type With = Question;
    const NAME: &'static str = "sql.assert";
    const ABOUT: &'static str = "Fails unless a query returns what it should.";
    const OUTPUTS: &'static [&'static str] = &["value", "rows", "count"];
    const READS_ONLY: bool = true;

    fn plan(&self, with: &Question) -> String {
        let place = shown(&with.database, with.dbname.as_deref());
        format!("check in {place}: {}", with.sql.trim())
    }

    async fn run(&self, with: &Question, scope: &Scope) -> Result<Outputs> {
        let connection = connect(scope, &with.database, with.dbname.as_deref()).await?;
        let answer = scope.unless_cancelled(connection.ask_read_only(&with.sql)).await?;
        let answer = SqlAnswer::of(answer);
        let value = answer.value.as_deref();
        let number = || value.and_then(|value| value.parse::<f64>().ok());
        let place = shown(&with.database, with.dbname.as_deref());
        let expect = |holds: bool, what: String| match holds {
            true => Ok(()),
            false => Err(not_held(
                format!("`{}` in {place} {what}", with.sql.trim()),
                format!("{} rows, the first value is {}", answer.count, value.unwrap_or("NULL")),
            )),
        };
        if let Some(wanted) = &with.equals {
            expect(value == Some(wanted), format!("is `{wanted}`"))?;
        }
        if let Some(least) = with.at_least {
            expect(number().is_some_and(|number| number >= least), format!("is at least {least}"))?;
        }
        if let Some(most) = with.at_most {
            expect(number().is_some_and(|number| number <= most), format!("is at most {most}"))?;
        }
        if let Some(rows) = with.rows {
            expect(answer.count == rows as u64, format!("has {rows} rows"))?;
        }
        let asks = with.equals.is_some() || with.at_least.is_some() || with.at_most.is_some();
        if !asks && with.rows.is_none() {
            expect(matches!(value, Some("t" | "true")), "is true".into())?;
        }
        Ok(answer.outputs())
    }

    fn check(with: &Question) -> Result<(), String> {
        match with.sql.trim().is_empty() {
            true => Err("`sql` is empty".into()),
            false => Ok(()),
        }
    }
}
