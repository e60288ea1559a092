//! `manual`: a person does it and says that it is done.

use crate::error::Result;
use crate::runbook::action::{Action, Outputs, Scope};
use schemars::JsonSchema;
use serde::Deserialize;

pub(in crate::runbook) struct Manual;

/// What a person has to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// What to do, in words that need no other page.
    instructions: String,
}

impl Action for Manual {
    type With = With;
    const NAME: &'static str = "manual";
    const ABOUT: &'static str = "Waits until a person has done something and says so.";
    // All that is left to do once somebody has confirmed it is to note that.
    const IDEMPOTENT: bool = true;
    const BY_A_PERSON: bool = true;

    fn plan(&self, with: &With) -> String {
        with.instructions.trim().to_owned()
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        scope.log.line(&format!("confirmed: {}", with.instructions.trim()));
        Ok(Outputs::new())
    }
}
