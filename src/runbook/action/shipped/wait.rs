//! `wait`: lets time pass.

use crate::clock;
use crate::config::Timeout;
use crate::error::Result;
use crate::runbook::action::{Action, Outputs, Scope};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

pub(in crate::runbook) struct Wait;

/// How long, or until when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// So long; or `until`.
    #[serde(rename = "for")]
    length: Option<Timeout>,
    /// Until this instant; or `for`.
    #[schemars(with = "Option<String>", example = &"2026-11-21T03:00:00Z")]
    until: Option<Timestamp>,
}

impl Action for Wait {
    type With = With;
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Lets time pass.";
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match (with.length, with.until) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err("it needs either `for` or `until`".into()),
        }
    }

    fn plan(&self, with: &With) -> String {
        match (with.length, with.until) {
            (Some(length), _) => format!("wait for {length}"),
            (None, until) => format!("wait until {}", until.unwrap_or_default()),
        }
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let until = match with.until {
            Some(until) => {
                Duration::try_from(until.duration_since(clock::now())).unwrap_or_default()
            }
            None => with.length.map(Timeout::duration).unwrap_or_default(),
        };
        let wait = async {
            tokio::time::sleep(until).await;
            Ok(Outputs::new())
        };
        scope.unless_cancelled(wait).await
    }
}
