//! The variables that scripts before backstop used, honoured where the file is silent:
//! `DATABASE_URL`, or `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER` and `DB_PASSWORD`;
//! `BACKUP_DIR`; `BACKUP_COMPRESSION`; `BACKUP_RETENTION_DAYS`. `BACKUP_ENABLED=false` counts
//! whatever the file says.

use super::origin::Origin;
use super::overrides::Override;
use super::problem::Problems;
use super::schema::{Shape, present};
use super::source::Layer;
use super::{DatabaseUrl, Environment, toml};
use figment::Figment;
use figment::value::Dict;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Schema;

/// What a url's components may hold as it stands.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins the older variables underneath `figment`. `file` says whether a config file was
/// read: without one the stack is named after its database.
pub(super) fn join(
    mut figment: Figment,
    schema: &Schema,
    environment: &Environment,
    file: bool,
    problems: &mut Problems,
) -> Figment {
    if environment.disables() {
        // Unlike the others it has the last word: what was turned off stays so.
        let values = Dict::from([("enabled".to_owned(), false.into())]);
        figment = figment.merge(Layer::new(Environment::ENABLED, values));
    }
    if let Some(directory) = environment.get("BACKUP_DIR")
        && !figment.contains("repository.url")
    {
        let layer = Layer::of_key("BACKUP_DIR", "repository", "path", directory.into());
        figment = figment.join(layer);
    }
    if let Some(text) = environment.get("BACKUP_COMPRESSION") {
        let level = toml::parse_value(text).unwrap_or_else(|| text.into());
        let name = "BACKUP_COMPRESSION";
        figment = figment.join(Layer::of_key(name, "repository", "compression_level", level));
    }
    if let Some(text) = environment.get("BACKUP_RETENTION_DAYS") {
        figment = join_retention(figment, schema, text, problems);
    }
    if figment.contains("databases") {
        return figment;
    }
    let Some(database) = database(environment, problems) else { return figment };
    if !file {
        let name = database.name.as_str().into();
        figment = figment.join(Layer::of_key(database.variable, "stack", "name", name));
    }
    let entry = Dict::from([
        ("name".to_owned(), database.name.into()),
        ("url".to_owned(), database.url.into()),
    ]);
    let values = Dict::from([("databases".to_owned(), vec![entry].into())]);
    figment = figment.join(Layer::new(database.variable, values));
    match database.password_env {
        Some(name) => {
            let over = Override::new(name, "databases__0__password_env", name);
            over.merge(figment, schema, problems)
        }
        None => figment,
    }
}

/// `BACKUP_RETENTION_DAYS` says how old backups become, where no rule does.
fn join_retention(
    figment: Figment,
    schema: &Schema,
    text: &str,
    problems: &mut Problems,
) -> Figment {
    const NAME: &str = "BACKUP_RETENTION_DAYS";
    let section = &present(&schema["properties"]["retention"])["properties"];
    let is_rule =
        |key: &&String| *key != "auto" && Shape::of(&section[key.as_str()]) != Shape::Table;
    let rules = section.as_object().into_iter().flat_map(|keys| keys.keys()).filter(is_rule);
    if rules.into_iter().any(|key| figment.contains(&format!("retention.{key}"))) {
        return figment;
    }
    match text.trim().parse::<u16>() {
        Ok(days) if days > 0 => {
            let length = format!("{days}d").into();
            figment.join(Layer::of_key(NAME, "retention", "keep_within", length))
        }
        _ => {
            let message = format!("expected a whole number of days from 1, found `{text}`");
            problems.add(&Origin::variable(NAME), "retention.keep_within", message);
            figment
        }
    }
}

struct Found {
    variable: &'static str,
    name: String,
    url: String,
    password_env: Option<&'static str>,
}

fn database(environment: &Environment, problems: &mut Problems) -> Option<Found> {
    let password = environment.get("DB_PASSWORD").map(|_| "DB_PASSWORD");
    if let Some(url) = environment.get("DATABASE_URL") {
        let url = without_driver(url);
        return match url.parse::<DatabaseUrl>() {
            Ok(parsed) => Some(Found {
                variable: "DATABASE_URL",
                name: component_name(parsed.database()),
                password_env: password.filter(|_| !parsed.has_password()),
                url,
            }),
            Err(message) => {
                let way_out = "`databases = []` in a config file leaves this variable alone";
                let origin = Origin::variable("DATABASE_URL");
                problems.add(&origin, "", format!("{message}; {way_out}"));
                None
            }
        };
    }
    let database = environment.get("DB_NAME")?;
    Some(Found {
        variable: "DB_NAME",
        name: component_name(database),
        url: assembled(
            database,
            environment.get("DB_USER").unwrap_or("postgres"),
            environment.get("DB_HOST").unwrap_or("localhost"),
            environment.get("DB_PORT").unwrap_or("5432"),
        ),
        password_env: password,
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
