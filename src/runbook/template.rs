//! Templates and expressions (minijinja), with undefined names as errors.
//!
//! They see `params`, `steps` (the outputs of earlier steps), `run`, and where it says so
//! `result`. They cannot read files, include others or run for long.

use crate::error::{Code, Error, Result};
use minijinja::{Environment, UndefinedBehavior, Value as Rendered};
use serde_json::Value;
use std::io;

/// How many instructions one template may take.
const FUEL: u64 = 200_000;
/// How many bytes one template may become.
const MAX_RENDERED: usize = 1024 * 1024;
/// Functions that minijinja brings along.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// A name that a template uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reference {
    /// `params.NAME`
    Parameter(String),
    /// `steps.ID` and perhaps `.OUTPUT`
    Step(String, Option<String>),
    /// `run.NAME`
    Run(String),
    /// `result`
    Result,
    /// `item`
    Item,
    /// Something else.
    Unknown(String),
}

/// Whether a text is a template at all.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// What a template refers to, in order.
///
/// # Errors
/// What is wrong with its syntax.
pub(super) fn references(text: &str) -> Result<Vec<Reference>, String> {
    let environment = environment();
    let template = environment.template_from_str(text).map_err(|e| said(&e))?;
    Ok(named(template.undeclared_variables(true)))
}

/// As [`references`], for an expression without braces.
pub(super) fn expression_references(text: &str) -> Result<Vec<Reference>, String> {
    let environment = environment();
    let expression = environment.compile_expression(bare(text)).map_err(|e| said(&e))?;
    Ok(named(expression.undeclared_variables(true)))
}

fn named(names: impl IntoIterator<Item = String>) -> Vec<Reference> {
    let mut references: Vec<Reference> = names
        .into_iter()
        .filter(|name| !FUNCTIONS.contains(&name.as_str()))
        .map(|name| {
            let mut parts = name.split('.').map(str::to_owned);
            match (parts.next().as_deref(), parts.next(), parts.next()) {
                (Some("params"), Some(parameter), _) => Reference::Parameter(parameter),
                (Some("steps"), Some(step), output) => Reference::Step(step, output),
                (Some("run"), Some(field), _) => Reference::Run(field),
                (Some("result"), ..) => Reference::Result,
                (Some("item"), ..) => Reference::Item,
                _ => Reference::Unknown(name),
            }
        })
        .collect();
    references.sort();
    references
}

/// What a text becomes: a template that is nothing but `{{ expression }}` becomes the value of
/// the expression, any other a text.
///
/// # Errors
/// `template_failed`.
pub(super) fn render(text: &str, names: &Value) -> Result<Value> {
    if !is_template(text) {
        return Ok(text.into());
    }
    let environment = environment();
    let failed = |e: minijinja::Error| failed(text, &said(&e));
    if let Some(expression) = only_expression(text) {
        let value = environment
            .compile_expression(expression)
            .and_then(|it| it.eval(names))
            .map_err(failed)?;
        return to_json(text, &value);
    }
    let mut rendered = Bounded(Vec::new());
    let template = environment.template_from_str(text).map_err(failed)?;
    template.render_captured_to(names, &mut rendered).map_err(failed)?;
    Ok(String::from_utf8_lossy(&rendered.0).into_owned().into())
}

/// As [`render`], always as a text.
pub(super) fn render_text(text: &str, names: &Value) -> Result<String> {
    Ok(match render(text, names)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// What an expression without braces becomes.
pub(super) fn evaluate(text: &str, names: &Value) -> Result<Value> {
    let environment = environment();
    let value = environment
        .compile_expression(bare(text))
        .and_then(|expression| expression.eval(names))
        .map_err(|e| failed(text, &said(&e)))?;
    to_json(text, &value)
}

/// Whether an expression holds.
pub(super) fn holds(text: &str, names: &Value) -> Result<bool> {
    Ok(match evaluate(text, names)? {
        Value::Null => false,
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    })
}

/// Every text of `value` rendered.
pub(super) fn render_all(value: &Value, names: &Value) -> Result<Value> {
    Ok(match value {
        Value::String(text) => render(text, names)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_all(item, names)).collect::<Result<_>>()?)
        }
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), render_all(value, names)?)))
                .collect::<Result<_>>()?,
        ),
        other => other.clone(),
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_keep_trailing_newline(true);
    environment
}

