//! `backstop key`: the key that encrypted backups are read with.

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::encryption::{GeneratedKey, generate};
use crate::error::Result;
use crate::verify::{self, KeyCheck};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  backstop key generate --output /root/backstop.key    a new key for [encryption]
  backstop key check                                   does the key read the newest backup";

const GENERATE: &str = "\
Examples:
  backstop key generate --output /root/backstop.key
  backstop key generate --output key.txt --json

Without this file every backup that is encrypted for it is unreadable, for ever. Keep copies of
it away from this host and from the backups: printed, in a safe, in a password manager.";

const CHECK: &str = "\
Examples:
  backstop key check              opens every kind of object of the newest backup
  backstop key check --json       the same for programs

Exit code 1 says that the key is missing or another one, 5 that there is no backup yet, 6 that
the backup is damaged.";

/// The arguments of `backstop key`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new key in a new file
    #[command(after_help = GENERATE)]
    Generate {
        /// The file, which must not exist
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Prove that the configured key reads the newest backup
    #[command(after_help = CHECK)]
    Check,
}

/// A key as `--json` prints it.
#[derive(Serialize)]
struct Generated {
    file: PathBuf,
    recipient: String,
}

pub(super) async fn run(args: KeyArgs, context: &Context) -> Result<Ending> {
    match args.action {
        Action::Generate { output } => {
            let GeneratedKey { recipient } = generate(&output)?;
            let file = std::path::absolute(&output).unwrap_or(output);
            let made = Generated { file, recipient };
            context.output.result(&made, || explain(&made))?;
        }
        Action::Check => {
            let setting = context.setting()?;
            drop(context.reconciled()?);
            let work = verify::check_key(&setting);
            let checked = until_interrupted(&context.cancel, work).await?;
            context.output.result(&checked, || describe(&checked))?;
        }
    }
    Ok(Ending::Done)
}

fn explain(made: &Generated) -> String {
    let (file, recipient) = (made.file.display(), &made.recipient);
    format!(
        "The secret key is in {file}. Its public key is

    {recipient}

Put this into the config:

    [encryption]
    recipients = [\"{recipient}\"]
    identity_file = \"{file}\"

WITHOUT THE FILE {file} EVERY BACKUP THAT IS ENCRYPTED FOR IT IS UNREADABLE, and nobody can
help: it is stored nowhere else. A copy on this host alone is lost with this host. Before you
rely on it, keep two copies elsewhere, and not beside the backups: printed on paper, in a safe,
in a password manager. Whoever has the file reads every backup. A second recipient whose key
lies somewhere else is a good insurance. `backstop key check` proves that the key works.
"
    )
}

fn describe(checked: &KeyCheck) -> String {
    let taken = checked.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let Some(recipients) = &checked.recipients else {
        return format!(
            "{}\nof {taken} is not encrypted: it is read without a key\n",
            checked.name
        );
    };
    let mut text =
        format!("The key reads {}\nof {taken}. Decrypted, each in part:\n", checked.name);
    for object in &checked.read {
        text.push_str(&format!("  {object}\n"));
    }
    text.push_str("Encrypted for:\n");
    for name in recipients {
        let ours = if checked.keys.contains(name) { "  (this key)" } else { "" };
        text.push_str(&format!("  {name}{ours}\n"));
    }
    text
}
