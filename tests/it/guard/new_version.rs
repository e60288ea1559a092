//! Upgrades of the sample stack: scripts as people write them.

use crate::support::host::Ran;
use crate::support::make_executable;
use crate::support::site::Site;
use crate::support::stack::docker;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sample stack, and a new version of its application.
pub(super) struct Deployment {
    pub(super) site: Site,
    /// The id of the image that runs before.
    pub(super) old: String,
    /// Names of images: the one that runs, one that works, one that ends at once.
    pub(super) live: Image,
    pub(super) works: Image,
    pub(super) crashes: Image,
}

/// An image made for a test, removed when dropped.
pub(super) struct Image(pub(super) String);

impl Image {
    /// Lets the application run from a name that no other test knows.
    fn of_its_own(site: &Site) -> Self {
        let name = format!("{}:live", site.stack.project());
        docker(&["tag", &running(site), &name]);
        let file = site.project_dir().join(".env");
        let text = fs::read_to_string(&file).unwrap();
        let other = |line: &&str| !line.starts_with("BACKSTOP_SHOP_IMAGE=");
        let lines: Vec<&str> = text.lines().filter(other).collect();
        fs::write(&file, format!("{}\nBACKSTOP_SHOP_IMAGE={name}\n", lines.join("\n"))).unwrap();
        let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compose");
        let up = Command::new(compose)
            .args(["--project-name", site.stack.project(), "up", "--detach"])
            .env_remove("BACKSTOP_SHOP_IMAGE")
            .env_remove("BACKSTOP_POSTGRES_IMAGE")
            .env("COMPOSE_FILE", site.project_dir().join("docker-compose.yml"))
            .current_dir(site.project_dir())
            .output()
            .unwrap();
        assert!(up.status.success(), "{up:?}");
        site.stack.wait_until("the application is healthy", || site.stack.healthy());
        Self(name)
    }

    fn of(site: &Site, version: &str, change: &str) -> Self {
        let name = format!("{}:{version}", site.stack.project());
        docker(&["commit", "--change", change, &site.stack.container("app"), &name]);
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &self.0]);
    }
}

impl Deployment {
    /// None without Docker and root.
    pub(super) fn start() -> Option<Self> {
        let (site, _) = Site::with_backup()?;
        let live = Image::of_its_own(&site);
        let works = Image::of(&site, "works", "ENV SHOP_VERSION=2");
        let crashes = Image::of(&site, "crashes", "ENTRYPOINT [\"/shop\", \"no-such-command\"]");
        Some(Self { old: running(&site), site, live, works, crashes })
    }

    /// A script that may use `compose`, `sql` and the variables `UPLOADS` and `APP`.
    pub(super) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.site.path().join(name);
        let stack = &self.site.stack;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let beginning = format!(
            "#!/bin/sh\nset -e\nUPLOADS={uploads}\nAPP={app}\n\
             export COMPOSE_FILE={project}/docker-compose.yml\n\
             compose() {{ {root}/scripts/compose --project-name {name} \
             --project-directory {project} \"$@\"; }}\n\
             sql() {{ docker exec --env PGUSER=shop {db} psql -qAt -v ON_ERROR_STOP=1 -c \"$1\"; }}\n",
            uploads = stack.uploads().display(),
            app = stack.container("app"),
            db = stack.container("db"),
            name = stack.project(),
            project = self.site.project_dir().display(),
            root = root.display(),
        );
        fs::write(&path, beginning + text).unwrap();
        make_executable(&path);
        path
    }

    /// Runs a guard over this script.
    pub(super) fn guard(&self, options: &[&str], script: &Path) -> Ran {
        let script = script.display().to_string();
        let health = format!("{}/health", self.site.stack.url());
        let usual = ["--health", &health, "--health-timeout", "20s", "--settle", "1s"];
        self.site.ran(&[&["guard"], &usual[..], options, &["--", &script]].concat())
    }

    /// The names by which images are held for the backups of this stack.
    pub(super) fn held(&self) -> Vec<String> {
        let guards = self.site.ran(&["guard", "list", "--json"]).ok().json();
        let backups = guards.as_array().unwrap().iter().filter_map(|it| it["backup"].as_str());
        let ours: Vec<&str> = backups.map(|id| &id[..12]).collect();
        let names =
            docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "backstop-held"]);
        let held = names.lines().filter(|name| ours.iter().any(|it| name.ends_with(it)));
        held.map(str::to_owned).collect()
    }

    /// Fails unless all is as it was: rows, files, the image, what runs.
    #[track_caller]
    pub(super) fn assert_as_before(&self, state: &str, what: &str) {
        self.site.assert_sound(what);
        assert_eq!(self.site.state(), state, "{what}");
        assert_eq!(running(&self.site), self.old, "{what}: another image runs");
        assert_eq!(self.site.left_over("none"), Vec::<String>::new(), "{what}");
        let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'uploads' \
                       AND column_name = 'added'";
        assert_eq!(self.site.sql(columns), "0", "{what}: the schema is another");
        assert_eq!(self.held(), Vec::<String>::new(), "{what}: images are held");
    }
}

/// The id of the application's image.
pub(super) fn running(site: &Site) -> String {
    docker(&["inspect", "--format", "{{.Image}}", &site.stack.container("app")])
}