/// An expression may be written in braces all the same.
fn bare(text: &str) -> &str {
    only_expression(text).unwrap_or(text)
}

/// The inside of a text that is `{{ … }}` and nothing else.
fn only_expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let other = ["{{", "}}", "{%", "{#"].iter().any(|mark| inside.contains(mark));
    (!other).then(|| inside.trim_matches('-').trim())
}

fn to_json(text: &str, value: &Rendered) -> Result<Value> {
    if value.is_undefined() {
        return Err(failed(text, "it is undefined"));
    }
    let json = serde_json::to_value(value).map_err(|e| failed(text, &e.to_string()))?;
    match json.to_string().len() > MAX_RENDERED {
        true => Err(failed(text, "it becomes too large")),
        false => Ok(json),
    }
}

fn failed(text: &str, cause: &str) -> Error {
    let shown: String = text.trim().chars().take(80).collect();
    Error::new(Code::TemplateFailed, "fill in", format!("`{shown}`")).cause(cause)
}

/// What minijinja says, without the part of the template that it would repeat.
fn said(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Takes what a template becomes, up to a limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(io::Error::other("it becomes too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Value {
        json!({ "params": { "port": 80, "name": "a" }, "steps": { "pick": { "ids": [1, 2] }, "left": {} } })
    }

    #[test]
    fn a_lone_expression_keeps_its_type_and_everything_else_is_text() {
        let render = |text| render(text, &names()).unwrap();
        assert_eq!(render("{{ params.port }}"), json!(80));
        assert_eq!(render("{{ steps.pick.ids }}"), json!([1, 2]));
        assert_eq!(render("port {{ params.port }}\n"), json!("port 80\n"));
        assert_eq!(render("plain"), json!("plain"));
        assert_eq!(render("{% raw %}{{.Names}}{% endraw %}"), json!("{{.Names}}"));
    }

    #[test]
    fn what_is_not_defined_is_an_error_and_may_be_asked_for() {
        for text in ["{{ params.prot }}", "x {{ params.prot }}", "{{ nothing }}"] {
            assert_eq!(render(text, &names()).unwrap_err().code(), Code::TemplateFailed, "{text}");
        }
        assert!(holds("steps.left.id is not defined", &names()).unwrap());
        assert!(holds("{{ params.port == 80 and params.name == 'a' }}", &names()).unwrap());
        assert_eq!(evaluate("steps.left.id | default('none')", &names()).unwrap(), json!("none"));
    }

    #[test]
    fn no_template_runs_for_long_or_becomes_large_or_reads_a_file() {
        let long = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(long, &names()).is_err());
        let include = "{% include '/etc/passwd' %}";
        assert!(render(include, &names()).is_err());
    }

    #[test]
    fn what_a_template_refers_to_is_found() {
        let found =
            references("{{ params.a }} {{ steps.b.c.d }} {% if run.id %}{% endif %}").unwrap();
        assert_eq!(
            found,
            [
                Reference::Parameter("a".into()),
                Reference::Step("b".into(), Some("c".into())),
                Reference::Run("id".into()),
            ]
        );
        let found = expression_references("result.x == 1 and env.HOME").unwrap();
        assert_eq!(found, [Reference::Result, Reference::Unknown("env.HOME".into())]);
        assert!(references("{{ params. }}").is_err());
        assert_eq!(references("{% for x in range(3) %}{{ x }}{% endfor %}").unwrap(), []);
    }
}
