//! The steps: their ids, their actions with parameters, and what their templates refer to.

use super::names::{Sight, cycle};
use super::{is_identifier, place};
use crate::runbook::action::{AnyAction, Registry};
use crate::runbook::document::{Content, Entry, Fault, Node, meant, quoted_list};
use crate::runbook::model::{Runbook, Step, template_name};
use crate::runbook::template::{self, Reference};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(root: &Node, runbook: &Runbook, registry: &Registry) -> Result<(), Fault> {
    let nodes: Vec<&Node> = ["steps", "rescue"]
        .iter()
        .flat_map(|key| root.get(key).map(Node::items).unwrap_or_default())
        .collect();
    let steps: Vec<(&Step, Vec<&str>)> =
        runbook.all_steps().map(|step| (step, outputs(step, registry))).collect();
    let mut ids = BTreeSet::new();
    for (node, (step, _)) in nodes.iter().zip(&steps) {
        let at = node.get("id").map_or(node.place, |id| id.place);
        if !is_identifier(&step.id) {
            return Err(Fault::new(at, format!("`{}` is no step's id", step.id))
                .hint("write lower-case letters, digits, `_` and `-`, as `stop-app`"));
        }
        if !ids.insert(template_name(&step.id)) {
            return Err(Fault::new(at, format!("another step has the id `{}` too", step.id))
                .hint("give each step an id of its own"));
        }
    }
    no_cycle(&nodes, &steps)?;
    for (done, (node, (step, _))) in nodes.iter().zip(&steps).enumerate() {
        let item = step.for_each.is_some();
        let sight = Sight { runbook, steps: &steps, done, result: false, secrets: false, item };
        one(node, step, sight, registry)?;
    }
    Ok(())
}

/// The outputs that a step is known to have; empty where any may be.
fn outputs<'a>(step: &'a Step, registry: &Registry) -> Vec<&'a str> {
    if !step.outputs.is_empty() {
        return step.outputs.keys().map(String::as_str).collect();
    }
    // What is done instead returns something else.
    match registry.get(&step.action) {
        Some(action) if step.rescue.is_empty() && step.probe.is_none() => action.outputs().to_vec(),
        _ => Vec::new(),
    }
}

fn no_cycle(nodes: &[&Node], steps: &[(&Step, Vec<&str>)]) -> Result<(), Fault> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, (step, _)) in nodes.iter().zip(steps) {
        let own = texts.entry(template_name(&step.id)).or_default();
        let mut add = |_: &[&str], _: &Node, text: &str| own.push(text.to_owned());
        ["with", "if"]
            .iter()
            .filter_map(|key| node.get(key))
            .for_each(|node| node.each_text(&mut add));
    }
    let Some(cycle) = cycle(&texts) else { return Ok(()) };
    let first = cycle.first().cloned().unwrap_or_default();
    let at = nodes.iter().zip(steps).find(|(_, (step, _))| template_name(&step.id) == first);
    let at = at.map_or_else(Default::default, |(node, _)| node.place);
    Err(Fault::new(at, format!("the steps form a cycle: {}", cycle.join(" -> ")))
        .hint("a step may use the outputs of the steps before it alone"))
}

fn one(node: &Node, step: &Step, sight: Sight<'_>, registry: &Registry) -> Result<(), Fault> {
    let action = call(node, sight, registry, false)?;
    if let Some(each) = node.get("for_each") {
        for_each(each.as_text().unwrap_or_default(), sight)
            .map_err(|fault| fault.at(each.place))?;
    }
    if let Some(node) = node.get("if") {
        sight
            .expression(node.as_text().unwrap_or_default())
            .map_err(|fault| fault.at(node.place))?;
    }
    if let Some(prompt) = node.get("approval").and_then(|approval| approval.get("prompt")) {
        sight.text(prompt.as_text().unwrap_or_default()).map_err(|fault| fault.at(prompt.place))?;
    }
    if let Some(retry) = node.get("retry")
        && !((1.0..=10.0).contains(&step.retry.backoff) && step.retry.limit <= 1000)
    {
        return Err(Fault::new(retry.place, "`limit` is at most 1000 and `backoff` from 1 to 10"));
    }
    for check in node.get("preconditions").map(Node::items).unwrap_or_default() {
        call(check, sight, registry, true)?;
    }
    let after = Sight { done: sight.done + 1, ..sight };
    if let Some(probe) = node.get("probe") {
        call(probe, sight, registry, true)?;
        if let Some(partial) = probe.get("partial") {
            call(partial, sight, registry, true)?;
        }
    }
    if let Some(cleanup) = node.get("cleanup") {
        if step.probe.is_none() && !action.probes() {
            return Err(Fault::new(
                cleanup.place,
                "`cleanup` needs a `probe` that says when it is due",
            ));
        }
        call(cleanup, sight, registry, false)?;
    }
    for check in node.get("verify").map(Node::items).unwrap_or_default() {
        call(check, Sight { result: true, ..sight }, registry, true)?;
    }
    for check in node.get("recheck").map(Node::items).unwrap_or_default() {
        call(check, after, registry, true)?;
    }
    if let Some(compensate) = node.get("compensate") {
        call(compensate, after, registry, false)?;
    }
    for instead in node.get("rescue").map(Node::items).unwrap_or_default() {
        call(instead, sight, registry, false)?;
    }
    for Entry { key, place, value } in node.get("outputs").map(Node::entries).unwrap_or_default() {
        if !is_identifier(key) {
            return Err(Fault::new(*place, format!("`{key}` is no output's name")));
        }
        let sight = Sight { result: true, ..sight };
        sight
            .expression(value.as_text().unwrap_or_default())
            .map_err(|fault| fault.at(value.place))?;
    }
    Ok(())
}

