//! Programs that steps run: each in a process group of its own, which the journal knows before
//! the program begins, and which ends whole.
//!
//! The program runs under `backstop exec-child --held`, which waits for one byte before it
//! starts it and ends the group when the runner dies. Every process of an attempt carries the
//! attempt's key in `BACKSTOP_KEY`, so that also one that left the group is found.

mod ended;

pub(super) use ended::end_left_over;

use super::action::{Point, Scope};
use super::log::Lines;
use super::run::{Entry, Group, process_start};
use crate::config::Timeout;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// The variable that every process of an attempt carries.
pub(super) const KEY: &str = "BACKSTOP_KEY";
/// How much of the standard output can become an output of the step: its end.
pub(super) const CAPTURED: usize = 64 * 1024;
/// How long output is awaited from processes that outlive their leader.
const LINGER: Duration = Duration::from_secs(2);

/// A program, its arguments and surroundings.
#[derive(Debug, Clone, Default)]
pub struct ChildCommand {
    /// The program and its arguments. They can be seen by every user of the host.
    pub argv: Vec<String>,
    /// Variables besides those of this process.
    pub env: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: Option<String>,
    /// Where it runs; without it, where backstop does.
    pub dir: Option<PathBuf>,
    /// After so long it is ended with all its children, and has failed with `timed_out`.
    pub limit: Option<Timeout>,
    /// Who sees its output as it comes, and can reach it while it runs.
    pub attendant: Option<Arc<dyn Attendant>>,
}

/// Somebody beside a program that runs. Called from many threads; must not block for long.
pub trait Attendant: std::fmt::Debug + Send + Sync {
    /// It begins, as the leader of this process group.
    fn began(&self, group: i32);
    /// It wrote to standard error, or else to standard output.
    fn wrote(&self, bytes: &[u8], is_error: bool);
    /// It has ended: its group must not be touched any more.
    fn ended(&self);
}

/// Why a program did not come to its own end.
enum CutOff {
    Cancelled,
    TookTooLong(Timeout),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEnd {
    /// The exit code; 128 plus the signal's number for one that was killed.
    pub code: i32,
    /// The end of its standard output.
    pub stdout: String,
}

impl ChildCommand {
    pub(super) async fn run(self, scope: &Scope) -> Result<ChildEnd> {
        let program = self.argv.first().cloned().unwrap_or_default();
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Error::new(Code::ToolMissing, "run", &program).source(e),
            _ => Error::io("run", Path::new(&program), e),
        };
        let mut child = self.spawn(scope).map_err(failed)?;
        let group = group_of(&child).ok_or_else(|| {
            Error::new(Code::ActionFailed, "run", &program).cause("it ended at once")
        })?;
        let mut guard = Guard(Some((group, scope.key())));
        if let Some(recorder) = &scope.recorder {
            recorder.child_started(&scope.step, scope.attempt, group)?;
        }
        scope.reach(Point::ChildRecorded);
        let presence = Presence::of(self.attendant.as_ref(), group);
        let ended = self.attend(&mut child, scope).await;
        drop(presence);
        let ended = match ended {
            Ok(ended) => ended.map_err(failed)?,
            Err(why) => {
                drop(guard);
                child.wait().await.map_err(failed)?;
                record_end(scope, group)?;
                return Err(match why {
                    CutOff::Cancelled => Error::new(Code::Interrupted, "finish", &program)
                        .cause("it was ended with all its children"),
                    CutOff::TookTooLong(limit) => Error::new(Code::TimedOut, "finish", &program)
                        .cause(format!(
                            "it took longer than {limit}, and was ended with all its children"
                        )),
                });
            }
        };
        // Its children go with it; one that left the group on purpose, such as a server that it
        // started, stays.
        end_group(group);
        guard.0 = None;
        record_end(scope, group)?;
        Ok(ended)
    }

    fn spawn(&self, scope: &Scope) -> io::Result<Child> {
        let parent = std::process::id().to_string();
        let mut command = Command::new(&scope.setting.executable);
        command
            .args(["exec-child", "--held", "--parent", &parent, "--"])
            .args(&self.argv)
            .envs(&self.env)
            .env(KEY, scope.key())
            .env("BACKSTOP_RUN", &scope.run)
            .env("BACKSTOP_STEP", &scope.step)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.spawn()
    }

