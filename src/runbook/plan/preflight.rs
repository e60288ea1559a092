//! What has to be right before a run begins.

use super::super::action::Registry;
use super::super::check::Checked;
use super::super::parameters::Parameters;
use super::super::secret::Secrets;
use super::super::template;
use super::Planner;
use crate::database::{Surroundings, Target};
use crate::error::Result;
use crate::progress::Silent;
use crate::setting::Setting;
use serde_json::Value;

/// Refuses a run whose parameters make those of an action wrong, or that needs a database whose
/// password is not where the config says, as far as that is known before its first step.
///
/// # Errors
/// `runbook_invalid`, `template_failed`, `database_authentication`.
pub(in super::super) fn preflight(
    setting: &Setting,
    registry: &Registry,
    checked: &Checked,
    parameters: &Parameters,
    secrets: &Secrets,
) -> Result<()> {
    for step in &checked.runbook.steps {
        let planner = Planner { setting, registry, secrets, checked, parameters, step };
        // One that may be skipped may lack what it needs.
        if planner.is_due() != Some(true) {
            continue;
        }
        let at = checked.place_of(&step.id);
        planner.describe(&step.action, &step.with, at)?;
        planner.find_password(&step.with)?;
        let parts = step.preconditions.iter().chain(&step.rescue).chain(&step.compensate);
        for call in parts.chain(&step.cleanup) {
            planner.describe(&call.action, &call.with, at)?;
        }
    }
    Ok(())
}

impl Planner<'_> {
    /// Finds the password of the database of the config that a step is about: hours later, in the
    /// middle of a run, nobody knows why it is missing.
    fn find_password(&self, with: &Value) -> Result<()> {
        let Some(text) = with.get("database").and_then(Value::as_str) else { return Ok(()) };
        if self.known(text, false).is_some() {
            return Ok(());
        }
        let name = template::render_text(text, &self.names())?;
        let mut databases = self.setting.config.databases.iter();
        match databases.find(|database| database.name == name) {
            Some(database) => {
                Target::resolve(database, &Surroundings::of_process(), &Silent).map(drop)
            }
            None => Ok(()),
        }
    }
}
