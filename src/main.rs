//! The `backstop` command.

use backstop::fence::guardian;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Resumes the containers if the process that started it dies.
    #[command(hide = true)]
    Guardian {
        #[arg(long)]
        journal: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Guardian { journal } => Ok(guardian::serve(&journal, async |_| Ok(())).await?),
    }
}