/// For what a step is done is known before the first step.
fn for_each(text: &str, sight: Sight<'_>) -> Result<(), Fault> {
    use serde::de::Error;
    let sight = Sight { item: false, done: 0, ..sight };
    sight.text(text)?;
    let references = template::references(text).map_err(Fault::custom)?;
    match references.iter().all(|reference| matches!(reference, Reference::Parameter(_))) {
        true if !references.is_empty() => Ok(()),
        _ => Err(Fault::custom("`for_each` takes a list that is a parameter").hint(
            "write `for_each: \"{{ params.databases }}\"` with a parameter of type `databases`",
        )),
    }
}

/// Checks an action with its parameters; `checks` where it may change nothing.
fn call<'r>(
    node: &Node,
    sight: Sight<'_>,
    registry: &'r Registry,
    checks: bool,
) -> Result<&'r dyn AnyAction, Fault> {
    let name = node.get("action").and_then(Node::as_text).unwrap_or_default();
    let at = node.get("action").map_or(node.place, |action| action.place);
    let Some(action) = registry.get(name) else {
        let names: Vec<&str> = registry.all().map(AnyAction::name).collect();
        let all = format!("the actions are {}", quoted_list(names.iter().copied()));
        let hint = match meant(name, names) {
            Some(word) => format!("did you mean `{word}`? {all}"),
            None => all,
        };
        return Err(Fault::new(at, format!("there is no action `{name}`")).hint(hint));
    };
    if checks && !action.may_check() {
        return Err(Fault::new(at, format!("`{name}` changes something, so it is no check"))
            .hint("use one that only looks, such as `sql.assert`, `file.assert` or `shell`"));
    }
    let empty = Node { place: place(node, "with"), content: Content::Map(Vec::new()) };
    let with = node.get("with").unwrap_or(&empty);
    if !matches!(with.content, Content::Map(_)) {
        return Err(Fault::new(with.place, "`with` takes keys with values"));
    }
    let mut wrong = None;
    with.each_text(&mut |path, node, text| {
        let secrets = path.first().is_some_and(|key| action.secrets().contains(key));
        if wrong.is_none()
            && let Err(fault) = (Sight { secrets, ..sight }).text(text)
        {
            wrong = Some(fault.at(node.place));
        }
    });
    match wrong {
        Some(fault) => Err(fault),
        None => {
            action.prepare(&filled(with, &action.schema()))?;
            Ok(action)
        }
    }
}

/// The parameters with examples of the right type in the place of templates.
fn filled(node: &Node, schema: &Value) -> Node {
    let schema = present(schema);
    let content = match &node.content {
        Content::Text(text) if template::is_template(text) => {
            return Node::from_json(node.place, example(schema, text));
        }
        Content::List(items) => {
            Content::List(items.iter().map(|item| filled(item, &schema["items"])).collect())
        }
        Content::Map(entries) => {
            let of = |key: &str| match &schema["properties"][key] {
                Value::Null => &schema["additionalProperties"],
                property => property,
            };
            let fill = |entry: &Entry| Entry {
                value: filled(&entry.value, of(&entry.key)),
                ..entry.clone()
            };
            Content::Map(entries.iter().map(fill).collect())
        }
        other => other.clone(),
    };
    Node { place: node.place, content }
}

/// The schema of what an optional key holds when it is there.
fn present(schema: &Value) -> &Value {
    let options = schema["anyOf"].as_array().into_iter().flatten();
    options.into_iter().find(|option| option["type"] != "null").unwrap_or(schema)
}

/// A value that fits a schema.
fn example(schema: &Value, text: &str) -> Value {
    if let Some(example) = schema["examples"].as_array().and_then(|examples| examples.first()) {
        return example.clone();
    }
    let words = schema["enum"].as_array().and_then(|words| words.first());
    let constants = schema["oneOf"].as_array().and_then(|options| options.first()?.get("const"));
    if let Some(word) = words.or(constants) {
        return word.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(serde_json::Map::new()),
        // A text of the template itself fits what is wanted of texts: not to be empty.
        _ => text.into(),
    }
}
