//! `secret.rotate`: a secret is replaced, by a command that reads the new one.
//!
//! A made secret lies beside its file, on the disk, before the command sees it, and takes the
//! file's place after: a runner that is killed in between goes on with the same one.

use super::outputs;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::repository::{create_dir, sync_dir, write_replacing};
use crate::runbook::action::{Action, Outputs, Probe, Scope};
use crate::runbook::child::ChildCommand;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The characters of a made secret: none that a shell, a URL or a config file would mistake.
const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What a made secret is known by.
const DIGEST: &str = "digest";

pub(in crate::runbook) struct SecretRotate;

/// What is replaced, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// What the secret is, for people.
    name: String,
    /// A program and its arguments: it reads the new secret on its standard input and makes it the
    /// one that counts. It may be run again with the same secret.
    #[serde(default)]
    command: Vec<String>,
    /// A program and its arguments: it reads the new secret and succeeds when it is in force.
    #[serde(default)]
    check: Vec<String>,
    /// The new secret; without it one is made.
    secret: Option<String>,
    /// Where the new secret is kept, with mode 0600, for whoever needs it next.
    #[schemars(with = "Option<String>", example = &"/etc/backstop/secrets/database")]
    file: Option<PathBuf>,
    /// How many characters a made secret has.
    #[serde(default = "forty")]
    #[schemars(range(min = 16, max = 1024))]
    length: usize,
    /// Variables of the commands besides those of backstop.
    #[serde(default)]
    env: BTreeMap<String, String>,
}

fn forty() -> usize {
    40
}

impl With {
    /// Where a secret lies until its file has it.
    fn next(file: &Path) -> PathBuf {
        let mut name = file.file_name().unwrap_or_default().to_os_string();
        name.push(".next");
        file.with_file_name(name)
    }

    /// The new secret, on the disk where it has a file.
    fn prepare(&self, scope: &Scope) -> Result<String> {
        let Some(file) = &self.file else {
            // Without a file it was given.
            return Ok(self.secret.clone().unwrap_or_default());
        };
        let next = Self::next(file);
        // Only one that an attempt at this step made is used again.
        let own = scope.all_noted(DIGEST);
        let kept = read(&next)?.filter(|kept| own.iter().any(|noted| *noted == digest(kept)));
        let secret = match (&self.secret, kept) {
            (Some(secret), _) => secret.clone(),
            (None, Some(kept)) => kept,
            (None, None) => made(self.length)?,
        };
        scope.learn(&secret, &[&next, file])?;
        // A weak secret could be guessed by it: only a made one has a digest.
        if self.secret.is_none() {
            scope.note(DIGEST, digest(&secret))?;
        }
        if let Some(dir) = file.parent() {
            create_dir(dir)?;
        }
        write_replacing(&next, secret.as_bytes())?;
        Ok(secret)
    }

    async fn tell(&self, argv: &[String], secret: &str, scope: &Scope) -> Result<()> {
        let command = ChildCommand {
            argv: argv.to_vec(),
            env: self.env.clone(),
            stdin: Some(secret.to_owned()),
            ..ChildCommand::default()
        };
        match scope.child(command).await?.code {
            0 => Ok(()),
            code => Err(Error::new(Code::ActionFailed, "rotate the secret", &self.name)
                .cause(format!("{} ended with exit code {code}", argv[0]))
                .hint(format!(
                    "`backstop runbook log {} {}` shows its output",
                    scope.run, scope.step
                ))),
        }
    }

    fn returned(&self) -> Outputs {
        outputs([("file", json!(self.file))])
    }
}

impl Action for SecretRotate {
    type With = With;
    const NAME: &'static str = "secret.rotate";
    const ABOUT: &'static str = "Replaces a secret through a command that reads the new one.";
    const OUTPUTS: &'static [&'static str] = &["file"];
    const SECRETS: &'static [&'static str] = &["secret", "env"];
    const PROBES: bool = true;

    fn check(with: &With) -> Result<(), String> {
        if with.command.is_empty() && with.file.is_none() {
            return Err("it needs `command`, `file` or both".into());
        }
        if with.secret.is_none() && with.file.is_none() {
            return Err("a secret that is made needs a `file`, or nobody would know it".into());
        }
        if with.secret.as_deref() == Some("") {
            return Err("`secret` is empty".into());
        }
        if with.file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return Err("`file` is an absolute path".into());
        }
        match with.length {
            16..=1024 => Ok(()),
            _ => Err("`length` is from 16 to 1024".into()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let new = if with.secret.is_some() { "the given one" } else { "a new one" };
        let through = match with.command.as_slice() {
            [] => String::new(),
            command => format!(" through {}", command.join(" ")),
        };
        let kept = match &with.file {
            Some(file) => format!(", kept in {}", file.display()),
            None => String::new(),
        };
        format!("replace {} by {new}{through}{kept}", with.name)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let secret = with.prepare(scope)?;
        if !with.command.is_empty() {
            with.tell(&with.command, &secret, scope).await?;
        }
        if !with.check.is_empty() {
            with.tell(&with.check, &secret, scope).await?;
        }
        if let Some(file) = &with.file {
            let next = With::next(file);
            std::fs::rename(&next, file).map_err(|e| Error::io("keep the secret", file, e))?;
            sync_dir(file.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(with.returned())
    }

    async fn probe(&self, with: &With, scope: &Scope) -> Result<Probe> {
        // The same secret may be set again, and without a file nothing else says that it was.
        let Some(file) = &with.file else { return Ok(Probe::NotDone) };
        if read(&With::next(file))?.is_some() {
            return Ok(Probe::NotDone);
        }
        let kept = read(file)?;
        let ours = kept.is_some_and(|kept| match &with.secret {
            Some(secret) => kept == *secret,
            None => scope.noted(DIGEST).is_some_and(|noted| noted == digest(&kept)),
        });
        Ok(if ours { Probe::Done(with.returned()) } else { Probe::NotDone })
    }
}

/// Random characters from the kernel, each of the 64 as likely as the others.
fn made(length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)
            .map_err(|e| Error::io("read random bytes from", Path::new("the kernel"), e.into()))?;
    }
    Ok(bytes.iter().map(|byte| char::from(CHARACTERS[usize::from(byte & 63)])).collect())
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches('\n').to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read the secret in", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_secret_has_the_length_that_was_asked_for_and_is_another_each_time() {
        let (one, other) = (made(40).unwrap(), made(40).unwrap());
        assert_eq!((one.len(), other.len()), (40, 40));
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| CHARACTERS.contains(&byte)));
    }
}
