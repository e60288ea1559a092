//! `backstop dump`: the dump of a database on stdout.

use super::Ending;
use super::context::Context;
use super::pipe::Pipe;
use super::signal::until_interrupted;
use crate::browse;
use crate::error::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  backstop dump latest --database shop > shop.sql
  backstop dump 4f2a --database shop --sql";

/// The arguments of `backstop dump`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DumpArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// The database component
    #[arg(long, value_name = "NAME")]
    database: String,
    /// SQL also where the stored dump has pg_dump's custom or tar format, which is otherwise
    /// printed as it is; one in directory format is always printed as SQL
    #[arg(long)]
    sql: bool,
}

pub(super) async fn run(args: DumpArgs, context: &Context) -> Result<Ending> {
    let record = context.reconciled()?.find(&args.id)?;
    let backup = context.repository()?.backup(&record.name)?;
    let setting = context.setting()?;
    let (mut stdout, closed) = Pipe::new(tokio::io::stdout());
    let work = async {
        browse::write_dump(&setting, &backup, &args.database, args.sql, &mut stdout).await
    };
    let dumped = until_interrupted(&context.cancel, work).await;
    // What does not arrive was not asked for any more.
    let _ = tokio::io::AsyncWriteExt::flush(&mut stdout).await;
    if closed.is_closed() { Ok(Ending::Done) } else { dumped.map(|()| Ending::Done) }
}
