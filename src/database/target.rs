//! One database on one server: how to reach it and as whom.

use super::password::{self, Password, Surroundings};
use super::pgpass;
use super::url::ConnectionUrl;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How far TLS is used and the server's certificate checked, as libpq's `sslmode`.
///
/// Source: PostgreSQL manual, "SSL Mode Descriptions". `allow` is read as `prefer`, which
/// reaches the same servers. With `require` a given `sslrootcert` is checked as `verify-ca`
/// does, as libpq does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server offers it; the certificate is not checked.
    Prefer,
    /// TLS only; the certificate is not checked.
    Require,
    /// TLS only; the certificate must come from a trusted authority.
    VerifyCa,
    /// TLS only; the certificate must come from a trusted authority and name the host.
    VerifyFull,
}

impl SslMode {
    /// The mode as libpq writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(format!(
                    "sslmode `{text}` is none of disable, prefer, require, verify-ca, verify-full"
                ));
            }
        })
    }
}

/// Where socket directories lie by default: Debian's place, then PostgreSQL's own.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// One database on one server: how to reach it and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) component: String,
    /// A host name, an address, or a socket directory when it begins with `/`.
    pub(super) host: String,
    /// Where the host really is, when its name is only used to check the certificate.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) password: Option<Password>,
    pub(super) ssl_mode: SslMode,
    pub(super) ssl_root_cert: Option<PathBuf>,
}

impl Target {
    /// Resolves what the config says, with libpq's defaults for what it leaves open:
    /// `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`, and the
    /// password (see the documentation of `password_env`).
    pub fn resolve(
        database: &config::Database,
        around: &Surroundings,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let url = ConnectionUrl::parse(&database.name, database.url.expose())?;
        let invalid = |cause: String| {
            Error::new(Code::ConfigInvalid, "resolve the url of database", &database.name)
                .cause(cause)
        };
        let port = match (url.port, around.var("PGPORT")) {
            (Some(port), _) => port,
            (None, Some(text)) => text
                .parse()
                .map_err(|_| invalid(format!("PGPORT is `{text}`, which is no port")))?,
            (None, None) => 5432,
        };
        let given =
            |own: Option<String>, variable| own.or_else(|| around.var(variable).map(str::to_owned));
        let host = given(url.host, "PGHOST").unwrap_or_else(|| default_host(port));
        let user = given(url.user, "PGUSER")
            .or_else(|| given(None, "USER"))
            .or_else(|| given(None, "LOGNAME"))
            .ok_or_else(|| invalid("it names no user".into()))?;
        let name = given(url.database, "PGDATABASE").unwrap_or_else(|| user.clone());
        let ssl_mode = match given(url.ssl_mode, "PGSSLMODE") {
            Some(text) => text.parse().map_err(invalid)?,
            None => SslMode::Prefer,
        };
        let ssl_root_cert = given(url.ssl_root_cert, "PGSSLROOTCERT").map(PathBuf::from);
        let key_host =
            if SOCKET_DIRECTORIES.contains(&host.as_str()) { "localhost" } else { &host };
        let key = pgpass::Key { host: key_host, port, database: &name, user: &user };
        let password = password::resolve(database, url.password, &key, around, progress)?;
        Ok(Self {
            component: database.name.clone(),
            host,
            address: None,
            port,
            user,
            database: name,
            password,
            ssl_mode,
            ssl_root_cert: root_certificate(ssl_mode, ssl_root_cert, around),
        })
    }

    /// The same database, reached at another address: that of its container, or of the port
    /// it publishes. The host's name is still what a certificate is checked against.
    #[must_use]
    pub fn at(mut self, address: IpAddr, port: u16) -> Self {
        if self.is_socket() {
            self.host = address.to_string();
        }
        self.address = Some(address);
        self.port = port;
        self
    }

