//! PostgreSQL's client programs: where they are, how old they are, and what their failures
//! mean.

use super::child::ChildRunner;
use super::command::ToolCommand;
use super::connection::Server;
use super::exec::{Exec, Exited};
use super::target::Target;
use crate::error::{Code, Error, Result};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// The version of a client program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolVersion {
    /// The version as people write it, e.g. `15.18`.
    pub text: String,
    /// The major version, e.g. 15.
    pub major: u32,
}

impl ToolVersion {
    /// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(line: &str) -> Option<Self> {
        let text = line.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?.to_owned();
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: digits.parse().ok()?, text })
    }
}

impl fmt::Display for ToolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// PostgreSQL's client programs, on this host or beside the server in its container.
#[derive(Clone)]
pub struct Tools {
    exec: Arc<dyn Exec>,
    place: Place,
    version: ToolVersion,
}

#[derive(Debug, Clone)]
enum Place {
    /// On this host, in this directory; found through `PATH` without one.
    Here(Option<PathBuf>),
    /// Inside the server's container, where it listens on this port.
    Beside(u16),
}

impl Tools {
    /// The programs on this host: those in `bin_dir` where it is given, otherwise the newest
    /// in PostgreSQL's own directories, otherwise those in `PATH`.
    pub async fn local(bin_dir: Option<&Path>, runner: ChildRunner) -> Result<Self> {
        let directory = match bin_dir {
            Some(given) => Some(given.to_owned()),
            None => newest_directory(),
        };
        Self::ask(Arc::new(runner), Place::Here(directory)).await
    }

    /// The programs that `exec` reaches beside the server, which listens on `server_port`.
    pub async fn inside(exec: Arc<dyn Exec>, server_port: u16) -> Result<Self> {
        Self::ask(exec, Place::Beside(server_port)).await
    }

    async fn ask(exec: Arc<dyn Exec>, place: Place) -> Result<Self> {
        let unknown = ToolVersion { text: String::new(), major: 0 };
        let mut tools = Self { exec, place, version: unknown };
        let command = tools.program("pg_dump").arg("--version");
        let mut output = Vec::new();
        let exited = tools.exec.run(&command, None, &mut output).await?;
        let output = String::from_utf8_lossy(&output);
        tools.version = match ToolVersion::parse(&output) {
            Some(version) if exited.code == 0 => version,
            _ => {
                let said = format!("{} {}", output.trim(), exited.stderr.trim());
                return Err(Error::new(Code::ToolMissing, "read the version of", "pg_dump")
                    .cause(format!("exit code {}: {}", exited.code, said.trim())));
            }
        };
        Ok(tools)
    }

    /// The version of `pg_dump`.
    pub fn version(&self) -> &ToolVersion {
        &self.version
    }

    /// The directory of the programs on this host; none where `PATH` or a container has them.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Here(directory) => directory.as_deref(),
            Place::Beside(_) => None,
        }
    }

    /// Whether the programs can read and write this host's files.
    pub(super) fn are_local(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    /// Fails with [`Code::ToolTooOld`] where `pg_dump` is older than `server`: it refuses to
    /// dump from a newer major version.
    pub fn check(&self, server: &Server) -> Result<()> {
        if self.version.major >= server.major {
            return Ok(());
        }
        Err(Error::new(Code::ToolTooOld, "use", "pg_dump").cause(format!(
            "pg_dump is version {}, the server is version {}",
            self.version, server.version
        )))
    }

    /// A call of `program` that needs no server.
    pub(super) fn program(&self, program: &str) -> ToolCommand {
        match self.directory() {
            Some(directory) => ToolCommand::new(directory.join(program)),
            None => ToolCommand::new(program),
        }
    }

    /// A call of `program` that reaches `target` and never asks for a password.
    pub(super) fn client(&self, program: &str, target: &Target) -> ToolCommand {
        let variables = match self.place {
            Place::Here(_) => target.variables(),
            Place::Beside(port) => target.variables_beside(port),
        };
        self.program(program).arg("--no-password").variables(variables)
    }

    /// Runs a call to its end; a failing program is an error on `subject`.
    pub(super) async fn run<'a>(
        &'a self,
        command: &'a ToolCommand,
        attempted: &str,
        subject: &str,
        stdin: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<()> {
        let exited = self.exec.run(command, stdin, stdout).await?;
        match exited.code {
            0 => Ok(()),
            _ => Err(failed(command, attempted, subject, &exited)),
        }
    }
}

