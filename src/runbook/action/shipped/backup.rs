//! `backup.select`, `backup.verify` and `backup.create`.

use super::logged::logged;
use super::outputs;
use crate::backup::{self, Request, Selection, Wish, data_as_of, open_repository};
use crate::catalog::{BackupRecord, VerifyLevel};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Kind, Reason};
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use crate::verify::verify;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The label by which a backup is known as that of one attempt.
const LABEL: &str = "runbook";

pub(in crate::runbook) struct BackupSelect;
pub(in crate::runbook) struct BackupVerify;
pub(in crate::runbook) struct BackupCreate;

/// Which backup is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Which {
    /// A unique prefix of an id, a name, or `latest`: the newest sound one that fits.
    #[serde(default = "latest")]
    backup: String,
    /// All of it has to be older than this instant.
    #[schemars(with = "Option<String>", example = &"2026-11-21T03:00:00Z")]
    before: Option<Timestamp>,
    /// The components that it has to hold.
    #[serde(default)]
    components: Vec<String>,
    /// The labels that it has to have.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What is verified, and how thoroughly.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct Verified {
    /// A unique prefix of an id, a name, or `latest`.
    #[serde(default = "latest")]
    backup: String,
    /// `quick`: sizes; `full`: every byte; `deep`: everything is decompressed and read too.
    #[serde(default)]
    level: VerifyLevel,
    /// Whether it also has to hold everything that the config names, as a whole.
    #[serde(default)]
    whole: bool,
}

/// What is backed up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// Why.
    #[serde(default)]
    reason: Reason,
    /// Full, incremental or differential; by itself what fits.
    kind: Option<Kind>,
    /// `databases`, `files` or names of components; without it the whole stack.
    #[serde(default)]
    only: Vec<String>,
    /// Labels to find it by, besides `runbook`, which names the step.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The application's version.
    version_label: Option<String>,
}

fn latest() -> String {
    "latest".into()
}

/// What later steps may know of a backup.
fn described(record: &BackupRecord) -> Outputs {
    let names: Vec<&str> = record.components.iter().map(|part| part.name.as_str()).collect();
    outputs([
        ("id", record.id.to_string().into()),
        ("name", record.name.clone().into()),
        ("kind", record.kind.as_str().into()),
        ("reason", record.reason.as_str().into()),
        ("started_at", record.started_at.to_string().into()),
        ("data_as_of", data_as_of(record).to_string().into()),
        ("consistency", json!(record.consistency.as_ref().map(|found| found.level))),
        ("components", json!(names)),
        ("source_bytes", record.source_bytes.into()),
    ])
}

/// The same of a new one, with what proves later that it was not changed.
fn created(record: &BackupRecord, scope: &Scope) -> Result<Outputs> {
    let backup = open_repository(&scope.setting)?.backup(&record.name)?;
    let mut found = described(record);
    let evidence = json!({ "backup": record.name, "sha256_of_sha256sums": backup.fingerprint()? });
    found.insert("evidence".into(), evidence);
    Ok(found)
}

const CREATED: &[&str] = &[
    "id",
    "name",
    "kind",
    "reason",
    "started_at",
    "data_as_of",
    "consistency",
    "components",
    "source_bytes",
    "evidence",
];

/// What is known of any backup: all of that but the proof.
const OUTPUTS: &[&str] = match CREATED.split_last() {
    Some((_, described)) => described,
    None => CREATED,
};

impl Action for BackupSelect {
    type With = Which;
    const NAME: &'static str = "backup.select";
    const ABOUT: &'static str = "Finds the backup to work with, once for the whole run.";
    const OUTPUTS: &'static [&'static str] = OUTPUTS;
    const READS_ONLY: bool = true;

    fn check(with: &Which) -> Result<(), String> {
        match with.backup.trim().is_empty() {
            true => Err("`backup` is empty".into()),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &Which) -> String {
        let mut text = match with.backup.as_str() {
            "latest" => "choose the newest sound backup".to_owned(),
            backup => format!("use the backup {backup}"),
        };
        if let Some(before) = with.before {
            text.push_str(&format!(" of before {before}"));
        }
        if !with.components.is_empty() {
            text.push_str(&format!(" that holds {}", with.components.join(", ")));
        }
        for (key, value) in &with.labels {
            text.push_str(&format!(", labelled {key}={value}"));
        }
        text
    }

    async fn run(&self, with: &Which, scope: &Scope) -> Result<Outputs> {
        let wish = Wish {
            backup: with.backup.clone(),
            before: with.before,
            components: with.components.clone(),
            labels: with.labels.clone(),
        };
        let setting = logged(scope);
        let record = backup::choose(&setting, &wish).await?;
        scope.log.line(&format!("{}, data as of {}", record.name, data_as_of(&record)));
        Ok(described(&record))
    }
}

