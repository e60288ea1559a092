//! What a config file and its environment may rely on.

mod accepted;
mod documented;
mod encryption;
mod environment;
mod refused;

use super::{Config, Environment, Loaded};
use crate::error::Result;
use std::path::Path;

/// The contract's own example.
const SAMPLE: &str = r##"
[stack]
name = "shop"

[repository]
path = "/var/backups/shop"
compression_level = 3

[state]
dir = "/var/lib/backstop"          # catalog.duckdb, journals, locks

[[databases]]
name = "shop"
url = "postgres://shop@127.0.0.1:5432/shop"   # password: password_env, password_file, PGPASSWORD or ~/.pgpass
password_env = "SHOP_DB_PASSWORD"
jobs = 2
format = "directory"               # directory | custom | plain | tar
# container = "shop-db-1"          # dump and restore inside it with docker exec, versions then always match
# exclude_tables = ["audit.*"]

[[files]]
name = "uploads"
path = "/srv/shop/uploads"         # or volume = "shop_uploads"
exclude = ["*.tmp", "cache/"]

[[containers]]
select = "label=backstop.quiesce"  # or name=…, or compose=PROJECT
quiesce = "stop"                   # stop | pause
stop_timeout = "30s"
"##;

/// An environment in an empty directory, with these variables and no others.
fn environment(directory: &Path, variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        directory: directory.to_owned(),
        system_directory: directory.join("etc"),
    }
}

/// Loads `text` as the file `name`; messages show its directory as `/etc/backstop`.
fn load(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    std::fs::write(root.join(name), text).unwrap();
    Config::load_from(Some(Path::new(name)), &environment(&root, variables))
        .map_err(|error| error.to_string().replace(root.to_str().unwrap(), "/etc/backstop"))
}

/// Why a TOML config is refused.
fn refusal(text: &str) -> String {
    cause("backstop.toml", text)
}

/// Why a YAML config is refused.
fn refusal_of_yaml(text: &str) -> String {
    cause("backstop.yaml", text)
}

fn cause(name: &str, text: &str) -> String {
    let message = load(name, text, &[]).unwrap_err();
    let prefix = format!("cannot accept config /etc/backstop/{name}: ");
    message.strip_prefix(&prefix).map_or(message.clone(), str::to_owned)
}

/// [`SAMPLE`] with one piece of text replaced.
fn sample_with(old: &str, new: &str) -> String {
    assert!(SAMPLE.contains(old), "{old}");
    SAMPLE.replacen(old, new, 1)
}
