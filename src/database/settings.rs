//! Settings of a database, as statements that make them again.
//!
//! Source: `pg_db_role_setting` in the PostgreSQL manual, and the way `pg_dump` writes
//! them: variables that are lists of names need every name quoted by itself.

use super::quote::{quote_identifier, quote_literal};

/// Variables whose value is a list of names (`GUC_LIST_QUOTE` in PostgreSQL).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// `SET name TO value` for the recorded `name=value`; `None` where it is no setting.
pub(super) fn set_clause(setting: &str) -> Option<String> {
    let (name, value) = setting.split_once('=')?;
    // A custom variable may have a prefix: `app.tenant`.
    let quoted = name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".");
    let value = if LISTS.contains(&name.to_lowercase().as_str()) {
        let names: Vec<_> = names(value).iter().map(|name| quote_literal(name)).collect();
        if names.is_empty() { "''".to_owned() } else { names.join(", ") }
    } else {
        quote_literal(value)
    };
    Some(format!("SET {quoted} TO {value}"))
}

/// Splits `"$user", public` into its names.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                names.push(std::mem::take(&mut name));
                was_quoted = false;
            }
            other if !quoted && other.is_whitespace() => {}
            other => name.push(other),
        }
    }
    if was_quoted || !name.is_empty() {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_quoted_name_by_name() {
        assert_eq!(
            set_clause(r#"search_path="$user", public, "a""b, c""#).unwrap(),
            r#"SET "search_path" TO '$user', 'public', 'a"b, c'"#
        );
        assert_eq!(set_clause(r#"search_path="""#).unwrap(), r#"SET "search_path" TO ''"#);
    }

    #[test]
    fn other_values_are_one_literal() {
        assert_eq!(set_clause("work_mem=64MB").unwrap(), r#"SET "work_mem" TO '64MB'"#);
        assert_eq!(
            set_clause("app.note=it's = \"a, b\"").unwrap(),
            r#"SET "app"."note" TO 'it''s = "a, b"'"#
        );
        assert_eq!(set_clause("nonsense"), None);
    }
}
