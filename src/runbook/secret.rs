//! Secrets: read where they lie, kept in memory alone, masked in everything that leaves it.

use super::model::SecretSource;
use crate::error::{Code, Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";
/// How long a secret may be.
const MAX_BYTES: u64 = 64 * 1024;

/// The secrets of one run.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What is masked, the longest first: the values, where one has several its lines, and what
    /// actions made. All clones share it.
    masked: Arc<RwLock<Vec<String>>>,
}

impl Secrets {
    /// Reads them all.
    ///
    /// # Errors
    /// `secret_missing`, naming the parameter and where its value should lie.
    pub fn read(sources: &BTreeMap<String, SecretSource>) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (name, source) in sources {
            values.insert(name.clone(), read(name, source)?);
        }
        let secrets = Self { values, masked: Arc::default() };
        secrets.values.values().for_each(|value| secrets.learn(value));
        Ok(secrets)
    }

    /// Masks a value from now on.
    pub(super) fn learn(&self, value: &str) {
        let mut masked = self.masked.write().unwrap_or_else(PoisonError::into_inner);
        // A line of a key is as secret as the key; a short one would mask half of any text.
        masked.extend(value.lines().filter(|line| line.len() >= 8).map(str::to_owned));
        masked.push(value.to_owned());
        // As it stands inside of JSON.
        let written = serde_json::Value::from(value).to_string();
        masked.extend(written.get(1..written.len() - 1).map(str::to_owned));
        masked.retain(|value| !value.is_empty());
        masked.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        masked.dedup();
    }

    /// Masks what lies in these files, a list of paths; one that is gone holds nothing.
    pub(super) fn learn_files(&self, files: &Value) {
        let paths = files.as_array().into_iter().flatten().filter_map(Value::as_str);
        for text in paths.filter_map(|path| std::fs::read_to_string(path).ok()) {
            self.learn(text.trim_end_matches('\n'));
        }
    }

    fn masked(&self) -> RwLockReadGuard<'_, Vec<String>> {
        self.masked.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secrets by the names of their parameters.
    pub(super) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// `text` without any secret.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.masked().iter() {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        text
    }

    /// Every text of `value` without any secret, keys too.
    pub(super) fn mask_json(&self, value: Value) -> Value {
        if self.masked().is_empty() {
            return value;
        }
        match value {
            Value::String(text) => self.mask(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.mask_json(item)).collect(),
            Value::Object(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (self.mask(&key), self.mask_json(value)))
                    .collect(),
            ),
            // A secret that is a number would show as one.
            Value::Number(number) if self.masked().contains(&number.to_string()) => MASK.into(),
            other => other,
        }
    }
}

/// They have no other text.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn read(name: &str, source: &SecretSource) -> Result<String> {
    let missing = || Error::new(Code::SecretMissing, "read the secret", name);
    let value = match source {
        SecretSource::Env(variable) => std::env::var(variable).map_err(|e| {
            missing()
                .cause(format!("${variable}: {e}"))
                .hint(format!("set {variable}, or give --param {name}=file:PATH"))
        })?,
        SecretSource::File(path) => {
            let mut text = String::new();
            std::fs::File::open(path)
                .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
                .map_err(|e| {
                    missing()
                        .cause(format!("{}: {e}", path.display()))
                        .hint(format!("write it there, or give --param {name}=env:NAME"))
                })?;
            text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
        }
    };
    match value.is_empty() {
        true => Err(missing().cause("it is empty").hint("a secret has at least one character")),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secrets(text: &str) -> Secrets {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Secrets::read(&BTreeMap::from([("key".into(), SecretSource::File(path))])).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let secrets = secrets("hunter2\n");
        assert_eq!(secrets.values()["key"], "hunter2");
        assert_eq!(secrets.mask("a hunter2 b hunter2"), "a *** b ***");
        assert_eq!(
            secrets.mask_json(json!({"x": ["hunter2!"], "n": 1})),
            json!({"x": ["***!"], "n": 1})
        );
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn the_lines_of_a_key_are_masked_too() {
        let secrets = secrets("-----BEGIN KEY-----\nabcdefghijkl\n");
        assert_eq!(secrets.mask("got abcdefghijkl"), "got ***");
    }

    #[test]
    fn a_secret_is_masked_as_it_stands_inside_of_json_and_what_is_learned_for_all_clones() {
        let secrets = secrets("say \"x\"");
        assert_eq!(secrets.mask(r#"{"key":"say \"x\""}"#), r#"{"key":"***"}"#);
        let clone = secrets.clone();
        secrets.learn("made later");
        assert_eq!(clone.mask("made later, say \"x\""), "***, ***");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        for source in [
            SecretSource::Env("BACKSTOP_NO_SUCH_VARIABLE".into()),
            SecretSource::File("/no/such/file".into()),
        ] {
            let error = Secrets::read(&BTreeMap::from([("key".into(), source)])).unwrap_err();
            assert_eq!(error.code(), Code::SecretMissing);
            assert!(error.to_string().contains("key"), "{error}");
        }
    }
}
