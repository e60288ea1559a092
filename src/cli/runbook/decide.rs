//! What a person decides: approve, resolve, abort.

use super::super::Ending;
use super::super::context::Context;
use super::{Answer, operate, state_dir};
use crate::error::{Code, Result};
use crate::runbook::{self, Decided, Verdict};
use std::time::Duration;

/// How often, and after how long, it is seen whether a runner that is there goes on.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn approve(
    wanted: &str,
    step: &str,
    no_resume: bool,
    context: &Context,
) -> Result<Ending> {
    let decided = runbook::approve(&state_dir(context)?, wanted, step)?;
    if no_resume {
        return said(&decided, "approved", context);
    }
    // A living runner goes on by itself, unless it was just about to end.
    for _ in 0..TRIES {
        match operate::resume(&decided.run, false, false, context).await {
            Err(error) if error.code() == Code::Locked => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    said(&decided, "approved", context)
}

pub(super) fn resolve(
    wanted: &str,
    step: &str,
    answer: Answer,
    reason: &str,
    context: &Context,
) -> Result<Ending> {
    let (verdict, word) = match answer {
        Answer::Done => (Verdict::Done, "done"),
        Answer::Retry => (Verdict::Retry, "retry"),
        Answer::Skip => (Verdict::Skip, "skip"),
    };
    let decided = runbook::resolve(&state_dir(context)?, wanted, step, verdict, reason)?;
    said(&decided, word, context)
}

pub(super) async fn abort(
    wanted: &str,
    reason: &str,
    rollback: bool,
    context: &Context,
) -> Result<Ending> {
    let decided = runbook::abort(&state_dir(context)?, wanted, reason, rollback)?;
    if decided.alive {
        return said(&decided, "abort", context);
    }
    // Nobody else ends what it left running, undoes it and does its rescue.
    match operate::resume(&decided.run, true, false, context).await {
        // That the run did not succeed is what was wanted.
        Err(error) if error.code() == Code::RunFailed => Ok(Ending::Done),
        done => done,
    }
}

fn said(decided: &Decided, word: &str, context: &Context) -> Result<Ending> {
    let run = &decided.run;
    let next = match decided.alive {
        true => "its runner goes on".to_owned(),
        false => format!("`backstop runbook resume {run}` goes on"),
    };
    let answer = serde_json::json!({ "run": run, "decision": word, "runner": decided.alive });
    context.output.result(&answer, || format!("{word}: {next}\n"))?;
    Ok(Ending::Done)
}
