//! Captures on file systems that can take them.

use super::*;
use crate::support::mount::LoopMount;
use crate::support::need::{self, Need};
use std::os::unix::fs::PermissionsExt;

struct Ground {
    mount: LoopMount,
    stack: Stack,
    site: Site,
}

impl Ground {
    fn new(mount: LoopMount) -> Option<Self> {
        let uploads = mount.path().join("uploads");
        fs::create_dir(&uploads).unwrap();
        // The application runs as a user of its own.
        fs::set_permissions(&uploads, fs::Permissions::from_mode(0o777)).unwrap();
        let stack = Stack::start_with(&[("SHOP_UPLOADS", uploads.to_str().unwrap())])?;
        let site = Site::of(&stack, "");
        Some(Self { mount, stack, site })
    }

    fn configure(&self, capture: &str) {
        let config = format!(
            "[[databases]]\nname = \"shop\"\nurl = \"{}\"\n\
             password_env = \"SHOP_DB_PASSWORD\"\n\
             [[files]]\nname = \"uploads\"\npath = \"{}/uploads\"\nexclude = [\"*.tmp\"]\n\
             capture = \"{capture}\"\n\
             [[containers]]\nselect = \"label=backstop.quiesce={}\"\n",
            self.stack.database_url("shop"),
            self.mount.path().display(),
            self.stack.project(),
        );
        self.site.configure(&config);
    }

    fn is_clean(&self) -> bool {
        own_entries(self.mount.path()).is_empty()
            && own_entries(&self.mount.path().join("uploads")).is_empty()
    }

    /// Backs up under load and checks the method, the order of events and the audit.
    fn check(&self, capture: &str, method: &str) {
        self.configure(capture);
        let load = self.stack.load(4, 40);
        let ran = self.site.run(&["backup", "--json"]).ok();
        load.stop();
        let record = ran.json();
        assert_eq!(level(&record), "fenced", "{record}");
        let manifest = self.site.manifest(&record);
        assert_eq!(component(&manifest, "uploads")["capture"], method, "{capture}");
        assert!(self.is_clean(), "{capture}");
        let line = |wanted: &dyn Fn(&Value) -> bool| {
            let mut events = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
            events.position(|event: Value| wanted(&event)).expect("the event")
        };
        let resumed = line(&|event| event["step"] == "resume");
        let archived = line(&|event| {
            event["event"] == "started" && event["task"].as_str().unwrap().contains("uploads")
        });
        assert_eq!(archived > resumed, method != "archive", "{capture}: {}", ran.stderr);
        let audit = self.site.audit_copy(&self.stack, &record, &format!("{capture}_copy"));
        assert!(audit.clean() && audit.rows > 0, "{capture}: {audit:?}");
    }

    /// Kills a backup at a step; nothing may be left, and the next one works.
    fn survive(&self, step: &str) {
        let mut child = self.site.start_until(&["backup"], step);
        child.kill().unwrap();
        child.wait().unwrap();
        let app = self.stack.container("app");
        eventually("the application runs", || running(&app));
        eventually("the capture is removed", || self.is_clean());
        let listed = self.site.json(&["list"]);
        let unfinished = |record: &Value| record["status"] == "in_progress";
        assert!(!listed.as_array().unwrap().iter().any(unfinished), "{listed}");
        self.site.run(&["backup", "--lock-wait", "60s"]).ok();
        assert!(self.is_clean());
    }
}

#[test]
fn on_btrfs_a_snapshot_is_read_after_the_writers_are_back() {
    if !need::all(&[Need::Root, Need::Docker]) {
        return;
    }
    let Some(ground) = LoopMount::btrfs().and_then(Ground::new) else { return };
    for (capture, method) in [
        ("auto", "snapshot"),
        ("snapshot", "snapshot"),
        ("reflink", "reflink"),
        ("archive", "archive"),
    ] {
        ground.check(capture, method);
    }
    for (capture, step) in [("snapshot", "capture"), ("reflink", "dump"), ("auto", "dump")] {
        ground.configure(capture);
        ground.survive(step);
    }
}

#[test]
fn on_xfs_reflinks_are_read_after_the_writers_are_back() {
    if !need::all(&[Need::Root, Need::Docker]) {
        return;
    }
    let Some(ground) = LoopMount::xfs().and_then(Ground::new) else { return };
    for (capture, method) in [("auto", "reflink"), ("archive", "archive")] {
        ground.check(capture, method);
    }
    ground.configure("auto");
    ground.survive("capture");
    ground.survive("resume");

    // What was asked for by name and does not exist here is refused before anything is held.
    let app = ground.stack.container("app");
    let since = started_at(&app);
    ground.configure("snapshot");
    ground.site.run(&["backup"]).failed(1, "capture_failed");
    assert_eq!(started_at(&app), since);
}
