//! `host.assert`: this is the right host, and it has what the steps need.

use super::outputs;
use crate::docker::Docker;
use crate::error::{Error, Result};
use crate::host;
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

pub(in crate::runbook) struct HostAssert;

/// What has to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// The host's name.
    name: Option<String>,
    /// Programs that have to be in the PATH.
    #[serde(default)]
    programs: Vec<String>,
    /// Environment variables that have to be set.
    #[serde(default)]
    variables: Vec<String>,
    /// Docker has to answer.
    #[serde(default)]
    docker: bool,
    /// The user has to be root.
    #[serde(default)]
    root: bool,
    /// How many MiB of memory have to be available.
    memory_mib: Option<u64>,
}

impl Action for HostAssert {
    type With = With;
    const NAME: &'static str = "host.assert";
    const ABOUT: &'static str = "Fails unless this host is the right one and has what is needed.";
    const OUTPUTS: &'static [&'static str] = &["name"];
    const READS_ONLY: bool = true;

    fn plan(&self, with: &With) -> String {
        let mut wanted = Vec::new();
        wanted.extend(with.name.iter().map(|name| format!("is {name}")));
        wanted.extend(with.programs.iter().map(|program| format!("has {program}")));
        wanted.extend(with.variables.iter().map(|variable| format!("has ${variable} set")));
        wanted.extend(with.docker.then(|| "has a Docker that answers".to_owned()));
        wanted.extend(with.root.then(|| "lets us be root".to_owned()));
        wanted.extend(with.memory_mib.map(|mib| format!("has {mib} MiB of memory")));
        format!("check that this host {}", wanted.join(", "))
    }

    async fn run(&self, with: &With, _: &Scope) -> Result<Outputs> {
        let name = host::name();
        if let Some(wanted) = &with.name
            && *wanted != name
        {
            return Err(not_held(format!("this host is {wanted}"), format!("it is {name}")));
        }
        for program in &with.programs {
            if !is_installed(program) {
                return Err(not_held(format!("{program} is installed"), "it is not in the PATH")
                    .hint(format!("install {program}, or add its directory to PATH")));
            }
        }
        for variable in &with.variables {
            if std::env::var_os(variable).is_none_or(|value| value.is_empty()) {
                return Err(not_held(format!("${variable} is set"), "it is not"));
            }
        }
        if with.docker {
            Docker::connect().await?;
        }
        if with.root && !rustix::process::geteuid().is_root() {
            return Err(not_held("the user is root", "it is not").hint("run it with sudo"));
        }
        if let Some(wanted) = with.memory_mib {
            let available = available_mib()?;
            if available < wanted {
                let found = format!("{available} MiB are available");
                return Err(not_held(format!("{wanted} MiB of memory are available"), found));
            }
        }
        Ok(outputs([("name", name.into())]))
    }
}

fn is_installed(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| runs(&directory.join(program)))
}

/// Source: proc_meminfo(5), `MemAvailable`, in KiB.
fn available_mib() -> Result<u64> {
    let path = Path::new("/proc/meminfo");
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.unwrap_or_default() / 1024)
}
