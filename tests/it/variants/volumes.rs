//! Volumes that only Docker can reach.

use super::*;
use crate::support::need::{self, Need};

fn helpers(stack: &Stack) -> String {
    let label = format!("label=backstop.helper={}", stack.volume());
    docker(&["ps", "--all", "--quiet", "--filter", &label])
}

#[test]
fn a_user_with_docker_alone_backs_up_restores_and_rolls_back_a_volume() {
    if !need::all(&[Need::Root]) || !Path::new("/var/run/docker.sock").exists() {
        return;
    }
    let Some(stack) = Stack::start() else { return };
    let project = stack.project();
    let site = Site::of(
        &stack,
        &format!(
            "[[databases]]\nname = \"shop\"\nurl = \"{}\"\n\
             password_env = \"SHOP_DB_PASSWORD\"\n\
             [[files]]\nname = \"uploads\"\nvolume = \"{}\"\nexclude = [\"*.tmp\"]\n\
             [[containers]]\nselect = \"label=backstop.quiesce={project}\"\n",
            stack.database_url("shop"),
            stack.volume(),
        ),
    )
    .unprivileged();
    let load = stack.load(4, 40);
    let record = site.json(&["backup"]);
    load.stop();
    assert_eq!(level(&record), "fenced", "{record}");
    let files = component(&site.manifest(&record), "uploads").clone();
    assert_eq!((&files["capture"], &files["path"]), (&"docker".into(), &Value::Null));
    let audit = site.audit_copy(&stack, &record, "copy");
    assert!(audit.clean() && audit.rows > 0, "{audit:?}");

    // What came later goes, what was lost comes back.
    let uploads = stack.uploads();
    // The first upload, which was there before the backup.
    let lost = fs::read_dir(&uploads).unwrap().flatten().map(|entry| entry.path()).min().unwrap();
    fs::remove_file(&lost).unwrap();
    let stray = uploads.join("stray.bin");
    fs::write(&stray, "written after the backup").unwrap();
    let restored = site.json(&["restore", record["id"].as_str().unwrap(), "--yes"]);
    stack.wait_until("the application is healthy", || stack.healthy());
    let after = stack.audit();
    assert!(after.clean() && after.rows == audit.rows, "{after:?}");
    assert!(!stray.exists() && lost.exists());
    let places = restored["places"].as_array().unwrap();
    let kept = places.iter().find(|place| place["component"] == "uploads").unwrap();
    assert!(kept["kept"].as_str().unwrap().starts_with("volume "), "{kept}");
    assert_eq!(helpers(&stack), "", "no helper is left");

    // The kept tree is no part of a backup, and of no audit.
    let again = site.json(&["backup", "--only", "files"]);
    assert_eq!(component(&again, "uploads")["file_count"], files["file_count"]);

    let key = restored["key"].as_str().unwrap();
    site.run(&["rollback", key, "--yes"]).ok();
    assert!(stray.exists() && !lost.exists());
    site.run(&["rollback", key, "--purge", "--yes"]).ok();
    assert_eq!(own_entries(&uploads), [] as [PathBuf; 0]);
    assert!(stray.exists());
    assert_eq!(helpers(&stack), "");

    // Killed in the middle of the exchange the old state is live again.
    for step in ["build", "swap"] {
        let id = record["id"].as_str().unwrap();
        let mut child = site.start_until(&["restore", id, "--yes", "--no-safety"], step);
        child.kill().unwrap();
        child.wait().unwrap();
        let app = stack.container("app");
        eventually("the application runs", || running(&app));
        site.run(&["recover", "--lock-wait", "60s"]).ok();
        assert!(stray.exists() && !lost.exists(), "{step}");
        assert_eq!(own_entries(&uploads), [] as [PathBuf; 0], "{step}");
        assert_eq!(helpers(&stack), "", "{step}");
    }
}
