//! Copies as `doctor` sees them: whether they answer, and what they lack.

use super::Finding;
use crate::backup::known::Known;
use crate::config::Copy;
use crate::deadline;
use crate::error::{Code, Result};
use crate::setting::Setting;
use crate::size::count;
use std::collections::BTreeSet;

/// One finding for each copy. Stores are asked for their names, and nothing is written.
pub(super) async fn examine(setting: &Setting) -> Vec<Finding> {
    let mut findings = Vec::new();
    for copy in &setting.config.repository.copies {
        let (part, one) = (setting.clone(), copy.clone());
        let found = setting.blocking(move || look(&part, &one)).await;
        findings.push(Finding::new(format!("copy {}", copy.name), found));
    }
    findings
}

fn look(setting: &Setting, copy: &Copy) -> Result<String> {
    copy.path.as_deref().map_or(Ok(()), deadline::answers)?;
    let (place, known) = (copy.place(), Known::of_copy(setting, copy)?);
    let there: BTreeSet<String> = match known.open() {
        Ok(found) => found.names()?.into_iter().collect(),
        Err(e) if e.code() == Code::RepositoryNotFound && !known.is_known() => {
            return Ok(format!("{place}: created by the first sync"));
        }
        Err(e) => return Err(e),
    };
    let held = count(there.len() as u64, "backup", "backups");
    // What is wrong with the repository itself is a finding of its own.
    let here = Known::of(setting)?.open().and_then(|repository| repository.names());
    let lacking = here.unwrap_or_default().iter().filter(|name| !there.contains(*name)).count();
    Ok(match lacking as u64 {
        0 => format!("{place}: {held}"),
        lacking => {
            let lacking = count(lacking, "backup waits", "backups wait");
            format!("{place}: {held}; {lacking} for `backstop sync`")
        }
    })
}
