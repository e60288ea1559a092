//! A database built beside the live one: created, filled from a dump, and verified.

use super::acl;
use super::compare::{Compared, compare_rows};
use super::connection::Connection;
use super::failure;
use super::listing;
use super::maintenance;
use super::quote::{database_string, quote_identifier, quote_literal};
use super::settings::set_clause;
use super::streams::{Meter, Noted};
use super::target::Target;
use super::tools::Tools;
use crate::config::DumpFormat;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use crate::repository::manifest::{DatabaseDetail, TableRows};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

const FILL: &str = "restore database";

/// A database that is being restored under a name of its own.
#[derive(Debug, Clone)]
pub struct Scratch {
    target: Target,
}

impl Scratch {
    /// Creates the empty database `name` on the server of `target`, with the owner, encoding
    /// and locale of the one that was dumped, and in its tablespace where the server has that.
    /// Fails where the name is taken.
    pub async fn create(
        target: &Target,
        name: &str,
        detail: &DatabaseDetail,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let connection = maintenance::take_over(target, &[name], name).await?;
        let tablespace = usable_tablespace(&connection, detail, progress).await?;
        let sql = creation(name, detail, tablespace, connection.server().major);
        connection
            .run(&format!("create database {name} for"), &sql)
            .await
            .map_err(|error| explain_roles(error, target))?;
        Ok(Self { target: target.with_database(name) })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        self.target.database()
    }

    /// How to reach it.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Restores the dump at `dump`, stopping at the first error, analyzes every table, and
    /// gives the database its settings and grants.
    ///
    /// Fails with [`Code::BackupDamaged`] where the dump is not whole.
    pub async fn fill(
        &self,
        tools: &Tools,
        dump: &Path,
        detail: &DatabaseDetail,
        jobs: NonZeroU16,
        progress: &Arc<dyn Progress>,
    ) -> Result<()> {
        let task = format!("database {}", self.target.component());
        let mut meter = Meter::start(progress, task, None);
        let parallel = tools.are_local()
            && matches!(detail.format, DumpFormat::Directory | DumpFormat::Custom);
        if parallel {
            self.restore_file(tools, dump, detail.format, jobs).await
        } else {
            self.restore_stream(tools, dump, detail.format, &mut meter).await
        }
        .map_err(|error| explain_roles(error, &self.target))?;
        let connection = Connection::open(&self.target).await?;
        connection.run("analyze database", "ANALYZE").await?;
        self.dress(&connection, detail, progress.as_ref()).await
    }

    async fn restore_file(
        &self,
        tools: &Tools,
        dump: &Path,
        format: DumpFormat,
        jobs: NonZeroU16,
    ) -> Result<()> {
        let command = tools
            .client("pg_restore", &self.target)
            .arg("--exit-on-error")
            .arg(format!("--format={}", format.as_str()))
            .arg(format!("--jobs={jobs}"))
            .arg(format!("--dbname={}", database_string(self.name())))
            .arg(dump);
        let subject = self.target.component();
        tools.run(&command, FILL, subject, None, &mut tokio::io::sink()).await
    }

    async fn restore_stream(
        &self,
        tools: &Tools,
        dump: &Path,
        format: DumpFormat,
        meter: &mut Meter,
    ) -> Result<()> {
        let subject = self.target.component();
        let database = format!("--dbname={}", database_string(self.name()));
        let command = match format {
            DumpFormat::Directory => {
                return Err(Error::new(Code::ToolMissing, FILL, subject)
                    .cause("a dump in directory format cannot be streamed into a container")
                    .hint("install the PostgreSQL client programs on this host"));
            }
            DumpFormat::Plain => tools
                .client("psql", &self.target)
                .arg("--no-psqlrc")
                .arg("--quiet")
                .arg("--set=ON_ERROR_STOP=1")
                .arg(database),
            DumpFormat::Custom | DumpFormat::Tar => tools
                .client("pg_restore", &self.target)
                .arg("--exit-on-error")
                .arg(format!("--format={}", format.as_str()))
                .arg(database),
        };
        let mut input = listing::open(dump, format).await?;
        let mut noted = Noted::new(&mut input, Some(meter));
        let done =
            tools.run(&command, FILL, subject, Some(&mut noted), &mut tokio::io::sink()).await;
        noted.failure().map_or(done, |cause| Err(listing::damaged(dump, cause)))
    }

