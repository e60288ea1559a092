//! Client programs as children of this process.

use super::command::ToolCommand;
use super::exec::{Exec, Exited, Running, STDERR_TAIL};
use crate::error::{Code, Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Runs client programs as children, each in a process group of its own, so that a signal
/// to backstop's group does not reach them and one to theirs reaches all their workers.
#[derive(Debug, Clone, Default)]
pub struct ChildRunner {
    wrapper: Option<(PathBuf, Vec<OsString>)>,
}

impl ChildRunner {
    /// Runs each program through `program arguments… PROGRAM ARGUMENTS…`: a wrapper that
    /// ends it when backstop dies, which the runner itself cannot.
    pub fn with_wrapper(program: PathBuf, arguments: Vec<String>) -> Self {
        let arguments = arguments.into_iter().map(OsString::from).collect();
        Self { wrapper: Some((program, arguments)) }
    }

    fn spawn(&self, command: &ToolCommand, with_input: bool) -> io::Result<Child> {
        let argv = command.argv();
        let mut child = match (&self.wrapper, argv.split_first()) {
            (Some((program, arguments)), _) => {
                let mut child = Command::new(program);
                child.args(arguments).args(argv);
                child
            }
            (None, Some((program, arguments))) => {
                let mut child = Command::new(program);
                child.args(arguments);
                child
            }
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                child.env_remove(name);
            }
        }
        child
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .envs(command.env().iter().map(|(name, value)| (name, value)))
            .stdin(if with_input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

impl Exec for ChildRunner {
    fn run<'a>(
        &'a self,
        command: &'a ToolCommand,
        stdin: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Running<'a> {
        Box::pin(async move {
            let mut child = self
                .spawn(command, stdin.is_some())
                .map_err(|error| not_spawned(command, error))?;
            let mut group = Group::of(&child);
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (to_child, Some(from_child), Some(errors)) = pipes else {
                return Err(not_spawned(command, io::ErrorKind::BrokenPipe.into()));
            };
            let (_, _, stderr) = tokio::try_join!(
                feed(command, stdin, to_child),
                drain(command, from_child, stdout),
                tail(command, errors),
            )?;
            let status = child.wait().await.map_err(|e| io_failed("wait for", command, e))?;
            group.leave();
            let killed = status.signal().map(|signal| 128 + signal);
            Ok(Exited { code: status.code().or(killed).unwrap_or(-1), stderr })
        })
    }
}

/// Ends a process group when it is dropped before its leader was waited for.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It fails only when the whole group has ended already.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn feed(
    command: &ToolCommand,
    source: Option<&mut (dyn AsyncRead + Send + Unpin)>,
    sink: Option<tokio::process::ChildStdin>,
) -> Result<()> {
    let (Some(source), Some(mut sink)) = (source, sink) else { return Ok(()) };
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = source
            .read(&mut buffer)
            .await
            .map_err(|error| io_failed("read the input of", command, error))?;
        // A program that stops reading says why by its exit code and standard error.
        if read == 0 || sink.write_all(&buffer[..read]).await.is_err() {
            return Ok(());
        }
    }
}

async fn drain(
    command: &ToolCommand,
    mut source: tokio::process::ChildStdout,
    sink: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = source
            .read(&mut buffer)
            .await
            .map_err(|error| io_failed("read the output of", command, error))?;
        if read == 0 {
            return Ok(());
        }
        sink.write_all(&buffer[..read])
            .await
            .map_err(|error| io_failed("store the output of", command, error))?;
    }
}

async fn tail(command: &ToolCommand, mut source: tokio::process::ChildStderr) -> Result<String> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; STDERR_TAIL];
    loop {
        let read = source
            .read(&mut buffer)
            .await
            .map_err(|error| io_failed("read the messages of", command, error))?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(STDERR_TAIL);
        kept.drain(..surplus);
    }
}

fn io_failed(attempted: &str, command: &ToolCommand, error: io::Error) -> Error {
    Error::io(attempted, Path::new(&command.program()), error)
}

fn not_spawned(command: &ToolCommand, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        Error::new(Code::ToolMissing, "run", command.program()).source(error)
    } else {
        io_failed("run", command, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> ToolCommand {
        ToolCommand::new("/bin/sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn input_output_messages_and_exit_code_are_passed_on() {
        let mut output = Vec::new();
        let mut input = &b"in"[..];
        let command = shell("cat; echo \" $X $PGHOST\"; echo oops >&2; exit 3")
            .variables(vec![("X".into(), "var".into())]);
        let exited =
            ChildRunner::default().run(&command, Some(&mut input), &mut output).await.unwrap();
        assert_eq!((exited.code, exited.stderr.as_str()), (3, "oops\n"));
        assert_eq!(output, b"in var \n");
    }

    #[tokio::test]
    async fn messages_are_bounded_and_their_end_is_kept() {
        let command = shell("head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2");
        let exited =
            ChildRunner::default().run(&command, None, &mut tokio::io::sink()).await.unwrap();
        assert_eq!(exited.stderr.len(), STDERR_TAIL);
        assert!(exited.stderr.ends_with("xend\n"));
    }

    #[tokio::test]
    async fn a_missing_program_is_told_from_a_failing_one() {
        let command = ToolCommand::new("/no/such/pg_dump");
        let error = ChildRunner::default().run(&command, None, &mut tokio::io::sink()).await;
        assert_eq!(error.unwrap_err().code(), Code::ToolMissing);
    }

    #[tokio::test]
    async fn the_wrapper_goes_in_front() {
        let wrapped = ChildRunner::with_wrapper("/usr/bin/env".into(), vec!["MARK=seen".into()]);
        let mut output = Vec::new();
        wrapped.run(&shell("echo $MARK"), None, &mut output).await.unwrap();
        assert_eq!(output, b"seen\n");
    }

    #[tokio::test]
    async fn dropping_the_run_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid_file.display());
        let command = shell(&script);
        let runner = ChildRunner::default();
        let mut output = tokio::io::sink();
        let mut run = runner.run(&command, None, &mut output);
        let worker = loop {
            tokio::select! {
                _ = &mut run => panic!("ended early"),
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
            }
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            if text.ends_with('\n') {
                break text.trim().to_owned();
            }
        };
        drop(run);
        let status = PathBuf::from(format!("/proc/{worker}/stat"));
        loop {
            let stat = std::fs::read_to_string(&status).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
