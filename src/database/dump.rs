//! `pg_dump` inside an exported snapshot.

pub(super) mod store;

use super::rows;
use super::snapshot::HeldSnapshot;
use super::streams::{Meter, Metered};
use super::tools::Tools;
use crate::config::{Database, DumpFormat};
use crate::encryption::{NOBODY, Recipients};
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::manifest::TableRows;
use async_compression::Level;
use async_compression::tokio::write::ZstdEncoder;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The directory of a backup that holds its dumps.
pub const DATABASES: &str = "databases";

/// How often the size of a growing directory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is dumped, how, and where to.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// The dump's format.
    pub format: DumpFormat,
    /// How many tables `pg_dump` works on at once (directory format), and how many are counted
    /// at once beside it.
    pub jobs: NonZeroU16,
    /// Tables left out, as `pg_dump --exclude-table` patterns.
    pub exclude_tables: Vec<String>,
    /// Tables up to this size, in bytes, have their rows counted.
    pub count_rows_up_to: u64,
    /// zstd level of the plain and tar formats.
    pub compression_level: i32,
    /// The directory of the backup that is being written.
    pub backup: PathBuf,
    /// Whom the dump is encrypted for. The files of a dump in directory format, which
    /// `pg_dump` itself writes, are left to the caller to encrypt.
    pub recipients: Recipients,
}

impl DumpRequest {
    /// What `database` asks for, written into `backup`.
    pub fn new(database: &Database, compression_level: i32, backup: &Path) -> Self {
        Self {
            format: database.dump_format(),
            jobs: database.jobs,
            exclude_tables: database.exclude_tables.clone(),
            count_rows_up_to: database.count_rows_up_to.bytes(),
            compression_level,
            backup: backup.to_owned(),
            recipients: NOBODY.clone(),
        }
    }

    /// The same, encrypted for `recipients`.
    #[must_use]
    pub fn sealed_for(self, recipients: &Recipients) -> Self {
        Self { recipients: recipients.clone(), ..self }
    }
}

/// A finished dump.
#[derive(Debug, Clone, PartialEq)]
pub struct DumpResult {
    /// The dump, relative to the backup's directory: a file, or a directory.
    pub object: String,
    /// Its bytes.
    pub stored_bytes: u64,
    /// Its files.
    pub file_count: u64,
    /// The version of `pg_dump`.
    pub dump_version: String,
    /// Rows of each table at the fence.
    pub tables: Vec<TableRows>,
}

/// Where the dump of component `name` lies, relative to the backup's directory.
pub fn object(name: &str, format: DumpFormat) -> String {
    match format {
        DumpFormat::Directory => format!("{DATABASES}/{name}"),
        DumpFormat::Custom => format!("{DATABASES}/{name}.dump"),
        DumpFormat::Plain => format!("{DATABASES}/{name}.sql.zst"),
        DumpFormat::Tar => format!("{DATABASES}/{name}.tar.zst"),
    }
}

