//! The variables that scripts before backstop used, honoured where the file is silent:
//! `DATABASE_URL`, or `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER` and `DB_PASSWORD`;
//! `BACKUP_DIR`; `BACKUP_COMPRESSION`.

use super::problem::Problems;
use super::tree::{Node, Origin, Value};
use super::{DatabaseUrl, Environment};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;

/// What a url's components may hold as it stands.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fills what `root` lacks. `file` says whether a config file was read: without one the
/// stack is named after its database.
pub(super) fn fill(
    root: &mut Node,
    environment: &Environment,
    file: bool,
    problems: &mut Problems,
) {
    if let Some(directory) = environment.get("BACKUP_DIR") {
        let node = raw(directory, "BACKUP_DIR");
        root.fill("repository", "path", node);
    }
    if let Some(level) = environment.get("BACKUP_COMPRESSION") {
        root.fill("repository", "compression_level", raw(level, "BACKUP_COMPRESSION"));
    }
    if root.get("databases").is_some() {
        return;
    }
    let Some(database) = database(environment, problems) else { return };
    if !file {
        let name = Node::new(Value::Text(database.name.clone()), database.origin.clone());
        root.fill("stack", "name", name);
    }
    if let Value::Table(sections) = &mut root.value {
        let origin = database.origin.clone();
        let list = Value::List(vec![database.into_node()]);
        sections.insert("databases".into(), Node::new(list, origin));
    }
}

struct Found {
    name: String,
    url: String,
    password_env: Option<&'static str>,
    origin: Origin,
}

impl Found {
    fn into_node(self) -> Node {
        let text = |text: String| Node::new(Value::Text(text), self.origin.clone());
        let mut entries = BTreeMap::from([
            ("name".to_owned(), text(self.name)),
            ("url".to_owned(), text(self.url)),
        ]);
        if let Some(variable) = self.password_env {
            let node = Node::new(Value::Text(variable.into()), Origin::variable(variable));
            entries.insert("password_env".into(), node);
        }
        Node::new(Value::Table(entries), self.origin)
    }
}

fn database(environment: &Environment, problems: &mut Problems) -> Option<Found> {
    let password = environment.get("DB_PASSWORD").map(|_| "DB_PASSWORD");
    if let Some(url) = environment.get("DATABASE_URL") {
        let origin = Origin::variable("DATABASE_URL");
        let url = without_driver(url);
        return match url.parse::<DatabaseUrl>() {
            Ok(parsed) => Some(Found {
                name: component_name(parsed.database()),
                password_env: password.filter(|_| !parsed.has_password()),
                url,
                origin,
            }),
            Err(message) => {
                let way_out = "`databases = []` in a config file leaves this variable alone";
                problems.add(&origin, "", format!("{message}; {way_out}"));
                None
            }
        };
    }
    let database = environment.get("DB_NAME")?;
    Some(Found {
        name: component_name(database),
        url: assembled(
            database,
            environment.get("DB_USER").unwrap_or("postgres"),
            environment.get("DB_HOST").unwrap_or("localhost"),
            environment.get("DB_PORT").unwrap_or("5432"),
        ),
        password_env: password,
        origin: Origin::variable("DB_NAME"),
    })
}

/// The url of `DB_HOST` and its like; a host that begins with `/` is a socket directory.
fn assembled(database: &str, user: &str, host: &str, port: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, COMPONENT).to_string();
    let (user, database) = (encode(user), encode(database));
    if host.starts_with('/') {
        format!("postgres://{user}@/{database}?host={}&port={port}", encode(host))
    } else if host.contains(':') && !host.starts_with('[') {
        format!("postgres://{user}@[{host}]:{port}/{database}")
    } else {
        format!("postgres://{user}@{host}:{port}/{database}")
    }
}

/// SQLAlchemy writes its driver into the scheme: `postgresql+psycopg2://`.
fn without_driver(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            format!("{}://{rest}", scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme))
        }
        None => url.to_owned(),
    }
}

/// The database's name as the name of a component, which is safe as a file name.
fn component_name(database: &str) -> String {
    let safe: String = database
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let safe = safe.trim_start_matches(['.', '-']);
    if safe.is_empty() { "database".into() } else { safe.to_owned() }
}

fn raw(text: &str, variable: &str) -> Node {
    Node::new(Value::Raw(text.to_owned()), Origin::variable(variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_assembled_so_that_no_character_breaks_them() {
        assert_eq!(
            assembled("sh/op", "a@b", "db.local", "5433"),
            "postgres://a%40b@db.local:5433/sh%2Fop"
        );
        for host in ["/run/postgresql", "::1", "127.0.0.1"] {
            let url: DatabaseUrl = assembled("shop", "u", host, "5432").parse().unwrap();
            assert_eq!((url.user(), url.database()), (Some("u"), "shop"));
        }
    }

    #[test]
    fn component_names_are_safe_whatever_the_database_is_called() {
        assert_eq!(component_name("shop_v2.1"), "shop_v2.1");
        assert_eq!(component_name("../my shop"), "my-shop");
        assert_eq!(component_name("..."), "database");
    }
}
