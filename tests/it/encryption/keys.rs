//! Keys: made, checked, protected, changed, lost.

use super::*;
use age::secrecy::SecretString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_new_key_is_private_explained_and_never_overwrites() {
    let host = Host::with_files();
    let file = host.path().join("new.key");
    let ran = host.run(&["key", "generate", "--output", file.to_str().unwrap()]).ok();
    assert!(ran.stdout.contains("recipients = [\"age1"), "{ran:?}");
    assert!(ran.stdout.contains("EVERY BACKUP") && ran.stdout.contains("UNREADABLE"), "{ran:?}");
    assert!(!ran.stdout.contains("AGE-SECRET-KEY"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    host.run(&["key", "generate", "--output", file.to_str().unwrap()]).failed(2, "usage");
    assert_eq!(fs::read(&file).unwrap(), before);
    if need::all(&[Need::Age]) {
        let script = "age-keygen -y \"$KEY\"";
        let public = sh(script, host.path(), &[("KEY", &file)]).ok().stdout;
        assert!(ran.stdout.contains(public.trim()), "{public}");
    }
}

#[test]
fn a_check_opens_every_kind_of_object_and_says_whose_key_it_is() {
    let host = Host::with_database();
    let recipient = encrypt(&host);
    host.run(&["key", "check"]).failed(5, "repository_not_found");
    let record = host.back_up();
    let checked = host.json(&["key", "check"]);
    assert_eq!((&checked["id"], &checked["name"]), (&record["id"], &record["name"]));
    assert_eq!(checked["recipients"], serde_json::json!([recipient]));
    assert_eq!(checked["keys"], checked["recipients"]);
    let read: Vec<&str> =
        checked["read"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for object in
        ["index.parquet.age", "uploads.tar.zst.age", "shop/toc.dat.age", "globals.sql.age"]
    {
        assert!(read.iter().any(|one| one.ends_with(object)), "{object}: {read:?}");
    }
    let text = host.run(&["key", "check"]).ok().stdout;
    assert!(text.contains("(this key)"), "{text}");
    let doctor = host.json(&["doctor"]);
    let finding = doctor.as_array().unwrap().iter().find(|one| one["subject"] == "encryption");
    assert!(finding.unwrap()["error"].is_null(), "{doctor}");

    // Damage is damage, not a wrong key.
    let archive = host.backup_dir(&record).join("files/uploads.tar.zst.age");
    let mut bytes = fs::read(&archive).unwrap();
    let end = bytes.len() - 3;
    bytes[end] ^= 1;
    fs::write(&archive, bytes).unwrap();
    host.run(&["key", "check"]).failed(6, "backup_damaged");
}

#[test]
fn a_key_that_is_wrong_or_gone_is_told_apart_and_nothing_is_touched() {
    let host = Host::with_files();
    let recipient = encrypt(&host);
    let record = host.back_up();
    let other = host.path().join("keys/other.key");
    let others = generate(&host, &other);
    let before = host.live_state();
    let reads = |host: &Host, code: &str| {
        host.run(&["restore", id(&record), "--yes", "--no-safety"]).failed(1, code);
        host.run(&["cat", id(&record), "uploads/one.txt"]).failed(1, code);
        host.run(&["verify", "--level", "deep", id(&record)]).failed(1, code);
        host.run(&["verify", "--level", "full", id(&record)]).ok();
    };

    // The recipients are those of the backup, the key is another one.
    host.configure(&section(&[&recipient], Some(&other)));
    let ran = host.run(&["key", "check"]).failed(1, "key_wrong");
    assert!(
        ran.stderr.contains(&others) && ran.stderr.contains("none of the recipients"),
        "{ran:?}"
    );
    reads(&host, "key_wrong");
    host.run(&["ls", id(&record)]).failed(1, "key_wrong");
    let doctor = host.run(&["doctor", "--json"]).ended(3).json();
    assert!(doctor.to_string().contains("key_wrong"), "{doctor}");

    // Both are changed: it is the backup that cannot be read.
    host.configure(&section(&[&others], Some(&other)));
    let ran = host.run(&["key", "check"]).failed(1, "key_wrong");
    assert!(ran.stderr.contains("other recipients"), "{ran:?}");

    host.configure(&section(&[&recipient], Some(&host.path().join("keys/gone"))));
    host.run(&["key", "check"]).failed(1, "key_missing");
    reads(&host, "key_missing");
    host.configure(&section(&[&recipient], None));
    host.run(&["key", "check"]).failed(1, "key_missing");
    host.configure("");
    reads(&host, "key_missing");
    assert_eq!(host.live_state(), before);

    // The right one makes all of it good.
    host.configure(&section(&[], Some(&key(&host))));
    host.run(&["verify", "--level", "deep", id(&record)]).ok();
    assert_eq!(host.run(&["cat", id(&record), "uploads/one.txt"]).ok().stdout, "one");
}

#[test]
fn one_backup_for_another_key_keeps_nothing_else_from_being_verified() {
    let host = Host::with_files();
    let old = host.path().join("keys/old.key");
    let olds = generate(&host, &old);
    host.configure(&section(&[&olds], Some(&old)));
    let first = host.back_up();
    let recipient = generate(&host, &key(&host));
    host.configure(&section(&[&recipient], Some(&key(&host))));
    let second = host.json(&["backup", "--kind", "full"]);
    let ran = host.run(&["verify", "--all", "--level", "deep", "--json"]).ended(3);
    let found = ran.json();
    let of = |record: &serde_json::Value| {
        let mut all = found.as_array().unwrap().iter();
        all.find(|one| one["id"] == record["id"]).unwrap().clone()
    };
    assert_eq!((&of(&first)["ok"], &of(&first)["level"]), (&true.into(), &"full".into()));
    assert!(of(&first)["locked"].as_str().unwrap().contains("key"), "{found}");
    assert_eq!((&of(&second)["ok"], &of(&second)["level"]), (&true.into(), &"deep".into()));
    assert!(of(&second)["locked"].is_null(), "{found}");
    assert!(ran.stderr.contains("key_wrong"), "{ran:?}");
    let listed = host.json(&["list"]);
    assert!(listed.as_array().unwrap().iter().all(|one| one["encrypted"] == true), "{listed}");
    assert!(host.run(&["show"]).ok().stdout.contains("encrypted    with age"));
}

#[test]
fn a_key_file_may_be_protected_by_a_passphrase() {
    let host = Host::with_files();
    let recipient = encrypt(&host);
    let locked = host.path().join("keys/locked.age");
    let mut scrypt = age::scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
    scrypt.set_work_factor(4);
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&scrypt as &dyn age::Recipient)).unwrap();
    let mut output = encryptor.wrap_output(fs::File::create(&locked).unwrap()).unwrap();
    output.write_all(&fs::read(key(&host)).unwrap()).unwrap();
    output.finish().unwrap();

    let text = section(&[&recipient], Some(&locked));
    asked_on_a_terminal(&host, &text);
    host.configure(&format!("{text}passphrase_env = \"KEY_WORDS\"\n"));
    let with = |words: &str, arguments: &[&str]| {
        Ran::of(&host.command(arguments).env("KEY_WORDS", words).output().unwrap())
    };
    with("", &["backup"]).ok();
    with("correct horse", &["key", "check"]).ok();
    let ran = with("wrong horse", &["key", "check"]).failed(1, "key_wrong");
    assert!(ran.stderr.contains("passphrase is wrong") && !ran.stderr.contains("horse"), "{ran:?}");
    with("", &["key", "check"]).failed(1, "key_missing");

    // Nobody is there to be asked.
    host.configure(&text);
    let mut alone = Command::new("setsid");
    let inner = host.command(&["key", "check"]);
    alone.arg("--wait").arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        alone.envs(value.map(|value| (name, value)));
    }
    let ran = Ran::of(&alone.stdin(Stdio::null()).output().unwrap()).failed(1, "key_missing");
    assert!(ran.stderr.contains("no terminal"), "{ran:?}");
}

