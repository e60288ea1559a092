//! The databases of a backup: one fence for all, then the dumps from their snapshots.

use super::consistency::Observed;
use super::plain::PlainFile;
use super::plan::PlannedDatabase;
use super::reach::Reach;
use super::seal::seal_directory;
use crate::config::DumpFormat;
use crate::database::{
    Description, DumpRequest, DumpResult, GLOBALS, HeldSnapshot, dump, dump_globals,
};
use crate::error::Result;
use crate::repository::manifest::{Component, Detail};
use crate::setting::Setting;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::path::Path;

/// A database whose snapshot is held.
pub(super) struct Fenced {
    reach: Reach,
    held: HeldSnapshot,
    description: Description,
}

/// Takes the fence of every database, all at once.
pub(super) async fn fence(planned: Vec<PlannedDatabase>) -> Result<Vec<Fenced>> {
    try_join_all(planned.into_iter().map(|database| async {
        let PlannedDatabase { reach, prepared, description } = database;
        Ok(Fenced { reach, held: prepared.fence().await?, description })
    }))
    .await
}

/// Looks at what happened in every database since its fence.
pub(super) async fn observe(fenced: &[Fenced]) -> Result<Vec<Observed>> {
    try_join_all(fenced.iter().map(|database| async {
        let release = database.held.observe_release().await?;
        Ok(Observed {
            fence: database.held.record(&release),
            unmoved: release.unmoved,
            clients_seen: release.clients_seen,
        })
    }))
    .await
}

/// Dumps every database from its snapshot, one after the other (each dump is parallel in
/// itself), and the roles of every server. The snapshots end with this.
pub(super) async fn write(fenced: Vec<Fenced>, dir: &Path, setting: &Setting) -> Result<Dumped> {
    let mut plain = BTreeMap::new();
    let mut components = globals(&fenced, dir, setting).await?;
    for database in fenced {
        let request = DumpRequest::new(
            &database.reach.config,
            setting.config.repository.compression_level,
            dir,
        )
        .sealed_for(&setting.recipients);
        let mut result =
            dump::dump(&database.held, &database.reach.tools, &request, &setting.progress).await?;
        if request.format == DumpFormat::Directory && setting.recipients.are_there() {
            let (files, stored_bytes) = seal_directory(setting, dir, &result.object).await?;
            result.stored_bytes = stored_bytes;
            plain.extend(files);
        }
        components.push(database.component(result));
    }
    Ok(Dumped { components, plain })
}

/// What was dumped.
pub(super) struct Dumped {
    pub(super) components: Vec<Component>,
    /// The files of dumps in directory format as they were before they were encrypted, if they
    /// were.
    pub(super) plain: BTreeMap<String, PlainFile>,
}

/// One script for every server that a database of the backup lies on.
async fn globals(fenced: &[Fenced], dir: &Path, setting: &Setting) -> Result<Vec<Component>> {
    let mut servers: Vec<(String, Vec<&Fenced>)> = Vec::new();
    for database in fenced {
        let server = database.reach.target.server();
        match servers.iter_mut().find(|(known, _)| *known == server) {
            Some((_, on_it)) => on_it.push(database),
            None => servers.push((server, vec![database])),
        }
    }
    let mut components = Vec::new();
    for (place, (_, databases)) in servers.iter().enumerate() {
        let Some(first) = databases.first() else { continue };
        let name = &first.reach.config.name;
        let object = match place {
            0 => GLOBALS.to_string(),
            _ => format!("databases/{name}.globals.sql"),
        };
        let Reach { target, tools, .. } = &first.reach;
        let (to, progress) = ((dir, object.as_str()), setting.progress.as_ref());
        let written = dump_globals(target, tools, to, &setting.recipients, progress).await?;
        let Some(stored_bytes) = written else { continue };
        components.push(Component {
            name: object.trim_start_matches("databases/").trim_end_matches(".sql").into(),
            source_bytes: stored_bytes,
            stored_bytes,
            file_count: 1,
            detail: Detail::Globals {
                object,
                databases: databases.iter().map(|d| d.reach.config.name.clone()).collect(),
            },
        });
    }
    Ok(components)
}

impl Fenced {
    fn component(self, result: DumpResult) -> Component {
        let Self { reach, description, .. } = self;
        let size = description.size;
        let (database, format) = (reach.target.database(), reach.config.dump_format());
        let detail = description.detail(database, format, &reach.config.exclude_tables, &result);
        Component {
            name: reach.config.name.clone(),
            source_bytes: size,
            stored_bytes: result.stored_bytes,
            file_count: result.file_count,
            detail: Detail::Database(Box::new(detail)),
        }
    }
}
