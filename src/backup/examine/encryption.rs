//! Encryption as `doctor` sees it: for whom, and whether this host could read it again.

use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use crate::size::count;
use std::os::unix::fs::PermissionsExt;

/// What the config says, and whether the key is there. Nobody is asked for a passphrase.
///
/// # Errors
/// `key_missing`, and `key_wrong` where the key is there and reads nothing that is encrypted
/// from now on.
pub(super) fn examine(setting: &Setting) -> Result<String> {
    let recipients = setting.recipients.names();
    let whom = match recipients.len() {
        0 => "new backups are not encrypted".into(),
        number => format!("for {}", count(number as u64, "recipient", "recipients")),
    };
    let identities = &setting.identities;
    let Some(file) = identities.file() else {
        return Ok(format!("{whom}; no secret key here: backups are taken, and not read"));
    };
    let metadata = std::fs::metadata(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Code::KeyMissing, "read the identity file", file.display())
                .cause("there is no such file")
        }
        _ => Error::io("read the identity file", file, e),
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    let open = match mode & 0o077 {
        0 => String::new(),
        _ => format!(", which others may read (mode {mode:04o}); make it 0600"),
    };
    if identities.ask_a_person() {
        return Ok(format!(
            "{whom}; secret key in {}{open}, protected by a passphrase that is asked for",
            file.display()
        ));
    }
    let ours = identities.recipients()?;
    if !recipients.is_empty() && !ours.iter().any(|name| recipients.contains(name)) {
        return Err(Error::new(Code::KeyWrong, "use the identity file", file.display())
            .cause("none of its keys is one of the recipients")
            .hint(format!("add {} to recipients in [encryption]", ours.join(", "))));
    }
    Ok(format!("{whom}; secret key in {}{open}", file.display()))
}
