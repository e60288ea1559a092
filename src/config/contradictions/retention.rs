//! Rules of retention that contradict each other.

use super::{Search, child};
use crate::config::problem::quoted_list;
use crate::config::{Config, Rules};

impl Search<'_> {
    pub(super) fn retention(&mut self, config: &Config) {
        let Some(retention) = &config.retention else { return };
        self.rules("retention", &retention.rules);
        for (reason, rules) in retention.tables() {
            self.rules(&child("retention", reason), rules);
        }
    }

    fn rules(&mut self, key: &str, rules: &Rules) {
        let others: Vec<&str> =
            rules.keys().into_iter().filter(|name| *name != "never_delete").collect();
        if rules.never_delete && !others.is_empty() {
            let others = quoted_list(others);
            let message = format!("contradicts {others}; remove one or the other");
            self.report(&child(key, "never_delete"), message);
        }
        if rules.keep_within.is_some_and(|length| length.duration().is_zero()) {
            let message = "keeps nothing; expected a length of time such as 30d";
            self.report(&child(key, "keep_within"), message);
        }
        if rules.max_total_size.is_some_and(|size| size.bytes() == 0) {
            let message = "leaves room for no backup; expected a size such as 500GiB";
            self.report(&child(key, "max_total_size"), message);
        }
    }
}
