//! What a restore names before it builds it.

use super::database_swap::DatabaseSwap;
use super::plan::Plan;
use super::record::{RestoreRecord, Stage};
use super::tree_swap::TreeSwap;
use super::volume::VolumePlace;
use crate::backup::Place;
use crate::database::derived_name;
use crate::error::{Code, Error, Result};
use crate::fence::capture::mounted_below;
use crate::setting::Setting;
use std::path::Path;

impl Plan {
    /// Names everything that will be built, and records it before it is built; under this key
    /// where it shall wait for a swap that is asked for by itself.
    pub(super) fn begin(&self, setting: &Setting, staged: Option<&str>) -> Result<RestoreRecord> {
        let manifest = self.backup.manifest();
        let state_dir = &setting.config.state.dir;
        let mut restore = RestoreRecord::begin(state_dir, &manifest.id, &manifest.name)?;
        if let Some(key) = staged {
            restore.staged = true;
            restore.key = key.to_owned();
        }
        for tree in &self.trees {
            let name = &tree.component.name;
            if !setting.config.files.iter().any(|configured| configured.name == *name) {
                return Err(Error::new(Code::ComponentNotFound, "restore files", name)
                    .cause("the config has no [[files]] entry of this name")
                    .hint("add one that says where they go, or restore with --to DIR"));
            }
            let Some(source) = &tree.source else { continue };
            let swap = match &source.place {
                Place::Directory(live) => {
                    refuse_mounts_below(live)?;
                    TreeSwap::plan(name, live, &restore.key)?
                }
                Place::Container { volume, image_id, .. } => {
                    let place = VolumePlace { volume: volume.clone(), image: image_id.clone() };
                    TreeSwap::in_volume(name, place, &restore.key)
                }
            };
            restore.trees.push(TreeSwap { left_out: tree.detail.left_out(), ..swap });
        }
        for planned in &self.databases {
            let database = planned.reach.target.database();
            restore.databases.push(DatabaseSwap {
                component: planned.component.name.clone(),
                database: database.into(),
                new: derived_name(database, "restore", &restore.key),
                kept: derived_name(database, "before", &restore.key),
                live_existed: planned.live_existed,
                left_out: planned.detail.exclude_tables.clone(),
            });
        }
        restore.save(state_dir, Stage::Building)?;
        Ok(restore)
    }
}

/// A directory that is renamed takes what is mounted below it along.
fn refuse_mounts_below(live: &Path) -> Result<()> {
    match mounted_below(live)? {
        None => Ok(()),
        Some(mount) => Err(Error::new(Code::RestoreFailed, "replace", live.display())
            .cause(format!("{} is mounted inside it", mount.display()))
            .hint("unmount it first, or restore with --to DIR")),
    }
}