impl Action for BackupVerify {
    type With = Verified;
    const NAME: &'static str = "backup.verify";
    const ABOUT: &'static str = "Fails unless what is stored is what was written.";
    const OUTPUTS: &'static [&'static str] = &["id", "name", "level", "evidence"];
    // It is recorded in the catalog that it was verified, and it may take long.
    const MAY_CHECK: bool = true;
    const IDEMPOTENT: bool = true;

    fn plan(&self, with: &Verified) -> String {
        format!("verify the backup {} ({})", with.backup, with.level.as_str())
    }

    async fn run(&self, with: &Verified, scope: &Scope) -> Result<Outputs> {
        let setting = logged(scope);
        let wish = Wish { backup: with.backup.clone(), ..Wish::default() };
        let record = backup::choose(&setting, &wish).await?;
        let lacking = record.lacking();
        if with.whole && !lacking.is_empty() {
            return Err(Error::new(Code::Degraded, "rely on backup", &record.name)
                .cause(format!("it does not hold all of {}", lacking.join(", ")))
                .hint("see to it that backstop can read all of them"));
        }
        let found = verify(&setting, std::slice::from_ref(&record), with.level).await?;
        let damages = found.iter().flat_map(|found| &found.damages);
        let mut first = None;
        for damage in damages {
            scope.log.line(&damage.to_string());
            first.get_or_insert_with(|| damage.to_string());
        }
        if let Some(first) = first {
            return Err(Error::new(Code::BackupDamaged, "verify backup", &record.name).cause(first));
        }
        let level = with.level.as_str();
        Ok(outputs([
            ("id", record.id.to_string().into()),
            ("name", record.name.clone().into()),
            ("level", level.into()),
            ("evidence", json!({ "backup": record.name, "verified": level })),
        ]))
    }
}

impl Action for BackupCreate {
    type With = With;
    const NAME: &'static str = "backup.create";
    const ABOUT: &'static str = "Takes a backup of the stack.";
    const OUTPUTS: &'static [&'static str] = CREATED;
    const PROBES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match with.labels.contains_key(LABEL) {
            true => Err(format!("the label `{LABEL}` is set for you")),
            false => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let kind = with.kind.map(|kind| format!("{} ", kind.as_str())).unwrap_or_default();
        let what = match with.only.as_slice() {
            [] => "the whole stack".into(),
            only => only.join(", "),
        };
        format!("take a {kind}backup of {what} (reason {})", with.reason.as_str())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let mut labels = with.labels.clone();
        labels.insert(LABEL.into(), scope.key());
        let request = Request {
            reason: with.reason,
            labels,
            version_label: with.version_label.clone(),
            only: Selection::new(with.only.clone()),
            kind: with.kind,
            readiness: None,
        };
        let record = backup::backup(&logged(scope), &request).await?;
        scope.log.line(&record.name);
        created(&record, scope)
    }

    /// A backup is there or is not: it appears by one rename, with its labels.
    async fn probe(&self, _with: &With, scope: &Scope) -> Result<Probe> {
        let key = scope.key();
        let records = backup::all(&scope.setting).await;
        let records = match records {
            // The first backup creates it, last of all.
            Err(e) if e.code() == Code::RepositoryNotFound => Vec::new(),
            records => records?,
        };
        let found = records
            .iter()
            .find(|record| record.is_published() && record.labels.get(LABEL) == Some(&key));
        match found {
            Some(record) => created(record, scope).map(Probe::Done),
            None => Ok(Probe::NotDone),
        }
    }
}
