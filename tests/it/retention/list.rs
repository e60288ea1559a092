//! The filters of `backstop list`.

use super::{age, id};
use crate::support::host::Host;

#[test]
fn filters_of_list_combine() {
    let host = Host::with_files();
    host.write("2024/a.jpg", "a");
    let old = host.json(&["backup", "--label", "ticket=OPS-1"]);
    std::fs::remove_dir_all(host.live().join("2024")).unwrap();
    let middle = host.json(&["backup", "--reason", "scheduled", "--label", "ticket=OPS-2"]);
    let new = host.json(&["backup", "--kind", "full", "--reason", "scheduled"]);
    age(&host, &[(&old, 20), (&middle, 10)]);
    host.run(&["verify", id(&middle)]).ok();

    let listed = |arguments: &[&str]| -> Vec<String> {
        let printed = host.json(&[&["list"], arguments].concat());
        printed.as_array().unwrap().iter().map(|record| id(record).to_owned()).collect()
    };
    let (old, middle, new) = (id(&old), id(&middle), id(&new));
    let day = |ago: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * ago);
        at.strftime("%Y-%m-%d").to_string()
    };
    assert_eq!(listed(&[]), [new, middle, old]);
    assert_eq!(listed(&["--since", &day(15)]), [new, middle]);
    assert_eq!(listed(&["--until", &day(5)]), [middle, old]);
    assert_eq!(listed(&["--since", &day(15), "--until", &day(5)]), [middle]);
    assert_eq!(listed(&["--reason", "scheduled"]), [new, middle]);
    assert_eq!(listed(&["--reason", "scheduled", "--kind", "incremental"]), [middle]);
    assert_eq!(listed(&["--label", "ticket"]), [middle, old]);
    assert_eq!(listed(&["--label", "ticket=OPS-1"]), [old]);
    assert_eq!(listed(&["--label", "ticket=OPS-1", "--label", "other"]), [""; 0]);
    assert_eq!(listed(&["--status", "verified"]), [middle]);
    assert_eq!(listed(&["--status", "failed"]), [""; 0]);
    assert_eq!(listed(&["--containing", "uploads/2024/a.jpg"]), [old]);
    assert_eq!(listed(&["--containing", "uploads/2024"]), [old]);
    assert_eq!(listed(&["--containing", "uploads/2024/*.jpg"]), [old]);
    assert_eq!(listed(&["--containing", "*.txt", "--reason", "scheduled"]), [new, middle]);
    assert_eq!(listed(&["--containing", "uploads"]), [new, middle, old]);
    assert_eq!(listed(&["--containing", "mail"]), [""; 0]);
    assert_eq!(listed(&["--limit", "2"]), [new, middle]);
    assert_eq!(listed(&["--containing", "uploads/one.txt", "--limit", "1"]), [new]);
    assert!(host.run(&["list", "--status", "failed"]).ok().stdout.contains("No backup fits"));
    host.run(&["list", "--status", "odd"]).ended(2);
    host.run(&["list", "--containing", "uploads/../etc"]).failed(2, "usage");
}
