//! What a restore keeps aside: where it lies, and how much it takes up.

use super::record::{RestoreRecord, Stage};
use super::undo;
use crate::archive::scan::{Excludes, total};
use crate::backup::Reach;
use crate::database::database_size;
use crate::setting::Setting;
use serde::Serialize;
use std::path::PathBuf;

/// One component's state that is kept aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The component's name.
    pub component: String,
    /// A directory, or a database.
    pub place: String,
    /// Its bytes; none where they cannot be counted, such as in a volume that only Docker
    /// can reach or on a server that does not answer.
    pub bytes: Option<u64>,
}

/// What `restore` keeps aside: what it replaced, or before that and once it was rolled back,
/// what it brought. Sizes are measured now, so it takes as long as walking the trees.
pub async fn kept(setting: &Setting, restore: &RestoreRecord) -> Vec<Kept> {
    let rolled_back = match restore.stage {
        Stage::Swapped => false,
        Stage::RolledBack | Stage::Built => true,
        Stage::Building
        | Stage::Swapping
        | Stage::Resuming
        | Stage::SwappingBack
        | Stage::Abandoned
        | Stage::Purged => return Vec::new(),
    };
    let mut found = Vec::new();
    for tree in restore.trees.iter().filter(|tree| rolled_back || tree.live_existed) {
        let path = if rolled_back { &tree.new } else { &tree.kept };
        let bytes = match tree.volume {
            None => tree_bytes(setting, path.clone()).await,
            Some(_) => None,
        };
        let (component, place) = (tree.component.clone(), tree.shown(path));
        found.push(Kept { component, place, bytes });
    }
    let databases = restore.databases.iter().filter(|swap| rolled_back || swap.live_existed);
    let reaches = undo::reach_all(setting, restore).await.unwrap_or_default();
    for swap in databases {
        let name = if rolled_back { &swap.new } else { &swap.kept };
        let reach = reaches.iter().find(|reach| reach.config.name == swap.component);
        let bytes = database_bytes(reach, name).await;
        let (component, place) = (swap.component.clone(), format!("database {name}"));
        found.push(Kept { component, place, bytes });
    }
    found
}

async fn tree_bytes(setting: &Setting, path: PathBuf) -> Option<u64> {
    let cancel = setting.cancel.clone();
    let walked = setting.blocking(move || total(&path, Excludes::new::<&str>(&[])?, &cancel)).await;
    walked.ok().map(|totals| totals.source_bytes)
}

async fn database_bytes(reach: Option<&Reach>, name: &str) -> Option<u64> {
    database_size(&reach?.target, name).await.ok().flatten()
}
