//! `backstop backup`: one consistent backup of the stack.

use super::context::Context;
use super::signal::until_interrupted;
use super::{Ending, show, table};
use crate::backup::{self, Request, Selection};
use crate::catalog::BackupRecord;
use crate::config::Config;
use crate::copies;
use crate::error::{Code, Error, Result};
use crate::guard::Guard;
use crate::repository::manifest::{Kind, Level, Readiness, Reason};
use crate::runbook::Store;
use crate::setting::Setting;
use clap::Args;
use clap::builder::FalseyValueParser;
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
Examples:
  backstop backup
  backstop backup --reason pre-upgrade --version-label 2.4.0 --label ticket=OPS-12
  backstop backup --only databases
  backstop backup --require-consistency fenced --json

Does nothing, silently, where the config says enabled = false, or BACKUP_ENABLED=false is set.";

/// The arguments of `backstop backup`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BackupArgs {
    /// Why it is taken
    #[arg(long, value_enum, default_value_t = Reason::Manual)]
    reason: Reason,
    /// Store everything, what changed since the newest backup, or what changed since the
    /// newest full one; by itself incremental until `repository.full_every` is over
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// A label to find it by; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The application's version
    #[arg(long, value_name = "VERSION")]
    version_label: Option<String>,
    /// Only `databases`, `files`, or the component of this name; may be given several times
    #[arg(long, value_name = "databases|files|NAME")]
    only: Vec<String>,
    /// End with exit code 3 when the backup is less consistent than this
    #[arg(long, value_enum, value_name = "LEVEL")]
    require_consistency: Option<Level>,
    /// Leave the copies of the repository to the next `backstop sync`
    #[arg(long, env = "BACKUP_LOCAL_ONLY", value_parser = FalseyValueParser::new())]
    local_only: bool,
    /// End with exit code 3 when a copy of the repository could not be brought up to date
    #[arg(long, conflicts_with = "local_only")]
    strict: bool,
    /// Check everything and show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
}

fn label(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("a label is written KEY=VALUE".into()),
    }
}

/// Without a config there is nothing to back up; and what only a copy holds would have a place
/// in the history that the repository gives to another.
pub(super) fn refuse_elsewhere(setting: &Setting) -> Result<()> {
    if setting.config.is_unknown() {
        return Err(Error::new(Code::ConfigNotFound, "take", "a backup")
            .cause("without a config there is nothing to back up"));
    }
    if setting.config.is_copy() {
        return Err(Error::new(Code::Usage, "take", "a backup into a copy")
            .cause("copies only hold what the repository holds")
            .hint("leave --copy out: the backup is sent to every copy"));
    }
    Ok(())
}

/// A backup of a stack between two versions is one of neither. A command under a guard may want one
/// all the same.
fn warn_of_guards(setting: &Setting) -> Result<()> {
    if std::env::var_os("BACKSTOP_GUARD").is_some() {
        return Ok(());
    }
    for guard in Guard::all(&Store::in_dir(&setting.config.state.dir), |_| {})? {
        if guard.has_begun() && !guard.is_over() {
            let said = format!(
                "the stack may be between two versions: guard {} is {}",
                guard.id,
                guard.standing().as_str()
            );
            setting.progress.warn(Code::UpgradeFailed, said);
        }
    }
    Ok(())
}

