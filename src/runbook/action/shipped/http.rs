//! `http.check`: a server answers as it should.

use super::outputs;
use crate::config::Timeout;
use crate::error::Result;
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use crate::runbook::http::{Request, check_url, shown};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(in crate::runbook) struct HttpCheck;

/// What is asked, and what has to be answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// Where; `http://` or `https://`.
    #[schemars(example = &"http://localhost:8080/health")]
    url: String,
    /// The method.
    #[serde(default = "get")]
    method: String,
    /// Headers that are sent.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What is sent.
    body: Option<String>,
    /// The codes that are good; without it those from 200 to 299.
    #[serde(default)]
    status: Vec<u16>,
    /// A text that the answer has to contain.
    contains: Option<String>,
    /// How long the answer may take.
    #[serde(default = "ten_seconds")]
    within: Timeout,
    /// The certificates to trust, as PEM; without it those of the system.
    ca_file: Option<PathBuf>,
}

fn get() -> String {
    "GET".into()
}

fn ten_seconds() -> Timeout {
    Timeout::seconds(10)
}

impl Action for HttpCheck {
    type With = With;
    const NAME: &'static str = "http.check";
    const ABOUT: &'static str = "Fails unless a web server answers as it should.";
    const OUTPUTS: &'static [&'static str] = &["status", "body"];
    const SECRETS: &'static [&'static str] = &["headers", "body"];
    const READS_ONLY: bool = true;

    fn check(with: &With) -> Result<(), String> {
        check_url(&with.url)
    }

    fn plan(&self, with: &With) -> String {
        format!("check that {} {} answers", with.method, shown(&with.url))
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let request = Request {
            method: with.method.clone(),
            url: with.url.clone(),
            headers: with.headers.clone(),
            body: with.body.clone(),
            ca_file: with.ca_file.clone(),
        };
        let what = || format!("{} answers", shown(&with.url));
        let answer = tokio::time::timeout(with.within.duration(), request.send());
        let answer = match scope.unless_cancelled(async { Ok(answer.await) }).await? {
            Err(_) => return Err(not_held(what(), format!("no answer within {}", with.within))),
            Ok(Err(error)) => return Err(not_held(what(), error)),
            Ok(Ok(answer)) => answer,
        };
        let good = match with.status.as_slice() {
            [] => (200..300).contains(&answer.status),
            codes => codes.contains(&answer.status),
        };
        if !good {
            return Err(not_held(what(), format!("the status is {}", answer.status)));
        }
        if let Some(text) = &with.contains
            && !answer.body.contains(text)
        {
            return Err(not_held(format!("{} with `{text}`", what()), "the answer lacks it"));
        }
        let body: String = answer.body.chars().take(4096).collect();
        Ok(outputs([("status", answer.status.into()), ("body", body.into())]))
    }
}
