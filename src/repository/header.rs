//! `backstop-repository.json`: the file that makes a directory a repository.

use super::manifest::FORMAT;
use super::relocation::refuse_elsewhere;
use super::{BackupId, write_replacing};
use crate::clock;
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "backstop-repository.json";

/// Format version and identity of a repository.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    pub(super) id: String,
    created_at: Timestamp,
}

impl Header {
    /// Reads the header of the repository at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        refuse_elsewhere(path)?;
        let file = path.join(NAME);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(
                    Code::RepositoryNotFound,
                    "open repository",
                    path.display(),
                )
                .cause("it holds no backstop-repository.json"));
            }
            Err(e) => return Err(Error::io("read", &file, e)),
        };
        let header: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::new(Code::RepositoryFormat, "read", file.display()).source(e))?;
        if header.format > FORMAT {
            return Err(Error::new(Code::RepositoryFormat, "open repository", path.display())
                .cause(format!("it has format {}, this version knows {FORMAT}", header.format)));
        }
        Ok(header)
    }

    /// Makes the directory at `path` a repository.
    pub(super) fn create(path: &Path) -> Result<()> {
        let header =
            Self { format: FORMAT, id: BackupId::random()?.to_string(), created_at: clock::now() };
        let mut text = serde_json::to_vec_pretty(&header).map_err(|e| {
            Error::new(Code::RepositoryFormat, "write header of", path.display()).source(e)
        })?;
        text.push(b'\n');
        write_replacing(&path.join(NAME), &text)
    }
}
