//! SIGKILL of a guard at every step, then `guard resume`.

use super::new_version::Deployment;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many of the kill points a run of the tests takes, others each time.
const SOME: u64 = 5;

/// The command that fails: it breaks the application first of all.
const FAILS: &str = "docker stop $APP\nsql 'DELETE FROM uploads WHERE id > 10'\nexit 3\n";

/// Begins a guard, and ends it with SIGKILL after so many lines about steps; false where there
/// were not so many.
fn kill_after(command: &mut Command, lines: usize, pause: Duration) -> bool {
    let mut guard =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let stderr = BufReader::new(guard.stderr.take().unwrap());
    let is_step = |line: &String| {
        let event = serde_json::from_str::<Value>(line).unwrap_or_default();
        event["event"].as_str().is_some_and(|it| it.starts_with("step_") && it != "step_output")
    };
    let reached = stderr.lines().map_while(Result::ok).filter(is_step).nth(lines).is_some();
    if reached {
        sleep(pause);
        guard.kill().unwrap();
    }
    guard.wait().unwrap();
    reached
}

#[test]
fn a_guard_that_is_killed_anywhere_is_finished_by_resuming_it() {
    let Some(deployment) = Deployment::start() else { return };
    let site = &deployment.site;
    let state = site.state();
    let script = deployment.script("fails", FAILS).display().to_string();
    let guard = ["guard", "--json", "--health-timeout", "5s", "--settle", "0s", "--", &script];
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    // Three steps before the command, the command, sixteen to go back: each begins and ends.
    let all = 40_u64;
    let points: Vec<u64> = match std::env::var("BACKSTOP_TEST_KILLS").as_deref() {
        Ok("all") => (0..all).collect(),
        Ok(one) => vec![one.parse().unwrap()],
        Err(_) => (0..SOME).map(|n| (u64::from(seed) + n * all / SOME) % all).collect(),
    };
    for point in points {
        let what = format!("killed at {point}");
        let pause = Duration::from_millis(u64::from(seed) % 7 * (point % 3) * 20);
        let reached = kill_after(&mut site.command(&guard), usize::try_from(point).unwrap(), pause);
        println!("guard: {what} (after {pause:?}): {reached}");
        let mut codes = Vec::new();
        // A resumption that is itself killed is resumed as well.
        let resume = ["guard", "resume", "--json"];
        kill_after(&mut site.command(&resume), 1 + usize::try_from(point).unwrap() % 4, pause);
        for _ in 0..3 {
            let ran = site.ran(&["guard", "resume"]);
            codes.push(ran.code);
            if ran.code == 0 {
                break;
            }
            assert!([1, 20].contains(&ran.code), "{what}: {ran:?}");
        }
        assert_eq!(codes.last(), Some(&0), "{what}: nothing is left to resume, {codes:?}");
        let guard = site.ran(&["guard", "status", "--json"]).ok().json();
        let standing = guard["standing"].as_str().unwrap();
        assert!(guard["over"] == true, "{what}: {guard}");
        match standing {
            "given_up" | "rolled_back" => {}
            // Nothing was broken yet.
            "upgraded" => assert_eq!(guard["cut_off"], true, "{what}: {guard}"),
            other => panic!("{what}: {other}: {guard}"),
        }
        deployment.assert_as_before(&state, &what);
        let runs = guard["runs"].as_array().unwrap();
        for run in runs.iter().filter_map(|run| run["id"].as_str()) {
            assert_eq!(site.left_over(run), Vec::<String>::new(), "{what}");
        }
        assert_eq!(deployment.held(), Vec::<String>::new(), "{what}");
        site.purge(&site.path().join("state/runs"));
    }
}
