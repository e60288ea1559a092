//! `notify`: tells somebody, through a command or a webhook.

use super::outputs;
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use crate::runbook::action::{Action, Outputs, Scope};
use crate::runbook::child::ChildCommand;
use crate::runbook::http::{Request, check_url, shown, shown_host};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

pub(in crate::runbook) struct Notify;

/// What is said, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The message.
    message: String,
    /// A program and its arguments, which reads the message on its standard input.
    #[serde(default)]
    command: Vec<String>,
    /// A url to which `{"text", "run", "step", "key"}` is posted as JSON.
    #[schemars(example = &"https://hooks.example.com/alert")]
    webhook: Option<String>,
    /// Headers of the webhook.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How long it may take.
    #[serde(default = "half_a_minute")]
    within: Timeout,
}

fn half_a_minute() -> Timeout {
    Timeout::seconds(30)
}

impl Action for Notify {
    type With = With;
    const NAME: &'static str = "notify";
    const ABOUT: &'static str = "Tells somebody, through a command or a webhook.";
    const OUTPUTS: &'static [&'static str] = &["status"];
    const SECRETS: &'static [&'static str] = &["webhook", "headers"];
    // A message that comes twice does no harm, one that never comes may.
    const IDEMPOTENT: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match (&with.webhook, with.command.as_slice()) {
            (Some(url), []) => check_url(url),
            (None, [_, ..]) => Ok(()),
            _ => Err("it needs either `command` or `webhook`".into()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let through = match &with.webhook {
            Some(url) => shown_host(url),
            None => with.command.join(" "),
        };
        format!("say through {through}: {}", with.message.trim())
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let said = tokio::time::timeout(with.within.duration(), say(with, scope)).await;
        said.unwrap_or_else(|_| {
            Err(Error::new(Code::ActionFailed, "notify", "through its command or webhook")
                .cause(format!("it took more than {}", with.within)))
        })
    }
}

async fn say(with: &With, scope: &Scope) -> Result<Outputs> {
    let Some(url) = &with.webhook else {
        let command = ChildCommand {
            argv: with.command.clone(),
            stdin: Some(with.message.clone()),
            ..ChildCommand::default()
        };
        let ended = scope.child(command).await?;
        return match ended.code {
            0 => Ok(outputs([("status", 0.into())])),
            code => Err(Error::new(Code::ActionFailed, "notify through", &with.command[0])
                .cause(format!("it ended with exit code {code}"))),
        };
    };
    // Whoever has the address may write there: no error and no log tells it.
    for secret in [url.clone(), shown(url)] {
        scope.learn(&secret, &[])?;
    }
    let body = json!({
        "text": with.message, "run": scope.run, "step": scope.step, "key": scope.key(),
    });
    let mut headers = with.headers.clone();
    headers.insert("content-type".into(), "application/json".into());
    headers.insert("idempotency-key".into(), scope.key());
    let request = Request {
        method: "POST".into(),
        url: url.clone(),
        headers,
        body: Some(body.to_string()),
        ca_file: None,
    };
    let answer = scope.unless_cancelled(request.send()).await?;
    match answer.status {
        status @ 200..300 => Ok(outputs([("status", status.into())])),
        status => Err(Error::new(Code::HttpFailed, "notify", shown_host(url))
            .cause(format!("the status is {status}"))),
    }
}
