//! `backstop doctor`: what is reachable, and what a backup would do.

use super::Ending;
use super::context::Context;
use crate::backup::{self, Finding};
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop doctor                 look at everything the config names; touches nothing
  backstop doctor --json          the same for programs

Exit code 3 says that something is wrong; each finding has a hint.";

/// The arguments of `backstop doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {}

pub(super) async fn run(_args: DoctorArgs, context: &Context) -> Result<Ending> {
    let setting = match context.setting() {
        Ok(setting) => setting,
        Err(e) => {
            let level = [Finding::without_config()];
            context.output.result(&level, || level.iter().map(describe).collect())?;
            return Err(e);
        }
    };
    let findings = backup::examine(&setting).await;
    context.output.result(&findings, || findings.iter().map(describe).collect())?;
    let all_good = findings.iter().all(|finding| finding.error.is_none());
    Ok(if all_good { Ending::Done } else { Ending::Degraded })
}

fn describe(finding: &Finding) -> String {
    match &finding.error {
        None => format!("ok    {:<24} {}\n", finding.subject, finding.detail),
        Some(error) => format!(
            "FAIL  {:<24} {}\n      hint: {}\n",
            finding.subject,
            error["message"].as_str().unwrap_or_default(),
            error["hint"].as_str().unwrap_or_default()
        ),
    }
}
