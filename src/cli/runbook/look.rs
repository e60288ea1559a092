//! What only looks: list, show, validate, schema, status, log, report.

use super::super::Ending;
use super::super::context::Context;
use super::super::signal::until_interrupted;
use super::{library, no_log, print, registry, state_dir};
use crate::error::{Error, Result};
use crate::runbook::{self, Parameters, RunView, Store};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// How often a followed run is looked at.
const LOOK: Duration = Duration::from_millis(300);

pub(super) fn list(context: &Context) -> Result<Ending> {
    let listed = library(context)?.list(&registry())?;
    context.output.result(&listed, || print::list(&listed))?;
    Ok(Ending::Done)
}

pub(super) fn show(name: &str, markdown: bool, context: &Context) -> Result<Ending> {
    let registry = registry();
    let checked = library(context)?.find(name, &registry)?;
    context.output.result(&checked.runbook, || match markdown {
        true => runbook::page(&checked, &registry),
        false => print::runbook(&checked),
    })?;
    Ok(Ending::Done)
}

pub(super) fn validate(file: &Path, context: &Context) -> Result<Ending> {
    let checked = runbook::read(file, &registry())?;
    let runbook = &checked.runbook;
    // Where the secrets lie is known without any parameter being given.
    let secrets = runbook
        .parameters
        .iter()
        .filter_map(|(name, parameter)| Some((name.clone(), parameter.secret.clone()?)));
    let parameters = Parameters { secrets: secrets.collect(), ..Parameters::default() };
    runbook::check_secrets(&checked, &parameters)?;
    let answer = serde_json::json!({
        "ok": true, "file": file.display().to_string(), "name": runbook.name,
        "steps": runbook.steps.len(),
    });
    let steps = crate::size::count(runbook.steps.len() as u64, "step", "steps");
    context.output.result(&answer, || format!("{}: ok, {steps}\n", file.display()))?;
    Ok(Ending::Done)
}

pub(super) fn schema(context: &Context) -> Result<Ending> {
    let schema = runbook::schema(&registry());
    context.output.result(&schema, || format!("{schema:#}"))?;
    Ok(Ending::Done)
}

pub(super) async fn status(
    wanted: Option<&str>,
    follow: bool,
    context: &Context,
) -> Result<Ending> {
    let state_dir = state_dir(context)?;
    let store = Store::in_dir(&state_dir);
    let Some(wanted) = wanted else {
        let complain = |error: Error| context.progress.warn(error.code(), error.to_string());
        let views: Vec<RunView> = store
            .all(complain)?
            .iter()
            .filter_map(|run| runbook::view(run, &state_dir, &registry()).ok())
            .collect();
        context.output.result(&views, || print::runs(&views))?;
        return Ok(Ending::Done);
    };
    let id = store.find(wanted)?.id().to_owned();
    let look = || runbook::view(&store.open(&id)?, &state_dir, &registry());
    let mut view = look()?;
    if follow {
        until_interrupted(&context.cancel, async {
            let mut told = print::Told::default();
            while view.state == runbook::State::Running && !context.cancel.is_cancelled() {
                told.changes(&view, |line| context.output.note(line));
                tokio::time::sleep(LOOK).await;
                view = look()?;
            }
            Ok(())
        })
        .await?;
    }
    // One run is an array of one, as all of them are an array.
    let views = [view];
    context.output.result(&views, || print::run(&views[0]))?;
    Ok(if follow { print::ending(&views[0]) } else { Ending::Done })
}

pub(super) fn log(wanted: &str, step: Option<&str>, context: &Context) -> Result<Ending> {
    let run = Store::in_dir(&state_dir(context)?).find(wanted)?;
    let mut logs = Vec::new();
    for name in &run.state.order {
        let part = |step: &str| name.strip_prefix(step).is_some_and(|rest| rest.starts_with('.'));
        if step.is_some_and(|step| step != name && !part(step)) {
            continue;
        }
        let attempts = run.state.units[name].attempts.len().max(1);
        for unit in [name.clone(), format!("{name}.check")] {
            for attempt in (1..).take(attempts) {
                let file = run.log_file(&unit, attempt);
                if let Ok(bytes) = std::fs::read(&file) {
                    logs.push((
                        unit.clone(),
                        attempt,
                        String::from_utf8_lossy(&bytes).into_owned(),
                    ));
                }
            }
        }
    }
    if let (true, Some(step)) = (logs.is_empty(), step) {
        return Err(no_log(run.id(), step));
    }
    let json: Vec<serde_json::Value> = logs
        .iter()
        .map(|(step, attempt, text)| {
            serde_json::json!({ "step": step, "attempt": attempt, "output": text })
        })
        .collect();
    context.output.result(&json, || {
        let mut text = String::new();
        for (step, attempt, output) in &logs {
            let _ = writeln!(text, "== {step}, attempt {attempt}\n{}", output.trim_end());
        }
        text
    })?;
    Ok(Ending::Done)
}

pub(super) fn report(wanted: &str, context: &Context) -> Result<Ending> {
    let state_dir = state_dir(context)?;
    let run = Store::in_dir(&state_dir).find(wanted)?;
    let report = runbook::report(&run, &state_dir, &registry())?;
    context.output.result(&report, || report.to_markdown())?;
    Ok(Ending::Done)
}
