//! Roles and tablespaces: `pg_dumpall --globals-only`.

use super::dump::DATABASES;
use super::dump::store;
use super::target::Target;
use super::tools::Tools;
use crate::encryption::Recipients;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// The script, relative to the backup's directory.
pub const GLOBALS: &str = "databases/globals.sql";

/// Near the end of what `pg_dumpall` writes.
const COMPLETE: &str = "-- PostgreSQL database cluster dump complete";

/// Writes the roles and tablespaces of the server of `target` to `object`, which lies in
/// `backup` and is usually [`GLOBALS`], encrypted for `recipients`, and returns its bytes.
///
/// A user who may not read the passwords gets the roles without them; one who may not read
/// the roles either gets `None`. Both are warned about.
pub async fn dump_globals(
    target: &Target,
    tools: &Tools,
    (backup, object): (&Path, &str),
    recipients: &Recipients,
    progress: &dyn Progress,
) -> Result<Option<u64>> {
    store::private_directory(&backup.join(DATABASES))?;
    let path = backup.join(recipients.stored_name(object));
    let subject = target.component();
    let refused = match write(target, tools, (&path, recipients), &[]).await {
        Ok(bytes) => return Ok(Some(bytes)),
        Err(error) if is_refusal(&error) => error,
        Err(error) => return Err(error),
    };
    match write(target, tools, (&path, recipients), &["--no-role-passwords"]).await {
        Ok(bytes) => {
            progress.warn(
                Code::PermissionDenied,
                format!(
                    "the roles of {subject}'s server were recorded without their passwords: \
                     {} may not read them",
                    target.user()
                ),
            );
            Ok(Some(bytes))
        }
        Err(error) if is_refusal(&error) => {
            remove(&path)?;
            progress.warn(
                Code::PermissionDenied,
                format!("the roles of {subject}'s server were not recorded: {refused}"),
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Looks whether the script at `path` is one that `pg_dumpall` wrote to its end.
///
/// # Errors
/// [`Code::BackupDamaged`] where it is not.
pub fn check_globals(script: &[u8]) -> Result<()> {
    let damaged = |cause: &str| {
        Err(Error::new(Code::BackupDamaged, "read roles", "of the backup").cause(cause))
    };
    match std::str::from_utf8(script) {
        Err(_) => damaged("it is not text"),
        Ok(text) if !text.lines().any(|line| line == COMPLETE) => damaged("its end is missing"),
        Ok(_) => Ok(()),
    }
}

async fn write(
    target: &Target,
    tools: &Tools,
    (path, recipients): (&Path, &Recipients),
    extra: &[&str],
) -> Result<u64> {
    remove(path)?;
    let mut command = tools.client("pg_dumpall", target).arg("--globals-only");
    // Without it pg_dumpall asks for `postgres`, which the user may not enter. It reads a
    // name with `=` or a scheme as a connection string, and then the default must do.
    let name = target.database();
    if !name.contains('=') && !name.contains("://") {
        command = command.arg(format!("--database={name}"));
    }
    for argument in extra {
        command = command.arg(*argument);
    }
    let file = recipients.seal_stream(store::private_file(path)?);
    let mut file = file.map_err(|error| Error::io("write", path, error))?;
    tools
        .run(&command, "record the roles of database", target.component(), None, &mut file)
        .await?;
    file.shutdown().await.map_err(|error| Error::io("write", path, error))?;
    Ok(store::measure(path).await?.bytes)
}

/// Whether the server refused for want of a right, as opposed to a lost server or a full
/// disk. `pg_dumpall` passes on the server's message; its code comes without SQLSTATE.
fn is_refusal(error: &Error) -> bool {
    error.code() == Code::DatabaseFailed && error.to_string().contains("permission denied")
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