    /// Settings and grants come last: a setting such as `default_transaction_read_only`
    /// would stand in the way before. What cannot be set again is warned about.
    async fn dress(
        &self,
        connection: &Connection,
        detail: &DatabaseDetail,
        progress: &dyn Progress,
    ) -> Result<()> {
        let name = quote_identifier(self.name());
        let own = detail.settings.iter().filter_map(|setting| set_clause(setting));
        let own = own.map(|clause| format!("ALTER DATABASE {name} {clause}"));
        let of_roles = detail.role_settings.iter().filter_map(|setting| {
            let role = quote_identifier(&setting.role);
            let clause = set_clause(&setting.setting)?;
            Some(format!("ALTER ROLE {role} IN DATABASE {name} {clause}"))
        });
        let grants = acl::statements(self.name(), &detail.acl);
        let comment = detail
            .comment
            .as_deref()
            .map(|comment| format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment)));
        let statements = own.chain(of_roles).chain(grants).chain(comment);
        self.set(connection, statements, progress).await
    }

    /// Gives the database what would stand in the way while it is built and verified: its
    /// connection limit, and whether it is a template.
    pub async fn seal(&self, detail: &DatabaseDetail, progress: &dyn Progress) -> Result<()> {
        let limit = detail.connection_limit.map(|limit| format!("CONNECTION LIMIT {limit}"));
        let template = detail.is_template.then(|| "IS_TEMPLATE true".to_owned());
        let options: Vec<String> = limit.into_iter().chain(template).collect();
        if options.is_empty() {
            return Ok(());
        }
        let connection = Connection::open(&self.target).await?;
        let name = quote_identifier(self.name());
        let statements = options.iter().map(|option| format!("ALTER DATABASE {name} {option}"));
        self.set(&connection, statements, progress).await
    }

    /// Runs statements; one that the server refuses is warned about.
    async fn set(
        &self,
        connection: &Connection,
        statements: impl Iterator<Item = String>,
        progress: &dyn Progress,
    ) -> Result<()> {
        for sql in statements {
            match connection.attempt(&sql).await {
                Ok(()) => {}
                Err(error) if error.code().is_some() => {
                    let message = format!("not restored: {sql}: {}", failure::text(&error));
                    progress.warn(failure::code(&error), message);
                }
                Err(error) => return Err(connection.failed(FILL, &error)),
            }
        }
        Ok(())
    }

    /// Counts the rows of every table that was counted exactly at the fence, up to `jobs`
    /// tables at once. Fails with [`Code::BackupDamaged`] where a table is missing or has
    /// another number of rows.
    pub async fn verify(&self, tables: &[TableRows], jobs: NonZeroU16) -> Result<Compared> {
        let compared = compare_rows(&self.target, tables, jobs).await?;
        compared.require_equal(self.target.component())?;
        Ok(compared)
    }

    /// Drops the database, whoever is connected to it.
    pub async fn drop(self) -> Result<()> {
        drop_database(&self.target, self.name()).await
    }
}

/// The database's tablespace, where the server has one of this name.
async fn usable_tablespace<'a>(
    connection: &Connection,
    detail: &'a DatabaseDetail,
    progress: &dyn Progress,
) -> Result<Option<&'a str>> {
    let Some(name) = detail.tablespace.as_deref() else { return Ok(None) };
    let sql = "SELECT FROM pg_tablespace WHERE spcname = $1";
    if !connection.rows("look for the tablespace of database", sql, &[&name]).await?.is_empty() {
        return Ok(Some(name));
    }
    let message = format!(
        "the server has no tablespace {name}: {} comes back in its default one",
        detail.database
    );
    progress.warn(Code::DatabaseFailed, message);
    Ok(None)
}

fn creation(name: &str, detail: &DatabaseDetail, tablespace: Option<&str>, major: u32) -> String {
    let mut sql = format!(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote_identifier(name),
        quote_identifier(&detail.owner),
        quote_literal(&detail.encoding),
        quote_literal(&detail.collate),
        quote_literal(&detail.ctype),
    );
    if let Some(tablespace) = tablespace {
        sql.push_str(&format!(" TABLESPACE {}", quote_identifier(tablespace)));
    }
    if major < 15 {
        return sql;
    }
    if let (Some(provider), Some(locale)) = (&detail.locale_provider, &detail.locale) {
        let keyword = if provider == "icu" { "ICU_LOCALE" } else { "BUILTIN_LOCALE" };
        sql.push_str(&format!(
            " LOCALE_PROVIDER {} {keyword} {}",
            quote_identifier(provider),
            quote_literal(locale)
        ));
    } else {
        sql.push_str(" LOCALE_PROVIDER libc");
    }
    sql
}

/// A missing role is the usual reason why a dump does not fit onto another server.
fn explain_roles(error: Error, target: &Target) -> Error {
    let text = error.to_string();
    if text.contains("role \"") && text.contains("does not exist") {
        let user = target.user();
        return error.hint(format!(
            "{user} may not create this role: create it first, or run databases/globals.sql of \
             the backup with psql as a superuser"
        ));
    }
    error
}

/// Whether the server of `target` has a database `name`.
pub async fn database_exists(target: &Target, name: &str) -> Result<bool> {
    let connection = maintenance::connect(target, &[]).await?;
    let sql = "SELECT FROM pg_database WHERE datname = $1";
    Ok(!connection.rows("look for database", sql, &[&name]).await?.is_empty())
}

/// Renames the database `name`, which this process has made, where the new name is free.
///
/// # Errors
/// [`Code::DatabaseFailed`] where it is not: PostgreSQL decides between two at once.
pub async fn rename_database(target: &Target, name: &str, to: &str) -> Result<()> {
    let connection = maintenance::take_over(target, &[name], name).await?;
    let sql =
        format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(name), quote_identifier(to));
    connection.run(&format!("rename database {name} of"), &sql).await
}

/// The size of the database `name` on the server of `target` in bytes; none where there is
/// no such database.
pub async fn database_size(target: &Target, name: &str) -> Result<Option<u64>> {
    let connection = maintenance::connect(target, &[name]).await?;
    let sql = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = $1";
    let rows = connection.rows("measure database", sql, &[&name]).await?;
    Ok(rows.first().map(|row| row.get::<_, i64>(0).unsigned_abs()))
}

/// Drops the database `name` on the server of `target`, whoever is connected to it; does
/// nothing where there is none.
pub async fn drop_database(target: &Target, name: &str) -> Result<()> {
    let connection = maintenance::take_over(target, &[name], name).await?;
    let template = "SELECT FROM pg_database WHERE datname = $1 AND datistemplate";
    let attempted = format!("drop database {name} of");
    if !connection.rows(&attempted, template, &[&name]).await?.is_empty() {
        // PostgreSQL drops no template.
        let sql = format!("ALTER DATABASE {} IS_TEMPLATE false", quote_identifier(name));
        connection.run(&attempted, &sql).await?;
    }
    let force = if connection.server().major >= 13 { " WITH (FORCE)" } else { "" };
    let sql = format!("DROP DATABASE IF EXISTS {}{force}", quote_identifier(name));
    connection.run(&attempted, &sql).await
}
