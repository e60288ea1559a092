//! `tcp.check`: something listens.

use crate::config::Timeout;
use crate::error::Result;
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpStream;

pub(in crate::runbook) struct TcpCheck;

/// Where something has to listen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// A name or address.
    host: String,
    /// The port.
    port: u16,
    /// How long a connection may take.
    #[serde(default = "five_seconds")]
    within: Timeout,
    /// Whether something has to listen, or nothing may.
    #[serde(default = "yes")]
    open: bool,
}

fn five_seconds() -> Timeout {
    Timeout::seconds(5)
}

fn yes() -> bool {
    true
}

impl Action for TcpCheck {
    type With = With;
    const NAME: &'static str = "tcp.check";
    const ABOUT: &'static str = "Fails unless a port accepts connections, or none where none may.";
    const READS_ONLY: bool = true;

    fn plan(&self, with: &With) -> String {
        let what = if with.open { "something listens" } else { "nothing listens" };
        format!("check that {what} on {}:{}", with.host, with.port)
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let dial = TcpStream::connect((with.host.as_str(), with.port));
        let dial = tokio::time::timeout(with.within.duration(), dial);
        let found = match scope.unless_cancelled(async { Ok(dial.await) }).await? {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(e.to_string()),
            Err(_) => Some(format!("no answer within {}", with.within)),
        };
        match (with.open, found) {
            (true, Some(why)) => {
                Err(not_held(format!("something listens on {}:{}", with.host, with.port), why))
            }
            (false, None) => Err(not_held(
                format!("nothing listens on {}:{}", with.host, with.port),
                "a connection was accepted",
            )),
            _ => Ok(Outputs::new()),
        }
    }
}
