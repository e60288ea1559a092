//! Thinning out the repository: the plan, and its execution.

use super::choice::choose;
use super::footprint::Footprints;
use super::look::Look;
use super::policy::Policy;
use super::unreadable::Unreadable;
use super::{delete, failures};
use crate::backup::{lock, open_repository};
use crate::catalog::{BackupRecord, Catalog};
use crate::error::{Code, Result};
use crate::repository::manifest::Component;
use crate::repository::{BackupId, Considered, Damage, Lock, LockMode, Repository};
use crate::setting::Setting;
use crate::verify::record_damage;
use serde::Serialize;
use std::collections::BTreeSet;

/// Why one backup stays or goes: an object of `prune --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The backup's id.
    pub id: BackupId,
    /// Its name.
    pub name: String,
    /// Whether it stays.
    pub keep: bool,
    /// Every rule that keeps it, or why it goes.
    pub reasons: Vec<String>,
}

/// Which backups stay, and which go.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// One for each backup, newest first.
    pub verdicts: Vec<Verdict>,
    /// Bytes on disk that become free.
    pub freed_bytes: u64,
    /// What else there is to say, in sentences.
    pub notes: Vec<String>,
    /// The published backups that go, in the order of their deletion: each before what it
    /// needs, so that at every moment all that are left can be restored.
    pub(super) going: Vec<BackupRecord>,
    /// Failed attempts that are forgotten.
    pub(super) forgotten: Vec<BackupRecord>,
    /// What counts as good in the catalog and was found not to be there, by the names of the
    /// backups.
    pub(super) damaged: Vec<(String, Vec<Damage>)>,
}

impl Plan {
    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.going.is_empty() && self.forgotten.is_empty()
    }

    /// Spares what was not `agreed` to, and what that needs: the backups may have become
    /// others between a question and its answer.
    pub(super) fn restrict(&mut self, agreed: &dyn Fn(&BackupRecord) -> bool) {
        let mut spared = BTreeSet::new();
        // Each comes before what it needs.
        self.going.retain(|record| {
            let goes = agreed(record) && !spared.contains(&record.id);
            if !goes {
                let elsewhere = record.components.iter().flat_map(Component::elsewhere);
                spared.extend(elsewhere.map(|stored| stored.backup.clone()));
                spared.insert(record.id.clone());
            }
            goes
        });
        self.forgotten.retain(|record| {
            let goes = agreed(record);
            if !goes {
                spared.insert(record.id.clone());
            }
            goes
        });
        for verdict in self.verdicts.iter_mut().filter(|it| !it.keep && spared.contains(&it.id)) {
            verdict.keep = true;
            verdict.reasons = vec!["was not asked about; goes next time".into()];
        }
    }
}

/// Says of every backup whether it stays. `records` are the catalog's, newest first. Where
/// something goes, those that stay are looked at: one that is not there with all its files is no
/// good one. Touches nothing.
///
/// # Errors
/// Where what a backup in the repository needs cannot be read, as of one that a later version
/// wrote. One whose manifest is damaged may be mended with that of a copy: what it may need
/// stays.
pub fn plan(setting: &Setting, repository: &Repository, records: &[BackupRecord]) -> Result<Plan> {
    let Some(policy) = Policy::of(&setting.config) else {
        let verdict = |record: &BackupRecord| {
            verdict(record, true, vec!["the config has no [retention]".into()])
        };
        return Ok(Plan {
            verdicts: records.iter().map(verdict).collect(),
            notes: vec!["The config has no [retention], so every backup stays.".into()],
            ..Plan::default()
        });
    };
    let unreadable = Unreadable::among(repository, records, "prune")?;
    let mut plan = plan_by(&policy, records, &unreadable)?;
    let (mut look, mut looked_at) = (Look::of(setting, repository), records.to_vec());
    while !plan.going.is_empty() && look.finds_damage(&plan, &mut looked_at)? {
        plan = plan_by(&policy, &looked_at, &unreadable)?;
    }
    for (name, damages) in &look.damaged {
        let first = damages.iter().take(1).map(Damage::to_string).collect::<String>();
        plan.notes.push(format!("{name} counts as damaged: {first}."));
    }
    plan.damaged = look.damaged;
    let in_the_way = unreadable.iter().filter(|one| records.iter().any(|it| one.may_need(it)));
    plan.notes.extend(in_the_way.map(|one| one.advice(repository)));
    Ok(plan)
}

