//! Everything that can be wrong with a runbook, found before anything runs.

mod names;
mod parameters;
mod steps;

use super::action::Registry;
use super::document::{Fault, Node, Place, parse, read};
use super::model::Runbook;
use super::parameters::Parameters;
use super::repeat::unrolled;
use crate::error::{Code, Error, Result};

/// A runbook that holds, with the places of its parts.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The runbook.
    pub runbook: Runbook,
    /// Its exact text.
    pub text: String,
    /// The file it was read from, or what stands for it.
    pub source: String,
    pub(super) root: Node,
}

/// Reads a runbook and refuses it unless it can be run.
///
/// # Errors
/// `runbook_invalid`: the first thing that is wrong, with line, column and what helps.
pub fn check(source: &str, text: &str, registry: &Registry) -> Result<Checked> {
    let checked = accept(text, registry).map_err(|fault| fault.of(source))?;
    let (root, runbook) = checked;
    Ok(Checked { runbook, text: text.to_owned(), source: source.to_owned(), root })
}

fn accept(text: &str, registry: &Registry) -> Result<(Node, Runbook), Fault> {
    let root = parse(text)?;
    let runbook: Runbook = read(&root)?;
    if !is_name(&runbook.name) {
        return Err(Fault::new(place(&root, "name"), format!("`{}` is no name", runbook.name))
            .hint("write lower-case letters, digits and hyphens, as `partial-data-loss`"));
    }
    if runbook.steps.is_empty() {
        return Err(Fault::new(place(&root, "steps"), "it has no steps")
            .hint("add one: `- id: look` with its `action`"));
    }
    parameters::check(&root, &runbook)?;
    steps::check(&root, &runbook, registry)?;
    Ok((root, runbook))
}

impl Checked {
    /// The same with the steps that these parameters make of it.
    ///
    /// # Errors
    /// As [`unrolled`].
    pub(super) fn unrolled(&self, parameters: &Parameters) -> Result<Self> {
        Ok(Self { runbook: unrolled(&self.runbook, parameters)?, ..self.clone() })
    }

    /// Where a step stands.
    pub(super) fn place_of(&self, step: &str) -> Place {
        let nodes = ["steps", "rescue"].iter().filter_map(|key| self.root.get(key));
        let mut steps = nodes.flat_map(Node::items);
        let step = step.split(':').next();
        let found = steps.find(|node| node.get("id").and_then(Node::as_text) == step);
        found.map_or(Place::default(), |node| node.place)
    }

    /// The secret of this parameter does not lie where it should.
    pub(super) fn missing_secret(&self, name: &str, error: &Error) -> Error {
        let place = self.root.get("parameters").map_or(Place::default(), |node| place(node, name));
        Error::new(Code::SecretMissing, "run", &self.source)
            .cause(format!("line {}, column {}: {error}", place.line, place.column))
            .hint(error.hint_text())
    }
}

/// Where the key of a map stands; where the map stands without it.
fn place(node: &Node, key: &str) -> Place {
    let entry = node.entries().iter().find(|entry| entry.key == key);
    entry.map_or(node.place, |entry| entry.place)
}

/// Lower-case letters, digits and hyphens.
fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|byte| word(byte) || byte == b'-')
}

/// A letter, then letters, digits, hyphens and underscores, all lower-case.
fn is_identifier(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests;
