//! What a person or program is shown of a restore before it begins.

use super::salvage::Lost;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// What a restore would replace.
#[derive(Debug, Clone, Serialize)]
pub struct PlanSummary {
    /// The backup's name.
    pub backup: String,
    /// When it was started, UTC.
    pub taken_at: Timestamp,
    /// Databases and file trees of the stack that it does not hold.
    pub omitted: Vec<String>,
    /// What would be replaced.
    pub replaces: Vec<Replacement>,
    /// What is damaged and does not come back.
    pub lost: Vec<Lost>,
    /// The containers that would be stopped for the swap.
    pub stops: Vec<String>,
}

/// One component that would be replaced.
#[derive(Debug, Clone, Serialize)]
pub struct Replacement {
    /// Its name.
    pub component: String,
    /// Where it is.
    pub place: String,
    /// Whether there is something to replace.
    pub exists: bool,
    /// The patterns of what the backup does not hold, and the files that it could not read: after
    /// the restore such files or tables are only in what is kept aside.
    pub left_out: Vec<String>,
}

impl fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken_at = self.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        writeln!(f, "Restore {}: the state of {taken_at}", self.backup)?;
        if !self.omitted.is_empty() {
            let omitted = self.omitted.join(", ");
            writeln!(f, "  {omitted}: not in this backup, and left as they are")?;
        }
        for replaced in &self.replaces {
            let what = if replaced.exists { "replaces" } else { "creates" };
            writeln!(f, "  {}: {what} {}", replaced.component, replaced.place)?;
            if replaced.exists && !replaced.left_out.is_empty() {
                writeln!(
                    f,
                    "    what fits {} is not in the backup: it will be only in what is kept aside",
                    replaced.left_out.join(", ")
                )?;
            }
        }
        for lost in &self.lost {
            writeln!(f, "  DAMAGED: {lost}")?;
        }
        for container in &self.stops {
            writeln!(f, "  stops {container} for the swap")?;
        }
        write!(f, "What is replaced is kept aside.")
    }
}