pub(super) async fn run(args: BackupArgs, context: &Context) -> Result<Ending> {
    // Nothing is said: scheduled jobs go on running where backups are turned off.
    if Config::is_disabled_by_environment() || !context.loaded()?.config.enabled {
        return match context.output.is_json() {
            true => context.output.result(&(), String::new).map(|()| Ending::Done),
            false => Ok(Ending::Done),
        };
    }
    context.recover_first().await?;
    let setting = context.setting()?;
    refuse_elsewhere(&setting)?;
    warn_of_guards(&setting)?;
    let request = Request {
        reason: args.reason,
        labels: args.labels.into_iter().collect::<BTreeMap<_, _>>(),
        version_label: args.version_label,
        only: Selection::new(args.only),
        kind: args.kind,
        readiness: (args.local_only && !setting.config.repository.copies.is_empty())
            .then(Readiness::copies_left_alone),
    };
    if args.dry_run {
        let plan = until_interrupted(&context.cancel, backup::plan(&setting, &request)).await?;
        context.output.result(&plan, || plan.to_string())?;
        return Ok(Ending::Done);
    }
    let mut record = until_interrupted(&context.cancel, backup::backup(&setting, &request)).await?;
    let lacking = match args.local_only {
        true => Ok(None),
        false => bring_to_copies(context, &setting, &mut record).await,
    };
    context.output.result(&record, || describe(&record))?;
    let shortfall = shortfall(&record, args.require_consistency);
    if let Some(error) = &shortfall {
        context.output.error(error);
    }
    // The backup is there, and was shown, also where a signal ended what came after it.
    let missing_copy = lacking?.filter(|_| args.strict);
    if let Some(error) = &missing_copy {
        context.output.error(error);
    }
    let degraded = shortfall.is_some() || missing_copy.is_some();
    Ok(if degraded { Ending::Degraded } else { Ending::Done })
}

/// Brings the copies of the repository up to date, and notes in the record which have it. The
/// backup is good whatever comes of it; a copy that lacks something is a warning, and returned.
async fn bring_to_copies(
    context: &Context,
    setting: &Setting,
    record: &mut BackupRecord,
) -> Result<Option<Error>> {
    if setting.config.repository.copies.is_empty() {
        return Ok(None);
    }
    let synced = until_interrupted(&context.cancel, copies::sync(setting, &[])).await?;
    copies::note_copies(&setting.config, std::slice::from_mut(record));
    let mut lacking = None;
    for (one, failure) in synced.iter().filter_map(|one| Some((one, one.failure.as_ref()?))) {
        let lacks = match (record.copies.is_empty(), record.copies.contains(&one.copy)) {
            // No copy has this backup.
            (true, _) => "local-only: ",
            (false, false) => "not everywhere: ",
            (false, true) => "a copy lacks earlier backups: ",
        };
        let message = format!("degraded: {lacks}{} at {}: {failure}", one.copy, one.place);
        setting.progress.warn(failure.code(), message);
        let error = Error::new(Code::Degraded, "bring the backup to", &one.copy);
        let hint = match failure.code() {
            // Damage is never passed on.
            Code::BackupDamaged => failure.hint_text(),
            _ => "the next `backstop sync` catches up",
        };
        lacking = Some(error.cause(failure).hint(hint));
    }
    Ok(lacking)
}

fn describe(record: &BackupRecord) -> String {
    let took = table::seconds(record.duration_seconds.unwrap_or_default());
    let longest = record.downtime.iter().map(|held| held.seconds).reduce(f64::max);
    let held = match longest {
        Some(longest) => format!("The application was held for {}", table::seconds(longest)),
        None => "Nothing was held".into(),
    };
    format!("{}\n{held}; the backup took {took}.\n", show::describe(record))
}

/// What the finished backup lacks of what was asked.
fn shortfall(record: &BackupRecord, required: Option<Level>) -> Option<Error> {
    let missing = record.warnings.iter().find(|warning| warning.code == Code::Degraded);
    if let Some(warning) = missing {
        return Some(
            Error::new(Code::Degraded, "complete backup", &record.name).cause(&warning.message),
        );
    }
    let reached = record.consistency.as_ref()?;
    match required {
        Some(required) if reached.level < required => Some(
            Error::new(Code::Degraded, "reach the required consistency in backup", &record.name)
                .cause(format!(
                    "it is {}, required is {}: {}",
                    reached.level.as_str(),
                    required.as_str(),
                    reached.because
                ))
                .hint("the backup is kept; select every container that writes in [[containers]]"),
        ),
        _ => None,
    }
}
