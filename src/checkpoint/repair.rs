//! What is put right before a checkpoint, once: a warning for each.
//!
//! A damaged catalog is no matter of this: whoever opens it moves it aside and builds a new one.
//! Nor is a stale lock of a store: its next writer clears it away (`repository/lease.rs`).

use crate::config::{Config, Place};
use crate::deadline;
use crate::error::Code;
use crate::repository::{give_to_owner, open_to_owner, repair};
use crate::setting::Setting;
use std::path::Path;

/// The files of the state directory that every command opens.
const STATE_FILES: [&str; 4] =
    ["catalog.duckdb", "catalog.lock", "events.jsonl", "repositories.json"];

/// Mends what can be mended of the state directory and the repository. What does not answer is
/// left alone.
pub(super) async fn all(setting: &Setting) {
    let config = setting.config.clone();
    let done = deadline::within_async(deadline::LIMIT * 2, move || mended(&config)).await;
    for sentence in done.unwrap_or_default() {
        setting.progress.warn(Code::Repaired, sentence);
    }
}

fn mended(config: &Config) -> Vec<String> {
    let mut done = Vec::new();
    if deadline::answers(&config.state.dir).is_ok() {
        done.extend(state(&config.state.dir));
    }
    if let Place::Directory(path) = config.repository.place()
        && deadline::answers(&path).is_ok()
    {
        done.extend(repair(&path));
    }
    done
}

fn state(dir: &Path) -> Vec<String> {
    let files = STATE_FILES.iter().filter_map(|name| give_to_owner(&dir.join(name)));
    // Without the directory's own mode the files cannot be seen.
    open_to_owner(dir).into_iter().collect::<Vec<_>>().into_iter().chain(files).collect()
}
