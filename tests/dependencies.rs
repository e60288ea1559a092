//! Every direct dependency has its reason in `docs/dependencies.md`.

use std::collections::BTreeSet;
use toml_edit::DocumentMut;

const PAGE: &str = include_str!("../docs/dependencies.md");

#[test]
fn every_dependency_has_its_reason_and_no_reason_outlives_its_dependency() {
    let manifest: DocumentMut = include_str!("../Cargo.toml").parse().unwrap();
    let declared: BTreeSet<&str> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|table| table.iter().map(|(name, _)| name))
        .collect();
    let in_use = PAGE.split("## Not used").next().unwrap_or_default();
    let explained: BTreeSet<&str> = in_use
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` | ")?.0))
        .collect();
    assert_eq!(declared, explained);
}
