//! Opening the database file: the lock, the settings, and what to do with a damaged one.

use super::backups::failed;
use super::{journal, migrations};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::{Lock, LockMode};
use duckdb::{Config, Connection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) const FILE: &str = "catalog.duckdb";

/// Takes `catalog.lock`.
pub(super) fn lock(dir: &Path, wait: Duration) -> Result<Lock> {
    Lock::take(&dir.join("catalog.lock"), LockMode::Exclusive, wait).map_err(|error| {
        match error.code() {
            Code::Locked => Error::new(Code::CatalogBusy, "open catalog", dir.join(FILE).display())
                .source(error),
            _ => error,
        }
    })
}

/// Opens the catalog, or a new one where it is missing or damaged.
pub(super) fn open(dir: &Path, progress: &Arc<dyn Progress>) -> Result<Connection> {
    let file = dir.join(FILE);
    // Nothing is in an empty one.
    let opened = match file.metadata().is_ok_and(|found| found.len() > 0) {
        true => connect(&file),
        false => begin(dir, &file),
    };
    let error = match opened {
        Err(error) if error.code() != Code::CatalogFormat => error,
        opened => return opened,
    };
    refuse_if_inaccessible(dir, &file)?;
    let aside = move_aside(dir, &file, "damaged")?;
    progress.warn(
        Code::CatalogFailed,
        format!(
            "the catalog could not be opened ({error}); it lies in {} and a new one is built",
            aside.display()
        ),
    );
    begin(dir, &file)
}

/// A new catalog that knows what the event journal knows. Nothing would tell one that does not
/// yet from one that does, so it gets its name when it does.
fn begin(dir: &Path, file: &Path) -> Result<Connection> {
    let new = dir.join(format!("{FILE}.new"));
    for left in [new.clone(), dir.join(format!("{FILE}.new.wal"))] {
        match std::fs::remove_file(&left) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &left, e));
            }
            _ => {}
        }
    }
    // A log without its file would be applied to the new one.
    if dir.join(format!("{FILE}.wal")).exists() {
        move_aside(dir, file, "replaced")?;
    }
    let connection = connect(&new)?;
    journal::replay(dir, &connection)?;
    connection.execute_batch("CHECKPOINT").map_err(|e| failed("checkpoint", e))?;
    drop(connection);
    std::fs::rename(&new, file).map_err(|e| Error::io("name catalog", &new, e))?;
    connect(file)
}

fn connect(file: &Path) -> Result<Connection> {
    let failed = |e: duckdb::Error| {
        Error::new(Code::CatalogFailed, "open catalog", file.display()).source(e)
    };
    let config = Config::default()
        .with("memory_limit", "128MB")
        .and_then(|c| c.with("threads", "2"))
        .and_then(|c| c.with("autoinstall_known_extensions", "false"))
        .and_then(|c| c.with("autoload_known_extensions", "false"))
        .map_err(failed)?;
    let connection = Connection::open_with_flags(file, config).map_err(failed)?;
    migrations::apply(&connection, file)?;
    read_all(&connection).map_err(failed)?;
    Ok(connection)
}

/// Reads every value once: DuckDB opens a file whose data blocks are damaged or cut off, and
/// notices only when it needs them.
fn read_all(connection: &Connection) -> duckdb::Result<()> {
    super::TABLES.iter().try_for_each(|table| {
        let sql = format!("SELECT bit_xor(hash({table})) FROM {table}");
        connection.query_row(&sql, [], |_| Ok(()))
    })
}

/// A catalog that may not be opened is not damaged: moving it aside would help nobody.
fn refuse_if_inaccessible(dir: &Path, file: &Path) -> Result<()> {
    if file.exists() {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(file)
            .map_err(|e| Error::io("open catalog", file, e))?;
    }
    tempfile::tempfile_in(dir)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]))
        .map_err(|e| Error::io("write to state directory", dir, e))
}

/// Moves a catalog aside that is to be replaced; nothing where there is none.
pub(super) fn set_aside(dir: &Path) -> Result<Option<PathBuf>> {
    let file = dir.join(FILE);
    match file.exists() {
        true => move_aside(dir, &file, "replaced").map(Some),
        false => Ok(None),
    }
}

/// Renames the database file and its write-ahead log, so that both can be examined.
fn move_aside(dir: &Path, file: &Path, why: &str) -> Result<PathBuf> {
    let stamp = clock::name_stamp(clock::now());
    let aside = dir.join(format!("{FILE}.{why}-{stamp}"));
    for (from, to) in [
        // The log first: alone it would be applied to the new file.
        (dir.join(format!("{FILE}.wal")), dir.join(format!("{FILE}.{why}-{stamp}.wal"))),
        (file.to_path_buf(), aside.clone()),
    ] {
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("move aside", &from, e));
            }
            _ => {}
        }
    }
    Ok(aside)
}
