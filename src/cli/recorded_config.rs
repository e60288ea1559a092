//! The config of a host that has none: the one that the newest backup was taken with.

use super::context::Context;
use crate::browse::{RecordedConfig, recorded_config_file};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::repository::{create_dir, sync_dir, write_new};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where a config is looked for by itself, whatever the working directory.
const SYSTEM: &str = "/etc/backstop";

/// The command with a config: its own, or where there is none, or `replace` asks for it, the
/// recorded one, which is written to where it lay. What lies there is kept beside it.
///
/// # Errors
/// `config_not_found` where no repository is named either; `usage` where it holds backups of
/// several stacks; what reading the backup says.
pub(super) fn adopted(context: &Context, replace: bool) -> Result<Option<Context>> {
    if !replace && (context.has_config() || context.other_repository().is_none()) {
        return Ok(None);
    }
    let (name, recorded) = newest(&context.without_config()?)?;
    let file = match (context.config_file(), &recorded.path) {
        (Some(named), _) => named,
        (None, Some(path)) => path.clone(),
        (None, None) => Path::new(SYSTEM).join(&recorded.name),
    };
    let kept = write(&file, &recorded.text)?;
    let output = &context.output;
    output.note(&format!("wrote the config of {name} to {}", file.display()));
    kept.iter().for_each(|kept| output.note(&format!("kept what was there as {}", kept.display())));
    let adopted = context.with_config(file.clone());
    if !adopted.loaded()?.config.is_at_home() {
        let own = adopted.with_own_repository().loaded()?.config.repository.place();
        output.note(&format!(
            "the config names the repository {own}: change that where it is gone for good"
        ));
    }
    if Path::new(SYSTEM) != file.parent().unwrap_or(Path::new("")) {
        output.note(&format!("name it in later commands: --config {}", file.display()));
    }
    Ok(Some(adopted))
}

/// The config of the newest backup, and that backup's name.
fn newest(context: &Context) -> Result<(String, RecordedConfig)> {
    let catalog = context.reconciled()?;
    let records = catalog.list()?;
    let stacks: BTreeSet<&str> =
        records.iter().filter(|it| it.is_published()).map(|it| it.stack.as_str()).collect();
    if stacks.len() > 1 {
        let stacks: Vec<&str> = stacks.into_iter().collect();
        return Err(Error::new(Code::Usage, "find the config in", "the repository")
            .cause(format!("it holds backups of several stacks: {}", stacks.join(", ")))
            .hint("write that of one with `backstop config recorded ID --to DIR`, then name it with --config"));
    }
    let record = catalog.find("latest")?;
    let backup = context.repository()?.backup(&record.name)?;
    Ok((record.name, recorded_config_file(&backup)?))
}

/// Writes the file, and says where what was there is kept.
fn write(file: &Path, text: &str) -> Result<Option<PathBuf>> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    create_dir(dir)?;
    let kept = match file.symlink_metadata() {
        Err(_) => None,
        Ok(_) => {
            let mut kept = file.to_owned().into_os_string();
            kept.push(clock::now().strftime(".before-%Y%m%dT%H%M%SZ").to_string());
            std::fs::rename(file, &kept).map_err(|e| Error::io("keep", file, e))?;
            Some(PathBuf::from(kept))
        }
    };
    write_new(file, text.as_bytes())?;
    sync_dir(dir)?;
    Ok(kept)
}
