//! Which backup: the newest that fits, or the one that is named.

use super::known::open_repository;
use crate::catalog::{BackupRecord, Catalog};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Level, Reason};
use crate::setting::Setting;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a backup has to be.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// A unique prefix of an id, a name, or `latest`.
    pub backup: String,
    /// Everything in it is older than this.
    pub before: Option<Timestamp>,
    /// The components that it holds.
    pub components: Vec<String>,
    /// The labels that it has.
    pub labels: BTreeMap<String, String>,
}

/// Every backup that the repository or the catalog knows, newest first.
pub async fn all(setting: &Setting) -> Result<Vec<BackupRecord>> {
    let part = setting.part();
    setting
        .blocking(move || {
            let repository = open_repository(&part)?;
            let mut session = Catalog::of(&part.config).session(&part.progress)?;
            session.reconcile(&repository, &part.progress)?;
            session.list()
        })
        .await
}

/// The backup that fits. Of several the newest: one of the whole stack, unless components are
/// named. Damaged ones are passed over, and so are those that hold what a restore replaced.
///
/// # Errors
/// `backup_not_found`, `backup_ambiguous`.
pub async fn choose(setting: &Setting, wish: &Wish) -> Result<BackupRecord> {
    let records = all(setting).await?;
    if wish.backup != "latest" {
        let (part, wanted) = (setting.part(), wish.backup.clone());
        let find = move || Catalog::of(&part.config).session(&part.progress)?.find(&wanted);
        let found = setting.blocking(find).await?;
        return match wish.objection(&found) {
            None => Ok(found),
            Some(why) => Err(Error::new(Code::BackupNotFound, "use backup", &found.name)
                .cause(why)
                .hint("`backstop list` shows the others")),
        };
    }
    let own = &setting.config.stack.name;
    let usable = |record: &&BackupRecord| {
        record.reason != Reason::Safety && record.stack == *own && !record.is_damaged()
    };
    let mut fitting: Vec<&BackupRecord> =
        records.iter().filter(usable).filter(|record| wish.objection(record).is_none()).collect();
    if wish.components.is_empty() {
        fitting.sort_by_key(|record| !record.omitted.is_empty());
    }
    fitting.first().map(|found| (*found).clone()).ok_or_else(|| {
        let newest = records.iter().find(usable).and_then(|newest| wish.objection(newest));
        Error::new(Code::BackupNotFound, "find backup", &wish.backup).cause(match newest {
            Some(why) => format!("none of this stack fits; of the newest: {why}"),
            None => "there is no sound backup of this stack yet".into(),
        })
    })
}

impl Wish {
    /// Why this backup is none that is wanted.
    fn objection(&self, record: &BackupRecord) -> Option<String> {
        if !record.is_published() {
            return Some(format!("its status is {}", record.status.as_str()));
        }
        let lacks = |name: &&String| !record.components.iter().any(|part| part.name == **name);
        if let Some(name) = self.components.iter().find(lacks) {
            return Some(format!("it does not hold {name}"));
        }
        if let Some((key, value)) =
            self.labels.iter().find(|(k, v)| record.labels.get(*k) != Some(*v))
        {
            return Some(format!("it has no label {key}={value}"));
        }
        match self.before {
            Some(before) if captured_by(record) >= before => {
                Some(format!("it holds what was there at {}", captured_by(record)))
            }
            _ => None,
        }
    }
}

/// The instant of which a backup's data are: the fence, or its start where there was none.
pub fn data_as_of(record: &BackupRecord) -> Timestamp {
    let fenced = record.consistency.as_ref().and_then(|consistency| consistency.fenced_at);
    fenced.unwrap_or(record.started_at)
}

/// The instant at which nothing was still to be read: what is in the backup is no newer.
fn captured_by(record: &BackupRecord) -> Timestamp {
    match &record.consistency {
        Some(consistency) if consistency.level == Level::Fenced => data_as_of(record),
        _ => record.finished_at.unwrap_or(record.started_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::BackupId;
    use crate::repository::manifest::{Consistency, Kind};
    use jiff::ToSpan;

    #[test]
    fn a_backup_is_older_than_an_instant_only_where_all_of_it_is() {
        let start = crate::clock::now();
        let id = BackupId::random().unwrap();
        let mut record =
            BackupRecord::in_progress(id, "one".into(), "shop", Kind::Full, Reason::Manual, start);
        record.status = crate::catalog::Status::Completed;
        record.finished_at = Some(start + 10.seconds());
        let wish =
            |seconds: i64| Wish { before: Some(start + seconds.seconds()), ..Wish::default() };
        assert!(wish(5).objection(&record).is_some(), "files were read until its end");
        assert!(wish(11).objection(&record).is_none());
        record.consistency = Some(Consistency {
            level: Level::Fenced,
            because: String::new(),
            fenced_at: Some(start + 2.seconds()),
            databases: Vec::new(),
            transactions_during_capture: 0,
            files_changed_during_capture: Vec::new(),
        });
        assert!(wish(5).objection(&record).is_none(), "nothing is newer than the fence");
        assert!(wish(2).objection(&record).is_some());
        assert_eq!(data_as_of(&record), start + 2.seconds());
        let needs = Wish { components: vec!["shop".into()], ..Wish::default() };
        assert_eq!(needs.objection(&record).unwrap(), "it does not hold shop");
    }
}
