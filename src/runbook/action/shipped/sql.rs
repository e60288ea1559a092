//! `sql.run` and `sql.assert`: statements in a database of the stack.

use super::outputs;
use crate::backup::open_connection;
use crate::database::{Answer, Connection, Outcome};
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Point, Probe, Scope, not_held};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

/// A session, what it is called, and where it is.
pub(super) struct Session<'a> {
    pub(super) connection: Connection,
    pub(super) name: String,
    database: &'a str,
    dbname: Option<&'a str>,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        scope: &Scope,
        database: &'a str,
        dbname: Option<&'a str>,
    ) -> Result<Self> {
        let open = async {
            let connection = open_connection(&scope.setting, database, dbname).await?;
            connection.end_with_its_client().await?;
            let name = connection.session().await?;
            Ok(Self { connection, name, database, dbname })
        };
        scope.unless_cancelled(open).await
    }

    /// Waits for statements. Where the attempt has to end, so has the session: the server would go
    /// on with them.
    pub(super) async fn finish<T>(
        &self,
        scope: &Scope,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let done = scope.unless_cancelled(work).await;
        if matches!(&done, Err(error) if error.code() == Code::Interrupted) {
            let other = open_connection(&scope.setting, self.database, self.dbname).await?;
            other.end_session(&self.name).await?;
        }
        done
    }
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
        let session = Session::open(scope, &with.database, with.dbname.as_deref()).await?;
        let connection = &session.connection;
        scope.note("session", session.name.clone())?;
        if !with.transaction {
            scope.note("transaction", false)?;
            let answer = session.finish(scope, connection.ask(&with.sql)).await?;
            return Ok(SqlAnswer::of(answer).outputs());
        }
        let transaction = connection.begin().await?;
        scope.note("transaction", transaction.id())?;
        let answer = session.finish(scope, transaction.ask(&with.sql)).await?;
        let answer = SqlAnswer::of(answer);
        // A successor that finds the transaction committed knows by this what it returned.
        scope.note("answer", json!(answer))?;
        scope.reach(Point::MidEffect);
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
        let id = match scope.noted("transaction") {
            // The transaction is noted before its first statement.
            None => return Ok(Probe::NotDone),
            Some(Value::String(id)) => id,
            Some(_) => return Ok(Probe::Unknown("it was no transaction".into())),
        };
        let session = Session::open(scope, &with.database, with.dbname.as_deref()).await?;
        Ok(match session.connection.outcome(&id).await? {
            Outcome::Committed => {
                let answer = scope.noted("answer").unwrap_or_default();
                let answer: SqlAnswer = serde_json::from_value(answer).unwrap_or_default();
                Probe::Done(answer.outputs())
            }
            Outcome::RolledBack => Probe::NotDone,
            Outcome::Running | Outcome::Forgotten => {
                Probe::Unknown(format!("the server does not tell what became of transaction {id}"))
            }
        })
    }

    async fn halt(&self, with: &With, scope: &Scope) -> Result<()> {
        let noted = scope.noted("session");
        let Some(name) = noted.as_ref().and_then(Value::as_str) else { return Ok(()) };
        let session = Session::open(scope, &with.database, with.dbname.as_deref()).await?;
        session.connection.end_session(name).await
    }
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
        let session = Session::open(scope, &with.database, with.dbname.as_deref()).await?;
        let answer = session.connection.ask_read_only(&with.sql);
        let answer = session.finish(scope, answer).await?;
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
