//! Docker that does not answer, and containers that are not there.

use super::*;
use crate::support::need::{self, Need};

const BY_LABEL: &str = "[[containers]]\nselect = \"label=backstop.nobody-has-this\"\n";

#[test]
fn a_daemon_that_does_not_answer() {
    let host = Host::with_files();
    host.configure(BY_LABEL);
    let output = host
        .command(&["backup"])
        .env("DOCKER_HOST", "unix:///does/not/exist.sock")
        .output()
        .unwrap();
    let ran = Ran::of(&output).failed(1, "docker_unreachable");
    let row = failed_row(&host);
    assert_eq!(row["error"]["code"], "docker_unreachable");
    assert_eq!(host.backups_and_incoming(), (0, 0));
    assert!(ran.stderr.contains("DOCKER_HOST"), "{ran:?}");
}

#[test]
fn without_containers_docker_is_not_asked_for() {
    let host = Host::with_files();
    let output = host
        .command(&["backup"])
        .env("DOCKER_HOST", "unix:///does/not/exist.sock")
        .output()
        .unwrap();
    Ran::of(&output).ok();
}

#[test]
fn containers_and_volumes_that_are_not_there() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let host = Host::with_files();
    host.configure("[[containers]]\nselect = \"name=backstop-no-such-container\"\n");
    let ran = fails(&host, "container_not_found");
    assert!(ran.stderr.contains("backstop-no-such-container"), "{ran:?}");
    host.configure("[[files]]\nname = \"lost\"\nvolume = \"backstop-no-such-volume\"\n");
    let ran = fails(&host, "container_not_found");
    assert!(ran.stderr.contains("backstop-no-such-volume"), "{ran:?}");
    assert!(ran.stderr.contains("hint: `docker volume ls`"), "{ran:?}");
    // A label that nobody has is no mistake: the containers may come later.
    host.configure(BY_LABEL);
    let record = host.back_up();
    assert!(record["warnings"][0]["message"].as_str().unwrap().contains("label"), "{record}");
}
