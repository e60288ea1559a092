//! `backstop doctor`: what is reachable, and what a backup would do.

use super::Ending;
use super::context::Context;
use crate::backup::{self, Finding};
use crate::error::{Code, Error, Result};
use crate::guard::Guard;
use crate::runbook::Store;
use crate::setting::Setting;
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
    let mut findings = backup::examine(&setting).await;
    findings.extend(guards(&setting)?);
    context.output.result(&findings, || findings.iter().map(describe).collect())?;
    let all_good = findings.iter().all(|finding| finding.error.is_none());
    Ok(if all_good { Ending::Done } else { Ending::Degraded })
}

/// Guards that left the stack between two versions.
fn guards(setting: &Setting) -> Result<Vec<Finding>> {
    let guards = Guard::all(&Store::in_dir(&setting.config.state.dir), |_| {})?;
    let open = guards.iter().filter(|guard| !guard.is_over() && guard.has_begun());
    let finding = |guard: &Guard| {
        let error = Error::new(Code::UpgradeFailed, "finish guard", &guard.id)
            .cause(format!("it is {}", guard.standing().as_str()))
            .hint(format!(
                "`backstop guard resume {0}` finishes it; `backstop guard close {0}` says that \
                 somebody has",
                guard.id
            ));
        Finding::of_guard(&guard.id, &error)
    };
    Ok(open.map(finding).collect())
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
