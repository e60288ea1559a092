//! Back to a backup as a whole: databases, files and containers.

use super::super::context::Context;
use super::super::runbook::{Onlooker, engine_with, finish_run};
use super::super::signal::until_interrupted;
use super::super::{Ending, runbook};
use super::RollbackArgs;
use crate::backup::{Selection, data_as_of, open_repository};
use crate::catalog::BackupRecord;
use crate::error::{Code, Result};
use crate::guard::Driver;
use crate::repository::manifest::Reason;
use crate::restore::{Losses, RestoreRecord, losses};
use crate::setting::Setting;
use serde::Serialize;
use std::sync::Arc;

/// What would be done, as `--json` prints it.
#[derive(Serialize)]
struct Planned<'a> {
    /// The backup's id.
    backup: String,
    /// The backup's name.
    name: &'a str,
    /// What is live and newer.
    losses: &'a Losses,
}

/// The backup to go back to; none where it is a restore that is taken back.
pub(super) fn target(
    args: &RollbackArgs,
    setting: &Setting,
    context: &Context,
) -> Result<Option<BackupRecord>> {
    let restores = RestoreRecord::all(&setting.config.state.dir)?;
    if let Some(key) = &args.key {
        if restores.iter().any(|restore| restore.key.starts_with(key.as_str())) {
            return Ok(None);
        }
        return match context.reconciled()?.find(key) {
            Ok(record) => Ok(Some(record)),
            // It says best what is wrong with a key.
            Err(e) if e.code() == Code::BackupNotFound => Ok(None),
            Err(e) => Err(e),
        };
    }
    let records = match context.reconciled() {
        Err(e) if e.code() == Code::RepositoryNotFound => return Ok(None),
        session => session?.list()?,
    };
    let upgrade = records.into_iter().find(|record| {
        record.reason == Reason::PreUpgrade
            && record.is_published()
            && !record.is_damaged()
            && record.stack == setting.config.stack.name
    });
    let newest = restores.iter().find(|restore| restore.is_live());
    let is_newer =
        |record: &BackupRecord| newest.is_none_or(|restore| restore.started_at < record.started_at);
    Ok(upgrade.filter(is_newer))
}

/// Says what would be lost, asks, and goes back.
pub(super) async fn go_back(
    args: &RollbackArgs,
    backup: BackupRecord,
    setting: &Setting,
    context: &Context,
) -> Result<Ending> {
    let published = open_repository(setting)?.backup(&backup.name)?;
    let everything = Selection::default();
    let counting = losses(setting, &published, &everything);
    let losses = until_interrupted(&context.cancel, counting).await?;
    let what = describe(&backup, &losses);
    if args.dry_run {
        let id = backup.id.to_string();
        let planned = Planned { backup: id, name: &backup.name, losses: &losses };
        context.output.result(&planned, || what)?;
        return Ok(Ending::Done);
    }
    if !args.yes {
        context.output.confirm(&what, &context.cancel)?;
    }
    let audience = Arc::new(Onlooker::new(&context.output));
    let engine = engine_with(runbook::registry(), audience, true, context)?;
    let driver = Driver::new(engine.clone());
    let id = backup.id.to_string();
    let gone = until_interrupted(&context.cancel, driver.go_back_to(&id)).await?;
    finish_run(&engine, &gone.0, &gone.1, context)
}

fn describe(backup: &BackupRecord, losses: &Losses) -> String {
    let as_of = data_as_of(backup);
    let version = backup.version_label.iter().map(|it| format!(", before {it}"));
    let mut text = format!(
        "Go back to {}{}: databases, files and containers as of {as_of}.\n",
        backup.name,
        version.collect::<String>()
    );
    text.push_str(match losses.is_nothing() {
        true => "Nothing that is counted is newer.\n",
        false => "What is newer is no longer live, but kept aside:\n",
    });
    if !losses.is_nothing() {
        text.push_str(&losses.to_string());
    }
    text
}
