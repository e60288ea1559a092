//! `backup.keep`: no retention takes a backup.

use super::logged::logged;
use super::outputs;
use crate::backup::{self, Wish, open_repository};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::repository::LockMode;
use crate::retention::keep;
use crate::runbook::action::{Action, Outputs, Scope};
use schemars::JsonSchema;
use serde::Deserialize;

pub(in crate::runbook) struct BackupKeep;

/// What is kept, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The backup: a unique prefix of its id, its name, or `latest`.
    backup: String,
    /// Why, for people.
    reason: String,
}

impl Action for BackupKeep {
    type With = With;
    const NAME: &'static str = "backup.keep";
    const ABOUT: &'static str = "Keeps a backup by hand: no retention takes it.";
    const OUTPUTS: &'static [&'static str] = &["id", "name"];
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match with.backup.trim().is_empty() || with.reason.trim().is_empty() {
            true => Err("`backup` and `reason` must not be empty".into()),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        format!("keep the backup {}: {}", with.backup, with.reason)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let setting = logged(scope);
        let wish = Wish { backup: with.backup.clone(), ..Wish::default() };
        let record = backup::choose(&setting, &wish).await?;
        let (part, reason) = (setting.part(), with.reason.clone());
        let kept = setting.blocking(move || {
            let repository = open_repository(&part)?;
            let lock = repository.lock(LockMode::Shared, part.lock_wait)?;
            let mut catalog = Catalog::of(&part.config).session(&part.progress)?;
            catalog.reconcile(&repository, &part.progress)?;
            keep(&repository, &lock, &mut catalog, record, Some(reason))
        });
        let record = kept.await?;
        Ok(outputs([("id", record.id.to_string().into()), ("name", record.name.into())]))
    }
}
