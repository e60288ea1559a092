//! `backstop verify`: is what is stored what was written?

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::catalog::{BackupRecord, Sampled, VerifyLevel};
use crate::error::{Code, Result};
use crate::verify::{self, Share, Verification};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop verify                 read back every byte of the newest whole backup
  backstop verify 4f2a            of the one whose id begins so
  backstop verify --all           of every backup
  backstop verify --all --level quick    only what is there, and how large it is
  backstop verify 4f2a --level deep      decompress all, read every dump to its end
  backstop verify --sample 5%     what was read longest ago, of all backups

Exit code 6 says that damage was found; `backstop list` and `show` go on showing it. Exit code 3
says that there is no key for a backup: of that every stored byte was read, and nothing inside.";

/// The arguments of `backstop verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// A unique prefix of an id, a name, or `latest`; with --sample every backup without one
    #[arg(conflicts_with = "all")]
    id: Option<String>,
    /// Every backup in the repository
    #[arg(long)]
    all: bool,
    /// How thoroughly
    #[arg(long, value_enum, default_value = "full", value_name = "quick|full|deep")]
    level: VerifyLevel,
    /// Read only so much, another part each time until all was read: whole files, and of archives
    /// above 64 MiB parts of that size, so it may be one of them more than was asked for
    #[arg(long, value_name = "5%|2GiB", conflicts_with = "level")]
    sample: Option<Share>,
}

pub(super) async fn run(args: VerifyArgs, context: &Context) -> Result<Ending> {
    context.recover_first().await?;
    let setting = context.setting()?;
    let catalog = context.reconciled()?;
    let all = args.all || (args.sample.is_some() && args.id.is_none());
    let wanted = args.id.as_deref().unwrap_or("latest");
    let listed = catalog.list()?;
    let named = if all { None } else { Some(catalog.find(wanted)) };
    drop(catalog);
    let records = match named {
        None => listed.into_iter().filter(BackupRecord::is_published).collect(),
        Some(Ok(record)) => vec![record],
        Some(Err(e)) if e.code() == Code::BackupNotFound => {
            // The catalog takes in nothing that cannot be read.
            let found = verify::verify_unlisted_one(&setting, &listed, args.level, wanted)?;
            return print(context, &[found.ok_or(e)?]);
        }
        Some(Err(e)) => return Err(e),
    };
    let work = async {
        let mut found = match args.sample {
            Some(share) => verify::sample(&setting, &records, share).await?,
            None => verify::verify(&setting, &records, args.level).await?,
        };
        if all {
            found.extend(verify::verify_unlisted(&setting, &records, args.level)?);
        }
        Ok(found)
    };
    print(context, &until_interrupted(&context.cancel, work).await?)
}

fn print(context: &Context, found: &[Verification]) -> Result<Ending> {
    context.output.result(&found, || found.iter().map(describe).collect())?;
    let any = |is_so: fn(&Verification) -> bool| found.iter().any(is_so);
    Ok(match any(|verification| !verification.ok) {
        true => Ending::Damaged,
        false if any(|verification| verification.locked.is_some()) => Ending::Degraded,
        false => Ending::Done,
    })
}

fn describe(verification: &Verification) -> String {
    let Verification { name, ok, level, sampled, .. } = verification;
    let mut text = format!("{name}: {}\n", result(*ok, *level, sampled.as_ref()));
    for damage in &verification.damages {
        text.push_str(&format!("  {damage}\n"));
    }
    text
}

/// What a verification means.
pub(super) fn result(ok: bool, level: VerifyLevel, sampled: Option<&Sampled>) -> String {
    match (sampled, level) {
        _ if !ok => "DAMAGED".into(),
        (Some(sampled), _) => format!("a sample is as it was written, {} by now", read(sampled)),
        (None, VerifyLevel::Quick) => "everything is there with its size".into(),
        (None, VerifyLevel::Full) => "every byte is as it was written".into(),
        (None, VerifyLevel::Deep) => {
            "every byte is as it was written, every file and dump can be read".into()
        }
    }
}

/// How much the samples have read: `40 % read`.
pub(super) fn read(sampled: &Sampled) -> String {
    let share = 100.0 * sampled.covered_bytes as f64 / sampled.total_bytes.max(1) as f64;
    // Less than all never looks like all.
    format!("{} % read", if sampled.total_bytes == 0 { 100.0 } else { share.floor() })
}
