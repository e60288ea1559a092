//! Questions to backups of which not every list of files can be read.

use super::*;

/// Makes of an index what looks whole from its end, and of which no path can be read.
fn harm(index: &std::path::Path) {
    let mut bytes = fs::read(index).unwrap();
    bytes[10..300].fill(0xff);
    fs::write(index, bytes).unwrap();
}

/// A host with two full backups and one upon the second, and their records.
fn three() -> (Host, Vec<Value>) {
    let host = Host::with_files();
    let mut records = vec![host.back_up()];
    host.write("later.txt", "later");
    records.push(host.json(&["backup", "--kind", "full"]));
    host.write("last.txt", "last");
    records.push(host.back_up());
    assert_eq!(records[2]["kind"], "incremental");
    (host, records)
}

/// How many backups have files, by looking at each.
const COUNT: &str = "SELECT count(DISTINCT backup) AS n FROM files WHERE length(path) > 0";

fn index(host: &Host, record: &Value) -> std::path::PathBuf {
    host.backup_dir(record).join("files/index.parquet")
}

#[test]
fn one_damaged_index_costs_what_its_own_backup_holds_and_no_more() {
    let (host, records) = three();
    let id = |place: usize| records[place]["id"].as_str().unwrap();
    // The second is what the third builds upon: that is read by its own index then.
    for (harmed, holding) in [(0, [2, 1]), (1, [2, 0])] {
        let file = index(&host, &records[harmed]);
        let whole = fs::read(&file).unwrap();
        harm(&file);
        host.run(&["verify", "--all"]).ended(6);

        let found = host.run(&["find", "one.txt", "--json"]).ended(3);
        assert_eq!(found.json()[0]["backups"], 2, "{found:?}");
        let warned = found.stderr.lines().filter(|line| line.contains("\"warned\"")).count();
        assert_eq!(warned, 1, "{found:?}");
        assert!(found.stderr.contains("files/index.parquet of"), "{found:?}");
        assert!(found.stderr.contains(records[harmed]["name"].as_str().unwrap()), "{found:?}");

        let last = host.run(&["find", "last.txt", "--json"]).ended(3).json();
        assert_eq!(last[0]["last_backup"], id(2));
        let nothing = host.run(&["find", "nowhere"]).ended(3);
        assert!(nothing.stdout.contains("that could be read"), "{nothing:?}");
        let history = host.run(&["history", "uploads/one.txt", "--json"]).ended(3).json();
        assert_eq!(history[0]["backups"], 2, "{history}");
        let never = host.run(&["history", "uploads/never", "--json"]).ended(3).json();
        assert_eq!(never, serde_json::json!([]));
        let listed =
            host.run(&["list", "--containing", "uploads/one.txt", "--json"]).ended(3).json();
        assert_eq!(texts(&listed, "id"), holding.map(id));
        let counted = host.run(&["sql", COUNT, "--json"]);
        assert_eq!(counted.ended(3).json()[0]["n"], 2);
        host.run(&["sql", "SELECT nothing FROM files"]).failed(2, "usage");

        // Of the one backup there is nothing else to tell.
        host.run(&["ls", id(harmed), "uploads"]).failed(6, "backup_damaged");
        host.run(&["diff", id(harmed), id(2)]).failed(6, "backup_damaged");
        fs::write(&file, whole).unwrap();
    }
    host.run(&["find", "one.txt"]).ok();
}

#[test]
fn a_missing_index_is_no_missing_file() {
    let (host, records) = three();
    let id = |place: usize| records[place]["id"].as_str().unwrap();
    fs::remove_file(index(&host, &records[0])).unwrap();
    for asked in [&["ls", id(0), "uploads/one.txt"][..], &["cat", id(0), "uploads/one.txt"]] {
        let ran = host.run(asked).failed(6, "backup_damaged");
        assert!(ran.stderr.contains("is missing") && !ran.stderr.contains("LINE"), "{ran:?}");
    }
    let found = host.run(&["find", "one.txt", "--json"]).ended(3);
    assert_eq!(found.json()[0]["backups"], 2, "{found:?}");
    assert!(!found.stderr.contains("LINE"), "{found:?}");

    // Where none is left there is no answer at all.
    records.iter().skip(1).for_each(|record| fs::remove_file(index(&host, record)).unwrap());
    fs::remove_file(host.backup_dir(&records[2]).join("files/changes.parquet")).unwrap();
    for asked in [
        &["find", "one.txt"][..],
        &["history", "uploads/one.txt"],
        &["list", "--containing", "uploads/one.txt"],
        &["sql", "SELECT count(*) FROM files"],
    ] {
        host.run(asked).failed(6, "backup_damaged");
    }
}

