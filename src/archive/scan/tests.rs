use super::*;
use std::fs;
use std::os::unix::net::UnixListener;

fn scanned(root: &Path, excludes: &[&str]) -> (Vec<String>, Vec<Fault>) {
    let (mut paths, mut faults) = (Vec::new(), Vec::new());
    for scanned in Scan::open(root, Excludes::new(excludes).unwrap()).unwrap() {
        match scanned {
            Scanned::Entry(entry) => paths.push(entry.shown()),
            Scanned::Fault(fault) => faults.push(fault),
            other => panic!("{other:?}"),
        }
    }
    (paths, faults)
}

#[test]
fn the_tree_comes_in_order_with_excluded_parts_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["a", "a-b", "cache", "a/cache"] {
        fs::create_dir(dir.path().join(sub)).unwrap();
    }
    for file in ["a/z", "a.txt", "b.tmp", "cache/x", "a/cache/y"] {
        fs::write(dir.path().join(file), "12345").unwrap();
    }
    let (paths, faults) = scanned(dir.path(), &["*.tmp", "cache/"]);
    assert_eq!(paths, [".", "a", "a/z", "a-b", "a.txt"]);
    assert!(faults.is_empty());
    let excludes = Excludes::new(&["*.tmp", "cache/"]).unwrap();
    let totals = total(dir.path(), excludes, &Default::default()).unwrap();
    assert_eq!((totals.source_bytes, totals.file_count), (10, 4));
}

#[test]
fn symlinks_are_not_followed_and_sockets_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
    let _listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    let (paths, faults) = scanned(dir.path(), &[]);
    assert_eq!(paths, [".", "link"]);
    let skipped: Vec<_> = faults.iter().map(|f| (f.path.to_str().unwrap(), f.trouble)).collect();
    assert_eq!(skipped, [("socket", Trouble::Skipped)]);
}

#[test]
fn directories_of_backstops_own_are_left_out_at_the_top_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let own = ".backstop-kept-20260102030405_4f2a-uploads";
    let file = ".backstop-kept-20260102030405_4f2b-uploads";
    let inside = format!("x/{own}");
    for directory in [own, ".backstop-notes", &inside, "x/.backstop-y"] {
        fs::create_dir_all(dir.path().join(directory)).unwrap();
        fs::write(dir.path().join(directory).join("a"), "a").unwrap();
    }
    fs::write(dir.path().join(file), "no directory").unwrap();
    let (mut paths, faults) = scanned(dir.path(), &[]);
    paths.retain(|path| path.starts_with(".backstop") || path.contains("/.backstop"));
    let mut expected = vec![file.to_owned()];
    for directory in [".backstop-notes", &inside, "x/.backstop-y"] {
        expected.extend([directory.to_owned(), format!("{directory}/a")]);
    }
    assert_eq!(paths, expected);
    let skipped: Vec<_> = faults.iter().map(|f| (f.path.to_str().unwrap(), f.trouble)).collect();
    assert_eq!(skipped, [(own, Trouble::Skipped)]);
    assert!(faults[0].cause.contains("a restore replaced"), "{:?}", faults[0]);
    let excluded = scanned(dir.path(), &["/.backstop-kept-*/"]);
    assert!(excluded.1.is_empty(), "what is excluded is not named");
}

#[test]
fn further_names_of_a_file_are_links_to_the_first() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("b"), "x").unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::hard_link(dir.path().join("b"), dir.path().join("a/1")).unwrap();
    let entries: Vec<_> = Scan::open(dir.path(), Excludes::none()).unwrap().collect();
    let Some(Scanned::Entry(last)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!((last.path.to_str(), last.kind), (Some("b"), Kind::Hardlink));
    assert_eq!(last.link_target.as_deref(), Some(OsStr::new("a/1")));
}

#[test]
fn a_missing_tree_is_an_error() {
    let error = Scan::open(Path::new("/nonexistent/tree"), Excludes::none()).err().unwrap();
    assert_eq!(error.code(), crate::error::Code::Io);
}
