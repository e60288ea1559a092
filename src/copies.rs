//! Copies of the repository elsewhere: what is missing there is sent, and again what is damaged.
//!
//! A copy is a repository of its own, with the id of the one it is a copy of: every object is
//! the same, byte for byte, so each can be read, verified and restored from without the other.
//! What is deleted here stays in the copies.

mod held;
mod one;
mod pins;
mod sent;
mod suspects;

pub(crate) use one::{send, unreadable};
pub(crate) use pins::move_pins;

use crate::backup::open_repository;
use crate::catalog::BackupRecord;
use crate::config::{Config, Copy};
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use sent::Sent;
use serde::Serialize;

/// What was done for one copy.
#[derive(Debug, Serialize)]
pub struct Synced {
    /// The copy's name.
    pub copy: String,
    /// Its directory or url.
    pub place: String,
    /// The names of the backups that were sent, in their order.
    pub sent: Vec<String>,
    /// Their bytes, without those that an earlier attempt had brought.
    pub sent_bytes: u64,
    /// The names of the backups of which damaged or missing objects were sent again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Whether every backup lies there now.
    pub complete: bool,
    /// Why not, as `--json` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
    /// The same.
    #[serde(skip)]
    pub failure: Option<Error>,
    /// What a verification of the copy found to be damaged, and is not any more.
    #[serde(skip)]
    to_verify: Vec<BackupRecord>,
}

impl Synced {
    fn fail(&mut self, failure: Error) {
        self.complete = false;
        self.error = Some(failure.to_json());
        self.failure = Some(failure);
    }
}

/// Sends to the copies of these names, or to all, what is missing there. One that cannot be
/// reached does not keep the others from theirs.
///
/// # Errors
/// `usage` for a name that no copy has, `interrupted`; what a single copy meets is in its
/// [`Synced::failure`].
pub async fn sync(setting: &Setting, names: &[String]) -> Result<Vec<Synced>> {
    let copies = chosen(setting, names)?;
    let source = open_repository(setting)?;
    let mut all = Vec::new();
    for copy in copies {
        setting.check_interrupted("sync copies of")?;
        setting.progress.step("sync");
        let (part, source, inner) = (setting.clone(), source.clone(), copy.clone());
        let mut synced = setting.blocking(move || Ok(one::sync(&part, &source, &inner))).await?;
        let mended = std::mem::take(&mut synced.to_verify);
        if let Some(damaged) = suspects::verify_again(setting, &copy, &mended).await? {
            synced.fail(damaged);
        }
        if let Some(failure) = &synced.failure
            && failure.code() == Code::Interrupted
        {
            setting.check_interrupted("sync copies of")?;
        }
        all.push(synced);
    }
    Ok(all)
}

/// Writes into each record which copies it was last seen in. No copy is asked.
pub fn note_copies(config: &Config, records: &mut [BackupRecord]) {
    for copy in &config.repository.copies {
        let sent = Sent::read(&config.copy_state_dir(&copy.name));
        for record in records.iter_mut().filter(|record| sent.has(&record.name)) {
            record.copies.push(copy.name.clone());
        }
    }
}

fn chosen(setting: &Setting, names: &[String]) -> Result<Vec<Copy>> {
    let copies = &setting.config.repository.copies;
    for name in names {
        if !copies.iter().any(|copy| copy.name == *name) {
            let known: Vec<&str> = copies.iter().map(|copy| copy.name.as_str()).collect();
            return Err(Error::new(Code::Usage, "sync copy", name).cause(match known.is_empty() {
                true => "the config names no copies".to_owned(),
                false => format!("the config names {}", known.join(", ")),
            }));
        }
    }
    let is_chosen = |copy: &&Copy| names.is_empty() || names.contains(&copy.name);
    Ok(copies.iter().filter(is_chosen).cloned().collect())
}