#[test]
fn a_damaged_copy_of_an_index_is_brought_anew() {
    let host = Host::with_files();
    let key = host.path().join("the.key");
    let made = host.json(&["key", "generate", "--output", key.to_str().unwrap()]);
    let recipient = made["recipient"].as_str().unwrap();
    host.configure(&format!(
        "[encryption]\nrecipients = [{recipient:?}]\nidentity_file = {key:?}\n"
    ));
    let record = host.back_up();
    let expected = host.json(&["find", "one.txt"]);
    let repository = fs::read_dir(host.state().join("indexes")).unwrap().next().unwrap().unwrap();
    let copy = repository.path().join(format!("{}.parquet", record["id"].as_str().unwrap()));
    harm(&copy);
    assert_eq!(host.json(&["find", "one.txt"]), expected);
}

#[test]
fn a_backup_without_the_tree_has_no_such_file_and_is_not_compared() {
    let host = Host::with_database();
    let whole = host.back_up();
    let partial = host.json(&["backup", "--only", "databases"]);
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let to = host.path().join("to");
    for asked in [
        &["cat", &id(&partial), "uploads/one.txt"][..],
        &["ls", &id(&partial), "uploads/one.txt"],
        &["restore", &id(&partial), "--to", to.to_str().unwrap(), "--path", "uploads/one.txt"],
    ] {
        let ran = host.run(asked).failed(5, "file_not_found");
        assert!(ran.stderr.contains("--only, which left uploads out"), "{ran:?}");
    }
    let ran = host.run(&["cat", &id(&whole), "mail/one.txt"]).failed(5, "file_not_found");
    assert!(ran.stderr.contains("has no file tree mail"), "{ran:?}");
    for (first, second) in [(&whole, &partial), (&partial, &whole)] {
        let ran = host.run(&["diff", &id(first), &id(second), "--json"]).ended(3);
        assert_eq!(ran.json(), serde_json::json!([]));
        assert!(ran.stderr.contains("uploads is not compared"), "{ran:?}");
    }
    host.run(&["diff", &id(&whole), &id(&whole)]).ok();
}

#[test]
fn what_is_printed_of_a_name_can_be_typed_everywhere() {
    let host = Host::with_files();
    let odd = std::ffi::OsStr::from_bytes(b"bad\xff\xfename.txt");
    let (shown, both) = ("uploads/bad%FF%FEname.txt", "uploads/both%FF.txt");
    fs::write(host.live().join(odd), "odd").unwrap();
    fs::write(host.live().join(std::ffi::OsStr::from_bytes(b"both\xff.txt")), "raw").unwrap();
    host.write("both%FF.txt", "literal");
    host.write("new\nline.txt", "line");
    let record = host.back_up();
    let id = record["id"].as_str().unwrap();
    let cat = |path: &std::ffi::OsStr| host.command(&["cat", id]).arg(path).output().unwrap();
    assert_eq!(cat(shown.as_ref()).stdout, b"odd");
    assert_eq!(cat(both.as_ref()).stdout, b"literal");
    assert_eq!(cat(std::ffi::OsStr::from_bytes(b"uploads/both\xff.txt")).stdout, b"raw");
    let to = host.path().join("to");
    host.run(&["restore", id, "--to", to.to_str().unwrap(), "--path", shown]).ok();
    assert_eq!(fs::read(to.join("files/uploads").join(odd)).unwrap(), b"odd");

    let long = "x".repeat(200);
    host.write(&long, "long");
    host.back_up();
    for asked in [&["ls", "latest", "uploads"][..], &["find", "*"], &["diff", id, "latest"]] {
        let text = host.run(asked).ok().stdout;
        let of_the_long = text.lines().find(|line| line.contains(&long)).unwrap().len();
        let others = text.lines().filter(|line| line.len() >= of_the_long).count();
        assert_eq!(others, 1, "only its own line is as long: {text}");
        assert!(!text.lines().any(|line| line.starts_with("line.txt")), "{text}");
    }
    assert!(host.run(&["find", "line.txt"]).ok().stdout.contains(r"new\u{a}line.txt"));
}
