//! `backstop sync`: sends to the copies of the repository what they lack.

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::copies::{self, Synced};
use crate::error::{Code, Error, Result};
use crate::size::{bytes, count};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop sync                   to all [[repository.copies]]
  backstop sync offsite           to the copy of this name

An interrupted sync goes on where it stopped. What is deleted here stays in the copies.";

/// The arguments of `backstop sync`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SyncArgs {
    /// The names of copies; without any, all
    names: Vec<String>,
}

pub(super) async fn run(args: SyncArgs, context: &Context) -> Result<Ending> {
    let setting = context.setting()?;
    if !setting.config.is_at_home() {
        return Err(Error::new(Code::Usage, "sync", "another repository than the config's own")
            .cause("copies are brought up to date from the repository that the config names")
            .hint(
                "leave --copy and --repository out; `backstop sync NAME` is for one copy alone",
            ));
    }
    if setting.config.repository.copies.is_empty() {
        return Err(Error::new(Code::Usage, "sync", "copies of the repository")
            .cause("the config names none")
            .hint("add [[repository.copies]]; docs/configuration.md describes it"));
    }
    let work = copies::sync(&setting, &args.names);
    let mut synced = until_interrupted(&context.cancel, work).await?;
    context.output.result(&synced, || describe(&synced))?;
    let failures = synced.iter_mut().filter_map(|one| one.failure.take()).collect::<Vec<_>>();
    let mut failures = failures.into_iter();
    let first = failures.next();
    failures.for_each(|other| context.output.error(&other));
    first.map_or(Ok(Ending::Done), Err)
}

fn describe(synced: &[Synced]) -> String {
    let line = |one: &Synced| {
        let sent = count(one.sent.len() as u64, "backup", "backups");
        let so_far = if one.complete { "complete" } else { "incomplete" };
        let sent = format!("{sent} sent, {}", bytes(one.sent_bytes));
        format!("{} at {}: {so_far}; {sent}\n", one.copy, one.place)
    };
    synced.iter().map(line).collect()
}
