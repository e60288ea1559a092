//! `backstop config`: what is configured, whether it holds, and what may be said.

use super::Ending;
use super::context::Context;
use crate::browse;
use crate::config;
use crate::error::Result;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  backstop config check                  name everything that is wrong with the config
  backstop config show                   what is in effect, and where it comes from
  backstop config recorded latest        what a backup was taken with
  backstop config schema > schema.json   for editors

docs/configuration.md explains every key.";

const SHOW: &str = "\
Examples:
  backstop config show                          passwords are masked
  backstop config show --config ./backstop.toml";

const CHECK: &str = "\
Examples:
  backstop config check                         exit code 2 and every fault with its line
  backstop config check --config ./backstop.toml";

const RECORDED: &str = "\
Examples:
  backstop config recorded > backstop.toml      of the newest backup
  backstop config recorded 4f2a --repository /mnt/backups    on a host without any config";

const SCHEMA: &str = "\
Examples:
  backstop config schema                        JSON Schema, draft 2020-12";

/// The arguments of `backstop config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the effective config, and where each value comes from
    #[command(after_help = SHOW)]
    Show,
    /// Check the config without touching anything else
    #[command(after_help = CHECK)]
    Check,
    /// Print the config file that a backup was taken with, which holds no passwords
    #[command(after_help = RECORDED)]
    Recorded {
        /// A unique prefix of an id, a name, or `latest`
        #[arg(default_value = "latest")]
        id: String,
    },
    /// Print the JSON Schema of the config
    #[command(after_help = SCHEMA)]
    Schema,
}

pub(super) fn run(args: &ConfigArgs, context: &Context) -> Result<Ending> {
    match &args.action {
        Action::Show => {
            let loaded = context.loaded()?;
            context.output.result(&config::to_json(&loaded), || config::show_toml(&loaded))?;
        }
        Action::Check => {
            let loaded = context.loaded()?;
            let file = loaded.file.as_ref().map(|file| file.display().to_string());
            let place = file.clone().unwrap_or_else(|| "the environment".into());
            let answer = serde_json::json!({ "ok": true, "file": file });
            context.output.result(&answer, || format!("{place}: ok\n"))?;
        }
        Action::Recorded { id } => {
            let record = context.reconciled()?.find(id)?;
            let text = browse::recorded_config(&context.repository()?.backup(&record.name)?)?;
            let answer = serde_json::json!({ "id": record.id, "name": record.name, "text": text });
            context.output.result(&answer, || text)?;
        }
        Action::Schema => {
            let schema = config::schema();
            context.output.result(&schema, || format!("{schema:#}"))?;
        }
    }
    Ok(Ending::Done)
}
