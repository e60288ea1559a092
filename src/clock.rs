//! Wall time in UTC, and durations that no clock change can bend.

use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The wall clock, now, in UTC.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// `2026-11-21_03-00-00`: how backup names write a UTC time.
pub fn name_stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d_%H-%M-%S").to_string()
}

/// A start time together with the monotonic clock.
///
/// The end is the start plus what the monotonic clock measured, so it never lies before
/// the start, even when the wall clock is set back in between.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started_at: Timestamp,
    started: Instant,
}

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self { started_at: now(), started: Instant::now() }
    }

    /// When it was started, by the wall clock.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Start plus elapsed time.
    pub fn reading(&self) -> Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.elapsed()).unwrap_or_default();
        self.started_at.checked_add(elapsed).unwrap_or(self.started_at)
    }
}

/// A moment by a clock that no setting bends and that goes on while the machine sleeps
/// (`CLOCK_BOOTTIME`): for promises to others, who do not sleep with it.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Duration);

impl Moment {
    /// This one.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Self(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_utc_times_that_sort() {
        let at: Timestamp = "2026-11-21T03:00:00.9Z".parse().unwrap();
        assert_eq!(name_stamp(at), "2026-11-21_03-00-00");
    }

    #[test]
    fn the_end_never_lies_before_the_start() {
        let watch = Stopwatch::start();
        assert!(watch.reading() >= watch.started_at());
    }
}