/// Dumps the database as it was at the fence, and counts the rows of its tables meanwhile.
///
/// Directories are made with mode 0700 and files with 0600; nothing is synced to disk. On
/// failure what was written stays for the caller to remove.
pub async fn dump(
    held: &HeldSnapshot,
    tools: &Tools,
    request: &DumpRequest,
    progress: &Arc<dyn Progress>,
) -> Result<DumpResult> {
    let name = held.target().component();
    tools.check(held.server())?;
    held.check().await?;
    if name.contains('/') || name.starts_with('.') {
        return Err(Error::new(Code::ConfigInvalid, "store the dump of database", name)
            .cause("a name with a slash or a leading dot is no file name"));
    }
    let object = object(name, request.format);
    let path = request.backup.join(match request.format {
        DumpFormat::Directory => object.clone(),
        _ => request.recipients.stored_name(&object),
    });
    store::private_directory(&request.backup.join(DATABASES))?;
    // How large the dump becomes is known at its end: it is compressed, and holds no indexes.
    let mut meter = Meter::start(progress, format!("database {name}"), None);
    let write = async {
        match request.format {
            DumpFormat::Directory => directory(held, tools, request, &path, &mut meter).await,
            _ => stream(held, tools, request, &path, &mut meter).await,
        }
    };
    // A dump without row counts is worth keeping, so only the dump itself may fail here.
    let count = async { Ok(rows::count(held, request).await) };
    let (stored, counted) = tokio::try_join!(write, count)?;
    let confirmed = match counted {
        Ok(counted) => rows::confirm(held.connection(), counted).await,
        Err(error) => Err(error),
    };
    let tables = confirmed.unwrap_or_else(|error| {
        progress.warn(error.code(), format!("a restore cannot compare row counts: {error}"));
        Vec::new()
    });
    Ok(DumpResult {
        object,
        stored_bytes: stored.bytes,
        file_count: stored.files,
        dump_version: tools.version().text.clone(),
        tables,
    })
}

/// The arguments that all formats share.
fn pg_dump(
    held: &HeldSnapshot,
    tools: &Tools,
    request: &DumpRequest,
    format: &str,
) -> super::command::ToolCommand {
    let mut command = tools
        .client("pg_dump", held.target())
        .arg(format!("--format={format}"))
        .arg(format!("--snapshot={}", held.id()));
    for pattern in &request.exclude_tables {
        command = command.arg(format!("--exclude-table={pattern}"));
    }
    command
}

async fn directory(
    held: &HeldSnapshot,
    tools: &Tools,
    request: &DumpRequest,
    path: &Path,
    meter: &mut Meter,
) -> Result<store::Stored> {
    let subject = held.target().component();
    if !tools.are_local() {
        return Err(Error::new(Code::ConfigInvalid, "dump database", subject)
            .cause("the directory format cannot be streamed out of a container")
            .hint("set format = \"custom\""));
    }
    // pg_dump creates the directory itself; made here, it is private from the start.
    store::private_directory(path)?;
    let mut file = std::ffi::OsString::from("--file=");
    file.push(path);
    let command = pg_dump(held, tools, request, "directory")
        .arg(format!("--jobs={}", request.jobs))
        .arg("--no-sync")
        .arg(file);
    let mut nothing = tokio::io::sink();
    let run = tools.run(&command, "dump database", subject, None, &mut nothing);
    tokio::pin!(run);
    loop {
        tokio::select! {
            done = &mut run => break done?,
            () = tokio::time::sleep(LOOK_EVERY) => meter.set(store::measure(path).await?.bytes),
        }
    }
    let stored = store::seal(path).await?;
    meter.set(stored.bytes);
    Ok(stored)
}

async fn stream(
    held: &HeldSnapshot,
    tools: &Tools,
    request: &DumpRequest,
    path: &Path,
    meter: &mut Meter,
) -> Result<store::Stored> {
    const ATTEMPTED: &str = "dump database";
    let subject = held.target().component();
    let command = pg_dump(held, tools, request, request.format.as_str());
    let file = Metered::new(store::private_file(path)?, meter);
    let sealing = request.recipients.seal_stream(file);
    let mut file = sealing.map_err(|error| Error::io("write", path, error))?;
    match request.format {
        DumpFormat::Plain | DumpFormat::Tar => {
            let level = Level::Precise(request.compression_level);
            let mut encoder = ZstdEncoder::with_quality(file, level);
            tools.run(&command, ATTEMPTED, subject, None, &mut encoder).await?;
            encoder.shutdown().await
        }
        DumpFormat::Custom | DumpFormat::Directory => {
            tools.run(&command, ATTEMPTED, subject, None, &mut file).await?;
            file.shutdown().await
        }
    }
    .map_err(|error| Error::io("write", path, error))?;
    store::measure(path).await
}
