//! What a command prints: results on stdout, everything else on stderr.

use crate::error::{Code, Error, Result};
use crate::printable::printable;
use crate::progress::{JsonLines, Progress};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use tokio_util::sync::CancellationToken;

/// Where and how results and errors are printed.
#[derive(Debug, Clone)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether the result is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only results and errors are wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints the result: `value` as JSON, or `text`.
    pub(super) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|e| Error::new(Code::Io, "print", "the result").source(e))?
        } else {
            printable(&text()).into_owned()
        };
        self.text(&text)
    }

    /// Prints text on stdout. A reader that has gone away (`| head`) is no failure.
    pub(super) fn text(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::new(Code::Io, "write to", "stdout").source(e))
            }
            _ => Ok(()),
        }
    }

    /// Prints a sentence for people on stderr, unless they asked for quiet or JSON.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            let _ = writeln!(io::stderr(), "{}", printable(text));
        }
    }

    /// Prints a line on stderr, whatever was asked for: as it is, or as a line of progress.
    pub(super) fn line(&self, text: &str) {
        match self.json {
            true => {
                let lines: &dyn Progress = &JsonLines::stderr();
                lines.warn(Code::Degraded, text);
            }
            false => drop(writeln!(io::stderr(), "{}", printable(text))),
        }
    }

    /// Prints what came of an attempt: `value` as JSON, or its line; on stderr where it is
    /// `degraded`.
    pub(super) fn attempt(&self, value: &impl Serialize, line: &str, degraded: bool) -> Result<()> {
        if degraded {
            self.line(line);
        }
        match degraded && !self.json {
            true => Ok(()),
            false => self.result(value, || line.to_owned()),
        }
    }

    /// Prints an error on stderr: as text with code and hint, or as one JSON line.
    pub(super) fn error(&self, error: &Error) {
        let text = if self.json {
            serde_json::json!({ "error": error.to_json() }).to_string()
        } else {
            let (red, dim, end) =
                if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                    ("\x1b[1;31m", "\x1b[2m", "\x1b[0m")
                } else {
                    ("", "", "")
                };
            format!(
                "{red}error[{}]{end}: {}\n{dim}hint: {}{end}",
                error.code().as_str(),
                printable(&error.to_string()),
                printable(error.hint_text())
            )
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Asks a question that is answered with `yes`.
    ///
    /// # Errors
    /// `confirmation_required` when nobody is there to answer, or the answer is another;
    /// `interrupted` when `cancel` is set before there is one.
    pub(super) fn confirm(&self, question: &str, cancel: &CancellationToken) -> Result<()> {
        let refused = |cause: &str| {
            Err(Error::new(Code::ConfirmationRequired, "go on without", "an answer").cause(cause))
        };
        if self.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return refused("there is no terminal to ask on");
        }
        let _ = write!(io::stderr(), "{}\nGo on? [yes/no] ", printable(question));
        let _ = io::stderr().flush();
        // A signal does not end a read that has begun, so none is begun before there is a line.
        while !stdin_is_ready() {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "wait for", "an answer"));
            }
        }
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(_) if ["yes", "y"].contains(&answer.trim().to_lowercase().as_str()) => Ok(()),
            _ => refused("the answer was not yes").map_err(|e| e.hint("nothing was changed")),
        }
    }
}

impl Output {
    /// Whether somebody is there to answer a question.
    pub(super) fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// The answer to a question that was printed; none where `settled` says that none is needed
    /// any more, or where nobody answers.
    pub(super) fn answer(&self, settled: &mut dyn FnMut() -> bool) -> Option<bool> {
        while !stdin_is_ready() {
            if settled() {
                return None;
            }
        }
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(1..) => Some(["yes", "y"].contains(&answer.trim().to_lowercase().as_str())),
            _ => None,
        }
    }
}

/// Whether reading would not block, or would tell why it fails. Looks for a fifth of a second.
fn stdin_is_ready() -> bool {
    let stdin = io::stdin();
    let wait = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&wait)) {
        Ok(ready) => ready > 0,
        Err(rustix::io::Errno::INTR) => false,
        Err(_) => true,
    }
}
