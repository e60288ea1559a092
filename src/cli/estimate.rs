//! `backstop estimate`: how large a backup would be, and whether it fits.

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::backup::{self, Estimate, Selection};
use crate::error::Result;
use crate::size;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop estimate               of the whole stack
  backstop estimate --only files  of its files alone";

/// The arguments of `backstop estimate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EstimateArgs {
    /// Only `databases`, `files`, or the component of this name; may be given several times
    #[arg(long, value_name = "databases|files|NAME")]
    only: Vec<String>,
}

pub(super) async fn run(args: EstimateArgs, context: &Context) -> Result<Ending> {
    let setting = context.setting()?;
    let selection = Selection::new(args.only);
    let work = backup::estimate(&setting, &selection);
    let estimate = until_interrupted(&context.cancel, work).await?;
    context.output.result(&estimate, || describe(&estimate))?;
    Ok(Ending::Done)
}

fn describe(estimate: &Estimate) -> String {
    let mut text = String::new();
    for part in &estimate.components {
        text.push_str(&format!(
            "{:<24} {}{}\n",
            part.name,
            size::bytes(part.source_bytes),
            match part.file_count {
                0 => String::new(),
                count => format!(" in {}", size::count(count, "file", "files")),
            }
        ));
    }
    text.push_str(&format!(
        "{:<24} {}\n{:<24} {} ({})\n{:<24} {}\n",
        "all sources",
        size::bytes(estimate.source_bytes),
        "a full backup stores",
        size::bytes(estimate.stored_bytes),
        estimate.because,
        "free in the repository",
        size::bytes(estimate.free_bytes)
    ));
    text
}
