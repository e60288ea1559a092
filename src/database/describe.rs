//! What a dump does not hold about its database: size, owner, locale, settings, grants.

use super::connection::Connection;
use super::dump::DumpResult;
use crate::config::DumpFormat;
use crate::error::Result;
use crate::repository::manifest::{DatabaseDetail, RoleSetting};

/// A database as `CREATE DATABASE` needs it to be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Tells it from every other database, whatever names and addresses lead to it.
    pub identity: String,
    /// The server's version, e.g. `15.18`.
    pub server_version: String,
    /// The size on the server in bytes (`pg_database_size`); 0 where this user may not ask.
    pub size: u64,
    /// The role that owns it.
    pub owner: String,
    /// The server encoding, e.g. `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// `icu` or `builtin` where collations are not the C library's.
    pub locale_provider: Option<String>,
    /// The locale of that provider.
    pub locale: Option<String>,
    /// `ALTER DATABASE … SET` settings, as `name=value`.
    pub settings: Vec<String>,
    /// `ALTER ROLE … IN DATABASE … SET` settings.
    pub role_settings: Vec<RoleSetting>,
    /// Grants on the database itself, as `pg_database.datacl` prints them.
    pub acl: Vec<String>,
    /// `COMMENT ON DATABASE`.
    pub comment: Option<String>,
    /// `CONNECTION LIMIT`; none where there is no limit.
    pub connection_limit: Option<i32>,
    /// The tablespace of what is in no other; none where it is `pg_default`.
    pub tablespace: Option<String>,
    /// `IS_TEMPLATE`.
    pub is_template: bool,
}

impl Description {
    /// The manifest's record of `database`, dumped in `format` as `dump` says.
    pub fn detail(
        self,
        database: &str,
        format: DumpFormat,
        exclude_tables: &[String],
        dump: &DumpResult,
    ) -> DatabaseDetail {
        DatabaseDetail {
            database: database.to_owned(),
            format,
            object: dump.object.clone(),
            server_version: self.server_version,
            dump_version: dump.dump_version.clone(),
            owner: self.owner,
            encoding: self.encoding,
            collate: self.collate,
            ctype: self.ctype,
            locale_provider: self.locale_provider,
            locale: self.locale,
            settings: self.settings,
            role_settings: self.role_settings,
            acl: self.acl,
            comment: self.comment,
            connection_limit: self.connection_limit,
            tablespace: self.tablespace,
            is_template: self.is_template,
            exclude_tables: exclude_tables.to_vec(),
            tables: dump.tables.clone(),
        }
    }
}

/// Describes the database that `connection` is connected to.
pub async fn describe(connection: &Connection) -> Result<Description> {
    const ATTEMPTED: &str = "describe database";
    // Each version of PostgreSQL has its own column for the locale of other providers.
    let (provider, locale) = match connection.server().major {
        0..=14 => ("'c'", "NULL::text"),
        15 | 16 => ("d.datlocprovider::text", "d.daticulocale::text"),
        _ => ("d.datlocprovider::text", "d.datlocale::text"),
    };
    let sql = format!(
        "SELECT pg_get_userbyid(d.datdba)::text, pg_encoding_to_char(d.encoding)::text, \
                d.datcollate::text, d.datctype::text, {provider}, {locale}, \
                COALESCE(d.datacl::text[], '{{}}'), \
                CASE WHEN has_database_privilege(d.oid, 'CONNECT') \
                     THEN pg_database_size(d.oid) ELSE 0 END, \
                d.oid::text || '@' || \
                extract(epoch FROM pg_postmaster_start_time())::text, \
                shobj_description(d.oid, 'pg_database'), d.datconnlimit, \
                nullif(t.spcname::text, 'pg_default'), d.datistemplate \
         FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname = current_database()"
    );
    let row = connection.row(ATTEMPTED, &sql, &[]).await?;
    let provider = match row.get::<_, &str>(4) {
        "i" => Some("icu".to_owned()),
        "b" => Some("builtin".to_owned()),
        _ => None,
    };
    let settings = connection
        .rows(
            ATTEMPTED,
            "SELECT r.rolname::text, setting FROM pg_db_role_setting s \
             JOIN pg_database d ON d.oid = s.setdatabase \
             LEFT JOIN pg_roles r ON r.oid = s.setrole, \
             unnest(s.setconfig) WITH ORDINALITY AS u(setting, place) \
             WHERE d.datname = current_database() ORDER BY 1 NULLS FIRST, place",
            &[],
        )
        .await?;
    let mut description = Description {
        identity: row.get(8),
        server_version: connection.server().version.clone(),
        size: u64::try_from(row.get::<_, i64>(7)).unwrap_or_default(),
        owner: row.get(0),
        encoding: row.get(1),
        collate: row.get(2),
        ctype: row.get(3),
        locale: provider.is_some().then(|| row.get(5)).flatten(),
        locale_provider: provider,
        settings: Vec::new(),
        role_settings: Vec::new(),
        acl: row.get(6),
        comment: row.get(9),
        connection_limit: Some(row.get(10)).filter(|limit| *limit >= 0),
        tablespace: row.get(11),
        is_template: row.get(12),
    };
    for row in settings {
        let (role, setting): (Option<String>, String) = (row.get(0), row.get(1));
        match role {
            None => description.settings.push(setting),
            Some(role) => description.role_settings.push(RoleSetting { role, setting }),
        }
    }
    Ok(description)
}
