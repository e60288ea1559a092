//! Which backups stay when `backstop prune` thins them out.

use super::{Size, Timeout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rules of the repository. Without this section nothing is ever pruned.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Prune after every successful backup.
    #[serde(default)]
    pub auto: bool,
    /// The rules for backups whose reason has no table of its own, counted together.
    #[serde(flatten)]
    pub rules: Rules,
    /// The rules for manual backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Rules>,
    /// The rules for scheduled backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Rules>,
    /// The rules for backups before an upgrade.
    #[serde(default, rename = "pre-upgrade", skip_serializing_if = "Option::is_none")]
    pub pre_upgrade: Option<Rules>,
    /// The rules for what restores replaced; by default they live a week.
    #[serde(default = "Retention::default_safety")]
    pub safety: Rules,
    /// The rules for restore points of a bootstrap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Rules>,
    /// The rules for backups before the stack moves; by default never deleted.
    #[serde(default = "Retention::default_for_ever")]
    pub migration: Rules,
    /// The rules for archives; by default never deleted.
    #[serde(default = "Retention::default_for_ever")]
    pub archive: Rules,
}

/// What is kept of a set of backups. A backup stays if any rule keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// The newest so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_last: Option<u32>,
    /// The newest of each of the last so many hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_hourly: Option<u32>,
    /// The newest of each of the last so many days that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_daily: Option<u32>,
    /// The newest of each of the last so many ISO weeks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_weekly: Option<u32>,
    /// The newest of each of the last so many months that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_monthly: Option<u32>,
    /// The newest of each of the last so many years that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_yearly: Option<u32>,
    /// All that are at most so much older than the stack's newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<Timeout>,
    /// At least so many stay, whatever other rules and `max_total_size` say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_backups: Option<u32>,
    /// The oldest go, although a rule keeps them, until the rest takes no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_total_size: Option<Size>,
    /// All of them, whatever else is said.
    #[serde(default, skip_serializing_if = "is_false")]
    pub never_delete: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Retention {
    fn default_safety() -> Rules {
        Rules { keep_within: Some(Timeout::seconds(7 * 24 * 60 * 60)), ..Rules::default() }
    }

    fn default_for_ever() -> Rules {
        Rules { never_delete: true, ..Rules::default() }
    }

    /// The tables of single reasons that are there, by their key.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, &Rules)> {
        [
            ("manual", self.manual.as_ref()),
            ("scheduled", self.scheduled.as_ref()),
            ("pre-upgrade", self.pre_upgrade.as_ref()),
            ("safety", Some(&self.safety)),
            ("checkpoint", self.checkpoint.as_ref()),
            ("migration", Some(&self.migration)),
            ("archive", Some(&self.archive)),
        ]
        .into_iter()
        .filter_map(|(name, rules)| Some((name, rules?)))
    }
}

impl Rules {
    /// The rules that keep so many, by their key.
    pub fn counts(&self) -> [(&'static str, Option<u32>); 6] {
        [
            ("keep_last", self.keep_last),
            ("keep_hourly", self.keep_hourly),
            ("keep_daily", self.keep_daily),
            ("keep_weekly", self.keep_weekly),
            ("keep_monthly", self.keep_monthly),
            ("keep_yearly", self.keep_yearly),
        ]
    }

    /// Whether a rule says what is kept. Without one everything is.
    pub fn thins_out(&self) -> bool {
        self.keep_within.is_some() || self.counts().iter().any(|(_, count)| count.is_some())
    }

    /// The keys that are set.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let counts = self.counts().into_iter().filter(|(_, count)| count.is_some());
        let others = [
            ("keep_within", self.keep_within.is_some()),
            ("min_backups", self.min_backups.is_some()),
            ("max_total_size", self.max_total_size.is_some()),
            ("never_delete", self.never_delete),
        ];
        let others = others.into_iter().filter(|(_, set)| *set).map(|(key, _)| key);
        counts.map(|(key, _)| key).chain(others).collect()
    }
}
