//! Ending what a dead runner or an attempt that was given up left behind.

use super::KEY;
use crate::runbook::run::{Group, is_alive};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long ended processes may take to be gone. SIGKILL waits only for a disk that hangs.
const GONE: Duration = Duration::from_secs(10);

/// How long a program that is just being started may show no environment.
const STARTING: Duration = Duration::from_millis(20);

/// Ends the groups whose leaders still are those that were recorded, and every process that
/// carries one of `keys`. Returns how many processes carried one, and whether all are gone.
pub(in crate::runbook) fn end_left_over(
    groups: &[Group],
    keys: &BTreeSet<String>,
) -> (usize, bool) {
    for group in groups.iter().filter(|group| is_alive(group.pgid, group.started)) {
        if let Some(pid) = Pid::from_raw(group.pgid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
    let ended = end_marked(keys);
    let deadline = Instant::now() + GONE;
    let left = || {
        !marked(keys).is_empty() || groups.iter().any(|group| is_alive(group.pgid, group.started))
    };
    while left() {
        if Instant::now() > deadline {
            return (ended, false);
        }
        // One may have started another just before its end.
        end_marked(keys);
        std::thread::sleep(Duration::from_millis(20));
    }
    (ended, true)
}

/// Ends every process that carries one of `keys`; returns how many.
pub(super) fn end_marked(keys: &BTreeSet<String>) -> usize {
    let found = marked(keys);
    for pid in found.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    found.len()
}

/// Living processes, this one excepted, whose environment carries one of `keys`. The environment
/// of another user's process cannot be read.
fn marked(keys: &BTreeSet<String>) -> Vec<i32> {
    if keys.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let names = processes.flatten().map(|process| process.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let (mut found, mut bare) = (Vec::new(), Vec::new());
    for pid in pids.filter(|pid| *pid != own) {
        match carries(pid, keys) {
            Some(true) => found.push(pid),
            Some(false) => {}
            None => bare.push(pid),
        }
    }
    if !bare.is_empty() {
        std::thread::sleep(STARTING);
        found.extend(bare.into_iter().filter(|pid| carries(*pid, keys) == Some(true)));
    }
    found
}

/// Whether the environment of a process carries one of `keys`; none where it shows none: execve(2)
/// gives a program its environment a moment after it has taken the old one's place.
fn carries(pid: i32, keys: &BTreeSet<String>) -> Option<bool> {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return Some(false) };
    if environment.is_empty() {
        // The kernel's own threads have no program, hence no environment ever.
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        return if program { None } else { Some(false) };
    }
    let prefix = format!("{KEY}=");
    Some(environment.split(|byte| *byte == 0).any(|variable| {
        let key = variable.strip_prefix(prefix.as_bytes());
        key.and_then(|key| std::str::from_utf8(key).ok()).is_some_and(|key| keys.contains(key))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::run::process_start;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn a_process_that_left_its_group_is_found_by_its_key() {
        let key = format!("test-{}/a/1", std::process::id());
        let mut child = Command::new("sleep").arg("1000").env(KEY, &key).spawn().unwrap();
        let (ended, gone) = {
            let reaper = std::thread::spawn(move || child.wait());
            let result = end_left_over(&[], &[key].into());
            reaper.join().unwrap().unwrap();
            result
        };
        assert!(ended >= 1 && gone);
    }

    #[test]
    fn a_recorded_group_ends_whole_and_a_number_that_was_used_again_is_left_alone() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 1000 & sleep 1000"])
            .process_group(0)
            .spawn()
            .unwrap();
        let pgid = child.id() as i32;
        let started = process_start(pgid).unwrap();
        end_left_over(&[Group { pgid, started: started + 1 }], &BTreeSet::new());
        assert!(is_alive(pgid, started));
        let reaper = std::thread::spawn(move || child.wait());
        assert!(end_left_over(&[Group { pgid, started }], &BTreeSet::new()).1);
        reaper.join().unwrap().unwrap();
    }
}
