//! The config of a host that has none: the one that the newest backup was taken with.

use super::context::Context;
use crate::browse::{RecordedConfig, recorded_config_file};
use crate::catalog::BackupRecord;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::repository::{create_dir, sync_dir, write_new};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where a config is looked for by itself, whatever the working directory.
const SYSTEM: &str = "/etc/backstop";

/// The command with a config: its own, or where there is none, or `replace` asks for it, the
/// recorded one, which is written to where it lay. What lies there is kept beside it.
///
/// # Errors
/// `config_not_found` where no repository is named either; `usage` where it holds backups of
/// several stacks; what reading the backup says.
pub(super) fn adopted(context: &Context, wanted: &str, replace: bool) -> Result<Option<Context>> {
    if !replace && !is_needed(context) {
        return Ok(None);
    }
    let (record, recorded) = find(&context.without_config()?, wanted)?;
    refuse_another_stack(context, &record)?;
    let name = &record.name;
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
    if recorded.path.as_ref().is_some_and(|was| was.parent() != file.parent()) {
        output.note("it lay elsewhere: look at its relative paths, which begin where it is");
    }
    if Path::new(SYSTEM) != file.parent().unwrap_or(Path::new("")) {
        output.note(&format!("name it in later commands: --config {}", file.display()));
    }
    Ok(Some(adopted))
}

/// The command with a config, to look at what it would do: the recorded one goes into a directory
/// that is gone with what is returned.
///
/// # Errors
/// As [`adopted`].
pub(super) fn borrowed(context: &Context, wanted: &str) -> Result<Option<(TempDir, Context)>> {
    if !is_needed(context) {
        return Ok(None);
    }
    let (_, recorded) = find(&context.without_config()?, wanted)?;
    let place = tempfile::tempdir()
        .map_err(|e| Error::io("make a directory in", &std::env::temp_dir(), e))?;
    let file = place.path().join(&recorded.name);
    write(&file, &recorded.text)?;
    let adopted = context.with_config(file);
    Ok(Some((place, adopted)))
}

/// Whether there is no config, and a place to take one from.
fn is_needed(context: &Context) -> bool {
    context.other_repository().is_some() && !context.has_config()
}

/// A config that is there is that of another stack only by mistake.
fn refuse_another_stack(context: &Context, record: &BackupRecord) -> Result<()> {
    match context.with_own_repository().loaded() {
        Ok(own) if own.config.stack.name != record.stack => {
            Err(Error::new(Code::Usage, "take the config of", &record.name)
                .cause(format!(
                    "it is of the stack {}, the config here is that of {}",
                    record.stack, own.config.stack.name
                ))
                .hint("name another file with --config"))
        }
        _ => Ok(()),
    }
}

/// The backup and its config.
fn find(context: &Context, wanted: &str) -> Result<(BackupRecord, RecordedConfig)> {
    let catalog = context.reconciled()?;
    let records = catalog.list()?;
    let stacks: BTreeSet<&str> =
        records.iter().filter(|it| it.is_published()).map(|it| it.stack.as_str()).collect();
    if stacks.len() > 1 && wanted == "latest" {
        let stacks: Vec<&str> = stacks.into_iter().collect();
        return Err(Error::new(Code::Usage, "find the config in", "the repository")
            .cause(format!("it holds backups of several stacks: {}", stacks.join(", ")))
            .hint("say which backup: --param backup=ID"));
    }
    let record = catalog.find(wanted)?;
    let backup = context.repository()?.backup(&record.name)?;
    let recorded = recorded_config_file(&backup)?;
    Ok((record, recorded))
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
