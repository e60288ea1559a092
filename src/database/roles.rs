//! Roles that a dump needs and the server lacks, made from `globals.sql`.

use super::failure;
use super::maintenance;
use super::target::Target;
use crate::error::{Code, Result};
use crate::progress::Progress;
use std::collections::HashSet;

const ATTEMPTED: &str = "create missing roles for database";

/// Creates the roles that the script `globals` holds and the server of `target` lacks, with
/// their attributes, settings and memberships, and returns their names. Roles that are there
/// already stay as they are.
///
/// Where this user may not create roles, a warning says which are missing: a restore that
/// needs one of them fails by itself, one that does not succeeds.
pub async fn create_missing_roles(
    target: &Target,
    globals: &[u8],
    progress: &dyn Progress,
) -> Result<Vec<String>> {
    let script = String::from_utf8_lossy(globals);
    let statements: Vec<Statement> = split(&script).iter().filter_map(|s| read(s)).collect();
    let connection = maintenance::connect(target, &[]).await?;
    let present: HashSet<String> = connection
        .rows(ATTEMPTED, "SELECT rolname::text FROM pg_roles", &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let creates = |s: &&Statement| s.kind == Kind::Create;
    let missing: Vec<String> = statements
        .iter()
        .filter(creates)
        .map(|s| s.role.clone())
        .filter(|role| !present.contains(role))
        .collect();
    let mut created = Vec::new();
    for statement in statements.iter().filter(|s| missing.contains(&s.role)) {
        match connection.attempt(&statement.sql).await {
            Ok(()) if statement.kind == Kind::Create => created.push(statement.role.clone()),
            Ok(()) if statement.lacks_password() => progress.warn(
                Code::DatabaseFailed,
                format!(
                    "the role {} was created without a password: the backup's user might not read \
                     it; set one with ALTER ROLE … PASSWORD",
                    statement.role
                ),
            ),
            Ok(()) => {}
            Err(error) if statement.kind == Kind::Create && failure::is_permission(&error) => {
                progress.warn(
                    Code::DatabaseFailed,
                    format!(
                        "{} may not create the missing roles: {}",
                        target.user(),
                        missing.join(", ")
                    ),
                );
                return Ok(created);
            }
            Err(error) if error.code().is_some() => {
                let said = failure::text(&error);
                let role = &statement.role;
                progress.warn(
                    Code::DatabaseFailed,
                    format!("the role {role} is not what it was: {said}"),
                );
            }
            Err(error) => return Err(connection.failed(ATTEMPTED, &error)),
        }
    }
    Ok(created)
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Create,
    Other,
}

/// A statement about one role.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    kind: Kind,
    role: String,
    sql: String,
}

impl Statement {
    /// Whether it lets a role log in that then has no password. pg_dumpall writes
    /// `ALTER ROLE x WITH … LOGIN … PASSWORD '…'`.
    fn lacks_password(&self) -> bool {
        let mut words = self.sql.split_whitespace();
        self.sql.starts_with("ALTER ROLE ")
            && words.any(|word| word == "LOGIN")
            && !words.any(|word| word == "PASSWORD")
    }
}

fn read(sql: &str) -> Option<Statement> {
    let about = |prefix: &str| sql.strip_prefix(prefix).and_then(identifier);
    let (kind, role) = if let Some(role) = about("CREATE ROLE ") {
        (Kind::Create, role)
    } else if let Some(role) = about("ALTER ROLE ").or_else(|| about("COMMENT ON ROLE ")) {
        (Kind::Other, role)
    } else {
        // `GRANT group TO member …`: it is the member that lacks it.
        let rest = sql.strip_prefix("GRANT ")?;
        let member = &rest[identifier_end(rest)?..];
        (Kind::Other, identifier(member.trim_start().strip_prefix("TO ")?)?)
    };
    Some(Statement { kind, role, sql: sql.to_owned() })
}

/// Where the identifier at the beginning of `text` ends.
fn identifier_end(text: &str) -> Option<usize> {
    if !text.starts_with('"') {
        return Some(text.find([' ', ';']).unwrap_or(text.len()));
    }
    let mut end = 1;
    loop {
        end += text[end..].find('"')? + 1;
        if !text[end..].starts_with('"') {
            return Some(end);
        }
        end += 1;
    }
}

/// The identifier at the beginning of `text`, unquoted.
fn identifier(text: &str) -> Option<String> {
    let word = &text[..identifier_end(text)?];
    let inner = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some(inner.map_or_else(|| word.to_owned(), |quoted| quoted.replace("\"\"", "\"")))
}

/// Splits a script of `pg_dumpall` into statements, without comments and empty ones.
fn split(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    let mut quote = None;
    // Backslashes escape in `E'…'` only; pg_dumpall writes one wherever it needs them.
    let mut escapes = false;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '-') if characters.peek() == Some(&'-') => {
                while characters.next_if(|c| *c != '\n').is_some() {}
            }
            // psql's own commands, `\restrict` among them, are no SQL.
            (None, '\\') if statement.trim().is_empty() => {
                while characters.next_if(|c| *c != '\n').is_some() {}
            }
            (None, ';') => statements.push(std::mem::take(&mut statement)),
            (None, '\'' | '"') => {
                escapes = character == '\'' && statement.ends_with(['E', 'e']);
                quote = Some(character);
                statement.push(character);
            }
            (Some(_), '\\') if escapes => {
                statement.push(character);
                statement.extend(characters.next());
            }
            (Some(open), _) if character == open => {
                quote = None;
                statement.push(character);
            }
            _ => statement.push(character),
        }
    }
    statements.iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_split_outside_quotes_and_comments() {
        let script = "\\restrict abc\n-- it's; a comment\nCREATE ROLE \"a;\"\"b\";\n\
            ALTER ROLE x WITH LOGIN PASSWORD 'p;''q';\nCOMMENT ON ROLE x IS E'a\\';b';\n";
        assert_eq!(
            split(script),
            [
                "CREATE ROLE \"a;\"\"b\"",
                "ALTER ROLE x WITH LOGIN PASSWORD 'p;''q'",
                "COMMENT ON ROLE x IS E'a\\';b'",
            ]
        );
    }

    #[test]
    fn a_role_that_may_log_in_without_a_password_is_noticed() {
        let lacks = |sql| read(sql).is_some_and(|statement| statement.lacks_password());
        assert!(lacks("ALTER ROLE x WITH NOSUPERUSER LOGIN NOREPLICATION NOBYPASSRLS"));
        assert!(!lacks("ALTER ROLE x WITH LOGIN NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$…'"));
        assert!(!lacks("ALTER ROLE x WITH NOLOGIN NOBYPASSRLS"));
        assert!(!lacks("CREATE ROLE x"));
    }

    #[test]
    fn statements_tell_which_role_they_are_about() {
        let role = |sql| read(sql).map(|s| (s.kind, s.role));
        assert_eq!(role("CREATE ROLE shop"), Some((Kind::Create, "shop".into())));
        assert_eq!(role(r#"ALTER ROLE "a ""b" WITH LOGIN"#), Some((Kind::Other, "a \"b".into())));
        assert_eq!(
            role(r#"GRANT "the group" TO member GRANTED BY postgres"#),
            Some((Kind::Other, "member".into()))
        );
        assert_eq!(role("SET client_encoding = 'UTF8'"), None);
        assert_eq!(role("CREATE TABLESPACE x OWNER y LOCATION '/z'"), None);
    }
}
