//! Restore points of a bootstrap: backups on the way from an empty machine to a stack that runs.
//!
//! What a backup needs may not be there yet. [`take_what_is_there`] looks before it begins, takes
//! what there is, and says what is lacking instead of failing; [`take`] fails as a backup does.
//! Either way the attempt is noted in a journal, of which [`Report`] tells.

mod attempt;
mod journal;
mod phase;
mod repair;
mod report;

pub use attempt::{Attempt, Mode, Outcome};
pub use journal::{note, read};
pub use phase::{COMPLETE, Phase};
pub use report::{PhaseReport, Report};

use crate::backup::readiness::{self, Found};
use crate::backup::{self, Request, claim_state};
use crate::catalog::BackupRecord;
use crate::config::Config;
use crate::copies;
use crate::error::{Code, Error, Result};
use crate::progress::Warnings;
use crate::repository::manifest::{Lacking, Readiness, ReadinessLevel, Reason};
use crate::setting::Setting;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label that carries the phase.
const LABEL: &str = "phase";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The phase.
    pub phase: Phase,
    /// How it was asked for.
    pub mode: Mode,
    /// Whether the copies of the repository are left to a later sync.
    pub local_only: bool,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    /// The attempt, as the journal notes it.
    pub attempt: Attempt,
    /// The backup, where there is one.
    pub record: Option<BackupRecord>,
}

/// Takes a checkpoint of the whole stack, or fails as a backup does.
///
/// # Errors
/// Those of a backup. A copy that cannot be reached is none.
pub async fn take(setting: &Setting, wish: &Wish) -> Result<Taken> {
    let heard = Warnings::before(setting.progress.clone());
    let setting = &Setting { progress: heard.clone(), ..setting.clone() };
    repair::all(setting).await;
    let left_alone = wish.local_only && !setting.config.repository.copies.is_empty();
    let readiness = left_alone.then(Readiness::copies_left_alone);
    let request = Request { readiness, ..request(wish) };
    let record = backup::backup(setting, &request).await?;
    let mut attempt = Attempt::of(wish, &setting.config).created(&record);
    attempt.note_repairs(&heard.seen());
    let copies = setting.config.repository.copies.iter();
    let names: Vec<String> = copies.map(|copy| copy.name.clone()).collect();
    send(setting, wish, &names, &mut attempt).await?;
    Ok(Taken { attempt, record: Some(record) })
}

/// Takes a checkpoint of what is there. What is not, and what fails, is in the attempt.
///
/// # Errors
/// `interrupted` alone.
pub async fn take_what_is_there(setting: &Setting, wish: &Wish) -> Result<Taken> {
    let mut attempt = Attempt::of(wish, &setting.config);
    if !setting.config.enabled {
        return Ok(attempt.skipped(&Found::disabled()).into());
    }
    let heard = Warnings::before(setting.progress.clone());
    let setting = &Setting { progress: heard.clone(), ..setting.clone() };
    repair::all(setting).await;
    let found = setting.unless_interrupted("look at", async { Ok(readiness::find(setting).await) });
    let found = found.await?;
    attempt.note_repairs(&heard.seen());
    let Some(only) = found.takeable(&setting.config) else {
        return Ok(attempt.skipped(&found).into());
    };
    let mut recorded = found.record();
    if wish.local_only && recorded.level == ReadinessLevel::Full {
        recorded.level = Readiness::copies_left_alone().level;
    }
    let request = Request { only, readiness: Some(recorded), ..request(wish) };
    let narrowed = Setting { config: Arc::new(found.narrowed(&setting.config)), ..setting.clone() };
    let taken = async {
        claim_state(&narrowed.config)?;
        backup::backup(&narrowed, &request).await
    };
    let record = match taken.await {
        Ok(record) => record,
        Err(e) if e.code() == Code::Interrupted => return Err(e),
        Err(e) => return Ok(attempt.failed(found.level(), &found.record().lacking, &e).into()),
    };
    attempt = attempt.created(&record);
    attempt.note_repairs(&heard.seen());
    send(setting, wish, &found.reachable_copies(&setting.config), &mut attempt).await?;
    Ok(Taken { attempt, record: Some(record) })
}

impl From<Attempt> for Taken {
    fn from(attempt: Attempt) -> Self {
        Self { attempt, record: None }
    }
}

fn request(wish: &Wish) -> Request {
    let labels = BTreeMap::from([(LABEL.to_owned(), wish.phase.to_string())]);
    Request { reason: Reason::Checkpoint, labels, ..Request::default() }
}

/// Brings the backup to the copies of these names. One that lacks it lowers the level.
///
/// # Errors
/// `interrupted` alone; the backup is there.
async fn send(
    setting: &Setting,
    wish: &Wish,
    names: &[String],
    attempt: &mut Attempt,
) -> Result<()> {
    // Without names all would be meant.
    if wish.local_only || names.is_empty() {
        return Ok(());
    }
    let synced = match copies::sync(setting, names).await {
        Ok(synced) => synced,
        Err(e) if e.code() == Code::Interrupted => return Err(e),
        Err(e) => {
            attempt.lack(ReadinessLevel::LocalOnly, Lacking::new("copies", &e));
            return Ok(());
        }
    };
    for one in synced {
        if let Some(failure) = &one.failure {
            let lacking = Lacking::new(format!("copy {}", one.copy), failure);
            attempt.lack(ReadinessLevel::LocalOnly, lacking);
        }
    }
    Ok(())
}

/// The attempt of a caller whose config, or whose phase, could not even be read.
pub fn refused(phase: &str, mode: Mode, config: Option<&Config>, error: Error) -> Attempt {
    let attempt = Attempt::new(phase, mode, config);
    match error.code() {
        Code::Usage => attempt.failed(ReadinessLevel::NotReady, &[], &error),
        // All the places where one was looked for make no clear line.
        Code::ConfigNotFound if error.to_json()["subject"] == "a config file" => {
            let error = Error::new(Code::ConfigNotFound, "find", "a config file")
                .cause("there is none yet; --config or $BACKSTOP_CONFIG names one");
            attempt.skipped(&Found::without_config(error))
        }
        _ => attempt.skipped(&Found::without_config(error)),
    }
}