pub(super) fn plan_by(
    policy: &Policy,
    records: &[BackupRecord],
    unreadable: &[Unreadable],
) -> Result<Plan> {
    let measure = |places: &[usize]| Footprints::measure(records, places);
    let footprints = match policy.has_limit() {
        true => Some(measure(&(0..records.len()).collect::<Vec<_>>())?),
        false => None,
    };
    let choice = choose(records, policy, unreadable, footprints.as_ref());
    let footprints = footprints.map_or_else(|| measure(&choice.going), Ok)?;
    let failures = failures::judge(records, policy);
    let verdicts: Vec<Verdict> = records
        .iter()
        .zip(choice.reasons)
        .zip(&failures)
        .map(|((record, (keep, reasons)), failure)| match failure {
            Some((keep, reason)) => verdict(record, *keep, vec![reason.clone()]),
            None => verdict(record, keep, reasons),
        })
        .collect();
    let forgotten = |(record, failure): (&BackupRecord, &Option<(bool, String)>)| {
        failure.as_ref().is_some_and(|(keep, _)| !keep).then(|| record.clone())
    };
    Ok(Plan {
        verdicts,
        freed_bytes: footprints.freed(&choice.going),
        notes: choice.notes,
        going: choice.going.iter().map(|place| records[*place].clone()).collect(),
        forgotten: records.iter().zip(&failures).filter_map(forgotten).collect(),
        damaged: Vec::new(),
    })
}

fn verdict(record: &BackupRecord, keep: bool, reasons: Vec<String>) -> Verdict {
    Verdict { id: record.id.clone(), name: record.name.clone(), keep, reasons }
}

/// Deletes what goes, by a plan that is made anew under the repository's lock; of this only
/// what was `agreed` to. Returns what was done.
///
/// # Errors
/// `locked`, `interrupted`, or what a deletion meets. What was deleted until then is deleted,
/// everything else is as restorable as before, and the next run goes on.
pub async fn prune(setting: &Setting, agreed: &Plan) -> Result<Plan> {
    let repository = open_repository(setting)?;
    let lock = lock(setting, &repository, LockMode::Exclusive).await?;
    for left in repository.clear_leftovers(&lock)? {
        setting.progress.note(format!("cleared {}", left));
    }
    let agreed: BTreeSet<BackupId> =
        agreed.going.iter().chain(&agreed.forgotten).map(|record| record.id.clone()).collect();
    let work = setting.clone();
    setting
        .blocking(move || execute(&work, &repository, &lock, &|record| agreed.contains(&record.id)))
        .await
}

/// The same for a caller that holds the lock and asks nobody.
pub(crate) fn prune_locked(
    setting: &Setting,
    repository: &Repository,
    lock: &Lock,
) -> Result<Plan> {
    execute(setting, repository, lock, &|_| true)
}

fn execute(
    setting: &Setting,
    repository: &Repository,
    lock: &Lock,
    agreed: &dyn Fn(&BackupRecord) -> bool,
) -> Result<Plan> {
    let catalog = Catalog::of(&setting.config);
    let mut session = catalog.session(&setting.progress)?;
    session.reconcile(repository, &setting.progress)?;
    session.fail_interrupted()?;
    let records = session.list()?;
    // Others wait for the catalog.
    drop(session);
    let mut plan = plan(setting, repository, &records)?;
    plan.restrict(agreed);
    for (name, damages) in std::mem::take(&mut plan.damaged) {
        let first = damages.iter().take(1).map(Damage::to_string).collect::<String>();
        let text = format!("{name} is damaged, and keeps no other from staying: {first}");
        setting.progress.warn(Code::BackupDamaged, text);
        record_damage(setting, repository, &name, damages);
    }
    if !plan.forgotten.is_empty() {
        let mut session = catalog.session(&setting.progress)?;
        for record in &plan.forgotten {
            delete::forget(&mut session, record)?;
        }
    }
    if !plan.going.is_empty() {
        delete::announce_pause(repository, &setting.progress);
    }
    let targets = plan.going.iter().map(|it| (it.id.clone(), it.name.clone())).collect();
    let names: BTreeSet<&str> = records.iter().map(|record| record.name.as_str()).collect();
    let considered = Considered {
        needs: &|name| names.contains(name),
        pin: &|id| records.iter().any(|record| record.id == *id && record.pin.is_some()),
    };
    let mut deletion = repository.deletion(targets, considered, &setting.cancel, lock)?;
    for record in &plan.going {
        setting.check_interrupted("prune backups of")?;
        if let Some(because) = deletion.spares(&record.id) {
            setting.progress.note(format!("{} stays for now: {because}", record.name));
            continue;
        }
        deletion.delete(&record.id)?;
        // For a short time each: others wait for the catalog.
        delete::forget(&mut catalog.session(&setting.progress)?, record)?;
        setting.progress.note(format!("deleted {}", record.name));
    }
    deletion.finish()?;
    Ok(plan)
}