    /// Another database of the same server, as the same user.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The TCP port, or that of the socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The component's name in the config.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The database's name on its server.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role that backstop connects as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server, as people write it: `host:port`, or the socket's path.
    pub fn server(&self) -> String {
        match self.address {
            _ if self.is_socket() => format!("{}/.s.PGSQL.{}", self.host, self.port),
            Some(address) if address.to_string() != self.host => {
                format!("{}:{} ({address})", self.host, self.port)
            }
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The addresses of the server's host; none for a Unix socket, or where nobody knows it.
    pub async fn addresses(&self) -> Vec<IpAddr> {
        if let Some(address) = self.address {
            return vec![address];
        }
        if self.is_socket() {
            return Vec::new();
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        found.into_iter().flatten().map(|address| address.ip()).collect()
    }

    /// Whether it is reached through a Unix socket.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The `PG*` variables with which a client program on this host reaches it.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.identity();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("PGHOST", self.host.clone());
        set("PGPORT", self.port.to_string());
        if let Some(address) = self.address {
            set("PGHOSTADDR", address.to_string());
        }
        set("PGSSLMODE", self.ssl_mode.as_str().to_owned());
        if let Some(path) = &self.ssl_root_cert {
            set("PGSSLROOTCERT", path.display().to_string());
        }
        variables
    }

    /// The `PG*` variables with which a client program beside the server, in the same
    /// container, reaches it.
    pub(super) fn variables_beside(&self, server_port: u16) -> Vec<(String, String)> {
        let mut variables = self.identity();
        variables.push(("PGHOST".into(), "127.0.0.1".into()));
        variables.push(("PGPORT".into(), server_port.to_string()));
        variables
    }

    fn identity(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("PGUSER".to_owned(), self.user.clone()),
            ("PGDATABASE".to_owned(), self.database.clone()),
            ("PGAPPNAME".to_owned(), super::connection::APPLICATION.to_owned()),
            ("PGCONNECT_TIMEOUT".to_owned(), "10".to_owned()),
        ];
        if let Some(password) = &self.password {
            variables.push(("PGPASSWORD".to_owned(), password.reveal().to_owned()));
        }
        variables
    }
}

fn default_host(port: u16) -> String {
    SOCKET_DIRECTORIES
        .into_iter()
        .find(|dir| Path::new(dir).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_owned()
}

/// The authority's certificate: the given one, else `~/.postgresql/root.crt` where the mode
/// asks for one.
fn root_certificate(
    mode: SslMode,
    given: Option<PathBuf>,
    around: &Surroundings,
) -> Option<PathBuf> {
    match mode {
        SslMode::Disable | SslMode::Prefer => None,
        SslMode::Require => given,
        SslMode::VerifyCa | SslMode::VerifyFull => {
            given.or_else(|| Some(around.home()?.join(".postgresql/root.crt")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn target(url: &str, around: &Surroundings) -> Result<Target> {
        let database = serde_json::json!({ "name": "shop", "url": url });
        Target::resolve(&serde_json::from_value(database).unwrap(), around, &Silent)
    }

    #[test]
    fn what_the_url_leaves_open_comes_from_the_environment() {
        let around =
            Surroundings::of([("PGPORT", "6000"), ("PGUSER", "me"), ("PGSSLMODE", "require")]);
        let full = target("postgres://shop@db:5433/data?sslmode=disable", &around).unwrap();
        assert_eq!(full.server(), "db:5433");
        assert_eq!((full.user(), full.database()), ("shop", "data"));
        assert_eq!(full.ssl_mode, SslMode::Disable);
        let bare = target("postgres://db/data", &around).unwrap();
        assert_eq!(bare.server(), "db:6000");
        assert_eq!((bare.user(), bare.database()), ("me", "data"));
        assert_eq!(bare.ssl_mode, SslMode::Require);
    }

    #[test]
    fn an_unknown_sslmode_is_refused() {
        let error = target("postgres://a@b/c?sslmode=maybe", &Surroundings::default());
        assert_eq!(error.unwrap_err().code(), Code::ConfigInvalid);
    }

    #[test]
    fn a_container_address_keeps_the_name_for_the_certificate() {
        let around = Surroundings::default();
        let address: IpAddr = "172.17.0.2".parse().unwrap();
        let moved = target("postgres://a@db/c", &around).unwrap().at(address, 5555);
        assert_eq!(moved.server(), "db:5555 (172.17.0.2)");
        let socket = target("postgres://a@/c?host=/run/pg", &around).unwrap().at(address, 5555);
        assert_eq!(socket.server(), "172.17.0.2:5555");
    }

    #[test]
    fn only_the_password_variable_holds_the_password() {
        let target = target("postgres://a:hunter2@db/c", &Surroundings::default()).unwrap();
        let holding: Vec<_> =
            target.variables().into_iter().filter(|(_, v)| v.contains("hunter2")).collect();
        assert_eq!(holding, [("PGPASSWORD".to_owned(), "hunter2".to_owned())]);
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
