//! Roles: recorded as far as the user may, and made again where they are missing.

use super::*;
use crate::support::cluster::SUPERUSER;
use backstop::database::{GLOBALS, create_missing_roles, dump_globals};
use backstop::encryption::NOBODY;
use backstop::progress::Warnings;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_gets_roles_without_passwords_and_a_warning() {
    let cluster = Cluster::shared();
    let database = cluster.database("globals");
    let backup = tempfile::tempdir().unwrap();
    let warnings = Warnings::before(silent());
    let component = database.component();
    let written = dump_globals(
        &target(&component),
        &tools().await,
        (backup.path(), GLOBALS),
        &NOBODY,
        warnings.as_ref(),
    )
    .await
    .unwrap();
    let script = std::fs::read_to_string(backup.path().join(GLOBALS)).unwrap();
    assert_eq!(written, Some(script.len() as u64));
    assert!(script.contains("CREATE ROLE shop;") && !script.contains("SCRAM-SHA-256"));
    assert_eq!(warnings.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_roles_come_back_with_password_settings_and_memberships() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        r#"CREATE ROLE "Gröup; 'x'"; CREATE ROLE lost LOGIN PASSWORD 'secret' CONNECTION LIMIT 3;
           GRANT "Gröup; 'x'" TO lost; ALTER ROLE lost SET work_mem = '7MB'"#,
    );
    let component = cluster.component("shop", SUPERUSER, "postgres");
    let backup = tempfile::tempdir().unwrap();
    let tools = tools().await;
    dump_globals(&target(&component), &tools, (backup.path(), GLOBALS), &NOBODY, &Silent)
        .await
        .unwrap();
    let roles = "SELECT rolname, rolconnlimit, rolconfig, rolpassword IS NOT NULL, \
                 pg_has_role(oid, 'Gröup; ''x''', 'MEMBER') \
                 FROM pg_authid LEFT JOIN (SELECT oid o, rolconfig FROM pg_roles) c ON o = oid \
                 WHERE rolname IN ('lost', 'Gröup; ''x''') ORDER BY 1";
    let before = cluster.psql("postgres", roles);
    cluster.psql("postgres", r#"DROP ROLE lost; DROP ROLE "Gröup; 'x'""#);

    // A user who may not create roles is warned and changes nothing.
    let unprivileged = cluster.component("shop", USER, "postgres");
    let warnings = Warnings::before(silent());
    let script = std::fs::read(backup.path().join(GLOBALS)).unwrap();
    let made = create_missing_roles(&target(&unprivileged), &script, warnings.as_ref()).await;
    assert!(made.unwrap().is_empty());
    assert!(warnings.seen()[0].message.contains("lost"), "{:?}", warnings.seen());

    let mut made = create_missing_roles(&target(&component), &script, &Silent).await.unwrap();
    made.sort();
    assert_eq!(made, ["Gröup; 'x'", "lost"]);
    assert_eq!(cluster.psql("postgres", roles), before);
    let again = create_missing_roles(&target(&component), &script, &Silent).await.unwrap();
    assert!(again.is_empty());
}
