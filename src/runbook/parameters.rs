//! What was given to a run: each parameter's value, and where its secrets lie.

use super::document::{meant, quoted_list};
use super::http::shown_host;
use super::model::{INCIDENT, ParameterType, Runbook, SecretSource, template_name};
use super::template::{self, Reference};
use crate::clock;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How far the clock of whoever noticed the disaster may be ahead.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

/// The parameters of one run, resolved once and for all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The values of those that are no secrets; null where nothing was given.
    pub values: BTreeMap<String, Value>,
    /// Where the secrets lie.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Those that are addresses of webhooks, of which whoever knows one may write there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<String>,
}

impl Parameters {
    /// What `given` on the command line, the defaults of the runbook and the names in `config`
    /// come to.
    ///
    /// # Errors
    /// `usage` for a parameter that there is not, that has another type, that names what the
    /// config does not have, or that is missing.
    pub fn resolve(runbook: &Runbook, given: &[(String, String)], config: &Config) -> Result<Self> {
        let mut resolved = Self { addresses: addresses(runbook), ..Self::default() };
        for (name, text) in given {
            let Some(parameter) = runbook.parameters.get(name) else {
                return Err(unknown(runbook, name));
            };
            if parameter.secret.is_some() {
                resolved.secrets.insert(name.clone(), source(name, text)?);
                continue;
            }
            let value = parameter.accept(&text.as_str().into()).map_err(|expected| {
                usage(name).cause(format!("expected {expected}, found `{text}`"))
            })?;
            match (parameter.kind, resolved.values.get_mut(name), value) {
                (ParameterType::Queries, Some(Value::Array(all)), Value::Array(more)) => {
                    all.extend(more);
                }
                (_, _, value) => {
                    resolved.values.insert(name.clone(), value);
                }
            }
        }
        for (name, parameter) in &runbook.parameters {
            match &parameter.secret {
                Some(secret) => {
                    resolved.secrets.entry(name.clone()).or_insert_with(|| secret.clone());
                }
                None if parameter.required
                    && !parameter.kind.is_list()
                    && !resolved.values.contains_key(name) =>
                {
                    return Err(usage(name)
                        .cause("the runbook needs it")
                        .hint(format!("add --param {name}=VALUE; {}", parameter.description)));
                }
                None => {}
            }
        }
        resolved.fill_in_defaults(runbook, config)?;
        resolved.check_incident()?;
        resolved.check_names(runbook, config)?;
        Ok(resolved)
    }

