//! `dump`: a database's dump on a stream.

use crate::backup::{fetch, local_tools};
use crate::config::DumpFormat;
use crate::database;
use crate::error::{Code, Error, Result};
use crate::repository::PublishedBackup;
use crate::repository::manifest::{DatabaseDetail, Detail};
use crate::setting::Setting;
use tokio::io::AsyncWrite;

/// Writes the dump of the database component `name` to `output`: as it is stored where it is
/// one file of pg_dump's custom or tar format, else as SQL.
///
/// # Errors
/// `component_not_found`, `backup_damaged`, `tool_missing`.
pub async fn write_dump(
    setting: &Setting,
    backup: &PublishedBackup,
    name: &str,
    as_sql: bool,
    output: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<()> {
    let detail = component(backup, name)?;
    let dump = fetch(setting, backup, &detail.object).await?;
    let is_ready = match detail.format {
        DumpFormat::Plain => true,
        DumpFormat::Custom | DumpFormat::Tar => !as_sql,
        DumpFormat::Directory => false,
    };
    let configured = setting.config.databases.iter().find(|database| database.name == name);
    let bin_dir = configured.and_then(|database| database.bin_dir.as_deref());
    let tools = match is_ready {
        true => None,
        false => Some(local_tools(setting, bin_dir).await?),
    };
    database::write_dump(tools.as_ref(), dump.path(), detail.format, as_sql, output).await
}

fn component<'a>(backup: &'a PublishedBackup, name: &str) -> Result<&'a DatabaseDetail> {
    let components = &backup.manifest().components;
    let found = components.iter().filter(|component| component.name == name);
    let mut details = found.filter_map(|component| match &component.detail {
        Detail::Database(detail) => Some(detail.as_ref()),
        _ => None,
    });
    details.next().ok_or_else(|| {
        Error::new(Code::ComponentNotFound, "dump database", name)
            .cause(format!("{} has no database of this name", backup.manifest().name))
    })
}
