//! The jobs of GitHub and GitLab, step by step, and the playbook as a whole.

use super::host::Host;
use super::{file, guarded, words, yaml};
use crate::support::need::{self, Need};
use serde_json::Value;

/// Runs every step as bash with `-e`, which is what both runners do; what backstop was asked.
fn steps(host: &Host, steps: &[&Value]) -> Vec<Vec<String>> {
    for step in steps {
        let script = step.as_str().unwrap();
        // An expression would be put into the script as it is: a tag could bring commands along.
        assert!(!script.contains("${{"), "{script}");
        host.run(&["bash", "-n", "-c", script]).ok();
        host.run(&["bash", "-e", "-c", script]).ok();
    }
    host.asked()
}

#[test]
fn the_github_job_guards_and_always_finishes() {
    let workflow = yaml("github-actions.yml");
    assert_eq!(workflow["concurrency"]["cancel-in-progress"], false);
    assert!(workflow["concurrency"]["group"].is_string());
    let job = &workflow["jobs"]["deploy"];
    assert_eq!(job["runs-on"][0], "self-hosted");
    let all = job["steps"].as_array().unwrap();
    let always: Vec<&Value> = all.iter().filter(|step| step["if"] == "always()").collect();
    assert_eq!((always.len(), &always[0]["run"]), (1, &"backstop guard resume".into()));
    let runs: Vec<&Value> = all.iter().filter_map(|step| step.get("run")).collect();
    let host = Host::new();
    let asked = steps(&host, &runs);
    let upgrade = guarded(&["--timeout", "2h"]);
    assert_eq!(
        asked,
        [words("guard resume"), upgrade, words("guard resume"), words("guard status")]
    );
    assert_eq!(host.docker().len(), 2);
    for variable in ["VERSION", "HEALTH_URL"] {
        assert!(job["env"][variable].is_string(), "{variable}");
    }
}

#[test]
fn the_gitlab_job_guards_and_always_finishes() {
    let job = &yaml("gitlab-ci.yml")["deploy"];
    assert!(job["resource_group"].is_string());
    assert_eq!(job["interruptible"], false);
    let host = Host::new();
    let script: Vec<&Value> = job["script"].as_array().unwrap().iter().collect();
    let asked = steps(&host, &script);
    assert_eq!(asked, [words("guard resume"), guarded(&["--timeout", "2h"])]);
    let after: Vec<&Value> = job["after_script"].as_array().unwrap().iter().collect();
    assert_eq!(steps(&host, &after)[2..], [words("guard resume"), words("guard status")]);
    assert_eq!(host.docker().len(), 2);
}

#[test]
fn the_playbook_guards_and_always_finishes() {
    if !need::all(&[Need::Ansible]) {
        return;
    }
    let playbook = file("ansible.yml");
    for (code, failed, changed, said) in [
        (0, 0, 1, "2.4.0 is running"),
        (20, 1, 0, "2.4.0 failed; the version before it is running again"),
    ] {
        let host = Host::new().ending(code);
        let (place, at) = (host.path().display().to_string(), "localhost,");
        let (version, dir) = ("upgrade_version=2.4.0", format!("upgrade_dir={place}"));
        let play = ["ansible-playbook", "-c", "local", "-i", at, "-e", version, "-e", &dir];
        let play = [&play[..], &[playbook.as_str()]].concat();
        host.run(&[&play[..], &["--syntax-check"]].concat()).ok();
        let ran = host.run(&play).ended(if code == 0 { 0 } else { 2 });
        let counted = |what: &str, count: i32| ran.stdout.contains(&format!("{what}={count} "));
        assert!(counted("failed", failed) && counted("changed", changed), "{ran:?}");
        assert!(ran.stdout.contains(&format!("\"msg\": \"{said}\"")), "{ran:?}");
        let resume = words("guard resume");
        assert_eq!(host.asked(), [resume.clone(), guarded(&[]), resume]);
        assert_eq!(host.docker().len(), 2);
    }
}
