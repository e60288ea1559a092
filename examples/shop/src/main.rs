//! The sample application: uploads that consist of a file and a row.
//!
//! `shop serve` is the service, `shop load` writes into it, `shop audit` tells whether
//! every row has its file and every file its row, `shop health` asks whether it works.
//! One static binary, so that its image needs nothing else.

mod audit;
mod client;
mod directory;
mod load;
mod name;
mod service;
mod table;
mod termination;

use audit::Audit;
use clap::{Parser, Subcommand};
use client::Client;
use directory::Directory;
use load::Load;
use service::Service;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use table::Table;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The sample application that backstop's demo and tests protect.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests until SIGTERM or SIGINT, then finish what began
    Serve {
        /// Where to listen
        #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
        /// The database; the password may come from $PGPASSWORD
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        /// The directory of the uploaded files
        #[arg(long, env = "SHOP_UPLOADS", default_value = "/uploads")]
        uploads: PathBuf,
        /// The pause between a file and its row, in milliseconds
        #[arg(long, env = "SHOP_PAUSE_MS", default_value_t = 50)]
        pause_ms: u64,
    },
    /// Keep uploading small random files; prints the counts at the end as JSON
    Load {
        /// The service
        #[arg(long, default_value = client::DEFAULT_URL)]
        url: String,
        /// How many uploads may be under way at once
        #[arg(long, default_value_t = 4)]
        clients: u32,
        /// How many uploads to begin each second, all clients together; 0 is no limit
        #[arg(long, default_value_t = 20.0)]
        rate: f64,
        /// Stop after so many uploads
        #[arg(long)]
        count: Option<u64>,
        /// Stop after so many seconds
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Compare rows and files; prints the result as JSON, exits 1 when they differ
    Audit {
        /// Ask this running service
        #[arg(long, conflicts_with_all = ["database_url", "uploads"])]
        url: Option<String>,
        /// Read this database instead; the password may come from $PGPASSWORD
        #[arg(long, requires = "uploads")]
        database_url: Option<String>,
        /// Read this directory instead
        #[arg(long, requires = "database_url")]
        uploads: Option<PathBuf>,
    },
    /// Ask a running service whether it works; exits 1 when it does not
    Health {
        /// The service
        #[arg(long, default_value = client::DEFAULT_URL)]
        url: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("shop: {}", explained(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve { listen, database_url, uploads, pause_ms } => {
            let service = Service {
                table: Table::new(&database_url)?,
                directory: Directory::open(uploads)?,
                pause: Duration::from_millis(pause_ms),
            };
            service.run(listen).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Load { url, clients, rate, count, seconds } => {
            let load = Load { client: Client::new(&url)?, clients, rate, count, seconds };
            println!("{}", serde_json::to_string(&load.run().await?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit { url, database_url, uploads } => {
            let audit = match (database_url, uploads) {
                (Some(database_url), Some(uploads)) => {
                    let rows = Table::new(&database_url)?.read_only().await?;
                    Audit::new(&rows, &Directory::existing(uploads)?.files()?)
                }
                _ => Client::new(url.as_deref().unwrap_or(client::DEFAULT_URL))?.audit().await?,
            };
            println!("{}", serde_json::to_string(&audit)?);
            Ok(if audit.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Health { url } => {
            let answer = Client::new(&url)?.get("/health").await?;
            println!("{}", String::from_utf8_lossy(&answer.body));
            Ok(if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// An error with its sources: tokio-postgres says what the server said only there.
fn explained(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |inner| inner.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
