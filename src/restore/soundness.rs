//! Is a database that was built what was backed up?

use super::staged::find_staged;
use crate::backup::{Reach, fetch, open_repository, reach_database};
use crate::database::{Amchecked, Compared, SchemaCompared, amcheck, compare_rows, compare_schema};
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{DatabaseDetail, Detail};
use crate::restore::Stage;
use crate::setting::Setting;
use serde::Serialize;

/// What is looked at besides the rows.
#[derive(Debug, Clone, Copy)]
pub struct Depth {
    /// Whether the schema is compared with the dump.
    pub schema: bool,
    /// Whether tables and indexes are looked through, where the server has `amcheck`.
    pub amcheck: bool,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Soundness {
    /// The database's name on its server.
    pub database: String,
    /// The backup that it was built from.
    pub backup: String,
    /// Its rows against those at the fence.
    pub rows: Compared,
    /// Its schema against the dump's; none where it was not compared.
    pub schema: Option<SchemaCompared>,
    /// Its tables and indexes; none where they were not looked through.
    pub amcheck: Option<Amchecked>,
}

/// Examines the database that was built under `key`, or is live since.
///
/// # Errors
/// What keeps it from being examined; what is wrong with it is in the result.
pub async fn examine(setting: &Setting, key: &str, depth: Depth) -> Result<Soundness> {
    let missing = |cause: &str| Error::new(Code::RestoreFailed, "examine", key).cause(cause);
    let record = find_staged(setting, key)?.ok_or_else(|| missing("nothing is built as that"))?;
    let swap = record.databases.first().ok_or_else(|| missing("it is no database"))?;
    let name = match record.stage {
        Stage::Swapped => swap.database.clone(),
        Stage::Built | Stage::RolledBack => swap.new.clone(),
        stage => return Err(missing(&format!("it is {}", stage.as_str()))),
    };
    let backup = open_repository(setting)?.backup(&record.backup_name)?;
    let detail = detail_of(&backup, &swap.component)
        .ok_or_else(|| missing("its backup does not hold it"))?;
    let reach = reach_database(setting, &swap.component).await?;
    let target = reach.target.with_database(&name);
    setting.progress.step("rows");
    let rows = compare_rows(&target, &detail.tables, reach.config.jobs).await?;
    let schema = match depth.schema {
        true => compared_schema(setting, &backup, &reach, &name, detail).await?,
        false => None,
    };
    let amcheck = match depth.amcheck {
        true => {
            setting.progress.step("amcheck");
            amcheck(&target).await?
        }
        false => None,
    };
    Ok(Soundness { database: name, backup: record.backup_name.clone(), rows, schema, amcheck })
}

fn detail_of<'a>(backup: &'a PublishedBackup, component: &str) -> Option<&'a DatabaseDetail> {
    backup.manifest().components.iter().find_map(|part| match &part.detail {
        Detail::Database(detail) if part.name == component => Some(detail.as_ref()),
        _ => None,
    })
}

async fn compared_schema(
    setting: &Setting,
    backup: &PublishedBackup,
    reach: &Reach,
    name: &str,
    detail: &DatabaseDetail,
) -> Result<Option<SchemaCompared>> {
    setting.progress.step("schema");
    let version = reach.maintenance().await?.server().version.clone();
    let dump = fetch(setting, backup, &detail.object).await?;
    let target = reach.target.with_database(name);
    let compared = compare_schema(&reach.tools, &target, dump.path(), detail, &version).await?;
    if compared.is_none() {
        setting.progress.note(format!(
            "the schema of {name} is not compared: the dump was made by other versions"
        ));
    }
    Ok(compared)
}

impl Soundness {
    /// The first thing that is wrong.
    pub fn fault(&self) -> Option<String> {
        if let Some(different) = self.rows.different.first() {
            return Some(different.to_string());
        }
        if let Some(schema) = &self.schema {
            if let Some(missing) = schema.missing.first() {
                return Some(format!("it lacks {missing}"));
            }
            if let Some(unexpected) = schema.unexpected.first() {
                return Some(format!("{unexpected} is not in the backup"));
            }
        }
        self.amcheck.as_ref().and_then(|found| found.faults.first().cloned())
    }
}
