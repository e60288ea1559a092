//! The application is never left stopped, and nothing half, whenever backstop dies.
//!
//! The real program works on the real sample stack and is killed at every step it
//! announces, and at random moments between them; what works on the repository alone is
//! killed at the system calls through which it changes files.

mod attempt;
mod backup;
mod call;
mod repository;
mod restore;
mod site;
mod swap_back;

use attempt::{Moment, Way};
use std::time::Duration;

/// How many points were tried, and the worst that happened.
#[derive(Default)]
struct Tally {
    points: u32,
    longest: Duration,
}

impl Tally {
    fn count(&mut self, downtime: Duration) {
        self.points += 1;
        self.longest = self.longest.max(downtime);
    }

    fn tell(&self, operation: &str) {
        println!(
            "{operation}: {} kill points; the longest time from a death until everything ran: \
             {:.1} s",
            self.points,
            self.longest.as_secs_f64()
        );
    }
}

/// Every way to die at every one of so many steps: as soon as the step is announced, and a
/// few milliseconds later, in turns.
fn moments(steps: usize, ways: &[Way]) -> Vec<(Way, Moment)> {
    let mut moments = Vec::new();
    for step in 0..steps {
        for (place, way) in ways.iter().enumerate() {
            let moment = if (step + place / 2 + place) % 2 == 0 {
                Moment::at(step)
            } else {
                Moment::after(step)
            };
            moments.push((*way, moment));
        }
    }
    moments
}
