//! The layers of `docs/architecture.md`: no module uses one that lies above it.
//!
//! Paths that begin at the crate's root are read from the sources, `use` or not, without
//! comments, texts and what is compiled for tests alone.

#[path = "layers/source.rs"]
mod source;

use source::Source;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The layers, the uppermost first. A module uses those below its own line.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli", "serve"],
    &["checkpoint", "drill", "guard", "schedule"],
    &["runbook"],
    &["backup", "browse", "copies", "restore", "retention", "upkeep", "verify"],
    &["fence"],
    &["setting"],
    &["archive", "database", "docker", "catalog", "repository"],
    &["encryption"],
    &["storage"],
    &["config", "error", "clock", "deadline", "hex", "host", "printable", "progress", "size"],
];

/// Lines of [`LAYERS`] whose modules may use each other: operations build on operations,
/// and the lowest are known to all.
const SOCIABLE: &[&str] = &["main", "cli", "backup", "config"];

/// What every module of its own line may use: the contract of the repository's format.
const SHARED: &str = "repository";

/// Why `from` may not use `to`, or none if it may.
fn objection(from: &str, to: &str) -> Option<String> {
    let place = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let (Some(upper), Some(lower)) = (place(from), place(to)) else {
        let unknown = if place(from).is_none() { from } else { to };
        return Some(format!("`{unknown}` is in no layer; add it to LAYERS"));
    };
    let sociable = LAYERS[upper].iter().any(|module| SOCIABLE.contains(module));
    match upper.cmp(&lower) {
        _ if from == to => None,
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal if sociable || to == SHARED => None,
        std::cmp::Ordering::Equal => Some(format!("`{to}` lies beside `{from}`")),
        std::cmp::Ordering::Greater => Some(format!("`{to}` lies above `{from}`")),
    }
}

/// Every forbidden arrow of the sources under `root`, as `file: why`.
fn forbidden_arrows(root: &Path) -> io::Result<Vec<String>> {
    let mut sources = Vec::new();
    for path in rust_files(root)? {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
        sources.push(Source::read(&relative, &fs::read_to_string(&path)?));
    }
    let tests: BTreeSet<Vec<String>> =
        sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    let mut arrows = Vec::new();
    for source in &sources {
        let module = &source.module;
        if module.is_empty() || tests.iter().any(|test| module.starts_with(test)) {
            continue;
        }
        for used in &source.uses {
            if let Some(why) = objection(&module[0], used) {
                arrows.push(format!("src/{}: {why}", source.file.display()));
            }
        }
    }
    Ok(arrows)
}

fn rust_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn no_module_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let arrows = forbidden_arrows(&root).unwrap();
    assert!(arrows.is_empty(), "\n{}", arrows.join("\n"));
}

#[test]
fn arrows_that_run_up_are_found_however_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod fence;\n");
    write("main.rs", "use backstop::cli;\n");
    write("fence.rs", "use crate::{config::Config, docker, backup::Plan};\n");
    write("docker/exec.rs", "fn f() { let x = crate::fence::Fence::new(); }\n");
    write("archive.rs", "use crate::catalog::Catalog;\nuse crate::repository::Manifest;\n");
    write("error/code.rs", "use super::super::cli::Args;\n");
    write("mystery.rs", "use crate::error::Error;\n");
    let found = forbidden_arrows(root.path()).unwrap();
    assert_eq!(
        found,
        [
            "src/archive.rs: `catalog` lies beside `archive`",
            "src/docker/exec.rs: `fence` lies above `docker`",
            "src/error/code.rs: `cli` lies above `error`",
            "src/fence.rs: `backup` lies above `fence`",
            "src/mystery.rs: `mystery` is in no layer; add it to LAYERS",
        ]
    );
}

#[test]
fn comments_texts_and_tests_draw_no_arrow() {
    let root = tempfile::tempdir().unwrap();
    let text = r####"
        //! See crate::cli.
        use crate::progress::Progress; /* crate::cli /* crate::cli */ */
        const A: &str = "crate::cli \" crate::cli";
        const B: &str = r#"crate::cli"#;
        const C: char = '"'; // crate::cli
        fn f<'a>(x: &'a str) {}
        #[cfg(test)]
        mod tests {
            use crate::cli::Args;
            fn g() { if true { crate::cli::run() } }
        }
        #[cfg(test)]
        mod scenarios;
        fn after() -> crate::error::Error { crate::config::x() }
    "####;
    fs::write(root.path().join("fence.rs"), text).unwrap();
    fs::create_dir(root.path().join("fence")).unwrap();
    fs::write(root.path().join("fence/scenarios.rs"), "use crate::cli::Args;").unwrap();
    assert_eq!(forbidden_arrows(root.path()).unwrap(), Vec::<String>::new());
    let source = Source::read(Path::new("fence.rs"), text);
    assert_eq!(source.uses, ["config", "error", "progress"].map(String::from).into());
}
