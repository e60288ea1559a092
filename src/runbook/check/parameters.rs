//! The declared parameters.

use super::{is_identifier, place};
use crate::runbook::document::{Fault, Node};
use crate::runbook::model::{Parameter, ParameterType, Runbook, template_name};
use crate::runbook::parameters::default_order;
use crate::runbook::template::{self, Reference};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn check(root: &Node, runbook: &Runbook) -> Result<(), Fault> {
    let Some(declared) = root.get("parameters") else { return Ok(()) };
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for entry in declared.entries() {
        let Some(parameter) = runbook.parameters.get(&entry.key) else { continue };
        if !is_identifier(&entry.key) {
            return Err(Fault::new(entry.place, format!("`{}` is no parameter's name", entry.key))
                .hint("write lower-case letters, digits, `_` and `-`, as `compromised_since`"));
        }
        if let Some(other) = seen.insert(template_name(&entry.key), &entry.key) {
            let message = format!("`{}` and `{other}` are one name in templates", entry.key);
            return Err(Fault::new(entry.place, message).hint("rename one of them"));
        }
        one(&entry.value, &entry.key, parameter, runbook)?;
    }
    default_order(runbook).map(drop).map_err(|cycle| {
        let first = cycle.first().cloned().unwrap_or_default();
        let name = runbook.parameters.keys().find(|name| template_name(name) == first);
        let node = name.map_or(declared.place, |name| place(declared, name));
        Fault::new(node, format!("the defaults form a cycle: {}", cycle.join(" -> ")))
            .hint("give one of them a default that uses no other parameter")
    })
}

fn one(node: &Node, name: &str, parameter: &Parameter, runbook: &Runbook) -> Result<(), Fault> {
    let is_choice = parameter.kind == ParameterType::Choice;
    if is_choice == parameter.choices.is_empty() {
        let message = match is_choice {
            true => "a parameter of type `choice` needs `choices`",
            false => "only a parameter of type `choice` has `choices`",
        };
        return Err(
            Fault::new(node.place, message).hint("write `type: choice` and `choices: [a, b]`")
        );
    }
    if parameter.secret.is_some() && (parameter.default.is_some() || !is_text(parameter)) {
        return Err(Fault::new(
            place(node, "secret"),
            format!("the secret `{name}` is text that is read where it lies"),
        )
        .hint("leave out its `default` and its `type`"));
    }
    let Some(default) = &parameter.default else { return Ok(()) };
    let at = node.get("default").map_or(node.place, |node| node.place);
    if parameter.required && !parameter.kind.is_list() {
        return Err(Fault::new(at, "a required parameter has no default")
            .hint("leave out `required` or `default`"));
    }
    match default {
        Value::String(text) if template::is_template(text) => {
            let references = template::references(text).map_err(|cause| Fault::new(at, cause))?;
            references
                .iter()
                .try_for_each(|reference| reference_in_default(reference, runbook))
                .map_err(|fault| fault.at(at))
        }
        value => parameter.accept(value).map(drop).map_err(|expected| {
            Fault::new(at, format!("the default of `{name}` has to be {expected}"))
        }),
    }
}

fn is_text(parameter: &Parameter) -> bool {
    parameter.kind == ParameterType::String
}

fn reference_in_default(reference: &Reference, runbook: &Runbook) -> Result<(), Fault> {
    use serde::de::Error;
    let known =
        |name: &str| runbook.parameters.iter().find(|(known, _)| template_name(known) == name);
    match reference {
        Reference::Parameter(name) => match known(name) {
            Some((_, parameter)) if parameter.secret.is_none() => Ok(()),
            Some(_) => Err(Fault::custom(format!("the secret `{name}` may not become a default"))),
            None => Err(super::names::unknown_parameter(name, runbook)),
        },
        other => Err(Fault::custom(format!("a default may use parameters alone, not {other:?}"))),
    }
}
