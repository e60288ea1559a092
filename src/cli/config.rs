//! `backstop config`: what is configured, whether it holds, and what may be said.

use super::Ending;
use super::context::Context;
use crate::config;
use crate::error::Result;
use clap::{Args, Subcommand};

/// The arguments of `backstop config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the effective config, and where each value comes from
    Show,
    /// Check the config without touching anything else
    Check,
    /// Print the JSON Schema of the config
    Schema,
}

pub(super) fn run(args: &ConfigArgs, context: &Context) -> Result<Ending> {
    match args.action {
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
        Action::Schema => {
            let schema = config::schema();
            context.output.result(&schema, || format!("{schema:#}"))?;
        }
    }
    Ok(Ending::Done)
}
