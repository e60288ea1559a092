//! Names and texts inside SQL and connection strings.
//!
//! Source: PostgreSQL manual, "Lexical Structure" and "Connection Strings".

/// `name` as an SQL identifier, always quoted.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL literal, right for either value of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A connection string that names only the database. Client programs read a plain name as
/// a connection string themselves when it contains `=`; this form has one meaning.
pub(super) fn database_string(name: &str) -> String {
    format!("dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(quote_identifier(r#"Ünï "code" -x"#), r#""Ünï ""code"" -x""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
        assert_eq!(database_string(r"a'b\c"), r"dbname='a\'b\\c'");
    }
}
