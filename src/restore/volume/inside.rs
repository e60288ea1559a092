//! What backstop does inside a helper container.

use super::Action;
use crate::archive::extract::{Extraction, extract};
use crate::archive::index::IndexReader;
use crate::error::{Code, Error, Result};
use crate::progress::{Progress, Silent};
use crate::restore::TreeSwap;
use crate::storage::Blob;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a waiting helper looks whether somebody is at work in it.
const LOOK: Duration = Duration::from_secs(5);
/// After how many looks in which nobody was it ends: ten minutes.
const PATIENCE: u32 = 120;

/// One thing to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Build the tree from an archive and its index.
    /// Whether the backup's own archive lacks what earlier ones hold is `is_partial`.
    Extract { tree: TreeSwap, is_partial: bool, archives: Vec<Placed>, index: PathBuf },
    /// Work on trees that are there.
    Exchange { action: Action, tree: TreeSwap },
}

/// An archive that was uploaded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Placed {
    /// The id of the backup that it belongs to.
    pub(super) stored_in: String,
    /// Its path in that backup.
    pub(super) object: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// What is known of the tree then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) tree: TreeSwap,
    /// How many files came back without all of their metadata.
    pub(super) incomplete: u64,
    /// The first of them.
    pub(super) first_incomplete: String,
}

/// Keeps the container running while somebody works in it. It ends by itself when nobody
/// has for ten minutes: whoever made it is dead then.
pub(crate) fn wait() -> Result<()> {
    let mut idle = 0;
    while idle < PATIENCE {
        std::thread::sleep(LOOK);
        idle = if is_alone()? { idle + 1 } else { 0 };
    }
    Ok(())
}

/// Whether this is the only process of the container.
fn is_alone() -> Result<bool> {
    let proc = Path::new("/proc");
    let entries = std::fs::read_dir(proc).map_err(|e| Error::io("list", proc, e))?;
    let processes = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    Ok(processes.count() <= 1)
}

/// Reads one request, does it, and writes the answer.
pub(crate) fn act(mut input: impl Read, mut output: impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(Code::Io, "answer", "a request").source(e);
    let mut text = Vec::new();
    input.read_to_end(&mut text).map_err(failed)?;
    let request = serde_json::from_slice(&text).map_err(|e| failed(e.into()))?;
    let answer = match request {
        Request::Extract { tree, is_partial, archives, index } => {
            build(tree, is_partial, &archives, &index)?
        }
        Request::Exchange { action, mut tree } => {
            action.run(&mut tree)?;
            Answer { tree, incomplete: 0, first_incomplete: String::new() }
        }
    };
    serde_json::to_writer(&mut output, &answer).map_err(|e| failed(e.into()))?;
    output.flush().map_err(failed)
}

/// The first archive is the backup's own.
fn build(
    mut tree: TreeSwap,
    is_partial: bool,
    archives: &[Placed],
    index: &Path,
) -> Result<Answer> {
    tree.note_live()?;
    let index = IndexReader::open(&Blob::file(index)?)?;
    let find = |stored_in: &str, object: &str| {
        let is_it = |it: &&Placed| it.stored_in == stored_in && it.object == object;
        let placed = archives.iter().find(is_it).ok_or_else(|| {
            Error::new(Code::BackupDamaged, "find archive", object)
                .cause(format!("the manifest does not name {stored_in}, the index does"))
        })?;
        Blob::file(&placed.path)
    };
    let own = Blob::file(archives.first().map_or(Path::new(""), |own| own.path.as_path()))?;
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let what = Extraction {
        archive: &own,
        locate: is_partial.then_some(&find),
        target: &tree.new,
        index: Some((&index, &tree.component)),
        select: None,
        task: "restore",
    };
    let extracted = extract(&what, &progress, &CancellationToken::new())?;
    tree.note_built()?;
    let first = extracted.incomplete.first().map(ToString::to_string);
    Ok(Answer {
        tree,
        incomplete: extracted.incomplete_count,
        first_incomplete: first.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_cannot_be_read_is_an_error() {
        assert!(act("{}".as_bytes(), Vec::new()).is_err());
    }
}
