//! What acts: plan, run, resume.

use super::super::Ending;
use super::super::context::Context;
use super::super::signal::until_interrupted;
use super::onlooker::Onlooker;
use super::{Consent, library, print, registry, state_dir};
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::runbook::{
    self, Audience, Checked, Ended, Engine, Outcome, Parameters, Registry, Store,
};
use std::sync::Arc;

/// Under which word it is kept that a run works on another repository than the config's own.
const REPOSITORY: &str = "repository";

pub(super) async fn plan(
    name: &str,
    given: &[(String, String)],
    context: &Context,
) -> Result<Ending> {
    let registry = registry();
    let checked = library(context)?.find(name, &registry)?;
    let setting = context.setting()?;
    let parameters = Parameters::resolve(&checked.runbook, given, &setting.config)?;
    let planned = runbook::plan(&setting, &registry, &checked, parameters);
    let plan = until_interrupted(&context.cancel, planned).await?;
    context.output.result(&plan, || print::plan(&plan))?;
    Ok(if plan.blocked { Ending::Failed } else { Ending::Done })
}

pub(super) async fn run(
    name: &str,
    given: &[(String, String)],
    consent: Consent,
    context: &Context,
) -> Result<Ending> {
    let checked = library(context)?.find(name, &registry())?;
    begin(&checked, given, consent, context).await
}

/// Runs a runbook that was found.
pub(super) async fn begin(
    checked: &Checked,
    given: &[(String, String)],
    consent: Consent,
    context: &Context,
) -> Result<Ending> {
    let engine = engine(consent.yes, context)?;
    if !consent.force {
        engine.refuse_beside_another()?;
    }
    let config = &engine.setting.config;
    let parameters = Parameters::resolve(&checked.runbook, given, config)?;
    let run = engine.start(checked, parameters);
    let (id, outcome) = until_interrupted(&context.cancel, run).await?;
    finish_run(&engine, &id, &outcome, context)
}

pub(super) async fn resume(
    wanted: &str,
    force: bool,
    yes: bool,
    context: &Context,
) -> Result<Ending> {
    let run = Store::in_dir(&state_dir(context)?).find(wanted)?;
    // It goes on with the repository with which it was begun.
    let begun = run.state.created.labels.get(REPOSITORY);
    let context = &context.with_repository(begun.cloned());
    let now = elsewhere(&context.loaded()?.config);
    if now.as_ref() != begun && !force {
        let place =
            |place: Option<&String>| place.map_or("the config's own", String::as_str).to_owned();
        return Err(Error::new(Code::RunRefused, "resume run", run.id()).cause(format!(
            "it works on the repository {}, not on {}",
            place(begun),
            place(now.as_ref())
        )));
    }
    let engine = engine(yes, context)?;
    let run = engine.resume(wanted, force);
    let (id, outcome) = until_interrupted(&context.cancel, run).await?;
    finish_run(&engine, &id, &outcome, context)
}

/// The repository, where it is another than the config's own.
fn elsewhere(config: &Config) -> Option<String> {
    (!config.is_at_home()).then(|| config.repository.place().to_string())
}

fn engine(yes: bool, context: &Context) -> Result<Engine> {
    engine_with(registry(), Arc::new(Onlooker::new(&context.output)), yes, context)
}

/// An engine that knows these actions.
pub(in crate::cli) fn engine_with(
    registry: Arc<Registry>,
    audience: Arc<dyn Audience>,
    yes: bool,
    context: &Context,
) -> Result<Engine> {
    let setting = context.setting()?;
    let elsewhere = elsewhere(&setting.config);
    Ok(Engine {
        setting,
        registry,
        audience,
        yes,
        labels: elsewhere.map(|place| (REPOSITORY.to_owned(), place)).into_iter().collect(),
        points: None,
    })
}

/// Prints the run as it is now; its outcome is the exit code.
pub(in crate::cli) fn finish_run(
    engine: &Engine,
    id: &str,
    outcome: &Outcome,
    context: &Context,
) -> Result<Ending> {
    let state_dir = &engine.setting.config.state.dir;
    let run = engine.store().open(id)?;
    let view = runbook::view(&run, state_dir, &engine.registry)?;
    context.output.result(&view, || print::run(&view))?;
    match outcome {
        Outcome::Ended(Ended::Succeeded) => Ok(Ending::Done),
        Outcome::Waiting { .. } | Outcome::Paused { .. } => Ok(Ending::Waiting),
        Outcome::Ended(ended) => {
            let said = view.error.as_ref().and_then(|error| error["message"].as_str());
            let cause = said.unwrap_or("a step failed").to_owned();
            let how = if *ended == Ended::Aborted { "was aborted: " } else { "" };
            Err(Error::new(Code::RunFailed, "complete run", id)
                .cause(format!("{how}{cause}"))
                .hint(format!("`backstop runbook report {id}` says what was done")))
        }
    }
}
