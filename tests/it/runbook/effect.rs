//! Actions whose effects can be counted.

use backstop::error::{Code, Error, Result};
use backstop::runbook::{Action, Outputs, Point, Points, Probe, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Appends one line to a file, once; a probe sees whether it did, or half of it.
pub(super) struct Append {
    pub(super) effects: PathBuf,
    pub(super) points: Option<Points>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppendWith {
    file: String,
    line: String,
}

impl Action for Append {
    type With = AppendWith;
    const NAME: &'static str = "test.append";
    const ABOUT: &'static str = "Appends a line.";
    const OUTPUTS: &'static [&'static str] = &["line"];
    const PROBES: bool = true;
    const UNDOES: bool = true;

    fn plan(&self, with: &AppendWith) -> String {
        format!("append {} to {}", with.line, with.file)
    }

    async fn run(&self, with: &AppendWith, scope: &Scope) -> Result<Outputs> {
        scope.note("line", with.line.clone())?;
        append(&self.effects.join(&with.file), &with.line);
        // What was appended is there; what would say so is not.
        if let Some(points) = &self.points {
            points(Point::MidEffect, &scope.step);
        }
        Ok(Outputs::from_iter([("line".to_owned(), with.line.clone().into())]))
    }

    async fn probe(&self, with: &AppendWith, scope: &Scope) -> Result<Probe> {
        if scope.noted("line").is_none() {
            return Ok(Probe::NotDone);
        }
        Ok(match has(&self.effects.join(&with.file), &with.line) {
            true => {
                Probe::Done(Outputs::from_iter([("line".to_owned(), with.line.clone().into())]))
            }
            false => Probe::NotDone,
        })
    }

    async fn undo(&self, with: &AppendWith, _: Option<&Outputs>, scope: &Scope) -> Result<()> {
        let path = self.effects.join(&with.file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let left: Vec<&str> = text.lines().filter(|line| *line != with.line).collect();
        fs::write(&path, left.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        if let Some(points) = &self.points {
            points(Point::MidEffect, &scope.step);
        }
        let order = self.effects.join("undone");
        if !has(&order, &with.line) {
            append(&order, &with.line);
        }
        Ok(())
    }
}

/// Fails as often as it is told, then succeeds.
pub(super) struct Flaky {
    pub(super) effects: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlakyWith {
    file: String,
    failures: usize,
}

impl Action for Flaky {
    type With = FlakyWith;
    const NAME: &'static str = "test.flaky";
    const ABOUT: &'static str = "Fails, then does not.";
    const IDEMPOTENT: bool = true;
    const READS_ONLY: bool = true;

    fn plan(&self, with: &FlakyWith) -> String {
        format!("fail {} times", with.failures)
    }

    async fn run(&self, with: &FlakyWith, _: &Scope) -> Result<Outputs> {
        let path = self.effects.join(&with.file);
        let tried = fs::read_to_string(&path).unwrap_or_default().lines().count();
        if tried < with.failures {
            append(&path, "tried");
            return Err(not_held("it works", "not yet"));
        }
        Ok(Outputs::new())
    }
}

/// Works until a file appears, or until it is cancelled.
pub(super) struct Hold {
    pub(super) effects: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldWith {
    until: String,
}

impl Action for Hold {
    type With = HoldWith;
    const NAME: &'static str = "test.hold";
    const ABOUT: &'static str = "Works until a file appears.";

    fn plan(&self, with: &HoldWith) -> String {
        format!("wait for {}", with.until)
    }

    async fn run(&self, with: &HoldWith, scope: &Scope) -> Result<Outputs> {
        append(&self.effects.join("held"), &scope.key());
        while !self.effects.join(&with.until).exists() {
            if scope.cancel().is_cancelled() {
                return Err(Error::new(Code::Interrupted, "hold", &with.until));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Outputs::new())
    }
}

pub(super) fn append(path: &Path, line: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn has(path: &Path, line: &str) -> bool {
    fs::read_to_string(path).unwrap_or_default().lines().any(|known| known == line)
}
