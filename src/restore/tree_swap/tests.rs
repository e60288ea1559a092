//! Every way in which a swap may be cut short, on real directories.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn content(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("a")).ok()
}

fn built(live_existed: bool, method: Method) -> (tempfile::TempDir, TreeSwap) {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    if live_existed {
        fs::create_dir(&live).unwrap();
        fs::write(live.join("a"), "old").unwrap();
    }
    let mut swap = TreeSwap::plan("uploads", &live, "k").unwrap();
    if let Method::Entries { .. } = method {
        swap.new = live.join(".backstop-restore-k-uploads");
        swap.kept = live.join(".backstop-kept-k-uploads");
    }
    swap.method = method;
    fs::create_dir(&swap.new).unwrap();
    fs::write(swap.new.join("a"), "new").unwrap();
    swap.note_built().unwrap();
    (dir, swap)
}

fn methods() -> [Method; 2] {
    [Method::Directory { new_inode: 0 }, Method::ENTRIES]
}

#[test]
fn the_new_tree_becomes_live_and_the_old_comes_back() {
    for method in methods() {
        let (_dir, swap) = built(true, method);
        swap.swap().unwrap();
        swap.swap().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("new"));
        assert_eq!(content(&swap.kept).as_deref(), Some("old"));
        swap.swap_back().unwrap();
        swap.swap_back().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("old"));
        assert_eq!(content(&swap.new).as_deref(), Some("new"));
    }
}

#[test]
fn a_swap_that_did_not_begin_is_undone_as_nothing() {
    for method in methods() {
        let (_dir, swap) = built(true, method);
        swap.swap_back().unwrap();
        assert_eq!(content(&swap.live).as_deref(), Some("old"));
        assert_eq!(content(&swap.new).as_deref(), Some("new"));
    }
}

#[test]
fn a_swap_cut_short_after_the_exchange_is_undone_and_can_go_on() {
    let (_dir, swap) = built(true, Method::Directory { new_inode: 0 });
    exchange(&swap.live, &swap.new).unwrap();
    swap.swap_back().unwrap();
    assert_eq!(content(&swap.live).as_deref(), Some("old"));
    exchange(&swap.live, &swap.new).unwrap();
    swap.swap().unwrap();
    assert_eq!(content(&swap.live).as_deref(), Some("new"));
    assert_eq!(content(&swap.kept).as_deref(), Some("old"));
}

#[test]
fn a_destroyed_tree_is_put_in_place_and_taken_out_again() {
    let (_dir, swap) = built(false, Method::Directory { new_inode: 0 });
    swap.swap().unwrap();
    assert_eq!(content(&swap.live).as_deref(), Some("new"));
    swap.swap_back().unwrap();
    assert!(!swap.live.exists());
    assert_eq!(content(&swap.new).as_deref(), Some("new"));
}

fn entries() -> (tempfile::TempDir, TreeSwap) {
    let (dir, swap) = built(true, Method::ENTRIES);
    for (name, mode) in [(&swap.live, 0o751), (&swap.new, 0o2770)] {
        for entry in ["b", "only"] {
            fs::write(name.join(entry), entry).unwrap();
        }
        fs::set_permissions(name, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::rename(swap.live.join("only"), swap.live.join("only-old")).unwrap();
    fs::rename(swap.new.join("only"), swap.new.join("only-new")).unwrap();
    (dir, swap)
}

/// The entries of a directory that are not backstop's, with their content.
fn held(dir: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with(".backstop-"))
        .map(|entry| {
            let content = fs::read_to_string(entry.path()).unwrap_or_else(|_| "a directory".into());
            format!("{}={content}", entry.file_name().display())
        })
        .collect();
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

const OLD: [&str; 3] = ["a=old", "b=b", "only-old=only"];
const NEW: [&str; 3] = ["a=new", "b=b", "only-new=only"];

#[test]
fn entries_that_were_replaced_since_go_back_with_the_restored_tree() {
    let (_dir, swap) = entries();
    swap.swap().unwrap();
    assert_eq!(
        (held(&swap.live), held(&swap.kept)),
        (NEW.map(String::from).into(), OLD.map(String::from).into())
    );
    // As every editor and most applications do: a new file takes the name of the old one.
    fs::remove_file(swap.live.join("a")).unwrap();
    fs::create_dir(swap.live.join("a")).unwrap();
    fs::write(swap.live.join("b.tmp"), "written since").unwrap();
    fs::rename(swap.live.join("b.tmp"), swap.live.join("b")).unwrap();
    fs::write(swap.live.join("c"), "since").unwrap();
    swap.swap_back().unwrap();
    assert_eq!(held(&swap.live), OLD);
    assert_eq!(held(&swap.new), ["a=a directory", "b=written since", "c=since", "only-new=only"]);
}

#[test]
fn what_only_looks_like_backstops_changes_places_too() {
    const FILE: &str = ".backstop-kept-20260102030405_4f2a-uploads";
    const OTHER: &str = ".backstop-kept-20260102030405_4f2b-uploads";
    let (_dir, swap) = entries();
    for (tree, word) in [(&swap.live, "old"), (&swap.new, "new")] {
        fs::create_dir(tree.join(".backstop-notes")).unwrap();
        fs::write(tree.join(".backstop-notes/a"), word).unwrap();
        fs::write(tree.join(FILE), word).unwrap();
    }
    fs::create_dir(swap.live.join(OTHER)).unwrap();
    let read = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let check = |dir: &Path, word: &str| {
        assert_eq!(read(dir, ".backstop-notes/a"), word);
        assert_eq!(read(dir, FILE), word);
        assert!(swap.live.join(OTHER).is_dir(), "what another restore keeps stays");
    };
    swap.swap().unwrap();
    check(&swap.live, "new");
    check(&swap.kept, "old");
    swap.swap_back().unwrap();
    check(&swap.live, "old");
    check(&swap.new, "new");
}

#[test]
fn a_mount_points_own_metadata_change_places_too() {
    let (_dir, mut swap) = entries();
    xattr::set(&swap.live, "user.whose", b"old").unwrap();
    xattr::set(&swap.live, "user.old", b"").unwrap();
    xattr::set(&swap.new, "user.whose", b"new").unwrap();
    swap.note_live().unwrap();
    swap.note_built().unwrap();
    let time = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.mtime(), found.mtime_nsec())
    };
    let (old, new) = (time(&swap.live), time(&swap.new));
    let whose = || xattr::get(&swap.live, "user.whose").unwrap().unwrap();
    swap.swap().unwrap();
    assert_eq!((mode(&swap.live), time(&swap.live), whose()), (0o2770, new, b"new".into()));
    assert_eq!(xattr::get(&swap.live, "user.old").unwrap(), None);
    swap.swap_back().unwrap();
    assert_eq!((mode(&swap.live), time(&swap.live), whose()), (0o751, old, b"old".into()));
    assert!(xattr::get(&swap.live, "user.old").unwrap().is_some());
}

