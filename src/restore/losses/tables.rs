//! Databases: the rows of now against those at the fence.

use super::reason;
use crate::backup::{Selection, open_connection};
use crate::database::{LiveTable, live_rows};
use crate::error::Result;
use crate::repository::PublishedBackup;
use crate::repository::manifest::{DatabaseDetail, Detail, TableRows};
use crate::restore::databases::configured;
use crate::setting::Setting;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a live database differs from a backup of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseLosses {
    /// The component's name.
    pub database: String,
    /// The tables of both that differ.
    pub tables: Vec<TableLosses>,
    /// Tables that only the backup has, with their rows there.
    pub tables_gone: Vec<TableCount>,
    /// Tables that only the live database has, with their rows. What the config leaves out of
    /// backups is not among them.
    pub tables_new: Vec<TableCount>,
    /// Tables that this user may not read or sees only in part (row security), or that somebody
    /// has locked.
    pub uncounted: Vec<String>,
    /// Rows more than in the backup, of all tables that have more, new tables included.
    pub rows_newer: u64,
    /// Rows fewer than in the backup, of all tables that have fewer, tables that are gone
    /// included.
    pub rows_fewer: u64,
    /// Why nothing is known of it; then all else is empty.
    pub unknown: Option<String>,
}

/// A table with another number of rows than in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableLosses {
    /// `schema.table`, quoted where SQL needs it.
    pub table: String,
    /// Its rows at the fence.
    pub then: u64,
    /// Its rows now.
    pub now: u64,
    /// How many it has more than at the fence; 0 where it has fewer.
    pub newer: u64,
    /// Whether one of the two numbers, or both, are the planner's estimate.
    pub estimate: bool,
}

/// A table that one side has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableCount {
    /// `schema.table`, quoted where SQL needs it.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Whether they are the planner's estimate.
    pub estimate: bool,
}

/// Looks at the databases of `backup` one after the other.
pub(super) async fn count(
    setting: &Setting,
    backup: &PublishedBackup,
    selection: &Selection,
) -> Result<Vec<DatabaseLosses>> {
    let mut found = Vec::new();
    for component in &backup.manifest().components {
        let Detail::Database(detail) = &component.detail else { continue };
        let name = &component.name;
        if selection.wants_database(name) {
            found.push(match look(setting, name, detail).await {
                Ok(losses) => losses,
                Err(error) => DatabaseLosses::unknown(name, reason(error)?),
            });
        }
    }
    Ok(found)
}

async fn look(setting: &Setting, name: &str, detail: &DatabaseDetail) -> Result<DatabaseLosses> {
    let config = configured(&setting.config, name)?;
    let connection = open_connection(setting, name, None).await?;
    let up_to = config.count_rows_up_to.bytes();
    let live = live_rows(connection, &detail.tables, &config.exclude_tables, up_to).await?;
    Ok(DatabaseLosses::between(name, &detail.tables, live))
}

impl DatabaseLosses {
    /// What differs between the `recorded` tables and those of now.
    fn between(database: &str, recorded: &[TableRows], live: Vec<LiveTable>) -> Self {
        let mut recorded: BTreeMap<&str, &TableRows> =
            recorded.iter().map(|rows| (rows.table.as_str(), rows)).collect();
        let mut found = Self { database: database.to_owned(), ..Self::default() };
        for LiveTable { table, rows, exact, excluded } in live {
            let then = recorded.remove(table.as_str());
            match (then, rows) {
                (None, _) if excluded => {}
                (_, None) => found.uncounted.push(table),
                (Some(then), Some(now)) => {
                    found.add(TableLosses {
                        table,
                        then: then.rows,
                        now,
                        newer: now.saturating_sub(then.rows),
                        estimate: !(then.exact && exact),
                    });
                }
                (None, Some(rows)) => {
                    found.rows_newer = found.rows_newer.saturating_add(rows);
                    found.tables_new.push(TableCount { table, rows, estimate: !exact });
                }
            }
        }
        for TableRows { table, rows, exact } in recorded.into_values() {
            found.rows_fewer = found.rows_fewer.saturating_add(*rows);
            let (table, rows, estimate) = (table.clone(), *rows, !exact);
            found.tables_gone.push(TableCount { table, rows, estimate });
        }
        found
    }

