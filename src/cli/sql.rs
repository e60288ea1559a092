//! `backstop sql`: questions to the catalog and the indexes.

use super::context::Context;
use super::{Ending, table};
use crate::catalog::{Answer, Question};
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop sql 'SELECT name, status, stored_bytes FROM backups'
  backstop sql 'SELECT component, count(*) FROM files GROUP BY 1' --csv
  backstop sql 'SELECT * FROM events ORDER BY occurred_at DESC LIMIT 10' --json

Views: backups, components, files, events, runs, run_steps, run_attempts, run_approvals.
docs/sql.md describes their columns.";

/// The arguments of `backstop sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SqlArgs {
    /// One SELECT, in DuckDB's dialect
    query: String,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

pub(super) fn run(args: &SqlArgs, context: &Context) -> Result<Ending> {
    let question = Question::parse(&args.query)?;
    if context.output.is_json() {
        let asked = context.ask_all(question.is_about_files(), |query| query.rows(&question))?;
        context.output.result(&asked.answer, String::new)?;
        return Ok(asked.ending(context));
    }
    let asked = context.ask_all(question.is_about_files(), |query| query.table(&question))?;
    let answer = &asked.answer;
    context.output.text(&if args.csv { csv(answer) } else { plain(answer) })?;
    Ok(asked.ending(context))
}

fn plain(answer: &Answer) -> String {
    let header: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    table::table(&header, &rows)
}

/// RFC 4180, with line feeds; NULL is an empty field.
fn csv(answer: &Answer) -> String {
    let field = |text: &str| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(answer.columns.iter().map(|name| field(name)).collect());
    for row in &answer.rows {
        text += &line(row.iter().map(|cell| field(cell.as_deref().unwrap_or(""))).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_would_break_it() {
        let answer = Answer {
            columns: vec!["a".into(), "b,c".into()],
            rows: vec![vec![Some("say \"x\"".into()), None]],
        };
        assert_eq!(csv(&answer), "a,\"b,c\"\n\"say \"\"x\"\"\",\n");
    }
}
