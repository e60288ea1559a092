//! `docker.exec`: a program inside a container.

use crate::docker::{Docker, Exec, Exit};
use crate::error::{Code, Error, Result};
use crate::runbook::action::shipped::outputs;
use crate::runbook::action::{Action, Outputs, Point, Probe, Scope};
use crate::runbook::child::{CAPTURED, KEY, end_left_over};
use crate::runbook::log::Lines;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, sink};

/// Ends what carries the key in its environment, from the inside of a container.
const END: &str = r#"
for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qxF "$WANTED"; then
        kill -9 "${process#/proc/}" 2>/dev/null || true
    fi
done
"#;

pub(in crate::runbook) struct DockerExec;

/// What is run, and where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The container's name or id.
    container: String,
    /// A script for `sh -e`, which the container has to have; or `argv`.
    script: Option<String>,
    /// A program and its arguments; or `script`.
    #[serde(default)]
    argv: Vec<String>,
    /// Variables besides those of the container: the place for secrets.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What it reads.
    stdin: Option<String>,
    /// `user`, `uid` or `user:group`; without it the container's own.
    user: Option<String>,
    /// Exit codes that are good; without it 0 alone.
    #[serde(default)]
    exit_codes: Vec<i64>,
}

/// How it ended, and the end of what it printed.
struct Ended {
    exit: Exit,
    stdout: String,
}

impl With {
    fn exec(&self, key: String) -> Exec {
        let argv = match &self.script {
            Some(script) => ["sh", "-e", "-c", script].map(str::to_owned).into(),
            None => self.argv.clone(),
        };
        let env = self.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        let env = env.chain([(KEY.to_owned(), key)]).collect();
        Exec { argv, env, user: self.user.clone() }
    }

    async fn act(&self, scope: &Scope) -> Result<Ended> {
        let docker = Docker::connect().await?;
        let exec = self.exec(scope.key());
        let mut stdin = self.stdin.as_deref().map(str::as_bytes);
        let input = stdin.as_mut().map(|text| text as &mut (dyn AsyncRead + Send + Unpin));
        let mut output = Output { scope, lines: Lines::default(), kept: Vec::new() };
        let exit = docker.exec(&self.container, &exec, input, &mut output);
        let exit = match scope.unless_cancelled(exit).await {
            Err(e) if e.code() == Code::Interrupted => {
                self.end(&docker, scope).await?;
                return Err(e);
            }
            exit => exit?,
        };
        let stdout = output.finish();
        exit.stderr.lines().for_each(|line| scope.log.line(line));
        Ok(Ended { exit, stdout })
    }

    /// Ends what an attempt may have left running: Docker knows no way to end a program that
    /// it started in a container.
    async fn end(&self, docker: &Docker, scope: &Scope) -> Result<()> {
        let keys = [scope.key()].into();
        let (_, gone) = scope.setting.blocking(move || Ok(end_left_over(&[], &keys))).await?;
        let left = |cause: &str| {
            Error::new(Code::ActionFailed, "end the program in container", &self.container)
                .cause(cause)
                .hint("`docker top` shows it; end it, then resolve the step")
        };
        // Only root sees the processes of a container, and only on Docker's own host.
        if docker.is_local() && rustix::process::geteuid().is_root() {
            return if gone { Ok(()) } else { Err(left("it does not end")) };
        }
        let inside = Exec {
            argv: ["sh", "-c", END].map(str::to_owned).into(),
            env: vec![("WANTED".into(), format!("{KEY}={}", scope.key()))],
            user: Some("0".into()),
        };
        match docker.exec(&self.container, &inside, None, &mut sink()).await {
            Ok(exit) if exit.code == 0 => Ok(()),
            Ok(exit) => Err(left(exit.stderr.trim())),
            // A container that is gone or does not run has no programs.
            Err(e) if e.code() == Code::ContainerNotFound => Ok(()),
            Err(e) if docker.status(&self.container).await?.exit_code.is_some() => {
                drop(e);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

impl Action for DockerExec {
    type With = With;
    const NAME: &'static str = "docker.exec";
    const ABOUT: &'static str = "Runs a script or a program inside a container.";
    const OUTPUTS: &'static [&'static str] = &["exit_code", "stdout"];
    const SECRETS: &'static [&'static str] = &["env", "stdin"];
    const MAY_CHECK: bool = true;

    fn check(with: &With) -> Result<(), String> {
        if with.container.trim().is_empty() {
            return Err("`container` is empty".into());
        }
        if let Some(name) = with.env.keys().find(|name| name.starts_with("BACKSTOP_")) {
            return Err(format!("`{name}`: names with BACKSTOP_ are set for you"));
        }
        match (&with.script, with.argv.is_empty()) {
            (Some(_), true) | (None, false) => Ok(()),
            _ => Err("it needs either `script` or `argv`".into()),
        }
    }

    fn plan(&self, with: &With) -> String {
        match &with.script {
            Some(script) => format!("run in container {}: {}", with.container, script.trim()),
            None => format!("run in container {}: {}", with.container, with.argv.join(" ")),
        }
    }

    async fn run(&self, with: &With, scope: &Scope) -> Result<Outputs> {
        let ended = with.act(scope).await?;
        let good = match with.exit_codes.as_slice() {
            [] => ended.exit.code == 0,
            codes => codes.contains(&ended.exit.code),
        };
        match good {
            true => Ok(returned(ended)),
            false => Err(Error::new(Code::ActionFailed, "run in container", &with.container)
                .cause(format!("it ended with exit code {}", ended.exit.code))
                .hint(format!(
                    "`backstop runbook log {} {}` shows its output",
                    scope.run, scope.step
                ))),
        }
    }

    /// As the check of another step: 0 done, 1 not done, 2 a part of it.
    async fn answer(&self, with: &With, scope: &Scope) -> Result<Probe> {
        let ended = with.act(scope).await?;
        Ok(match ended.exit.code {
            0 => Probe::Done(returned(ended)),
            1 => Probe::NotDone,
            2 => Probe::Partial(ended.stdout.trim().to_owned()),
            code => Probe::Unknown(format!("the probe ended with exit code {code}")),
        })
    }

    async fn halt(&self, with: &With, scope: &Scope) -> Result<()> {
        with.end(&Docker::connect().await?, scope).await
    }
}

fn returned(ended: Ended) -> Outputs {
    let stdout = ended.stdout.trim_end().to_owned();
    outputs([("exit_code", ended.exit.code.into()), ("stdout", stdout.into())])
}

/// Takes what a program prints: into the log by lines, and its end as an output of the step.
struct Output<'a> {
    scope: &'a Scope,
    lines: Lines,
    kept: Vec<u8>,
}

impl Output<'_> {
    fn finish(self) -> String {
        self.lines.finish(|line| self.scope.log.line(line));
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

impl AsyncWrite for Output<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { scope, lines, kept } = &mut *self;
        if kept.is_empty() {
            scope.reach(Point::MidEffect);
        }
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(CAPTURED);
        kept.drain(..surplus);
        lines.push(bytes, |line| scope.log.line(line));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
