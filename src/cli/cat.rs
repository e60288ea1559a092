//! `backstop cat`: a file of a backup on stdout.

use super::Ending;
use super::context::Context;
use super::pipe::Pipe;
use super::signal::until_interrupted;
use crate::browse;
use crate::error::Result;
use clap::Args;
use std::ffi::OsString;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  backstop cat latest uploads/2024/a.jpg > a.jpg
  backstop cat 4f2a etc/app.conf";

/// The arguments of `backstop cat`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CatArgs {
    /// A unique prefix of an id, a name, or `latest`
    id: String,
    /// The file: COMPONENT/relative/path
    path: OsString,
}

pub(super) async fn run(args: CatArgs, context: &Context) -> Result<Ending> {
    let path = super::file_path(&args.path)?;
    let record = context.reconciled()?.find(&args.id)?;
    let backup = context.repository()?.backup(&record.name)?;
    let setting = context.setting()?;
    let cancel = setting.cancel.clone();
    let (mut stdout, closed) = Pipe::new(std::io::stdout());
    let work = setting.blocking(move || {
        let written = browse::write_content(&backup, &path, &mut stdout, &cancel);
        // What does not arrive was not asked for any more.
        let _ = stdout.flush();
        written
    });
    let written = until_interrupted(&context.cancel, work).await;
    if closed.is_closed() { Ok(Ending::Done) } else { written.map(|()| Ending::Done) }
}
