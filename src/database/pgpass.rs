//! The password file of libpq, `~/.pgpass`.
//!
//! Source: PostgreSQL manual, "The Password File".

use super::password::Password;
use crate::error::{Code, Error, Result};
use crate::progress::Progress;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a line of the file is matched against.
pub(super) struct Key<'a> {
    /// The host; `localhost` for the default socket directories.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password of the first line of `path` that matches `key`.
///
/// As libpq does, a missing file is silently passed over, and one that is no plain file or
/// that group or others may access is ignored with a warning.
pub(super) fn look_up(
    path: &Path,
    key: &Key<'_>,
    progress: &dyn Progress,
) -> Result<Option<Password>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read password file", path, error)),
    };
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        let message = format!(
            "password file {} is ignored: it must be a plain file of mode 0600 or less",
            path.display()
        );
        progress.warn(Code::PermissionDenied, message);
        return Ok(None);
    }
    let text = fs::read(path).map_err(|error| Error::io("read password file", path, error))?;
    Ok(find(&String::from_utf8_lossy(&text), key))
}

fn find(text: &str, key: &Key<'_>) -> Option<Password> {
    let port = key.port.to_string();
    let wanted = [key.host, &port, key.database, key.user];
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).find_map(|line| {
        let fields = fields(line.trim_end_matches('\r'));
        let [host, port, database, user, password] = <[Field; 5]>::try_from(fields).ok()?;
        let given = [host, port, database, user];
        let matches = given.iter().zip(wanted).all(|(given, wanted)| given.matches(wanted));
        (matches && !password.text.is_empty()).then(|| Password::new(password.text))
    })
}

/// One field of a line, unescaped.
#[derive(Default)]
struct Field {
    text: String,
    /// Whether it is a `*` that was not escaped.
    any: bool,
}

impl Field {
    fn matches(&self, wanted: &str) -> bool {
        self.any || self.text == wanted
    }
}

/// Splits a line at its colons; a backslash takes the next character literally. The
/// password is the rest of the line up to a further unescaped colon.
fn fields(line: &str) -> Vec<Field> {
    let mut fields = vec![Field::default()];
    let mut escaped_any = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() == 5 => break,
            ':' => {
                fields.push(Field::default());
                escaped_any = false;
                continue;
            }
            '\\' => {
                escaped_any = true;
                if let (Some(next), Some(field)) = (characters.next(), fields.last_mut()) {
                    field.text.push(next);
                }
            }
            other => {
                if let Some(field) = fields.last_mut() {
                    field.text.push(other);
                }
            }
        }
        if let Some(field) = fields.last_mut() {
            field.any = field.text == "*" && !escaped_any;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Silent, Warnings};
    use std::sync::Arc;

    const KEY: Key<'_> = Key { host: "db", port: 5432, database: "shop", user: "me" };

    fn found(text: &str) -> Option<String> {
        find(text, &KEY).map(|password| password.reveal().to_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        assert_eq!(found("db:5432:shop:me:one\n*:*:*:*:two\n").as_deref(), Some("one"));
        assert_eq!(found("# comment\n\nother:*:*:*:x\n*:*:*:me:two\n").as_deref(), Some("two"));
        assert_eq!(found("db:5433:*:*:x\n"), None);
        assert_eq!(found("db:5432:shop\n"), None);
    }

    #[test]
    fn backslashes_escape_colons_stars_and_themselves() {
        assert_eq!(found(r"*:*:*:*:a\:b\\c").as_deref(), Some(r"a:b\c"));
        assert_eq!(found(r"\*:*:*:*:x"), None);
        let key = Key { host: "a:b", ..KEY };
        assert!(find(r"a\:b:*:*:*:x", &key).is_some());
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        assert_eq!(look_up(&path, &KEY, &Silent).unwrap(), None);
        fs::write(&path, "*:*:*:*:secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let warnings = Warnings::before(Arc::new(Silent));
        assert_eq!(look_up(&path, &KEY, warnings.as_ref()).unwrap(), None);
        assert_eq!(warnings.seen().len(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(look_up(&path, &KEY, &Silent).unwrap().is_some());
    }
}
