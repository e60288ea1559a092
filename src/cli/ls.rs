//! `backstop ls`: the files of a backup.

use super::context::Context;
use super::{Ending, table};
use crate::browse::{self, Listed};
use crate::catalog::Session;
use crate::error::Result;
use clap::Args;
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  backstop ls latest                        the file trees of the newest backup
  backstop ls latest uploads/2024           what lies in a directory
  backstop ls 4f2a uploads --recursive      every file of a tree";

/// The arguments of `backstop ls`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LsArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// A directory or file: COMPONENT/relative/path
    path: Option<OsString>,
    /// Everything below it
    #[arg(long, short)]
    recursive: bool,
}

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Ending> {
    let path = args.path.as_deref().map(super::file_path).transpose()?;
    let find = |catalog: &Session| {
        let record = catalog.find(&args.id)?;
        Ok((vec![record.id.clone()], record))
    };
    let listed = context.ask_about(find, |query, record| {
        browse::list(query, record, path.as_ref(), args.recursive)
    })?;
    context.output.result(&listed, || describe(&listed, path.is_none()))?;
    Ok(Ending::Done)
}

fn describe(listed: &[Listed], with_component: bool) -> String {
    let rows: Vec<Vec<String>> = listed.iter().map(|one| row(one, with_component)).collect();
    table::table(&["MODE", "UID", "GID", "SIZE", "MODIFIED (UTC)", "PATH"], &rows)
}

fn row(one: &Listed, with_component: bool) -> Vec<String> {
    let path = match (with_component, one.path.as_str()) {
        (true, ".") => one.component.clone(),
        (true, path) => format!("{}/{path}", one.component),
        (false, path) => path.to_owned(),
    };
    let arrow = one.link_target.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
    let modified = one.modified_at.as_deref().unwrap_or("-");
    vec![
        mode(&one.kind, one.mode),
        one.uid.to_string(),
        one.gid.to_string(),
        one.size.to_string(),
        modified.get(..19).unwrap_or(modified).to_owned(),
        path + &arrow,
    ]
}

/// The mode as `ls -l` prints it.
fn mode(kind: &str, mode: u32) -> String {
    let mut text = String::from(match kind {
        "directory" => "d",
        "symlink" => "l",
        "fifo" => "p",
        "chardev" => "c",
        "blockdev" => "b",
        _ => "-",
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_in_ls() {
        assert_eq!(mode("file", 0o644), "-rw-r--r--");
        assert_eq!(mode("directory", 0o1777), "drwxrwxrwt");
        assert_eq!(mode("file", 0o4711), "-rws--x--x");
        assert_eq!(mode("file", 0o2644), "-rw-r-Sr--");
    }
}
