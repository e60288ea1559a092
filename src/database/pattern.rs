//! Table patterns of `pg_dump --exclude-table`, as regular expressions of the server.
//!
//! Source: PostgreSQL manual, psql, "Patterns": `*` is any sequence, `?` any character, a
//! dot parts schema and name, letters fold to lower case, double quotes take text literally.

use super::quote::quote_literal;

/// A pattern as two anchored regular expressions: for the schema, where one is named, and
/// for the table.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    schema: Option<String>,
    table: String,
}

/// The end of a `WHERE` clause that leaves out the tables which fit a pattern; `c` is
/// `pg_class` and `n` is `pg_namespace`.
pub(super) fn not_excluded(exclude: &[String]) -> String {
    let conditions = exclude.iter().map(|text| Pattern::parse(text)).map(|pattern| {
        let schema = match pattern.schema {
            Some(schema) => format!("n.nspname ~ {}", quote_literal(&schema)),
            None => "pg_table_is_visible(c.oid)".to_owned(),
        };
        format!(" AND NOT ({schema} AND c.relname ~ {})", quote_literal(&pattern.table))
    });
    conditions.collect()
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let Some(part) = parts.last_mut() else { break };
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                '*' if !quoted => part.push_str(".*"),
                '?' if !quoted => part.push('.'),
                // Dollar signs are literal even outside quotes; the rest keeps its meaning
                // as a regular expression there, as in psql.
                '$' => part.push_str("\\$"),
                other if quoted && is_special(other) => {
                    part.push('\\');
                    part.push(other);
                }
                other if quoted => part.push(other),
                other => part.extend(other.to_lowercase()),
            }
        }
        let anchored = |part: String| format!("^({part})$");
        let table = anchored(parts.pop().unwrap_or_default());
        // A database may be named in front of the schema; pg_dump only accepts its own.
        Self { schema: parts.pop().map(anchored), table }
    }
}

fn is_special(character: char) -> bool {
    r"|*+?()[]{}.^$\".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> (Option<String>, String) {
        let pattern = Pattern::parse(text);
        (pattern.schema, pattern.table)
    }

    #[test]
    fn patterns_read_as_psql_reads_them() {
        assert_eq!(pattern("audit.*"), (Some("^(audit)$".into()), "^(.*)$".into()));
        assert_eq!(pattern("Log_?"), (None, "^(log_.)$".into()));
        assert_eq!(
            pattern(r#""My.Schema"."a*b""c""#),
            (Some(r"^(My\.Schema)$".into()), r#"^(a\*b"c)$"#.into())
        );
        assert_eq!(pattern("p$[0-9]+"), (None, r"^(p\$[0-9]+)$".into()));
    }
}
