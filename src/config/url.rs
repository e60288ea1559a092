//! The address of a database, which may hold a password and therefore never shows itself whole.

use super::text::written_as_text;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What stands in the place of a password.
const MASK: &str = "***";

/// A connection URI (PostgreSQL manual, 34.1.1.2): `postgres://user@host:port/database`.
///
/// `Display`, `Debug` and serde show it with its password masked; only [`expose`](Self::expose)
/// gives it whole.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    whole: String,
    masked: String,
    user: Option<String>,
    database: String,
}

impl DatabaseUrl {
    /// The whole text, with the password where one is in it: for the connection alone.
    pub fn expose(&self) -> &str {
        &self.whole
    }

    /// The user, percent-decoded, where the url names one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The database's name on its server, percent-decoded.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether a password is in it.
    pub fn has_password(&self) -> bool {
        self.whole != self.masked
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Reads a url. The error says what is wrong, never what was written.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
            .ok_or("must begin with postgres:// or postgresql://")?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err("spaces and # have to be written as %20 and %23".into());
        }
        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = address
            .split_once('/')
            .filter(|(_, database)| !database.is_empty())
            .ok_or("names no database; it ends with /DATABASE")?;
        // Behind an unencoded / or ? of a password follow its rest and the real @.
        if database.contains(['/', '@']) || query.is_some_and(|query| query.contains('@')) {
            return Err(
                "inside of a name or password / ? @ have to be written as %2F, %3F, %40".into()
            );
        }
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, _)) if credentials.contains('@') => {
                return Err("an @ inside of a name or password has to be written as %40".into());
            }
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        check_host(host, query)?;
        let user = credentials.map(|both| both.split_once(':').map_or(both, |(user, _)| user));
        let shown = credentials.map(|both| match both.split_once(':') {
            Some((user, password)) if !password.is_empty() => format!("{user}:{MASK}@"),
            _ => format!("{both}@"),
        });
        let query = query.map(|query| format!("?{}", mask_query(query)));
        let (shown, query) = (shown.unwrap_or_default(), query.unwrap_or_default());
        let masked = format!("{scheme}://{shown}{host}/{database}{query}");
        Ok(Self {
            whole: text.to_owned(),
            masked,
            user: user.filter(|user| !user.is_empty()).map(decode).transpose()?,
            database: decode(database)?,
        })
    }
}

/// `host[:port]`, of exactly one server; an empty host needs one in the query.
fn check_host(text: &str, query: Option<&str>) -> Result<(), String> {
    if text.contains(',') {
        return Err("names several hosts; a backup is taken from one server".into());
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("the port is not a number from 1 to 65535; \
             in a password : / ? # @ have to be percent-encoded"
            .into());
    }
    let elsewhere =
        query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("host=")));
    if host.is_empty() && !elsewhere {
        return Err("names no host; a socket directory is written as \
             postgres://USER@/DATABASE?host=/run/postgresql"
            .into());
    }
    Ok(())
}

fn mask_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key @ ("password" | "sslpassword"), _)) => format!("{key}={MASK}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn decode(text: &str) -> Result<String, String> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| "a percent-encoded name is not UTF-8".into())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({:?})", self.masked)
    }
}

written_as_text!(DatabaseUrl, "database-url", inline: true, ["postgres://shop@127.0.0.1:5432/shop"]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_taken_apart_without_losing_anything() {
        let url: DatabaseUrl = "postgres://shop%40web:s3cret@db:5433/sh%20op".parse().unwrap();
        assert_eq!((url.user(), url.database()), (Some("shop@web"), "sh op"));
        assert_eq!(url.expose(), "postgres://shop%40web:s3cret@db:5433/sh%20op");
        assert_eq!(url.to_string(), "postgres://shop%40web:***@db:5433/sh%20op");
        assert!(url.has_password());
    }

    #[test]
    fn the_forms_of_the_postgresql_manual_are_accepted() {
        for text in [
            "postgres://shop@127.0.0.1:5432/shop",
            "postgresql://localhost/shop",
            "postgres://shop@[::1]:5432/shop?sslmode=require",
            "postgres://shop@/shop?host=/run/postgresql",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
            assert_eq!(url.database(), "shop");
            assert!(!url.has_password());
        }
    }

    #[test]
    fn wrong_urls_are_refused_without_being_repeated() {
        for text in [
            "s3cret",
            "mysql://u:s3cret@h/d",
            "postgres://u:s3cret@h",
            "postgres://u:s3cret@h/",
            "postgres://u:s3cret@/d",
            "postgres://u:s3c@ret@h/d",
            "postgres://u:s3cret@one,two/d",
            "postgres://u:s3c/ret@h/d",
            "postgres://u:s3cret?@h/d",
            "postgres://u:1/s3cret?x@h/d",
            "postgres://u:1/s3cret@h",
            "postgres://u:s3cret@h:0/d",
            "postgres://u:s3cret@h/d#x",
            "postgres://u:s3 cret@h/d",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.contains("s3c"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_password_is_ever_shown(password in "[!-~]{8,20}", in_query: bool) {
            let text = if in_query {
                format!("postgres://u@h/d?a=b&password={password}&sslmode=require")
            } else {
                format!("postgres://u:{password}@h/d")
            };
            let shown = match text.parse::<DatabaseUrl>() {
                Ok(url) => format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap()),
                Err(error) => error,
            };
            let secret = password.split(['&', '=']).next().unwrap_or_default();
            prop_assert!(secret.len() < 6 || !shown.contains(secret), "{shown}");
        }
    }
}