fn failed(command: &ToolCommand, attempted: &str, subject: &str, exited: &Exited) -> Error {
    let mut said = exited.stderr.lines().map(str::trim).filter(|l| !l.is_empty()).fold(
        String::new(),
        |text, line| {
            if text.is_empty() { line.to_owned() } else { text + "; " + line }
        },
    );
    if let Some((_, password)) = command.env().iter().find(|(name, _)| name == "PGPASSWORD") {
        said = super::password::Password::new(password).mask(&said);
    }
    let error = Error::new(meaning(exited.code, &said), attempted, subject);
    match said.is_empty() {
        true => error.cause(format!("{} ended with exit code {}", command.program(), exited.code)),
        false => error.cause(said),
    }
}

/// The code that fits the messages of a program that failed. The programs run in the C
/// locale, so the messages are in English.
fn meaning(code: i32, said: &str) -> Code {
    const MEANINGS: &[(&str, Code)] = &[
        ("No space left on device", Code::DiskFull),
        ("Disk quota exceeded", Code::DiskFull),
        ("server version mismatch", Code::ToolTooOld),
        ("password authentication failed", Code::DatabaseAuthentication),
        ("no password supplied", Code::DatabaseAuthentication),
        ("no pg_hba.conf entry", Code::DatabaseAuthentication),
        ("could not connect to server", Code::DatabaseUnreachable),
        ("Connection refused", Code::DatabaseUnreachable),
        ("server closed the connection", Code::DatabaseUnreachable),
        ("terminating connection", Code::DatabaseUnreachable),
        // What pg_restore says of an archive that is not whole.
        ("could not read from input file", Code::BackupDamaged),
        ("could not uncompress data", Code::BackupDamaged),
        ("could not close data file", Code::BackupDamaged),
        ("unexpected end of file", Code::BackupDamaged),
        ("unexpected block ID", Code::BackupDamaged),
        ("unrecognized data block type", Code::BackupDamaged),
        ("did not find magic string", Code::BackupDamaged),
        ("does not appear to be a valid", Code::BackupDamaged),
        ("input file is too short", Code::BackupDamaged),
        ("corrupt tar header", Code::BackupDamaged),
        ("incomplete tar header", Code::BackupDamaged),
        ("could not find header for file", Code::BackupDamaged),
        ("could not find block ID", Code::BackupDamaged),
        ("could not open input file", Code::BackupDamaged),
        ("could not read input file", Code::BackupDamaged),
    ];
    let known = MEANINGS.iter().find(|(part, _)| said.contains(part)).map(|(_, code)| *code);
    match known {
        Some(code) => code,
        None if code == 126 || code == 127 => Code::ToolMissing,
        None => Code::DatabaseFailed,
    }
}

/// The directory with the newest `pg_dump` among those where distributions keep one
/// directory a version: `/usr/lib/postgresql/15/bin` (Debian), `/usr/pgsql-15/bin` (PGDG).
fn newest_directory() -> Option<PathBuf> {
    let versions = |parent: &str, prefix: &'static str| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let name = entry.file_name().into_string().ok()?;
            let version: Vec<u32> =
                name.strip_prefix(prefix)?.split('.').map_while(|part| part.parse().ok()).collect();
            let directory = entry.path().join("bin");
            (!version.is_empty() && directory.join("pg_dump").exists())
                .then_some((version, directory))
        })
    };
    let debian = versions("/usr/lib/postgresql", "");
    debian.chain(versions("/usr", "pgsql-")).max().map(|(_, directory)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        let version = |line| ToolVersion::parse(line).map(|v| (v.text, v.major));
        assert_eq!(
            version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(("15.18".into(), 15))
        );
        assert_eq!(version("pg_dump (PostgreSQL) 18beta1"), Some(("18beta1".into(), 18)));
        assert_eq!(version("command not found"), None);
    }

    #[test]
    fn messages_decide_the_code() {
        let full = "pg_dump: error: could not write to file: No space left on device";
        assert_eq!(meaning(1, full), Code::DiskFull);
        assert_eq!(meaning(127, "not found"), Code::ToolMissing);
        assert_eq!(meaning(1, "ERROR:  permission denied for table x"), Code::DatabaseFailed);
    }

    #[test]
    fn a_failure_repeats_no_password() {
        let command = ToolCommand::new("psql")
            .variables(vec![("PGPASSWORD".to_owned(), "hunter2".to_owned())]);
        let exited = Exited { code: 1, stderr: "bad hunter2\nmore\n".into() };
        let error = failed(&command, "restore database", "shop", &exited);
        assert_eq!(error.to_string(), "cannot restore database shop: bad ********; more");
    }
}