/// Runs `key check` on a terminal of its own, on which somebody types.
fn asked_on_a_terminal(host: &Host, text: &str) {
    const TYPE: &str = "import os, pty, sys\n\
        child, terminal = pty.fork()\n\
        if child == 0:\n    os.execv(sys.argv[2], sys.argv[2:])\n\
        said = b''\n\
        while b': ' not in said:\n    said += os.read(terminal, 4096)\n\
        os.write(terminal, sys.argv[1].encode())\n\
        try:\n    while True:\n        said += os.read(terminal, 4096)\n\
        except OSError:\n    pass\n\
        sys.stdout.write(said.decode())\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))";
    if !need::all(&[Need::Python]) {
        return;
    }
    host.configure(text);
    host.back_up();
    for (typed, code, told) in [
        ("correct hors\u{8}se\n", 0, "The key reads"),
        ("wrong horse\n", 1, "the passphrase is wrong"),
        ("correct\u{3}", 130, "interrupted"),
    ] {
        let inner = host.command(&["key", "check"]);
        let mut python = Command::new("python3");
        python.args(["-c", TYPE, typed]).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            python.envs(value.map(|value| (name, value)));
        }
        let ran = Ran::of(&python.output().unwrap()).ended(code);
        assert!(ran.stdout.contains("Passphrase of") && ran.stdout.contains(told), "{ran:?}");
        assert!(!ran.stdout.contains("horse"), "it is not shown: {ran:?}");
    }
}