    fn show(&self, bytes: &[u8], is_error: bool) {
        self.attendant.iter().for_each(|it| it.wrote(bytes, is_error));
    }

    /// Releases the program and reads its output.
    async fn attend(
        &self,
        child: &mut Child,
        scope: &Scope,
    ) -> Result<io::Result<ChildEnd>, CutOff> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let captured = Arc::new(Mutex::new(Vec::new()));
        let kept = captured.clone();
        let release = async {
            let Some(mut stdin) = stdin else { return };
            // A program that does not read says so by its exit code.
            let _ = stdin.write_all(b"g").await;
            scope.reach(Point::MidEffect);
            if let Some(text) = &self.stdin {
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let output = async {
            tokio::join!(
                drain(stdout, scope, |bytes| {
                    self.show(bytes, false);
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(bytes);
                    let surplus = kept.len().saturating_sub(CAPTURED);
                    kept.drain(..surplus);
                }),
                drain(stderr, scope, |bytes| self.show(bytes, true))
            )
        };
        let whole = async {
            let ended = async {
                tokio::pin!(output);
                let status = tokio::select! {
                    status = child.wait() => status,
                    _ = &mut output => return child.wait().await,
                };
                // What it left behind may hold its output open.
                let _ = tokio::time::timeout(LINGER, output).await;
                status
            };
            tokio::join!(release, ended).1
        };
        let status = tokio::select! {
            biased;
            () = scope.cancel().cancelled() => return Err(CutOff::Cancelled),
            limit = reached(self.limit) => return Err(CutOff::TookTooLong(limit)),
            status = whole => status,
        };
        Ok(status.map(|status| {
            use std::os::unix::process::ExitStatusExt;
            let killed = status.signal().map(|signal| 128 + signal);
            let bytes = captured.lock().unwrap_or_else(PoisonError::into_inner);
            ChildEnd {
                code: status.code().or(killed).unwrap_or(-1),
                stdout: String::from_utf8_lossy(&bytes).into_owned(),
            }
        }))
    }
}

/// Comes when the time is up; never without a limit.
async fn reached(limit: Option<Timeout>) -> Timeout {
    let Some(limit) = limit else { return std::future::pending().await };
    tokio::time::sleep(limit.duration()).await;
    limit
}

/// An attendant is told of the end, whatever brought it.
struct Presence<'a>(Option<&'a Arc<dyn Attendant>>);

impl<'a> Presence<'a> {
    fn of(attendant: Option<&'a Arc<dyn Attendant>>, group: Group) -> Self {
        attendant.iter().for_each(|it| it.began(group.pgid));
        Self(attendant)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|it| it.ended());
    }
}

async fn drain(source: Option<impl AsyncRead + Unpin>, scope: &Scope, mut keep: impl FnMut(&[u8])) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; 32 * 1024];
    let mut lines = Lines::default();
    while let Ok(read @ 1..) = source.read(&mut buffer).await {
        keep(&buffer[..read]);
        lines.push(&buffer[..read], |line| scope.log.line(line));
    }
    lines.finish(|line| scope.log.line(line));
}

fn group_of(child: &Child) -> Option<Group> {
    let pgid = i32::try_from(child.id()?).ok()?;
    Some(Group { pgid, started: process_start(pgid)? })
}

fn record_end(scope: &Scope, group: Group) -> Result<()> {
    match &scope.recorder {
        Some(recorder) => recorder.record(Entry::ChildEnded { group }),
        None => Ok(()),
    }
}

/// Sends SIGKILL to a group whose leader is or was ours and has not been replaced.
fn end_group(group: Group) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = Pid::from_raw(group.pgid) {
        // It fails where all of it has ended.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Ends the group and all that carries the key when the attempt is given up.
struct Guard(Option<(Group, String)>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((group, key)) = self.0.take() {
            end_group(group);
            ended::end_marked(&[key].into());
        }
    }
}