    fn add(&mut self, table: TableLosses) {
        let TableLosses { then, now, newer, .. } = table;
        if then != now {
            // The numbers come from a file.
            self.rows_newer = self.rows_newer.saturating_add(newer);
            self.rows_fewer = self.rows_fewer.saturating_add(then.saturating_sub(now));
            self.tables.push(table);
        }
    }

    fn unknown(database: &str, why: String) -> Self {
        Self { database: database.to_owned(), unknown: Some(why), ..Self::default() }
    }

    /// Whether it was looked at, and nothing that is counted differs.
    pub fn is_nothing(&self) -> bool {
        let Self { tables, tables_gone, tables_new, uncounted, unknown, .. } = self;
        unknown.is_none()
            && tables.is_empty()
            && tables_gone.is_empty()
            && tables_new.is_empty()
            && uncounted.is_empty()
    }

    /// Whether one of the numbers is an estimate.
    pub fn is_estimated(&self) -> bool {
        self.tables.iter().any(|table| table.estimate)
            || self.tables_gone.iter().chain(&self.tables_new).any(|table| table.estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(table: &str, rows: u64, exact: bool) -> TableRows {
        TableRows { table: table.into(), rows, exact }
    }

    fn now(table: &str, rows: impl Into<Option<u64>>, exact: bool) -> LiveTable {
        LiveTable { table: table.into(), rows: rows.into(), exact, excluded: false }
    }

    #[test]
    fn tables_that_differ_are_listed_with_their_rows() {
        let recorded = [then("a.more", 3, true), then("a.less", 3, true), then("a.same", 3, true)];
        let live = vec![now("a.less", 1, true), now("a.more", 7, true), now("a.same", 3, true)];
        let found = DatabaseLosses::between("shop", &recorded, live);
        let listed = |table: &str, now, newer| {
            let (table, estimate) = (table.to_owned(), false);
            TableLosses { table, then: 3, now, newer, estimate }
        };
        assert_eq!(found.tables, [listed("a.less", 1, 0), listed("a.more", 7, 4)]);
        assert_eq!((found.rows_newer, found.rows_fewer), (4, 2));
        assert!(!found.is_nothing() && !found.is_estimated());
    }

    #[test]
    fn tables_of_one_side_count_with_all_their_rows() {
        let recorded = [then("a.gone", 5, true)];
        let live = vec![now("a.new", 2, false)];
        let found = DatabaseLosses::between("shop", &recorded, live);
        let count =
            |table: &str, rows, estimate| TableCount { table: table.into(), rows, estimate };
        assert_eq!(found.tables_gone, [count("a.gone", 5, false)]);
        assert_eq!(found.tables_new, [count("a.new", 2, true)]);
        assert_eq!((found.rows_newer, found.rows_fewer), (2, 5));
        assert!(!found.is_nothing() && found.is_estimated());
    }

    #[test]
    fn what_is_left_out_of_backups_is_no_new_table() {
        let excluded = |table| LiveTable { excluded: true, ..now(table, 9, true) };
        let live = vec![excluded("a.cache"), excluded("a.log")];
        let found = DatabaseLosses::between("shop", &[then("a.log", 4, true)], live);
        assert!(found.tables_new.is_empty(), "{found:?}");
        assert_eq!(found.tables[0].newer, 5, "the backup has it, and would put it back");
    }

    #[test]
    fn a_table_that_cannot_be_counted_is_neither_gone_nor_the_same() {
        let live = vec![now("a.secret", None, false)];
        let found = DatabaseLosses::between("shop", &[then("a.secret", 4, true)], live);
        assert_eq!(found.uncounted, ["a.secret"]);
        assert!(found.tables_gone.is_empty() && !found.is_nothing());
    }

    #[test]
    fn an_estimate_on_either_side_is_said() {
        for (recorded, counted) in [(true, false), (false, true), (false, false)] {
            let live = vec![now("a.large", 9, counted)];
            let found = DatabaseLosses::between("shop", &[then("a.large", 4, recorded)], live);
            assert!(found.tables[0].estimate);
        }
    }

    #[test]
    fn as_many_rows_everywhere_are_nothing_and_unknown_is_not() {
        let live = vec![now("a.same", 3, true)];
        assert!(DatabaseLosses::between("shop", &[then("a.same", 3, true)], live).is_nothing());
        assert!(!DatabaseLosses::unknown("shop", "it does not answer".into()).is_nothing());
    }
}
