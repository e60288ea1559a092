//! `scripts/setup` on a machine that lacks something, as a machine without it sees it.

use crate::support::host::Ran;
use crate::support::make_executable;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that holds all programs there are: these of this machine, and scripts.
fn programs(place: &Path, scripts: &[(&str, &str)]) -> PathBuf {
    let bin = place.join("bin");
    fs::create_dir(&bin).unwrap();
    let wanted = ["bash", "sed", "dirname", "sort", "head", "cut", "grep", "readlink", "id"];
    let path = std::env::var_os("PATH").unwrap();
    for program in wanted {
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.exists());
        symlink(found.unwrap(), bin.join(program)).unwrap();
    }
    for (name, text) in scripts {
        fs::write(bin.join(name), format!("#!{}/bash\n{text}\n", bin.display())).unwrap();
        make_executable(&bin.join(name));
    }
    bin
}

/// `scripts/setup` as it is, except that it looks nowhere else for programs.
fn setup(place: &Path, bin: &Path) -> Ran {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = place.join("repository");
    fs::create_dir_all(copy.join("scripts")).unwrap();
    fs::copy(root.join("Cargo.toml"), copy.join("Cargo.toml")).unwrap();
    let text = fs::read_to_string(root.join("scripts/setup")).unwrap();
    let line = "export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin";
    assert!(text.contains(line));
    fs::write(copy.join("scripts/setup"), text.replace(line, "")).unwrap();
    let output = Command::new(bin.join("bash"))
        .arg(copy.join("scripts/setup"))
        .arg("test")
        .env_clear()
        .env("PATH", bin)
        .output();
    Ran::of(&output.unwrap())
}

#[test]
fn without_a_rust_toolchain_it_says_so() {
    let place = tempfile::tempdir().unwrap();
    let ran = setup(place.path(), &programs(place.path(), &[])).ended(1);
    assert!(ran.stderr.contains("A Rust toolchain is needed and not found"), "{ran:?}");
    let place = tempfile::tempdir().unwrap();
    let old = [("cargo", ""), ("rustc", "echo rustc 1.60.0")];
    let ran = setup(place.path(), &programs(place.path(), &old)).ended(1);
    assert!(ran.stderr.contains("this is 1.60.0"), "{ran:?}");
}

#[test]
fn without_apt_it_lists_what_is_missing_and_stops() {
    let place = tempfile::tempdir().unwrap();
    let rust = [("cargo", ""), ("rustc", "echo rustc 9.99.0"), ("zstd", "")];
    let ran = setup(place.path(), &programs(place.path(), &rust)).ended(1);
    for missing in ["a C++ compiler", "a Docker engine with its client", "compose", "jq"] {
        assert!(ran.stderr.contains(&format!("  - {missing}")), "{missing}: {ran:?}");
    }
    assert!(!ran.stderr.contains("  - zstd"), "{ran:?}");
}
