//! What a user may do in a database, as far as a backup and a restore need it.

use super::connection::Connection;
use super::pattern::not_excluded;
use crate::error::{Code, Error, Result};

/// How many tables an error names.
const NAMED: usize = 5;

/// The rights of the user that a connection has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The user's name.
    pub user: String,
    /// Whether everything is allowed.
    pub superuser: bool,
    /// Whether databases may be created, as a restore does.
    pub creates_databases: bool,
}

/// Looks at the rights of a connection's user. Tables that fit `exclude` are not dumped and
/// need none.
///
/// # Errors
/// `permission_denied` naming tables that a dump would read and this user may not.
pub async fn rights(connection: &Connection, exclude: &[String]) -> Result<Rights> {
    const ATTEMPTED: &str = "look at the rights in database";
    let sql = "SELECT rolname::text, rolsuper, rolcreatedb FROM pg_roles \
               WHERE rolname = current_user";
    let row = connection.row(ATTEMPTED, sql, &[]).await?;
    let superuser: bool = row.get(1);
    let rights = Rights {
        user: row.get(0),
        superuser,
        creates_databases: superuser || row.get::<_, bool>(2),
    };
    // What pg_dump reads or locks; of an extension's own tables only what it marks as data.
    let sql = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' \
           AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
           AND NOT (has_schema_privilege(n.oid, 'USAGE') \
                    AND CASE WHEN c.relkind = 'S' \
                             THEN has_sequence_privilege(c.oid, 'SELECT') \
                             ELSE has_table_privilege(c.oid, 'SELECT') END) \
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                           AND d.objid = c.oid AND d.deptype = 'e'){} ORDER BY 1",
        not_excluded(exclude)
    );
    let refused = connection.rows(ATTEMPTED, &sql, &[]).await?;
    let mut names: Vec<String> = refused.iter().map(|row| row.get(0)).collect();
    if names.is_empty() {
        return Ok(rights);
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::new(Code::PermissionDenied, "dump database", connection.subject())
        .cause(format!("{} may not read {}{more}", rights.user, names.join(", ")))
        .hint(format!(
            "GRANT pg_read_all_data TO {}, or leave them out by exclude_tables",
            rights.user
        )))
}
