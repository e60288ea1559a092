//! What decides besides the backups themselves: the rules, the stack, the clock.

use crate::catalog::BackupRecord;
use crate::clock;
use crate::config::{Config, Retention, Rules, Timeout};
use crate::repository::manifest::Reason;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The label of a backup that a guard took: its value is the guard's id.
pub const GUARD_LABEL: &str = "guard";

/// Everything that the choice depends on besides the backups.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// The stack whose backups these rules are about.
    pub(super) stack: String,
    /// The names of its databases and file trees.
    pub(super) components: Vec<String>,
    pub(super) retention: Retention,
    /// For how long the backup of a guard stays.
    pub(super) guarded: Timeout,
    /// In which days begin and end.
    pub(super) zone: TimeZone,
    pub(super) now: Timestamp,
}

/// The backups that one table of rules is about: those of a reason with its own table, or all
/// others together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group(Option<&'static str>);

impl Policy {
    /// That of a config, here and now; none where it has no rules.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let databases = config.databases.iter().map(|database| database.name.clone());
        let trees = config.files.iter().map(|tree| tree.name.clone());
        Some(Self {
            stack: config.stack.name.clone(),
            components: databases.chain(trees).collect(),
            retention: config.retention.clone()?,
            guarded: config.guard.keep,
            zone: TimeZone::system(),
            now: clock::now(),
        })
    }

    /// Whether the rules are about this backup.
    pub(super) fn concerns(&self, record: &BackupRecord) -> bool {
        record.stack == self.stack
    }

    /// Whether it was taken before an upgrade so lately that the upgrade may still be regretted.
    pub(super) fn guards(&self, record: &BackupRecord) -> bool {
        let keep = SignedDuration::try_from(self.guarded.duration()).unwrap_or(SignedDuration::MAX);
        let age = self.now.duration_since(record.started_at);
        record.labels.contains_key(GUARD_LABEL) && age < keep
    }

    /// The table that a backup of this reason belongs to.
    pub(super) fn group(&self, reason: Reason) -> Group {
        Group(self.own(reason).map(|_| reason.as_str()))
    }

    pub(super) fn rules(&self, reason: Reason) -> &Rules {
        self.own(reason).unwrap_or(&self.retention.rules)
    }

    fn own(&self, reason: Reason) -> Option<&Rules> {
        let retention = &self.retention;
        match reason {
            Reason::Manual => retention.manual.as_ref(),
            Reason::Scheduled => retention.scheduled.as_ref(),
            Reason::PreUpgrade => retention.pre_upgrade.as_ref(),
            Reason::Safety => Some(&retention.safety),
            Reason::Checkpoint => retention.checkpoint.as_ref(),
            Reason::Migration => Some(&retention.migration),
            Reason::Archive => Some(&retention.archive),
        }
    }

    /// Whether sizes decide.
    pub(super) fn has_limit(&self) -> bool {
        let tables = self.retention.tables().map(|(_, rules)| rules);
        tables.chain([&self.retention.rules]).any(|rules| rules.max_total_size.is_some())
    }
}
