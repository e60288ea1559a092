//! A new guard.

use super::super::context::Context;
use super::super::signal::until_interrupted_or;
use super::super::{Ending, backup as cli_backup};
use super::{Wanted, engine, finish};
use crate::backup::{self, PlanSummary, Request};
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use crate::guard::{Desk, Driver, GuardCommand, Health, Order};
use crate::repository::manifest::Reason;
use crate::runbook::{Registry, check_url};
use rustix::fs::{Access, access};
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;

/// What would be done.
#[derive(Debug, Serialize)]
struct Planned {
    /// What the backup would take.
    backup: PlanSummary,
    /// What would be run.
    command: Vec<String>,
    /// Whether a failure would be undone.
    rollback: bool,
}

pub(super) async fn begin(wanted: Wanted, context: &Context) -> Result<Ending> {
    let dry_run = wanted.dry_run;
    let setting = context.setting()?;
    cli_backup::refuse_elsewhere(&setting)?;
    let order = order(wanted, setting.config.guard.timeout)?;
    require_program(&order.command[0])?;
    if dry_run {
        let request = Request { reason: Reason::PreUpgrade, ..Request::default() };
        let planned = backup::plan(&setting, &request);
        let backup = until_interrupted_or(&context.cancel, |_| false, planned).await?;
        let planned =
            Planned { backup, command: order.command.clone(), rollback: !order.no_rollback };
        context.output.result(&planned, || describe(&planned))?;
        return Ok(Ending::Done);
    }
    context.recover_first().await?;
    // With JSON, lines on standard error tell what it writes.
    let desk = Desk::new(context.output.is_json());
    let registry = Registry::shipped().with(GuardCommand::at(desk.clone()));
    let driver = Driver::new(engine(registry, context)?);
    let forward = move |signal| desk.forward(signal);
    let begun = until_interrupted_or(&context.cancel, forward, driver.begin(&order)).await?;
    let (id, finished) = begun;
    finish(&id, finished, context)
}

fn order(wanted: Wanted, timeout: Timeout) -> Result<Order> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| {
            Error::new(Code::Usage, "record the command's argument", word.to_string_lossy())
                .cause("it is not UTF-8 text")
        })
    };
    for url in &wanted.urls {
        check_url(url)
            .map_err(|cause| Error::new(Code::Usage, "accept --health", url).cause(cause))?;
    }
    Ok(Order {
        command: wanted.command.into_iter().map(text).collect::<Result<_>>()?,
        version_label: wanted.version_label,
        timeout: wanted.timeout.unwrap_or(timeout),
        health: Health {
            urls: wanted.urls,
            commands: wanted.commands,
            containers: wanted.containers,
            within: wanted.health_timeout,
            settle: wanted.settle,
        },
        allow_unprotected: wanted.allow_unprotected,
        no_rollback: wanted.no_rollback,
    })
}

/// A name that is mistyped must not cost a backup, nor a rollback of nothing.
fn require_program(program: &str) -> Result<()> {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let found = match program.contains('/') {
        true => runs(Path::new(program)),
        false => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|dir| runs(&dir.join(program)))
        }
    };
    match found {
        true => Ok(()),
        false => Err(Error::new(Code::UpgradeNotBegun, "find the program", program)
            .cause("there is none that can be run")
            .hint("give its path; a shell's own words need `sh -c '…'`")),
    }
}

fn describe(planned: &Planned) -> String {
    let mut text = planned.backup.to_string();
    text.push_str(&format!("would run {}\n", planned.command.join(" ")));
    text.push_str(match planned.rollback {
        true => "would go back to the backup if it fails, or the application does not work\n",
        false => "would leave what fails as it is\n",
    });
    text
}