    /// Defaults may use other parameters, so they are resolved in the order of their use.
    fn fill_in_defaults(&mut self, runbook: &Runbook, config: &Config) -> Result<()> {
        for name in default_order(runbook).unwrap_or_default() {
            let Some(parameter) = runbook.parameters.get(&name) else { continue };
            if parameter.secret.is_some() || self.values.contains_key(&name) {
                continue;
            }
            let value = match &parameter.default {
                None => match in_config(parameter.kind, config) {
                    Some(names) => json!(names),
                    None if parameter.kind.is_list() => json!([]),
                    None => Value::Null,
                },
                Some(default) => {
                    let names = json!({ "params": self.names() });
                    let rendered = template::render_all(default, &names)?;
                    parameter.accept(&rendered).map_err(|expected| {
                        usage(&name).cause(format!("expected {expected} as its default"))
                    })?
                }
            };
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Refuses a disaster that is yet to come: nothing could be measured from it.
    fn check_incident(&self) -> Result<()> {
        for name in INCIDENT {
            let text = self.values.get(name).and_then(Value::as_str);
            let at: Option<Timestamp> = text.and_then(|text| text.parse().ok());
            if let Some(at) = at.filter(|at| *at > clock::now() + CLOCKS_APART) {
                return Err(usage(name)
                    .cause(format!("{at} is in the future"))
                    .hint("times are those of UTC unless they say otherwise"));
            }
        }
        Ok(())
    }

    /// Refuses names that the config does not have, and lists that must not be empty and are.
    fn check_names(&self, runbook: &Runbook, config: &Config) -> Result<()> {
        for (name, parameter) in runbook.parameters.iter().filter(|(_, it)| it.kind.is_list()) {
            let given = self.list(name);
            if parameter.required && given.is_empty() {
                return Err(usage(name)
                    .cause("the runbook needs at least one")
                    .hint(format!("add --param {name}=A,B; {}", parameter.description)));
            }
            let known = match parameter.kind {
                // Others than those of the config may be meant.
                ParameterType::Containers => continue,
                kind => in_config(kind, config),
            };
            let Some(known) = known else { continue };
            let known = || known.iter().map(String::as_str);
            let Some(strange) = given.iter().find(|one| known().all(|known| known != **one)) else {
                continue;
            };
            let hint = match meant(strange, known()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it has {}", quoted_list(known())),
            };
            return Err(usage(name).cause(format!("the config has no `{strange}`")).hint(hint));
        }
        Ok(())
    }

    /// The texts of a parameter that is a list.
    fn list(&self, name: &str) -> Vec<String> {
        let items = self.values.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// What is shown of them: of an address where it leads, and nothing else.
    pub(super) fn shown(&self) -> Self {
        let mut shown = Self { addresses: BTreeSet::new(), ..self.clone() };
        for (name, value) in &mut shown.values {
            if let (true, Some(url)) = (self.addresses.contains(name), value.as_str()) {
                *value = shown_host(url).into();
            }
        }
        shown
    }

    /// The values as templates see them.
    pub(super) fn names(&self) -> Map<String, Value> {
        self.values.iter().map(|(name, value)| (template_name(name), value.clone())).collect()
    }

    /// The values as templates see them, with the secrets.
    pub(super) fn with_secrets(&self, secrets: &BTreeMap<String, String>) -> Value {
        let mut names = self.names();
        names.extend(
            secrets.iter().map(|(name, value)| (template_name(name), value.as_str().into())),
        );
        Value::Object(names)
    }
}

/// The parameters with those that a default uses before those that have it.
///
/// # Errors
/// The names of a cycle.
pub(super) fn default_order(runbook: &Runbook) -> Result<Vec<String>, Vec<String>> {
    let uses: BTreeMap<String, Vec<String>> = runbook
        .parameters
        .iter()
        .map(|(name, parameter)| {
            let text = parameter.default.as_ref().and_then(Value::as_str).unwrap_or_default();
            let references = template::references(text).unwrap_or_default();
            let names = references.into_iter().filter_map(|reference| match reference {
                Reference::Parameter(used) => Some(used),
                _ => None,
            });
            (template_name(name), names.collect())
        })
        .collect();
    let order = in_order(&uses)?;
    let by_template: BTreeMap<String, &String> =
        runbook.parameters.keys().map(|name| (template_name(name), name)).collect();
    Ok(order.iter().filter_map(|name| by_template.get(name)).map(|name| (*name).clone()).collect())
}

/// The keys of a graph, each after all that it uses.
///
/// # Errors
/// The keys of a cycle, the first one again at its end.
pub(super) fn in_order(uses: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, Vec<String>> {
    fn visit(
        name: &String,
        uses: &BTreeMap<String, Vec<String>>,
        path: &mut Vec<String>,
        done: &mut Vec<String>,
    ) -> Result<(), Vec<String>> {
        if done.contains(name) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|on_path| on_path == name) {
            let mut cycle = path[start..].to_vec();
            cycle.push(name.clone());
            return Err(cycle);
        }
        path.push(name.clone());
        for used in uses.get(name).into_iter().flatten() {
            visit(used, uses, path, done)?;
        }
        path.pop();
        done.push(name.clone());
        Ok(())
    }
    let mut done = Vec::new();
    for name in uses.keys() {
        visit(name, uses, &mut Vec::new(), &mut done)?;
    }
    Ok(done)
}

/// The parameters that a step takes as the address of a webhook.
fn addresses(runbook: &Runbook) -> BTreeSet<String> {
    let texts = runbook.all_steps().filter_map(|step| step.with.get("webhook")?.as_str());
    let references = texts.flat_map(|text| template::references(text).unwrap_or_default());
    let used: Vec<String> = references
        .filter_map(|reference| match reference {
            Reference::Parameter(name) => Some(name),
            _ => None,
        })
        .collect();
    let names = runbook.parameters.keys();
    names.filter(|name| used.contains(&template_name(name))).cloned().collect()
}

/// What the config has of the kind that a parameter of this type names.
fn in_config(kind: ParameterType, config: &Config) -> Option<Vec<String>> {
    match kind {
        ParameterType::Databases => {
            Some(config.databases.iter().map(|it| it.name.clone()).collect())
        }
        ParameterType::Files => Some(config.files.iter().map(|it| it.name.clone()).collect()),
        ParameterType::Containers => {
            Some(config.containers.iter().map(|it| it.select.to_string()).collect())
        }
        _ => None,
    }
}

fn usage(name: &str) -> Error {
    Error::new(Code::Usage, "accept the parameter", name)
}

fn unknown(runbook: &Runbook, name: &str) -> Error {
    let names = || runbook.parameters.keys().map(String::as_str);
    let all = match runbook.parameters.is_empty() {
        true => "it takes none".to_owned(),
        false => format!("its parameters are {}", quoted_list(names())),
    };
    let hint = match meant(name, names()) {
        Some(word) => format!("did you mean `{word}`? {all}"),
        None => all,
    };
    usage(name).cause(format!("the runbook `{}` does not know it", runbook.name)).hint(hint)
}

/// A secret is never written on a command line, where everybody can read it.
fn source(name: &str, text: &str) -> Result<SecretSource> {
    match text.split_once(':') {
        Some(("env", variable)) => Ok(SecretSource::Env(variable.into())),
        Some(("file", path)) => Ok(SecretSource::File(PathBuf::from(path))),
        _ => Err(usage(name)
            .cause("it is a secret, which is not written on a command line")
            .hint(format!("write --param {name}=env:NAME or --param {name}=file:PATH"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{parse, read};
    use super::*;

    fn runbook(parameters: &str) -> Runbook {
        let text = format!(
            "name: a\ntitle: A\nparameters: {parameters}\nsteps: [{{id: x, action: wait}}]\n"
        );
        read(&parse(&text).unwrap()).unwrap()
    }

    fn resolve(parameters: &str, given: &[(&str, &str)]) -> Result<Parameters> {
        let given: Vec<(String, String)> =
            given.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        Parameters::resolve(&runbook(parameters), &given, &config())
    }

    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("backstop.toml");
        let text = "[stack]\nname = 's'\n[repository]\npath = 'r'\n[state]\ndir = 's'\n\
                    [[files]]\nname = 'a'\npath = 'a'\n[[files]]\nname = 'b'\npath = 'b'\n";
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).unwrap().config
    }

    #[test]
    fn names_are_those_of_the_config_and_all_of_them_by_themselves() {
        let parameters = "{trees: {type: files}, dbs: {type: databases}, some: {type: files, default: []}, l: {type: list, default: [x]}}";
        let resolved = resolve(parameters, &[]).unwrap();
        assert_eq!(resolved.values["trees"], json!(["a", "b"]));
        assert_eq!(resolved.values["dbs"], json!([]));
        assert_eq!(resolved.values["some"], json!([]));
        assert_eq!(resolved.values["l"], json!(["x"]));
        let resolved = resolve(parameters, &[("trees", "b"), ("l", "y, z")]).unwrap();
        assert_eq!(resolved.values["trees"], json!(["b"]));
        assert_eq!(resolved.values["l"], json!(["y", "z"]));
        let several = [("q", "SELECT 1, 2"), ("q", "SELECT 3")];
        let resolved = resolve("{q: {type: queries, default: [SELECT 0]}}", &several).unwrap();
        assert_eq!(resolved.values["q"], json!(["SELECT 1, 2", "SELECT 3"]));
        let error = resolve(parameters, &[("trees", "a,c")]).unwrap_err();
        assert!(error.to_string().contains("no `c`"), "{error}");
        let error = resolve("{dbs: {type: databases, required: true}}", &[]).unwrap_err();
        assert!(error.to_string().contains("at least one"), "{error}");
    }

    #[test]
    fn of_the_address_of_a_webhook_only_the_host_is_shown() {
        let text = "name: a\ntitle: A\nparameters: {hook: {}, other: {}}\nsteps:\n\
                    - {id: x, action: notify, with: {webhook: '{{ params.hook }}', message: m}}\n";
        let runbook = read(&parse(text).unwrap()).unwrap();
        let url = "https://u:p@hooks.example.com:8443/services/T0/tOkEn?key=tOkEn";
        let given = [("hook".to_owned(), url.to_owned()), ("other".to_owned(), url.to_owned())];
        let resolved = Parameters::resolve(&runbook, &given, &config()).unwrap();
        assert_eq!(resolved.values["hook"], url, "it is used as it was given");
        let shown = resolved.shown();
        assert_eq!(shown.values["hook"], "https://hooks.example.com:8443/***");
        assert_eq!(shown.values["other"], url);
        let kept = serde_json::to_value(&shown).unwrap();
        assert_eq!(kept.as_object().unwrap().len(), 2, "{kept}");
    }

    #[test]
    fn defaults_may_use_other_parameters() {
        let parameters = "{b: {default: '{{ params.a }}1'}, a: {type: integer, default: 4}, c: {}}";
        let resolved = resolve(parameters, &[]).unwrap();
        assert_eq!(resolved.values["b"], json!("41"));
        assert_eq!(resolved.values["c"], Value::Null);
        let resolved = resolve(parameters, &[("a", "7")]).unwrap();
        assert_eq!(resolved.values["b"], json!("71"));
    }

    #[test]
    fn wrong_missing_and_unknown_parameters_are_usage() {
        let parameters = "{count: {type: integer, required: true}}";
        for given in [&[][..], &[("count", "x")], &[("cuont", "1")]] {
            assert_eq!(resolve(parameters, given).unwrap_err().code(), Code::Usage);
        }
        let error = resolve(parameters, &[("cuont", "1")]).unwrap_err();
        assert!(error.hint_text().contains("did you mean `count`?"), "{}", error.hint_text());
    }

    #[test]
    fn a_secret_is_a_reference_and_never_a_value() {
        let parameters = "{key: {secret: {env: KEY}}}";
        let resolved = resolve(parameters, &[]).unwrap();
        assert_eq!(resolved.secrets["key"], SecretSource::Env("KEY".into()));
        let resolved = resolve(parameters, &[("key", "file:/run/key")]).unwrap();
        assert_eq!(resolved.secrets["key"], SecretSource::File("/run/key".into()));
        let error = resolve(parameters, &[("key", "hunter2")]).unwrap_err();
        assert!(error.code() == Code::Usage && !error.to_string().contains("hunter2"));
    }
}
