//! What an operation reports, kept in the log of the step that it is done for.

use crate::progress::{Event, Progress};
use crate::runbook::action::{Point, Points, Scope};
use crate::runbook::log::StepLog;
use crate::setting::Setting;
use std::sync::Arc;

struct Logged {
    log: Arc<StepLog>,
    next: Arc<dyn Progress>,
    step: String,
    points: Option<Points>,
}

impl Progress for Logged {
    fn report(&self, event: Event) {
        match &event {
            Event::Step { step } => {
                self.log.line(step);
                // Between two steps of an operation a death leaves the most behind.
                if let Some(points) = &self.points {
                    points(Point::MidEffect, &self.step);
                }
            }
            Event::Note { message } => self.log.line(message),
            Event::Warned(warning) => {
                self.log.line(&format!("[{}] {}", warning.code.as_str(), warning.message));
            }
            Event::Started { .. } | Event::Advanced { .. } | Event::Finished { .. } => {}
        }
        self.next.report(event);
    }
}

/// The surroundings for an operation whose steps, notes and warnings belong into the log.
pub(super) fn logged(scope: &Scope) -> Setting {
    let progress = Logged {
        log: scope.log.clone(),
        next: scope.setting.progress.clone(),
        step: scope.step.clone(),
        points: scope.points.clone(),
    };
    Setting { progress: Arc::new(progress), ..scope.setting.clone() }
}
