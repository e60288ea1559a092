//! The end of a backup: everything is read back, described, and made visible at once.

use super::archives::Archived;
use super::databases::Dumped;
use super::link::link_unchanged;
use super::plain::{Plain, Summary};
use super::workplace::Workplace;
use crate::error::Result;
use crate::host;
use crate::progress::Warnings;
use crate::repository::manifest::{
    Component, Consistency, Detail, Downtime, EncryptionDetail, FORMAT, Manifest, Readiness,
};
use crate::repository::{IncomingBackup, PublishedBackup};
use crate::setting::Setting;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that was written and found out.
pub(super) struct Parts {
    pub(super) consistency: Consistency,
    pub(super) readiness: Readiness,
    pub(super) downtime: Vec<Downtime>,
    pub(super) definitions: Vec<Component>,
    pub(super) databases: Dumped,
    pub(super) files: Archived,
    pub(super) warnings: Arc<Warnings>,
}

impl Parts {
    /// Reads every object back and describes the backup.
    pub(super) async fn seal(
        self,
        workplace: &Workplace<'_>,
        incoming: IncomingBackup,
        setting: &Setting,
    ) -> Result<Sealed> {
        let written = self.files.objects.clone();
        let cancel = setting.cancel.clone();
        let parent = workplace.parent.clone();
        let summary = Summary { index: self.files.index, dumps: self.databases.plain };
        let is_sealed = setting.recipients.are_there();
        let kept = is_sealed.then(|| Plain::create(setting, &workplace.record.id)).transpose()?;
        let (mut incoming, objects, linked) = setting
            .blocking(move || {
                let mut objects = incoming.read_back(&written, &cancel)?;
                let linked = match &parent {
                    Some(parent) => {
                        let plain = parent.plain.as_ref().map(|it| (&summary.dumps, &it.dumps));
                        let incoming = incoming.path();
                        link_unchanged(&parent.backup, incoming, &mut objects, plain, &cancel)?
                    }
                    None => BTreeMap::new(),
                };
                if let Some(kept) = kept {
                    kept.write(&summary)?;
                }
                Ok((incoming, objects, linked))
            })
            .await?;
        let mut components: Vec<Component> = self
            .databases
            .components
            .into_iter()
            .chain(self.files.components)
            .chain(self.definitions)
            .collect();
        for component in &mut components {
            component.stored_bytes -= linked_bytes(component, &linked);
        }
        let record = &workplace.record;
        let sum = |bytes: fn(&Component) -> u64| components.iter().map(bytes).sum();
        let manifest = Manifest {
            format: FORMAT,
            id: record.id.clone(),
            name: record.name.clone(),
            sequence: record.sequence,
            repository_id: workplace.repository.id().to_string(),
            stack: record.stack.clone(),
            host: host::name(),
            backstop_version: env!("CARGO_PKG_VERSION").into(),
            kind: record.kind,
            reason: record.reason,
            labels: record.labels.clone(),
            version_label: record.version_label.clone(),
            omitted: record.omitted.clone(),
            readiness: Some(self.readiness),
            parent: record.parent.clone(),
            config_file: setting.config_file.clone(),
            started_at: record.started_at,
            finished_at: workplace.watch.reading(),
            duration_seconds: workplace.watch.elapsed().as_secs_f64(),
            consistency: self.consistency,
            downtime: self.downtime,
            source_bytes: sum(|component| component.source_bytes),
            stored_bytes: sum(|component| component.stored_bytes),
            file_count: sum(|component| component.file_count),
            components,
            encryption: EncryptionDetail::age(setting.recipients.names()),
            objects,
            warnings: self.warnings.seen(),
        };
        let cancel = setting.cancel.clone();
        let (incoming, manifest) = setting
            .blocking(move || {
                incoming.send(&manifest, &cancel, &mut |_| {})?;
                Ok((incoming, manifest))
            })
            .await?;
        Ok(Sealed { incoming, manifest })
    }
}

/// Bytes of a dump that are links to the parent's.
fn linked_bytes(component: &Component, linked: &BTreeMap<String, u64>) -> u64 {
    let Detail::Database(database) = &component.detail else { return 0 };
    let directory = format!("{}/", database.object);
    let linked = linked.iter().filter(|(object, _)| object.starts_with(&directory));
    linked.map(|(_, bytes)| bytes).sum::<u64>().min(component.stored_bytes)
}

/// A backup that only has to be made visible.
pub(super) struct Sealed {
    incoming: IncomingBackup,
    manifest: Manifest,
}

impl Sealed {
    /// Writes checksums and manifest, and publishes. Blocking.
    pub(super) fn publish(self) -> Result<PublishedBackup> {
        self.incoming.publish(&self.manifest)
    }
}
