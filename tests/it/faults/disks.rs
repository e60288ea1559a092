//! Disks that are full, read-only or not ours, and sources that are not there.

use super::*;
use crate::support::mount::SmallMount;
use crate::support::need::{self, Need};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()
    })
    .flatten()
    .take(bytes)
    .collect()
}

/// Fills what is left of a file system, but for `spare` bytes.
fn fill(dir: &Path, spare: u64) {
    let mut file = fs::File::create(dir.join("filler")).unwrap();
    while file.write(&[7; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len().saturating_sub(spare)).unwrap();
}

#[test]
fn a_repository_without_room_is_refused_before_anything_is_written() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(&host.repository(), "1m") else { return };
    fs::write(host.live().join("big"), noise(8 << 20)).unwrap();
    let ran = fails(&host, "disk_full");
    assert!(ran.stderr.contains("are needed"), "{ran:?}");
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_an_archive() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(&host.repository(), "4m") else { return };
    // More than fits, less than the guess of the first backup refuses.
    fs::write(host.live().join("big"), noise(9 << 20)).unwrap();
    let ran = fails(&host, "disk_full");
    assert!(!ran.stderr.contains("are needed"), "found out too early: {ran:?}");
    // With room the next one succeeds, in the same repository.
    fs::remove_file(host.live().join("big")).unwrap();
    host.back_up();
    host.run(&["verify"]).ok();
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_pg_dump() {
    let host = Host::with_database();
    let Some(_small) = SmallMount::at(&host.repository(), "8m") else { return };
    host.database().sql(
        "CREATE TABLE noise AS SELECT i, \
         (SELECT decode(string_agg(md5((i * 60 + j)::text), ''), 'hex') \
          FROM generate_series(1, 60) j) AS x FROM generate_series(1, 12000) i",
    );
    for format in ["directory", "custom", "plain", "tar"] {
        host.configure_database(&format!("format = {format:?}"), "");
        let ran = fails(&host, "disk_full");
        assert!(!ran.stderr.contains("are needed"), "found out too early: {ran:?}");
    }
}

#[test]
fn a_full_state_disk() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(&host.state(), "4m") else { return };
    host.back_up();
    fill(&host.state(), 0);
    let ran = host.run(&["backup"]).failed(1, "disk_full");
    assert!(ran.stderr.contains(host.state().to_str().unwrap()), "{ran:?}");
    assert_eq!(host.backups_and_incoming(), (1, 0));
    fs::remove_file(host.state().join("filler")).unwrap();
    assert_eq!(host.json(&["list"]).as_array().unwrap().len(), 1, "the catalog is whole");
    host.back_up();
}

#[test]
fn damage_is_said_also_where_a_full_state_disk_does_not_take_it() {
    let host = Host::with_files();
    let Some(_small) = SmallMount::at(&host.state(), "8m") else { return };
    let record = host.back_up();
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[20] ^= 1;
    fs::write(&archive, bytes).unwrap();
    fill(&host.state(), 0);
    let ran = host.run(&["verify"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("files/uploads.tar.zst has other bytes"), "{ran:?}");
}

#[test]
fn a_read_only_repository_can_be_read_and_not_written() {
    let host = Host::with_files();
    let Some(small) = SmallMount::at(&host.repository(), "8m") else { return };
    let record = host.back_up();
    small.make_read_only();
    fails(&host, "read_only");
    assert_eq!(host.json(&["list"])[1]["id"], record["id"]);
    host.run(&["verify"]).ok();
    let to = host.path().join("out");
    host.run(&["restore", "latest", "--to", to.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(to.join("files/uploads/one.txt")).unwrap(), "one");
    host.run(&["delete", "latest", "--yes"]).failed(1, "read_only");
    // Nothing can be saved there before a restore, but the restore itself only reads.
    host.write("one.txt", "changed since");
    let ran = host.run(&["restore", "latest", "--yes"]).failed(1, "read_only");
    assert!(ran.stderr.contains("--no-safety"), "{ran:?}");
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "changed since");
    host.run(&["restore", "latest", "--yes", "--no-safety"]).ok();
    assert_eq!(fs::read_to_string(host.live().join("one.txt")).unwrap(), "one");
}

#[test]
fn a_user_without_permission() {
    if !need::all(&[Need::Root]) {
        return;
    }
    let host = Host::with_files();
    for (path, mode) in [(host.path().to_path_buf(), 0o777), (host.config(), 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // The program may lie where only root looks.
    let program = host.path().join("backstop");
    fs::copy(env!("CARGO_BIN_EXE_backstop"), &program).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let like = host.command(arguments);
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(&program).args(arguments).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(host.path()).output()
    };
    fs::set_permissions(host.live(), fs::Permissions::from_mode(0o700)).unwrap();
    let ran = Ran::of(&as_nobody(&["backup"]).unwrap()).failed(1, "permission_denied");
    assert!(ran.stderr.contains("uploads"), "{ran:?}");

    // One file that cannot be read: the backup is taken, and says what it lacks.
    chown(host.live(), Some(65534), None).unwrap();
    fs::set_permissions(host.live().join("one.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let ran = Ran::of(&as_nobody(&["backup"]).unwrap()).failed(3, "degraded");
    assert!(ran.stderr.contains("one.txt"), "{ran:?}");

    fs::set_permissions(host.repository(), fs::Permissions::from_mode(0o000)).unwrap();
    Ran::of(&as_nobody(&["backup"]).unwrap()).failed(1, "permission_denied");
    fs::set_permissions(host.state(), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = Ran::of(&as_nobody(&["list"]).unwrap()).failed(1, "permission_denied");
    assert!(ran.stderr.contains("state"), "{ran:?}");
}

#[test]
fn a_source_that_is_not_there() {
    let host = Host::with_files();
    fs::rename(host.live(), host.path().join("elsewhere")).unwrap();
    let ran = fails(&host, "io");
    assert!(ran.stderr.contains("live/uploads"), "{ran:?}");
}

#[test]
fn a_directory_that_belongs_to_somebody_else() {
    let host = Host::with_files();
    fs::create_dir(host.repository()).unwrap();
    fs::write(host.repository().join("thesis.doc"), "mine").unwrap();
    let ran = host.run(&["backup"]).failed(5, "repository_not_found");
    assert!(ran.stderr.contains("not empty"), "{ran:?}");
    assert_eq!(fs::read_dir(host.repository()).unwrap().count(), 1);
    leaves_nothing_but_a_row(&host, &ran, "repository_not_found");
}

#[test]
fn a_state_directory_that_is_a_file() {
    let host = Host::with_files();
    fs::write(host.state(), "not a directory").unwrap();
    let ran = host.run(&["backup"]).failed(1, "io");
    assert!(ran.stderr.contains(host.state().to_str().unwrap()), "{ran:?}");
    assert_eq!(host.backups_and_incoming(), (0, 0));
}
