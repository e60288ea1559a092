//! A running backstop, and the ways in which it dies.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Only a failure waits so long.
const LONG: Duration = Duration::from_secs(120);

/// How backstop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// SIGKILL of the main process.
    Kill,
    /// SIGKILL of its whole process group.
    KillGroup,
    /// Ctrl-C.
    Interrupt,
    /// What `systemctl stop` sends.
    Terminate,
    /// SIGKILL of the main process and of its guardian at once.
    PowerCut,
}

impl Way {
    /// Those after which somebody is left to resume the containers.
    pub(super) const SURVIVED: [Self; 4] =
        [Self::Kill, Self::KillGroup, Self::Interrupt, Self::Terminate];

    /// Whether backstop undoes its work by itself.
    pub(super) fn is_graceful(self) -> bool {
        matches!(self, Self::Interrupt | Self::Terminate)
    }
}

/// A moment in the life of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The number of the step that has just been announced.
    pub(super) step: usize,
    /// How much later.
    pub(super) later: Duration,
}

impl Moment {
    /// As soon as the step is announced.
    pub(super) fn at(step: usize) -> Self {
        Self { step, later: Duration::ZERO }
    }

    /// A few milliseconds after that, so that the points between two steps are hit too.
    pub(super) fn after(step: usize) -> Self {
        let random = RandomState::new().hash_one(step) % 150;
        Self { step, later: Duration::from_millis(1 + random) }
    }
}

/// A backstop at work in a process group of its own.
pub(super) struct Attempt {
    child: Option<Child>,
    lines: Receiver<String>,
    state: PathBuf,
    /// The steps that were announced so far.
    steps: Vec<String>,
    said: String,
}

impl Attempt {
    pub(super) fn start(mut command: Command, state: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child: Some(child), lines, state, steps: Vec::new(), said: String::new() }
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Waits for the moment; false where it never came.
    pub(super) fn wait_for(&mut self, moment: Moment) -> bool {
        while self.steps.len() <= moment.step {
            if !self.read_line() {
                return false;
            }
        }
        std::thread::sleep(moment.later);
        true
    }

    fn read_line(&mut self) -> bool {
        let line = match self.lines.recv_timeout(LONG) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was said after {}", self.said),
        };
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if event["event"] == "step" {
            self.steps.push(event["step"].as_str().unwrap().to_string());
        }
        self.said.push_str(&line);
        self.said.push('\n');
        true
    }

    /// Ends it. The time is that of its death, or of the request to end.
    pub(super) fn end(self, way: Way) -> (Instant, Vec<String>, Output) {
        let pid = self.pid();
        match way {
            Way::Kill => kill_process(pid, Signal::KILL),
            Way::KillGroup => kill_process_group(pid, Signal::KILL),
            Way::Interrupt => kill_process(pid, Signal::INT),
            Way::Terminate => kill_process(pid, Signal::TERM),
            Way::PowerCut => {
                if let Some(guardian) = self.guardian() {
                    let _ = kill_process(guardian, Signal::KILL);
                }
                kill_process(pid, Signal::KILL)
            }
        }
        .unwrap();
        let death = Instant::now();
        let (steps, output) = self.finish();
        (death, steps, output)
    }

    /// Waits for its end. What it said on standard error is among the output.
    pub(super) fn finish(mut self) -> (Vec<String>, Output) {
        while self.read_line() {}
        let mut output = self.child.take().unwrap().wait_with_output().unwrap();
        output.stderr = std::mem::take(&mut self.said).into_bytes();
        (std::mem::take(&mut self.steps), output)
    }

    /// The guardian, found by the journal in its arguments.
    fn guardian(&self) -> Option<Pid> {
        let journal = self.state.join("journal");
        processes_with(&journal.to_string_lossy())
            .into_iter()
            .find(|(_, command)| command.contains("guardian"))
            .map(|(pid, _)| pid)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The living processes with `text` among their arguments, with all of these.
pub(super) fn processes_with(text: &str) -> Vec<(Pid, String)> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|p| Pid::from_raw(p.file_name().to_str()?.parse().ok()?));
    let with_arguments = pids.map(|pid| {
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let arguments = std::fs::read(path).unwrap_or_default();
        (pid, String::from_utf8_lossy(&arguments).replace('\0', " "))
    });
    with_arguments.filter(|(_, arguments)| arguments.contains(text)).collect()
}
