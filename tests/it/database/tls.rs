//! TLS is used and checked as far as `sslmode` asks, by backstop and by the client programs.

use super::*;
use backstop::error::Code;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

fn openssl(directory: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// An authority, and a certificate of it for `db.example`, in `directory`.
fn certify(directory: &Path) {
    fs::write(directory.join("ext"), "subjectAltName=DNS:db.example\n").unwrap();
    for authority in ["ca", "other-ca"] {
        openssl(
            directory,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} \
                 -keyout {authority}.key -out {authority}.crt"
            ),
        );
    }
    openssl(
        directory,
        "req -newkey rsa:2048 -nodes -subj /CN=db.example -keyout server.key -out server.csr",
    );
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
         -extfile ext -out server.crt",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_as_far_as_the_mode_asks() {
    let certificates = tempfile::tempdir().unwrap();
    certify(certificates.path());
    let cluster = Cluster::start();
    let owner = fs::metadata(cluster.data()).unwrap();
    for file in ["server.crt", "server.key"] {
        let to = cluster.data().join(file);
        fs::copy(certificates.path().join(file), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    cluster.psql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.psql("postgres", "SELECT pg_reload_conf()");
    let database = cluster.database("shop");
    fill(&database, 3);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'backstop' AND ssl";
    // The certificate names db.example; the server is at 127.0.0.1.
    let at = |host: &str, mode: &str, authority: &str| {
        let mut component = database.component();
        let root = certificates.path().join(authority);
        component.url = component.url.expose().replace("127.0.0.1", host).parse().unwrap();
        component.url =
            format!("{}{}", component.url.expose(), &format!("?sslmode={mode}")).parse().unwrap();
        if !authority.is_empty() {
            component.url = format!(
                "{}{}",
                component.url.expose(),
                &format!("&sslrootcert={}", root.display())
            )
            .parse()
            .unwrap();
        }
        target(&component).at("127.0.0.1".parse().unwrap(), cluster.port())
    };
    // The reload takes effect some time after pg_reload_conf() has returned.
    while Prepared::connect(&at("127.0.0.1", "require", "")).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for (host, mode, authority, trusted) in [
        ("127.0.0.1", "disable", "", Some(false)),
        ("127.0.0.1", "prefer", "", Some(true)),
        ("127.0.0.1", "require", "", Some(true)),
        ("127.0.0.1", "require", "other-ca.crt", None),
        ("127.0.0.1", "verify-ca", "ca.crt", Some(true)),
        ("127.0.0.1", "verify-ca", "other-ca.crt", None),
        ("127.0.0.1", "verify-full", "ca.crt", None),
        ("db.example", "verify-full", "ca.crt", Some(true)),
        ("db.example", "verify-full", "other-ca.crt", None),
    ] {
        let case = format!("{host} {mode} {authority}");
        let target = at(host, mode, authority);
        match (Prepared::connect(&target).await, trusted) {
            (Ok(prepared), Some(tls)) => {
                let sessions = cluster.psql("postgres", encrypted);
                assert_eq!(sessions != "0", tls, "{case}");
                let backup = tempfile::tempdir().unwrap();
                let held = prepared.fence().await.unwrap();
                let request = DumpRequest::new(&database.component(), 3, backup.path());
                dump::dump(&held, &tools().await, &request, &silent()).await.expect(&case);
            }
            (Err(error), None) => {
                assert_eq!(error.code(), Code::DatabaseUnreachable, "{case}: {error}");
                assert!(error.hint_text().contains("sslrootcert"), "{case}");
            }
            (Ok(_), None) => panic!("{case}: connected"),
            (Err(error), Some(_)) => panic!("{case}: {error}"),
        }
        let left =
            format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
        while cluster.psql("postgres", &left) != "0" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
