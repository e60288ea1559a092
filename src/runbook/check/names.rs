//! What the templates of a runbook refer to.

use crate::runbook::document::{Fault, meant, quoted_list};
use crate::runbook::model::{Runbook, Step, template_name};
use crate::runbook::template::{self, Reference};
use serde::de::Error;
use std::collections::BTreeMap;

/// What `run` has.
pub(in crate::runbook) const RUN_FIELDS: [&str; 9] =
    ["id", "started_at", "host", "user", "stack", "runbook", "version", "failed_step", "dir"];

/// What the templates in one place may see.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) runbook: &'a Runbook,
    /// All steps, in order, with the outputs that are known; none where any name is good.
    pub(super) steps: &'a [(&'a Step, Vec<&'a str>)],
    /// How many of these have been done then.
    pub(super) done: usize,
    /// Whether there is a `result`.
    pub(super) result: bool,
    /// Whether a secret may stand there.
    pub(super) secrets: bool,
    /// Whether there is an `item`.
    pub(super) item: bool,
}

impl Sight<'_> {
    /// Refuses a text that refers to what is not there.
    pub(super) fn text(&self, text: &str) -> Result<(), Fault> {
        if !template::is_template(text) {
            return Ok(());
        }
        let references = template::references(text).map_err(syntax)?;
        references.iter().try_for_each(|reference| self.reference(reference))
    }

    /// As [`text`](Self::text), for an expression.
    pub(super) fn expression(&self, text: &str) -> Result<(), Fault> {
        let references = template::expression_references(text).map_err(syntax)?;
        references.iter().try_for_each(|reference| self.reference(reference))
    }

    fn reference(&self, reference: &Reference) -> Result<(), Fault> {
        match reference {
            Reference::Parameter(name) => self.parameter(name),
            Reference::Step(name, output) => self.step(name, output.as_deref()),
            Reference::Run(field) if RUN_FIELDS.contains(&field.as_str()) => Ok(()),
            Reference::Run(field) => Err(Fault::custom(format!("`run` has no `{field}`"))
                .hint(format!("it has {}", quoted_list(RUN_FIELDS)))),
            Reference::Result if self.result => Ok(()),
            Reference::Result => Err(Fault::custom("there is no `result` here")
                .hint("what a step returned is `steps.ID.NAME` for later steps")),
            Reference::Item if self.item => Ok(()),
            Reference::Item => Err(Fault::custom("there is no `item` here")
                .hint("a step with `for_each` is done for each `item` of it")),
            Reference::Unknown(name) => Err(Fault::custom(format!("`{name}` is not defined"))
                .hint("templates know `params.NAME`, `steps.ID.OUTPUT` and `run.NAME`")),
        }
    }

    fn parameter(&self, name: &str) -> Result<(), Fault> {
        let known = self.runbook.parameters.iter().find(|(known, _)| template_name(known) == name);
        match known {
            None => Err(unknown_parameter(name, self.runbook)),
            Some((_, parameter)) if parameter.secret.is_some() && !self.secrets => {
                Err(Fault::custom(format!("the secret `{name}` may not stand here"))
                    .hint("it would be seen; give it to a program in `env` or `stdin`"))
            }
            Some(_) => Ok(()),
        }
    }

    fn step(&self, name: &str, output: Option<&str>) -> Result<(), Fault> {
        let place = self.steps.iter().position(|(step, _)| template_name(&step.id) == name);
        let Some(place) = place else {
            let names: Vec<String> =
                self.steps.iter().map(|(step, _)| template_name(&step.id)).collect();
            let hint = match meant(name, names.iter().map(String::as_str)) {
                Some(word) => format!("did you mean `steps.{word}`?"),
                None => format!("the steps are {}", quoted_list(names.iter().map(String::as_str))),
            };
            return Err(Fault::custom(format!("there is no step `{name}`")).hint(hint));
        };
        if place >= self.done {
            let message = match place == self.done {
                true => format!("step `{name}` refers to itself"),
                false => format!("step `{name}` comes later"),
            };
            return Err(Fault::custom(message)
                .hint("a step knows the outputs of the steps before it; move one of them"));
        }
        let (step, outputs) = &self.steps[place];
        match output {
            Some(output) if step.for_each.is_some() => match outputs.contains(&output) {
                false => Ok(()),
                true => Err(Fault::custom(format!("step `{name}` is done for each of several"))
                    .hint(format!("write `steps.{name}[item].{output}`"))),
            },
            Some(output) if !outputs.is_empty() && !outputs.contains(&output) => {
                let all = quoted_list(outputs.iter().copied());
                Err(Fault::custom(format!("step `{name}` has no output `{output}`"))
                    .hint(format!("it has {all}")))
            }
            _ => Ok(()),
        }
    }
}

fn syntax(cause: String) -> Fault {
    Fault::custom(format!("the template cannot be read: {cause}"))
        .hint("write `{{ params.NAME }}`; braces that are meant as such stand between {% raw %} and {% endraw %}")
}

pub(super) fn unknown_parameter(name: &str, runbook: &Runbook) -> Fault {
    let names: Vec<String> = runbook.parameters.keys().map(|name| template_name(name)).collect();
    let hint = match meant(name, names.iter().map(String::as_str)) {
        Some(word) => format!("did you mean `params.{word}`?"),
        None => format!("declare it under `parameters`: `{name}: {{ type: string }}`"),
    };
    Fault::custom(format!("there is no parameter `{name}`")).hint(hint)
}

/// The steps that refer to each other in a circle, if any do.
pub(super) fn cycle(texts: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let uses: BTreeMap<String, Vec<String>> = texts
        .iter()
        .map(|(step, texts)| {
            let used = texts.iter().flat_map(|text| {
                let found = template::references(text);
                found.or_else(|_| template::expression_references(text)).unwrap_or_default()
            });
            let steps = used.filter_map(|reference| match reference {
                Reference::Step(other, _) if other != *step => Some(other),
                _ => None,
            });
            (step.clone(), steps.collect())
        })
        .collect();
    crate::runbook::parameters::in_order(&uses).err()
}
