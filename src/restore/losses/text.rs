//! Losses as people read them, one line each, whose paths and names stay in their line.

use super::{DatabaseLosses, FileLosses, Losses, TableCount, TableLosses, Tally};
use crate::printable::one_line;
use crate::size::{bytes, count};
use std::fmt::{self, Display, Formatter};

/// How many tables are named, of a database that differs in many.
const NAMED: usize = 10;

impl Display for Losses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.databases.iter().try_for_each(|losses| losses.fmt(f))?;
        self.files.iter().try_for_each(|losses| losses.fmt(f))
    }
}

impl Display for DatabaseLosses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = one_line(&self.database);
        if let Some(why) = &self.unknown {
            return writeln!(f, "database {name}: unknown: {}", one_line(why));
        }
        if self.is_nothing() {
            return writeln!(f, "database {name}: every table has as many rows as in the backup");
        }
        let about = if self.is_estimated() { "about " } else { "" };
        let newer = count(self.rows_newer, "row", "rows");
        let fewer = self.rows_fewer;
        writeln!(f, "database {name}: {about}{newer} more than in the backup, {fewer} fewer")?;
        let lines: Vec<String> = self
            .tables
            .iter()
            .map(ToString::to_string)
            .chain(self.tables_new.iter().map(|table| format!("{table}, not in the backup")))
            .chain(self.tables_gone.iter().map(|table| format!("{table}, only in the backup")))
            .chain(self.uncounted.iter().map(|table| format!("{table}: cannot be counted")))
            .collect();
        for line in lines.iter().take(NAMED) {
            writeln!(f, "  {}", one_line(line))?;
        }
        match lines.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => writeln!(f, "  and {}", count(more as u64, "more table", "more tables")),
        }
    }
}

impl Display for TableLosses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { table, then, now, newer, estimate } = self;
        let about = if *estimate { "about " } else { "" };
        let now_rows = count(*now, "row", "rows");
        match newer {
            0 => write!(
                f,
                "{table}: {about}{now_rows}, {then} in the backup: {} fewer",
                then.saturating_sub(*now)
            ),
            newer => write!(f, "{table}: {about}{now_rows}, {then} in the backup: {newer} more"),
        }
    }
}

impl Display for TableCount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let about = if self.estimate { "about " } else { "" };
        write!(f, "{}: {about}{}", self.table, count(self.rows, "row", "rows"))
    }
}

impl Display for FileLosses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = one_line(&self.tree);
        if let Some(why) = &self.unknown {
            return writeln!(f, "files {name}: unknown: {}", one_line(why));
        }
        if self.is_nothing() {
            return writeln!(f, "files {name}: as in the backup");
        }
        let Self { newer, changed, gone, .. } = self;
        writeln!(f, "files {name}: not in the backup: {newer}; changed: {changed}; gone: {gone}")?;
        if self.touched > 0 {
            let touched = count(self.touched, "file", "files");
            writeln!(f, "  by the change time alone, as after a restore or chown: {touched}")?;
        }
        if self.unreadable > 0 {
            let unreadable = count(self.unreadable, "file or directory", "files or directories");
            writeln!(f, "  {unreadable} could not be looked at")?;
        }
        for example in &self.examples {
            writeln!(f, "  {}", one_line(example))?;
        }
        let unlisted = self.touched + self.examples.len() as u64;
        match (newer.entries() + changed.entries()).saturating_sub(unlisted) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let files = count(self.files, "file", "files");
        match self.directories {
            _ if self.is_nothing() => write!(f, "nothing"),
            0 => write!(f, "{files} ({})", bytes(self.bytes)),
            directories => {
                let directories = count(directories, "directory", "directories");
                write!(f, "{files} ({}) and {directories}", bytes(self.bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_has_its_lines() {
        let table = |table: &str, then, now: u64, estimate| TableLosses {
            table: table.into(),
            then,
            now,
            newer: now.saturating_sub(then),
            estimate,
        };
        let alone = |table: &str| TableCount { table: table.into(), rows: 1, estimate: false };
        let shop = DatabaseLosses {
            database: "shop".into(),
            tables: vec![table("public.item", 3, 5, false), table("public.log", 9, 7, true)],
            tables_new: vec![alone("public.fresh")],
            tables_gone: vec![alone("public.\"old\n\"")],
            uncounted: vec!["public.secret".into()],
            rows_newer: 3,
            rows_fewer: 3,
            unknown: None,
        };
        let same = DatabaseLosses { database: "same".into(), ..DatabaseLosses::default() };
        let mute = DatabaseLosses {
            database: "mute".into(),
            unknown: Some("cannot connect to database mute".into()),
            ..DatabaseLosses::default()
        };
        let uploads = FileLosses {
            tree: "uploads".into(),
            newer: Tally { files: 1, directories: 1, bytes: 2048 },
            changed: Tally { files: 2, directories: 0, bytes: 5 },
            touched: 1,
            unreadable: 1,
            examples: vec!["a".into(), "a/b".into()],
            ..FileLosses::default()
        };
        let losses = Losses { databases: vec![shop, same, mute], files: vec![uploads] };
        assert_eq!(
            losses.to_string(),
            "\
database shop: about 3 rows more than in the backup, 3 fewer
  public.item: 5 rows, 3 in the backup: 2 more
  public.log: about 7 rows, 9 in the backup: 2 fewer
  public.fresh: 1 row, not in the backup
  public.\"old\\u{a}\": 1 row, only in the backup
  public.secret: cannot be counted
database same: every table has as many rows as in the backup
database mute: unknown: cannot connect to database mute
files uploads: not in the backup: 1 file (2.0 KiB) and 1 directory; changed: 2 files (5 B); gone: nothing
  by the change time alone, as after a restore or chown: 1 file
  1 file or directory could not be looked at
  a
  a/b
  and 1 more
"
        );
    }

    #[test]
    fn of_many_tables_some_are_named() {
        let tables = (0..12).map(|number| format!("public.t{number}"));
        let losses = DatabaseLosses {
            database: "shop".into(),
            uncounted: tables.collect(),
            ..DatabaseLosses::default()
        };
        let text = losses.to_string();
        assert_eq!(text.lines().count(), 1 + NAMED + 1);
        assert!(text.ends_with("  and 2 more tables\n"), "{text}");
    }
}
