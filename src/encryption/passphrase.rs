//! The passphrase that protects the identity file.

use crate::config::Encryption;
use crate::error::{Code, Error, Result};
use age::secrecy::SecretString;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use rustix::termios::{tcgetattr, tcgetpgrp, tcsetattr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const UNLOCK: &str = "unlock the identity file";

/// Where it comes from.
pub(super) enum Passphrase {
    Variable(String),
    File(PathBuf),
    /// Whoever sits at the terminal is asked.
    Person,
}

impl Passphrase {
    /// What a config says.
    pub(super) fn of(config: &Encryption) -> Self {
        match (&config.passphrase_env, &config.passphrase_file) {
            (Some(variable), _) => Self::Variable(variable.clone()),
            (None, Some(file)) => Self::File(file.clone()),
            (None, None) => Self::Person,
        }
    }

    /// The passphrase of the identity file at `path`.
    ///
    /// # Errors
    /// `key_missing` where there is none, and nobody to ask.
    pub(super) fn get(&self, path: &Path) -> Result<SecretString> {
        let missing =
            |cause: String| Error::new(Code::KeyMissing, UNLOCK, path.display()).cause(cause);
        match self {
            Self::Variable(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
                _ => Err(missing(format!("the environment variable {name} is not set"))
                    .hint(format!("set {name}, or change passphrase_env in [encryption]"))),
            },
            Self::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map(SecretString::from)
                    .map_err(|e| Error::io("read passphrase file", file, e))?;
                let text = age::secrecy::ExposeSecret::expose_secret(&text);
                match text.lines().next().filter(|line| !line.is_empty()) {
                    Some(line) => Ok(SecretString::from(line.to_owned())),
                    None => Err(missing(format!("{} has no first line", file.display()))
                        .hint("write the passphrase into the first line of passphrase_file")),
                }
            }
            Self::Person => match ask(path) {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(missing(
                    "it is protected by a passphrase, and there is no terminal to ask for it"
                        .into(),
                )
                .hint("set passphrase_env or passphrase_file in [encryption]")),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    Err(Error::new(Code::Interrupted, UNLOCK, path.display()))
                }
                Err(e) => Err(missing(format!("the terminal cannot be read: {e}"))
                    .hint("set passphrase_env or passphrase_file in [encryption]")),
            },
        }
    }
}

/// Asks on the terminal of this process, without echo; nothing where it has none, or is not in
/// its foreground.
fn ask(path: &Path) -> io::Result<Option<SecretString>> {
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    if !tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == getpgrp()) {
        return Ok(None);
    }
    let silence = Silence::of(&terminal)?;
    write!(&mut &terminal, "Passphrase of {}: ", path.display())?;
    let answer = read_line(&terminal);
    drop(silence);
    writeln!(&mut &terminal)?;
    answer.map(Some)
}

/// Reads bytes as they are typed. An interrupt is a byte here, since a signal would not end
/// the read.
fn read_line(mut terminal: &File) -> io::Result<SecretString> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if terminal.read(&mut byte)? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' | END => break,
            INTERRUPT => return Err(io::ErrorKind::Interrupted.into()),
            8 | 127 => {
                line.pop();
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map(SecretString::from).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn of(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // What a terminal refuses now cannot be helped.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
