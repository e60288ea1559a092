//! Reaching a database of the stack: the server, and the client programs that fit it.

use crate::config;
use crate::database::{
    ChildRunner, Connection, Exec, Exited, Prepared, Running, Surroundings, Target, ToolCommand,
    Tools,
};
use crate::docker::{self, Docker};
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A database of the config, resolved: where it is and which programs dump and restore it.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) config: config::Database,
    pub(crate) target: Target,
    pub(crate) tools: Tools,
}

impl Reach {
    /// Finds the server's address and the client programs, and checks that these are not
    /// older than the server. The database itself need not exist: `through` is a database
    /// that does, such as `postgres`.
    pub(crate) async fn find(
        setting: &Setting,
        database: &config::Database,
        docker: Option<&Docker>,
        through: Option<&str>,
    ) -> Result<Self> {
        let around = Surroundings::of_process();
        let target = Target::resolve(database, &around, setting.progress.as_ref())?;
        let (target, tools) = match (&database.container, docker) {
            (Some(container), Some(docker)) => {
                let (target, port) = in_container(docker, container, target, through).await?;
                let exec = InContainer { docker: docker.clone(), container: container.clone() };
                (target, Tools::inside(Arc::new(exec), port).await?)
            }
            _ => (target, local_tools(setting, database.bin_dir.as_deref()).await?),
        };
        Ok(Self { config: database.clone(), target, tools })
    }

    /// Opens the connections of a fence.
    pub(crate) async fn prepare(&self) -> Result<Prepared> {
        let prepared = Prepared::connect(&self.target).await?;
        self.tools.check(prepared.server())?;
        Ok(prepared)
    }

    /// A connection to the server's `postgres` database, or `template1` without one: for
    /// what cannot be done from within a database, such as renaming it.
    pub(crate) async fn maintenance(&self) -> Result<Connection> {
        match Connection::open(&self.target.with_database("postgres")).await {
            Err(e) if e.code() == Code::DatabaseFailed => {
                Connection::open(&self.target.with_database("template1")).await
            }
            opened => opened,
        }
    }
}

/// The database of the config of this name.
///
/// # Errors
/// `component_not_found`, naming what there is.
fn configured<'a>(setting: &'a Setting, name: &str) -> Result<&'a config::Database> {
    let found = setting.config.databases.iter().find(|database| database.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> =
            setting.config.databases.iter().map(|database| database.name.as_str()).collect();
        Error::new(Code::ComponentNotFound, "find database", name)
            .cause("the config has none of this name")
            .hint(format!("its databases are: {}", names.join(", ")))
    })
}

/// Where a database of the config is, and the programs that fit its server; the database
/// itself need not exist.
pub(crate) async fn reach_database(setting: &Setting, name: &str) -> Result<Reach> {
    let database = configured(setting, name)?;
    let docker = match &database.container {
        Some(_) => Some(Docker::connect().await?),
        None => None,
    };
    Reach::find(setting, database, docker.as_ref(), Some("postgres")).await
}

/// Where the server of a database of the config is, without looking for client programs.
pub(crate) async fn open_server(setting: &Setting, name: &str) -> Result<Target> {
    let database = configured(setting, name)?;
    let around = Surroundings::of_process();
    let target = Target::resolve(database, &around, setting.progress.as_ref())?;
    match &database.container {
        Some(container) => {
            let docker = Docker::connect().await?;
            Ok(in_container(&docker, container, target, Some("postgres")).await?.0)
        }
        None => Ok(target),
    }
}

/// A connection to a database of the config, or to another one of its server, without looking
/// for client programs.
pub(crate) async fn open_connection(
    setting: &Setting,
    name: &str,
    other: Option<&str>,
) -> Result<Connection> {
    let database = configured(setting, name)?;
    let around = Surroundings::of_process();
    let mut target = Target::resolve(database, &around, setting.progress.as_ref())?;
    if let Some(container) = &database.container {
        let docker = Docker::connect().await?;
        target = in_container(&docker, container, target, other).await?.0;
    }
    match other {
        Some(other) => Connection::open(&target.with_database(other)).await,
        None => Connection::open(&target).await,
    }
}

/// The client programs of this host, in `bin_dir` or wherever they are found.
pub(crate) async fn local_tools(setting: &Setting, bin_dir: Option<&Path>) -> Result<Tools> {
    let parent = std::process::id().to_string();
    let wrapper = vec!["exec-child".into(), "--parent".into(), parent, "--".into()];
    Tools::local(bin_dir, ChildRunner::with_wrapper(setting.executable.clone(), wrapper)).await
}

/// The target at the first address of its container that answers, and the port on which
/// the server listens inside.
async fn in_container(
    docker: &Docker,
    container: &str,
    target: Target,
    through: Option<&str>,
) -> Result<(Target, u16)> {
    let port = target.port();
    let addresses = docker.addresses_of(container, port).await?;
    let mut last = Error::new(Code::DatabaseUnreachable, "reach database in container", container)
        .cause(format!("it has no address for port {port}"))
        .hint("start the container; the url's port must be the one inside the container");
    for address in addresses {
        let Ok(ip) = address.host.parse() else { continue };
        let candidate = target.clone().at(ip, address.port);
        let tried = match through {
            Some(database) => Connection::open(&candidate.with_database(database)).await,
            None => Connection::open(&candidate).await,
        };
        match tried {
            Ok(connection) => return Ok((candidate, connection.server().port)),
            Err(e) if e.code() == Code::DatabaseUnreachable => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// Runs client programs inside a container with `docker exec`.
struct InContainer {
    docker: Docker,
    container: String,
}

impl Exec for InContainer {
    fn run<'a>(
        &'a self,
        command: &'a ToolCommand,
        stdin: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Running<'a> {
        let text = |part: &std::ffi::OsString| part.to_string_lossy().into_owned();
        let exec = docker::Exec {
            argv: command.argv().iter().map(text).collect(),
            env: command.env().to_vec(),
            user: None,
        };
        Box::pin(async move {
            let exit = self.docker.exec(&self.container, &exec, stdin, stdout).await?;
            Ok(Exited { code: i32::try_from(exit.code).unwrap_or(-1), stderr: exit.stderr })
        })
    }
}
