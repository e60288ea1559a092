//! Running a program inside a container, with its streams connected to ours.

use super::{Docker, UNBOUNDED, failed};
use crate::error::{Code, Error, Result};
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep};

/// How much of the end of a program's standard error is kept.
const STDERR_TAIL: usize = 8 << 10;
/// How many bytes of standard input are sent at a time.
const CHUNK: usize = 64 << 10;
/// How long Docker may take to record the exit code after the streams have ended.
const EXIT_CODE: Duration = Duration::from_secs(30);

/// A program to run inside a container.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables on top of the container's. Secrets belong here: unlike
    /// arguments they are not shown by `docker top` or `docker inspect`.
    pub env: Vec<(String, String)>,
    /// `user`, `uid` or `user:group`; none for the container's own.
    pub user: Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; 126 and 127 also when the container has no such program.
    pub code: i64,
    /// The last 8 KiB of its standard error, as text.
    pub stderr: String,
}

impl Docker {
    /// Runs a program in a running container: `stdin` is sent to it to its end and then
    /// closed, what it writes goes to `stdout` as it comes, so neither is ever held in
    /// memory. A program that reads only part of `stdin` is not an error.
    ///
    /// When this future is dropped, or fails, the program sees its input end and its
    /// output go nowhere; the API knows no way to end it.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`], [`Code::DockerFailed`] (the container does not run),
    /// [`Code::DockerUnreachable`]; [`Code::Io`] and its kin when `stdin` cannot be read or
    /// `stdout` not be written. A program that fails is not an error here: see [`Exit`].
    pub async fn exec(
        &self,
        container: &str,
        exec: &Exec,
        stdin: Option<&mut (dyn AsyncRead + Send + Unpin)>,
        stdout: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Exit> {
        let refused = |e| failed("run a program in container", container, e);
        let options = CreateExecOptions {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(exec.argv.clone()),
            env: Some(exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: exec.user.clone(),
            ..Default::default()
        };
        let id = self.client.create_exec(container, options).await.map_err(refused)?.id;
        let start = StartExecOptions { output_capacity: Some(CHUNK), ..Default::default() };
        let client = self.patient(UNBOUNDED);
        let (mut output, mut input) =
            match client.start_exec(&id, Some(start)).await.map_err(refused)? {
                StartExecResults::Attached { output, input } => (output, input),
                StartExecResults::Detached => {
                    return Err(Error::new(
                        Code::DockerFailed,
                        "run a program in container",
                        container,
                    )
                    .cause("Docker did not attach to it"));
                }
            };

        let copying = |attempted: &'static str| {
            move |e: io::Error| Error::io(attempted, Path::new(container), e)
        };
        let feed = async {
            match stdin {
                Some(stdin) => send(stdin, &mut input)
                    .await
                    .map_err(copying("read the input of a program in container")),
                None => Ok(()),
            }
        };
        let mut tail = VecDeque::new();
        let drain = async {
            while let Some(frame) = output.next().await {
                match frame.map_err(refused)? {
                    LogOutput::StdErr { message } => keep_tail(&mut tail, &message),
                    other => stdout
                        .write_all(&other.into_bytes())
                        .await
                        .map_err(copying("write the output of a program in container"))?,
                }
            }
            stdout.flush().await.map_err(copying("write the output of a program in container"))
        };
        {
            let (mut feed, mut drain) = (std::pin::pin!(feed), std::pin::pin!(drain));
            let mut fed = false;
            loop {
                tokio::select! {
                    sent = &mut feed, if !fed => { sent?; fed = true; }
                    ended = &mut drain => break ended?,
                }
            }
        }
        let stderr = String::from_utf8_lossy(tail.make_contiguous()).into_owned();
        Ok(Exit { code: self.exit_code(container, &id).await?, stderr })
    }

    /// The streams may end a moment before Docker has recorded how the program did.
    async fn exit_code(&self, container: &str, exec: &str) -> Result<i64> {
        let deadline = Instant::now() + EXIT_CODE;
        loop {
            let inspected = self
                .client
                .inspect_exec(exec)
                .await
                .map_err(|e| failed("read the exit code of a program in", container, e))?;
            match (inspected.running, inspected.exit_code) {
                (Some(false) | None, Some(code)) => return Ok(code),
                _ if Instant::now() >= deadline => {
                    return Err(Error::new(
                        Code::DockerFailed,
                        "read the exit code of a program in",
                        container,
                    )
                    .cause("it closed its output and still runs"));
                }
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Sends everything, then closes the sending half, which the program sees as the end of
/// its input. Fails only when `stdin` cannot be read.
async fn send(
    stdin: &mut (dyn AsyncRead + Send + Unpin),
    input: &mut (impl AsyncWrite + Unpin + ?Sized),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = stdin.read(&mut chunk).await?;
        let ends = length == 0;
        let sent = match chunk.get(..length) {
            Some(bytes) if !ends => input.write_all(bytes).await,
            _ => input.shutdown().await,
        };
        // A program that has ended reads no more; its exit code says whether that is well.
        if ends || sent.is_err() {
            return Ok(());
        }
    }
}

fn keep_tail(tail: &mut VecDeque<u8>, bytes: &[u8]) {
    tail.extend(bytes);
    let surplus = tail.len().saturating_sub(STDERR_TAIL);
    tail.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_standard_error_is_kept() {
        let mut tail = VecDeque::new();
        keep_tail(&mut tail, &vec![b'a'; STDERR_TAIL]);
        keep_tail(&mut tail, b"the end");
        assert_eq!(tail.len(), STDERR_TAIL);
        assert!(tail.make_contiguous().ends_with(b"athe end"));
    }
}
