//! `disk.assert`: there is room.

use super::outputs;
use crate::config::Size;
use crate::error::{Error, Result};
use crate::runbook::action::{Action, Outputs, Scope, not_held};
use crate::size;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

pub(in crate::runbook) struct DiskAssert;

/// What has to be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::runbook) struct With {
    /// A path in the file system; it need not exist yet.
    path: PathBuf,
    /// How much has to be free for ordinary users.
    free: Option<Size>,
    /// How many percent at least have to be free.
    #[schemars(range(min = 0, max = 100))]
    free_percent: Option<u8>,
}

impl Action for DiskAssert {
    type With = With;
    const NAME: &'static str = "disk.assert";
    const ABOUT: &'static str = "Fails unless a file system has room.";
    const OUTPUTS: &'static [&'static str] = &["free_bytes", "total_bytes"];
    const READS_ONLY: bool = true;

    fn check(with: &With) -> Result<(), String> {
        match (with.free, with.free_percent) {
            (None, None) => Err("it says neither `free` nor `free_percent`".into()),
            (_, Some(101..)) => Err("`free_percent` is at most 100".into()),
            _ => Ok(()),
        }
    }

    fn plan(&self, with: &With) -> String {
        let size = with.free.map(|free| size::bytes(free.bytes()));
        let percent = with.free_percent.map(|percent| format!("{percent} %"));
        let wanted: Vec<String> = [size, percent].into_iter().flatten().collect();
        format!("check that {} is free at {}", wanted.join(" and "), with.path.display())
    }

    async fn run(&self, with: &With, _: &Scope) -> Result<Outputs> {
        // What is still to be made lies in the file system of the nearest directory above it.
        let existing = with.path.ancestors().find(|path| path.exists()).unwrap_or(&with.path);
        let stat = rustix::fs::statvfs(existing)
            .map_err(|e| Error::io("look at the file system of", &with.path, e.into()))?;
        let (free, total) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
        let percent = free.saturating_mul(100).checked_div(total).unwrap_or(0);
        let enough = with.free.is_none_or(|wanted| free >= wanted.bytes())
            && with.free_percent.is_none_or(|wanted| percent >= u64::from(wanted));
        match enough {
            true => Ok(outputs([("free_bytes", free.into()), ("total_bytes", total.into())])),
            false => Err(not_held(
                format!("there is room at {}", with.path.display()),
                format!("{} ({percent} %) is free", size::bytes(free)),
            )),
        }
    }
}
