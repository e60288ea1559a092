//! `backstop verify`: is what is stored what was written?

use super::Ending;
use super::context::Context;
use super::signal::until_interrupted;
use crate::backup::{self, Verification};
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop verify                 read back every byte of the newest backup
  backstop verify 4f2a            of the one whose id begins so
  backstop verify --all           of every backup

Exit code 6 says that damage was found; `backstop list` and `show` go on showing it.";

/// The arguments of `backstop verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// A unique prefix of an id, a name, or `latest`
    #[arg(default_value = "latest", conflicts_with = "all")]
    id: String,
    /// Every backup in the repository
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: VerifyArgs, context: &Context) -> Result<Ending> {
    context.recover_first().await?;
    let setting = context.setting()?;
    let catalog = context.reconciled()?;
    let records = if args.all {
        catalog.list()?.into_iter().filter(|record| record.is_published()).collect()
    } else {
        vec![catalog.find(&args.id)?]
    };
    drop(catalog);
    let work = async {
        let mut found = backup::verify(&setting, &records).await?;
        if args.all {
            found.extend(backup::verify_unlisted(&setting, &records)?);
        }
        Ok(found)
    };
    let found = until_interrupted(&context.cancel, work).await?;
    context.output.result(&found, || found.iter().map(describe).collect())?;
    let damaged = found.iter().any(|verification| !verification.ok);
    Ok(if damaged { Ending::Damaged } else { Ending::Done })
}

fn describe(verification: &Verification) -> String {
    let mut text = format!(
        "{}: {}\n",
        verification.name,
        if verification.ok { "every byte is as it was written" } else { "DAMAGED" }
    );
    for damage in &verification.damages {
        text.push_str(&format!("  {} {}\n", damage.object, damage.fault));
    }
    text
}
