//! Databases that are made for a while, and say by whom: the mark is their comment.
//!
//! PostgreSQL creates a database and comments on it in two statements. So it is made under
//! another name and gets its own when it bears the mark: of that name, it has one or is
//! somebody else's.

use super::maintenance;
use super::names::derived_name;
use super::quote::{quote_identifier, quote_literal};
use super::scratch::{drop_database, rename_database};
use super::target::Target;
use crate::error::{Code, Error, Result};

/// What every mark begins with.
const PREFIX: &str = "made by backstop: ";

/// Creates the empty database `name` on the server of `target`, marked with `key`. Fails where
/// the name is taken.
pub async fn create_marked(
    target: &Target,
    name: &str,
    owner: Option<&str>,
    key: &str,
) -> Result<()> {
    let making = derived_name(name, "making", key);
    drop_database(target, &making).await?;
    let connection = maintenance::take_over(target, &[&making], &making).await?;
    let attempted = format!("create database {name} for");
    let owner = owner.map(|owner| format!(" OWNER {}", quote_identifier(owner)));
    let (database, owner) = (quote_identifier(&making), owner.unwrap_or_default());
    connection
        .run(&attempted, &format!("CREATE DATABASE {database} TEMPLATE template0{owner}"))
        .await?;
    let mark = quote_literal(&format!("{PREFIX}{key}"));
    connection.run(&attempted, &format!("COMMENT ON DATABASE {database} IS {mark}")).await?;
    drop(connection);
    let renamed = rename_database(target, &making, name).await;
    if renamed.is_err() {
        drop_database(target, &making).await?;
    }
    renamed
}

/// The key that the database `name` is marked with; none where it bears no mark, or is not
/// there.
pub async fn mark_of(target: &Target, name: &str) -> Result<Option<String>> {
    let connection = maintenance::connect(target, &[name]).await?;
    let sql = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";
    let rows = connection.rows("look for the mark of database", sql, &[&name]).await?;
    let comment: Option<String> = rows.first().and_then(|row| row.get(0));
    Ok(comment.and_then(|comment| comment.strip_prefix(PREFIX).map(str::to_owned)))
}

/// Drops the database `name`, which must bear a mark. Does nothing where it is not there.
///
/// # Errors
/// `database_failed` where it bears none: it is somebody else's.
pub async fn drop_marked(target: &Target, name: &str) -> Result<()> {
    if mark_of(target, name).await?.is_none() {
        if !super::scratch::database_exists(target, name).await? {
            return Ok(());
        }
        return Err(Error::new(Code::DatabaseFailed, "drop database", name)
            .cause("backstop did not make it")
            .hint("drop it by hand if nobody needs it"));
    }
    drop_database(target, name).await
}
