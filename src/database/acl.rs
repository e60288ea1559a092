//! Grants on a database, from `pg_database.datacl` to the statements that make them again.
//!
//! Source: PostgreSQL manual, "Privileges": `grantee=privileges/grantor`, where `C` is
//! CREATE, `T` TEMPORARY, `c` CONNECT, and a `*` after a letter the grant option.

use super::quote::quote_identifier;

/// The statements that give `database` the privileges of `acl`. None for an empty list,
/// which stands for PostgreSQL's defaults.
pub(super) fn statements(database: &str, acl: &[String]) -> Vec<String> {
    if acl.is_empty() {
        return Vec::new();
    }
    let database = quote_identifier(database);
    let mut statements = vec![format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC")];
    for item in acl.iter().filter_map(|text| parse(text)) {
        let grantee = item.grantee.as_deref().map_or("PUBLIC".to_owned(), quote_identifier);
        for (privileges, option) in [(item.plain, ""), (item.grantable, " WITH GRANT OPTION")] {
            if !privileges.is_empty() {
                let privileges = privileges.join(", ");
                statements.push(format!(
                    "GRANT {privileges} ON DATABASE {database} TO {grantee}{option}"
                ));
            }
        }
    }
    statements
}

struct Item {
    /// `None` is `PUBLIC`.
    grantee: Option<String>,
    plain: Vec<&'static str>,
    grantable: Vec<&'static str>,
}

fn parse(text: &str) -> Option<Item> {
    let (grantee, rest) = role(text)?;
    let privileges = rest.strip_prefix('=')?.split('/').next()?;
    let mut item = Item {
        grantee: (!grantee.is_empty()).then_some(grantee),
        plain: Vec::new(),
        grantable: Vec::new(),
    };
    let mut letters = privileges.chars().peekable();
    while let Some(letter) = letters.next() {
        let privilege = match letter {
            'C' => "CREATE",
            'T' => "TEMPORARY",
            'c' => "CONNECT",
            _ => continue,
        };
        if letters.next_if_eq(&'*').is_some() {
            item.grantable.push(privilege);
        } else {
            item.plain.push(privilege);
        }
    }
    Some(item)
}

/// The role at the beginning of `text`, quoted where its name is not plain, and the rest.
fn role(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=')?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_grant_is_made_again() {
        let acl = ["=Tc/postgres", "shop=C*Tc/postgres", r#""a ""b=c"=c/postgres"#];
        assert_eq!(
            statements("sh\"op", &acl.map(String::from)),
            [
                r#"REVOKE ALL ON DATABASE "sh""op" FROM PUBLIC"#,
                r#"GRANT TEMPORARY, CONNECT ON DATABASE "sh""op" TO PUBLIC"#,
                r#"GRANT TEMPORARY, CONNECT ON DATABASE "sh""op" TO "shop""#,
                r#"GRANT CREATE ON DATABASE "sh""op" TO "shop" WITH GRANT OPTION"#,
                r#"GRANT CONNECT ON DATABASE "sh""op" TO "a ""b=c""#,
            ]
        );
    }

    #[test]
    fn defaults_need_no_statement() {
        assert!(statements("shop", &[]).is_empty());
    }
}
