//! `confirm`: a place for an approval that is about several steps.

use crate::error::Result;
use crate::runbook::action::{Action, Outputs, Scope};
use schemars::JsonSchema;
use serde::Deserialize;

pub(in crate::runbook) struct Confirm;

/// What is agreed to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// What the steps that follow do.
    about: String,
}

impl Action for Confirm {
    type With = With;
    const NAME: &'static str = "confirm";
    const ABOUT: &'static str = "Does nothing: its `approval` is about the steps that follow.";
    const OUTPUTS: &'static [&'static str] = &[];
    const READS_ONLY: bool = true;

    fn plan(&self, with: &With) -> String {
        with.about.clone()
    }

    async fn run(&self, _: &With, _: &Scope) -> Result<Outputs> {
        Ok(Outputs::new())
    }
}
