//! A terminal or a program that looks on while a run goes on.

use super::super::output::Output;
use super::super::table;
use crate::clock;
use crate::printable::printable;
use crate::runbook::{Audience, News, Reply, StepState, WaitingFor};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use tokio_util::sync::CancellationToken;

/// Writes lines for people, or JSON lines, on stderr; asks on a terminal.
pub(in crate::cli) struct Onlooker {
    output: Output,
    colors: bool,
    /// The step whose output people see otherwise.
    passed_through: Option<&'static str>,
}

impl Onlooker {
    pub(in crate::cli) fn new(output: &Output) -> Self {
        let colors = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { output: output.clone(), colors, passed_through: None }
    }

    /// One who leaves out the output of this step: it is passed through as it is.
    pub(in crate::cli) fn without_output_of(self, step: &'static str) -> Self {
        Self { passed_through: Some(step), ..self }
    }

    fn line(&self, text: &str) {
        // A terminal that went away stops nothing. One write, so that lines do not mix.
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }

    fn painted(&self, color: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Audience for Onlooker {
    fn tell(&self, news: News<'_>) {
        if self.output.is_json() {
            let event = match news {
                News::Started { step, attempt, plan } => {
                    json!({ "event": "step_started", "step": step, "attempt": attempt, "plan": plan })
                }
                News::Output { step, line } => {
                    json!({ "event": "step_output", "step": step, "line": line })
                }
                News::Ended { step, state, seconds, reason } => json!({
                    "event": "step_ended", "step": step, "state": state, "seconds": seconds,
                    "reason": reason,
                }),
                News::Said { message } => json!({ "event": "note", "message": message }),
            };
            let mut line = json!({ "at": clock::now().to_string() });
            if let (Some(line), serde_json::Value::Object(event)) = (line.as_object_mut(), event) {
                line.extend(event);
            }
            return self.line(&line.to_string());
        }
        if self.output.is_quiet() {
            return;
        }
        match news {
            News::Started { step, attempt, plan } => {
                let again =
                    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                let first = printable(plan.lines().next().unwrap_or_default());
                self.line(&format!("{} {step}{again}: {first}", self.painted("1;34", "•")));
            }
            News::Output { step, .. } if self.passed_through == Some(step) => {}
            News::Output { line, .. } => {
                self.line(&self.painted("2", &format!("    {}", printable(line))));
            }
            News::Ended { step, state, seconds, reason } => {
                let (color, mark) = match state {
                    StepState::Succeeded => ("1;32", "✓"),
                    StepState::Skipped => ("2", "-"),
                    StepState::Failed => ("1;31", "✗"),
                    _ => ("1;33", "?"),
                };
                let why =
                    reason.map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
                let took = table::seconds(seconds);
                let state = state.as_str();
                self.line(&format!("{} {step} {state} in {took}{why}", self.painted(color, mark)));
            }
            News::Said { message } => self.line(&printable(message)),
        }
    }

    fn ask(
        &self,
        step: &str,
        question: &WaitingFor,
        settled: &mut dyn FnMut() -> bool,
        cancel: &CancellationToken,
    ) -> Reply {
        if !self.output.can_ask() {
            return Reply::Nobody;
        }
        let shown = printable(&question.shown).replace('\n', "\n  ");
        let _ = write!(
            io::stderr(),
            "\n{}\n  {shown}\nGo on with {step}? [yes/no] ",
            self.painted("1", &printable(&question.prompt))
        );
        let _ = io::stderr().flush();
        match self.output.answer(&mut || settled() || cancel.is_cancelled()) {
            Some(true) => Reply::Yes,
            Some(false) => Reply::No,
            None => Reply::Settled,
        }
    }
}
