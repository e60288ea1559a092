//! PostgreSQL connection URLs, as libpq reads them.
//!
//! Source: PostgreSQL manual, "Connection URIs". The general URL parser is of no use here:
//! it refuses `postgres://user@/database?host=/run/postgresql`, which libpq accepts.

use crate::error::{Code, Error, Result};
use percent_encoding::percent_decode_str;

/// The parts of a connection URL, percent-decoded; what is not given is `None`.
#[derive(Default)]
pub(super) struct ConnectionUrl {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) ssl_mode: Option<String>,
    pub(super) ssl_root_cert: Option<String>,
}

/// Parameters that change nothing here: frameworks add them, or backstop decides itself.
const IGNORED: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "pgbouncer",
    "pool",
    "pool_timeout",
    "schema",
    "sslcompression",
    "target_session_attrs",
    "tcp_user_timeout",
];

impl ConnectionUrl {
    /// Reads `text`, the URL of the database component `name`. An error never repeats it,
    /// since it may hold a password.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        Self::read(text).map_err(|cause| {
            Error::new(Code::ConfigInvalid, "read the url of database", name)
                .cause(cause)
                .hint("write it as postgres://user@host:port/database")
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or("it does not begin with postgres:// or postgresql://")?;
        // libpq ends the user information at the first `@`, so that a `@` in it must be %40.
        let (user_info, rest) = match rest.find(['@', '/']) {
            Some(at) if rest[at..].starts_with('@') => (&rest[..at], &rest[at + 1..]),
            _ => ("", rest),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host_port, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = match user_info.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user_info, None),
        };
        let mut url = Self {
            user: decoded(user, "the user")?,
            password: password.map(|p| decoded(p, "the password")).transpose()?.flatten(),
            database: decoded(database, "the database")?,
            ..Self::default()
        };
        url.read_host(host_port)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.read_parameter(key, value)?;
        }
        Ok(url)
    }

    fn read_host(&mut self, text: &str) -> Result<(), String> {
        if text.contains(',') {
            return Err("it names several hosts; backstop needs exactly one server".into());
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or("")),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.host = decoded(host, "the host")?;
        self.port = read_port(port)?;
        Ok(())
    }

    fn read_parameter(&mut self, key: &str, value: &str) -> Result<(), String> {
        let value = decoded(value, key)?;
        match key {
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = read_port(&value.unwrap_or_default())?,
            "user" => self.user = value,
            "password" => self.password = value,
            "dbname" => self.database = value,
            "sslmode" => self.ssl_mode = value,
            "sslrootcert" => self.ssl_root_cert = value,
            "ssl" if value.as_deref() == Some("true") => self.ssl_mode = Some("require".into()),
            _ if IGNORED.contains(&key) => {}
            "sslcert" | "sslkey" | "sslpassword" => {
                return Err(format!("client certificates (`{key}`) are not supported"));
            }
            _ => return Err(format!("its parameter `{key}` is not known")),
        }
        Ok(())
    }
}

fn read_port(text: &str) -> Result<Option<u16>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err("its port is not a number from 1 to 65535".into()),
        Ok(port) => Ok(Some(port)),
    }
}

fn decoded(text: &str, part: &str) -> Result<Option<String>, String> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| format!("{part} is not UTF-8 after percent-decoding"))?;
    if text.contains('\0') {
        return Err(format!("{part} contains a zero byte"));
    }
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ConnectionUrl {
        ConnectionUrl::parse("shop", text).unwrap()
    }

    #[test]
    fn the_parts_are_percent_decoded() {
        let url = read("postgres://sh%40p:p%3Aw%2F%25@db.example:5433/%C3%9Cn%20x?sslmode=require");
        assert_eq!(url.user.as_deref(), Some("sh@p"));
        assert_eq!(url.password.as_deref(), Some("p:w/%"));
        assert_eq!(url.host.as_deref(), Some("db.example"));
        assert_eq!(url.port, Some(5433));
        assert_eq!(url.database.as_deref(), Some("Ün x"));
        assert_eq!(url.ssl_mode.as_deref(), Some("require"));
    }

    #[test]
    fn sockets_and_ipv6_are_understood() {
        let url = read("postgres://shop@/shop?host=/run/postgresql");
        assert_eq!(url.host.as_deref(), Some("/run/postgresql"));
        let url = read("postgresql://%2Frun%2Fpostgresql/shop");
        assert_eq!(url.host.as_deref(), Some("/run/postgresql"));
        let url = read("postgres://[::1]:5433/shop");
        assert_eq!((url.host.as_deref(), url.port), (Some("::1"), Some(5433)));
        let url = read("postgres:///shop");
        assert_eq!((url.host, url.user, url.port), (None, None, None));
    }

    #[test]
    fn refusals_say_why_and_keep_the_password() {
        for text in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@a,b/d",
            "postgres://u:hunter2@h/d?sslkey=x",
            "postgres://u:hunter2@h/d?no_such=x",
            "postgres://u:hunter2%00@h/d",
        ] {
            let error = ConnectionUrl::parse("shop", text).err().unwrap();
            assert_eq!(error.code(), Code::ConfigInvalid);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
