//! `backstop checkpoint auto`: whatever is missing, the caller goes on.

use super::{Ending, answering, backup, is_local_only, note, phase};
use crate::checkpoint::{self, Attempt, Mode, Phase, Wish};
use crate::cli::context::Context;
use crate::cli::signal::until_interrupted;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::setting::Setting;
use std::ffi::OsStr;

/// Takes what is there.
///
/// # Errors
/// `interrupted`, and what stdout says; with `strict` none more.
pub(super) async fn run(word: &OsStr, strict: bool, context: &Context) -> Result<Ending> {
    let shown = word.to_string_lossy();
    if Config::is_disabled_by_environment() {
        return disabled(&shown, Mode::Auto, context);
    }
    let attempt = match ready(word, context) {
        Ok((_, setting)) if !setting.config.enabled => {
            return disabled(&shown, Mode::Auto, context);
        }
        Ok((phase, setting)) => {
            let wish = Wish { phase, mode: Mode::Auto, local_only: is_local_only() };
            let taken = until_interrupted(&context.cancel, take(&wish, &setting, context)).await;
            // What a signal ended is told of, and keeps the signal's exit code.
            let failed = |e: &Error| Attempt::of_failure(&wish, &setting.config, e);
            let noted = taken.as_ref().map_or_else(failed, Clone::clone);
            note(&noted, &setting, context);
            taken?
        }
        Err(e) => {
            let known = context.known();
            let config = known.as_ref().map(|loaded| &loaded.config);
            let attempt = checkpoint::refused(&shown, Mode::Auto, config, e);
            let _ = checkpoint::note(config, &attempt);
            attempt
        }
    };
    context.output.attempt(&attempt, &attempt.line(), attempt.is_degraded())?;
    Ok(if strict && attempt.is_degraded() { Ending::Degraded } else { Ending::Done })
}

/// Says nothing, but notes that the phase was passed by.
pub(super) fn disabled(shown: &str, mode: Mode, context: &Context) -> Result<Ending> {
    let loaded = answering(context).and_then(|()| context.loaded()).ok();
    let config = loaded.as_ref().map(|loaded| &loaded.config);
    let attempt = Attempt::disabled(shown, mode, config);
    let _ = checkpoint::note(config, &attempt);
    if context.output.is_json() {
        context.output.result(&attempt, String::new)?;
    }
    Ok(Ending::Done)
}

fn ready(word: &OsStr, context: &Context) -> Result<(Phase, Setting)> {
    answering(context)?;
    let setting = context.unclaimed_setting()?;
    let phase = phase(word)?;
    backup::refuse_elsewhere(&setting)?;
    Ok((phase, setting))
}

async fn take(wish: &Wish, setting: &Setting, context: &Context) -> Result<Attempt> {
    // What a dead backstop left held comes first, where that can be found out.
    let resumed = match crate::deadline::answers(&setting.config.state.dir) {
        Ok(()) => context.recover_first().await,
        Err(_) => Ok(()),
    };
    let failed = |e: &Error| Attempt::of_failure(wish, &setting.config, e);
    match resumed {
        Err(e) if e.code() == Code::NotResumed => return Ok(failed(&e)),
        Err(e) if e.code() == Code::Interrupted => return Err(e),
        _ => {}
    }
    match checkpoint::take_what_is_there(setting, wish).await {
        Ok(taken) => Ok(taken.attempt),
        Err(e) if e.code() == Code::Interrupted => Err(e),
        Err(e) => Ok(failed(&e)),
    }
}