#[test]
fn turning_encryption_on_and_off_and_changing_recipients_makes_the_next_backup_full() {
    let host = Host::with_files();
    let backed_up = |host: &Host, kind: &str, because: &str| {
        let ran = host.run(&["backup", "--json"]).ok();
        assert_eq!(ran.json()["kind"], kind, "{ran:?}");
        assert!(ran.stderr.contains(because), "{because}: {ran:?}");
        ran.json()
    };
    let plain = backed_up(&host, "full", "");
    let recipient = encrypt(&host);
    backed_up(&host, "full", "is not encrypted, and this one is");
    backed_up(&host, "incremental", "");
    let other = generate(&host, &host.path().join("keys/other.key"));
    host.configure(&section(&[&other, &recipient], Some(&key(&host))));
    let both = backed_up(&host, "full", "other recipients");
    // The order means nothing.
    host.configure(&section(&[&recipient, &other], Some(&key(&host))));
    backed_up(&host, "incremental", "");
    host.configure(&section(&[], Some(&key(&host))));
    let last = backed_up(&host, "full", "is encrypted, and this one is not");
    let checked = host.json(&["key", "check"]);
    assert!(checked["recipients"].is_null() && checked["id"] == last["id"], "{checked}");
    for record in [&plain, &both, &last] {
        assert_eq!(host.run(&["cat", id(record), "uploads/one.txt"]).ok().stdout, "one");
    }
}

#[test]
fn the_secret_key_stands_nowhere_but_in_its_file() {
    let host = Host::with_files();
    encrypt(&host);
    let text = fs::read_to_string(key(&host)).unwrap();
    let secret = text.lines().last().unwrap();
    assert!(secret.starts_with("AGE-SECRET-KEY-1"));
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), format!("# {secret}\n{config}")).unwrap();
    let record = host.back_up();
    let mut said = String::new();
    for arguments in [
        &["key", "check", "--json"][..],
        &["show", "--json"],
        &["config", "show"],
        &["doctor", "--json"],
        &["verify", "--level", "deep"],
    ] {
        let ran = host.run(arguments).ok();
        said.push_str(&(ran.stdout + &ran.stderr));
    }
    assert!(!said.contains(secret));
    assert!(!holds(&host.state(), secret) && !holds(&host.repository(), secret));
    let manifest = host.backup_dir(&record);
    let script = "age -d -i \"$KEY\" config/backstop.toml.age";
    if need::all(&[Need::Age]) {
        let copy = sh(script, &manifest, &[("KEY", &key(&host))]).ok().stdout;
        assert!(copy.contains("[encryption]") && !copy.contains(secret), "{copy}");
    }
}