/// The directory holds these entries, and beyond them only strays. How many that are in all.
fn assert_has_all(dir: &Path, entries: [&str; 3], what: &str) -> usize {
    let live = held(dir);
    let others: Vec<_> = live.iter().filter(|held| !entries.contains(&held.as_str())).collect();
    assert!(others.iter().all(|entry| entry.ends_with("=stray")), "{what}: {live:?}");
    assert_eq!(live.len() - others.len(), entries.len(), "{what}: {live:?}");
    live.len()
}

/// Every state in which either way may have been cut short, and with something that appeared
/// under a name of both.
#[test]
fn a_swap_of_entries_can_be_cut_short_anywhere_and_taken_either_way() {
    let part =
        |swap: &TreeSwap, name: &str| PathBuf::from(format!("{}.{name}", swap.kept.display()));
    type Cut = fn(&TreeSwap, &dyn Fn(&str) -> PathBuf);
    let cuts: [(&str, Cut); 6] = [
        ("not begun", |_, _| {}),
        ("while the old ones leave", |swap, part| {
            fs::create_dir(part("filling")).unwrap();
            fs::set_permissions(part("filling"), fs::Permissions::from_mode(0o751)).unwrap();
            fs::rename(swap.live.join("a"), part("filling").join("a")).unwrap();
        }),
        ("while the new ones come", |swap, _| {
            swap.swap().unwrap();
            for name in ["a", "only-new"] {
                fs::rename(swap.live.join(name), swap.new.join(name)).unwrap();
            }
        }),
        ("done", |swap, _| swap.swap().unwrap()),
        ("while the new ones leave", |swap, _| {
            swap.swap().unwrap();
            fs::rename(swap.live.join("b"), swap.new.join("b")).unwrap();
        }),
        ("while the old ones come back", |swap, part| {
            swap.swap().unwrap();
            for name in ["a", "b", "only-new"] {
                fs::rename(swap.live.join(name), swap.new.join(name)).unwrap();
            }
            fs::rename(&swap.kept, part("draining")).unwrap();
            fs::rename(part("draining").join("b"), swap.live.join("b")).unwrap();
        }),
    ];
    for (what, cut) in cuts {
        for stray in [false, true] {
            for first in [TreeSwap::swap, TreeSwap::swap_back] {
                let (_dir, swap) = entries();
                cut(&swap, &|name| part(&swap, name));
                if stray && !swap.live.join("a").exists() {
                    fs::write(swap.live.join("a"), "stray").unwrap();
                }
                first(&swap).unwrap();
                swap.swap().unwrap();
                assert_has_all(&swap.live, NEW, what);
                assert_eq!(mode(&swap.live), 0o2770, "{what}");
                swap.swap_back().unwrap();
                let live = assert_has_all(&swap.live, OLD, what);
                assert_eq!(mode(&swap.live), 0o751, "{what}");
                swap.purge().unwrap();
                let own = fs::read_dir(&swap.live).unwrap().count();
                assert_eq!(own, live, "{what}: nothing of backstop's is left");
            }
        }
    }
}
