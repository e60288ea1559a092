//! The database layer against a real server.

mod faults;
mod fence;
mod globals;
mod round_trip;
mod swap;
mod tls;

use crate::support::cluster::{Cluster, TestDatabase, USER, bin_dir};
use backstop::config::{Database, DumpFormat};
use backstop::database::{
    ChildRunner, DumpRequest, Exec, Prepared, Running, Surroundings, Target, ToolCommand, Tools,
    describe, dump,
};
use backstop::progress::{Progress, Silent};
use backstop::repository::manifest::DatabaseDetail;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

fn target(component: &Database) -> Target {
    Target::resolve(component, &Surroundings::default(), &Silent).unwrap()
}

fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

async fn tools() -> Tools {
    Tools::local(Some(bin_dir()), ChildRunner::default()).await.unwrap()
}

/// Stands in for `docker exec`: like it, it finds programs by name and sees no host files.
struct Beside;

impl Exec for Beside {
    fn run<'a>(
        &'a self,
        command: &'a ToolCommand,
        stdin: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Running<'a> {
        Box::pin(async move {
            assert!(command.argv().iter().all(|word| !word.to_str().unwrap().starts_with('/')));
            let program = bin_dir().join(&command.argv()[0]);
            let here = command.argv()[1..].iter().fold(ToolCommand::new(program), |c, a| c.arg(a));
            let here = here.variables(command.env().to_vec());
            let stdin = stdin.map(|stdin| stdin as &mut (dyn AsyncRead + Send + Unpin));
            let runner = ChildRunner::default();
            runner.run(&here, stdin, stdout).await
        })
    }
}

async fn tools_beside(cluster: &Cluster) -> Tools {
    Tools::inside(Arc::new(Beside), cluster.port()).await.unwrap()
}

/// A client of the application: one session, open until it is dropped.
async fn client(component: &Database) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(component.url.expose(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Dumps `component` into `backup` and records it.
async fn back_up(
    component: &Database,
    format: DumpFormat,
    tools: &Tools,
    backup: &Path,
) -> DatabaseDetail {
    let mut component = component.clone();
    component.format = Some(format);
    let target = target(&component);
    let held = Prepared::connect(&target).await.unwrap().fence().await.unwrap();
    let request = DumpRequest::new(&component, 3, backup);
    let dumped = dump::dump(&held, tools, &request, &silent()).await.unwrap();
    let description = describe(held.connection()).await.unwrap();
    description.detail(target.database(), format, &request.exclude_tables, &dumped)
}

/// A table `item` with so many rows.
fn fill(database: &TestDatabase<'_>, rows: u32) {
    database.sql(&format!(
        "CREATE TABLE item (id int PRIMARY KEY, name text); \
         INSERT INTO item SELECT i, md5(i::text) FROM generate_series(1, {rows}) i"
    ));
}

const FORMATS: [DumpFormat; 4] =
    [DumpFormat::Directory, DumpFormat::Custom, DumpFormat::Plain, DumpFormat::Tar];

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_the_port_and_another_address_lead_to_the_same_server() {
    let cluster = Cluster::shared();
    let database = cluster.database("ways");
    let by_port = database.component();
    let mut by_socket = by_port.clone();
    by_socket.url = format!(
        "postgres://{USER}:{}@:{}/{}?host={}",
        crate::support::cluster::encode(crate::support::cluster::PASSWORD),
        cluster.port(),
        database.name(),
        cluster.socket_directory().display()
    )
    .parse()
    .unwrap();
    let mut elsewhere = by_port.clone();
    elsewhere.url =
        elsewhere.url.expose().replace("127.0.0.1", "no-such-host.invalid").parse().unwrap();
    let moved = target(&elsewhere).at("127.0.0.1".parse().unwrap(), cluster.port());
    for target in [target(&by_port), target(&by_socket), moved] {
        let prepared = Prepared::connect(&target).await.unwrap();
        assert_eq!(prepared.server().port, cluster.port());
        assert!(!prepared.server().standby);
    }
}
