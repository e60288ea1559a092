//! The runbooks that can be run by name: those that come with backstop, and the user's own.

use super::action::Registry;
use super::check::{Checked, check};
use super::document::{MAX_BYTES, meant, quoted_list};
use crate::error::{Code, Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The runbooks that come with backstop: name and text.
const SHIPPED: [(&str, &str); 6] = [
    ("complete-system-failure", include_str!("../../runbooks/complete-system-failure.yaml")),
    ("configuration-corruption", include_str!("../../runbooks/configuration-corruption.yaml")),
    ("database-corruption", include_str!("../../runbooks/database-corruption.yaml")),
    ("file-system-corruption", include_str!("../../runbooks/file-system-corruption.yaml")),
    ("partial-data-loss", include_str!("../../runbooks/partial-data-loss.yaml")),
    ("security-breach", include_str!("../../runbooks/security-breach.yaml")),
];
/// What stands for the file of one of them.
const BUILT_IN: &str = "built-in";

/// Where runbooks are looked for.
#[derive(Debug, Clone, Default)]
pub struct Library {
    own: Option<PathBuf>,
}

/// A runbook in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The kind of disaster it recovers from.
    pub disaster: Option<String>,
    /// One line.
    pub title: String,
    /// Its file, or `built-in`.
    pub source: String,
}

impl Library {
    /// The shipped runbooks, and those in `own`, of which one replaces a shipped one of its name.
    pub fn new(own: Option<&Path>) -> Self {
        Self { own: own.map(Path::to_path_buf) }
    }

    /// Every runbook, by name. One that cannot be run has the name of its file, and says why.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn list(&self, registry: &Registry) -> Result<Vec<Listed>> {
        let mut listed = BTreeMap::new();
        let shipped = self.shipped(registry).map(|checked| (PathBuf::new(), checked));
        for (file, checked) in shipped.chain(self.own(registry)?) {
            let entry = match checked {
                Ok(Checked { runbook, source, .. }) => Listed {
                    name: runbook.name,
                    disaster: runbook.disaster,
                    title: runbook.title,
                    source,
                },
                Err(error) => Listed {
                    name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                    disaster: None,
                    title: error.to_string(),
                    source: file.display().to_string(),
                },
            };
            listed.insert(entry.name.clone(), entry);
        }
        Ok(listed.into_values().collect())
    }

    /// The runbook of this name; a path with a `/` or the ending of YAML is a file.
    ///
    /// # Errors
    /// `runbook_not_found`, `runbook_invalid`.
    pub fn find(&self, wanted: &str, registry: &Registry) -> Result<Checked> {
        if wanted.contains('/') || wanted.ends_with(".yaml") || wanted.ends_with(".yml") {
            return read(Path::new(wanted), registry);
        }
        let mut names = Vec::new();
        let mut found = None;
        let shipped = self.shipped(registry).map(|checked| (PathBuf::new(), checked));
        for (file, checked) in shipped.chain(self.own(registry)?) {
            // One that is broken must not hide the others, nor be taken for missing.
            match checked {
                Ok(checked) if checked.runbook.name == wanted => found = Some(Ok(checked)),
                Ok(checked) => names.push(checked.runbook.name),
                Err(error) if file.file_stem().is_some_and(|name| name == wanted) => {
                    found = Some(Err(error));
                }
                Err(_) => {}
            }
        }
        found.unwrap_or_else(|| Err(not_found(wanted, &names)))
    }

    /// The runbook of a disaster: the first own one, else the shipped one. That another own one is
    /// broken does not stand in the way.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn for_disaster(&self, disaster: &str, registry: &Registry) -> Result<Checked> {
        let fits = |checked: &Checked| checked.runbook.disaster.as_deref() == Some(disaster);
        let own = self.own(registry)?.into_iter().filter_map(|(_, checked)| checked.ok());
        let shipped = self.shipped(registry).filter_map(Result::ok);
        match own.chain(shipped).find(fits) {
            Some(checked) => self.find(&checked.runbook.name, registry),
            None => self.find(disaster, registry),
        }
    }

    fn shipped(&self, registry: &Registry) -> impl Iterator<Item = Result<Checked>> {
        SHIPPED.iter().map(|(_, text)| check(BUILT_IN, text, registry))
    }

    /// The files of the user's directory with what is in them.
    fn own(&self, registry: &Registry) -> Result<Vec<(PathBuf, Result<Checked>)>> {
        let Some(dir) = &self.own else { return Ok(Vec::new()) };
        let failed =
            |e| Error::io("list the runbooks in", dir, e).hint("check runbooks.dir in the config");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
                files.push(path);
            }
        }
        files.sort();
        let with_content = |file: PathBuf| {
            let checked = read(&file, registry);
            (file, checked)
        };
        Ok(files.into_iter().map(with_content).collect())
    }
}

/// Reads and checks the runbook in a file.
///
/// # Errors
/// `runbook_not_found`, `runbook_invalid`, `io` and its kin.
pub fn read(file: &Path, registry: &Registry) -> Result<Checked> {
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Code::RunbookNotFound, "read", file.display()).source(e)
        }
        _ => Error::io("read", file, e),
    })?;
    // One byte more than there may be tells that it is too large.
    let limit = MAX_BYTES as u64 + 1;
    opened.take(limit).read_to_end(&mut text).map_err(|e| Error::io("read", file, e))?;
    let source = file.display().to_string();
    let text = match text.len() > MAX_BYTES {
        // It is refused for that, also where its last character was cut off.
        true => String::from_utf8_lossy(&text).into_owned(),
        false => String::from_utf8(text).map_err(|_| {
            Error::new(Code::RunbookInvalid, "accept runbook", &source)
                .cause("it is not UTF-8 text")
                .hint("write it as YAML; `backstop runbook schema` describes it for editors")
        })?,
    };
    check(&source, &text, registry)
}

fn not_found(wanted: &str, names: &[String]) -> Error {
    let error = Error::new(Code::RunbookNotFound, "find runbook", wanted);
    let names = || names.iter().map(String::as_str);
    match meant(wanted, names()) {
        Some(word) => error.hint(format!("did you mean `{word}`?")),
        None if names().next().is_some() => {
            error.hint(format!("there are {}; a file is named by its path", quoted_list(names())))
        }
        None => error.hint("own ones lie in runbooks.dir; a file is named by its path"),
    }
}
