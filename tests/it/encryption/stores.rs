//! Encrypted backups on an object store, and copies of them.

use super::*;
use crate::support::store::S3Server;

/// Writes the config for a repository there, with the host's own key.
fn configure(host: &Host, repository: &str) {
    let recipient = generate(host, &key(host));
    host.configure_repository(repository);
    let text = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), text + &section(&[&recipient], Some(&key(host)))).unwrap();
}

#[test]
fn a_store_holds_nothing_that_can_be_read_and_gives_everything_back() {
    let (host, server) = (Host::with_database(), S3Server::start());
    configure(&host, &host.store(&server, "home"));
    host.database()
        .sql("CREATE TABLE still AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i");
    let full = host.back_up();
    host.write("later.txt", "later");
    host.database().sql("DELETE FROM item WHERE id > 900");
    let last = host.back_up();
    assert_eq!(last["kind"], "incremental", "{last}");
    let backups = server.objects().join("home/backups");
    let of = |record: &Value| backups.join(record["name"].as_str().unwrap());
    assert!(files(&of(&last)).contains(&"databases/shop/toc.dat.age".to_owned()));
    assert!(!holds(&backups, "two two") && !holds(&backups, "CREATE TABLE"));
    sh("sha256sum --quiet -c SHA256SUMS", &of(&last), &[]).ok();
    // The table that did not change is encrypted anew: what the store holds is not trusted.
    let same = files(&of(&last).join("databases/shop"));
    let same = same.iter().filter(|name| {
        let content = |record: &Value| fs::read(of(record).join("databases/shop").join(name)).ok();
        content(&last) == content(&full)
    });
    assert_eq!(same.count(), 0);

    fs::remove_dir_all(host.state()).unwrap();
    assert_eq!(host.run(&["cat", id(&last), "uploads/later.txt"]).ok().stdout, "later");
    assert_eq!(host.json(&["find", "later.txt"]).as_array().unwrap().len(), 1);
    host.run(&["verify", "--all", "--level", "deep"]).ok();
    host.run(&["key", "check"]).ok();
    let to = host.path().join("restored");
    let copy = format!("{}_copy", host.database().name());
    let target = format!("shop={copy}");
    host.run(&["restore", id(&last), "--to", to.to_str().unwrap(), "--database", &target]).ok();
    assert_eq!(listing(&to.join("files/uploads")), listing(&host.live()));
    assert_eq!(Cluster::shared().psql(&copy, "SELECT count(*) FROM item"), "900");
    assert_eq!(Cluster::shared().psql(&copy, "SELECT count(*) FROM still"), "5000");
    Cluster::shared().psql("postgres", &format!("DROP DATABASE {copy}"));
    // With the key it builds upon what it has forgotten.
    assert_eq!(host.back_up()["kind"], "incremental");
}
