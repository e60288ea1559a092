//! A host whose `backstop` and `docker` only note what they were asked.

use super::{HEALTH, contract};
use crate::support::host::Ran;
use crate::support::make_executable;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Notes its arguments up to `--`, runs what stands behind it, and ends as it is told. Told to end
/// with 1 it runs nothing: there is no backup.
const BACKSTOP: &str = r#"#!/bin/sh
{
    for word; do
        [ "$word" != -- ] || break
        printf '%s\t' "$word"
    done
    echo
} >>"$HOME/asked"
[ "$*" != "guard resume" ] || exit "$RESUMING"
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -gt 0 ] || exit 0
shift
trap : INT
[ "$ENDING" = 1 ] || "$@" || echo "the command ended with $?"
exit "$ENDING"
"#;

const DOCKER: &str = "#!/bin/sh\necho \"$*\" >>\"$HOME/docker\"\n";

/// One host, which is removed after the test. Its user's home is where everything runs.
pub(super) struct Host {
    place: tempfile::TempDir,
    ending: i32,
    resuming: i32,
}

impl Host {
    /// Where every upgrade succeeds.
    pub(super) fn new() -> Self {
        let place = tempfile::Builder::new().prefix("backstop-deploy-").tempdir().unwrap();
        fs::create_dir(place.path().join("bin")).unwrap();
        for (name, script) in [("backstop", BACKSTOP), ("docker", DOCKER)] {
            let path = place.path().join("bin").join(name);
            fs::write(&path, script).unwrap();
            make_executable(&path);
        }
        Self { place, ending: 0, resuming: 0 }
    }

    /// Where `backstop guard` ends with this code.
    pub(super) fn ending(self, code: i32) -> Self {
        Self { ending: code, ..self }
    }

    /// Where `backstop guard resume` does.
    pub(super) fn resuming(self, code: i32) -> Self {
        Self { resuming: code, ..self }
    }

    pub(super) fn with_file(self, name: &str, content: &str) -> Self {
        fs::write(self.path().join(name), content).unwrap();
        self
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path().join(name)).ok()
    }

    /// Runs a program to its end, with the variables that the files speak of.
    pub(super) fn run(&self, command: &[&str]) -> Ran {
        let output = Command::new("env")
            .arg(format!("PATH={}/bin:/usr/local/bin:/usr/bin:/bin", self.path().display()))
            .args(command)
            .env_clear()
            .env("HOME", self.path())
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_LOCAL_TEMP", self.path().join("ansible"))
            .env("ANSIBLE_REMOTE_TEMP", self.path().join("ansible"))
            .env("ENDING", self.ending.to_string())
            .env("RESUMING", self.resuming.to_string())
            .env("STACK_DIR", self.path())
            .envs([("VERSION", "2.4.0"), ("CI_COMMIT_TAG", "2.4.0"), ("HEALTH_URL", HEALTH)])
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output();
        Ran::of(&output.unwrap())
    }

    /// What backstop was asked, up to the command it is to run. All of it is right.
    #[track_caller]
    pub(super) fn asked(&self) -> Vec<Vec<String>> {
        let lines = self.read("asked").unwrap_or_default();
        let split = |line: &str| line.split_terminator('\t').map(str::to_owned).collect();
        let asked: Vec<Vec<String>> = lines.lines().map(split).collect();
        asked.iter().for_each(|words| contract::allows(words));
        asked
    }

    /// What Docker was asked.
    pub(super) fn docker(&self) -> Vec<String> {
        self.read("docker").unwrap_or_default().lines().map(str::to_owned).collect()
    }
}
