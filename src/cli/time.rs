//! Times on the command line: a day, a time of day, a full timestamp, or so long ago.

use clap::Args;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The flags of a stretch of time.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Stretch {
    /// Backups of this time or later: 2026-11-21, 2026-11-21T03:00:00Z, or 7d for a week ago
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    pub(super) since: Option<Timestamp>,
    /// Backups of this time or earlier
    #[arg(long, value_name = "TIME", value_parser = parse_end)]
    pub(super) until: Option<Timestamp>,
}

impl Stretch {
    /// Whether `time` lies in it.
    pub(super) fn has(self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }
}

/// The beginning of the day or second that `text` names.
pub(super) fn parse_start(text: &str) -> Result<Timestamp, String> {
    parse(text, false)
}

/// The end of the day or second that `text` names.
fn parse_end(text: &str) -> Result<Timestamp, String> {
    parse(text, true)
}

/// `2026-11-21`, `2026-11-21 03:00` (both UTC), RFC 3339 with a zone, or `7d`: so long ago.
fn parse(text: &str, end: bool) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(ago) = text.parse::<crate::config::Timeout>()
        && let Ok(ago) = SignedDuration::try_from(ago.duration())
        && let Ok(then) = crate::clock::now().checked_sub(ago)
    {
        return Ok(then);
    }
    let wrong = |_| format!("`{text}` is no time such as 2026-11-21, 2026-11-21T03:00:00Z or 7d");
    let is_day = !text.contains(':');
    let moment = match is_day {
        true => text.parse::<Date>().map_err(wrong)?.to_datetime(jiff::civil::Time::midnight()),
        false => text.parse::<DateTime>().map_err(wrong)?,
    };
    let begin = moment.to_zoned(TimeZone::UTC).map_err(wrong)?.timestamp();
    let length = if is_day { 24 * 60 * 60 } else { 1 };
    let last = SignedDuration::from_secs(length) - SignedDuration::from_micros(1);
    Ok(if end { begin + last } else { begin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_from_its_first_to_its_last_moment() {
        let shown = |time: Result<Timestamp, String>| time.map(|time| time.to_string());
        assert_eq!(shown(parse_start("2026-11-21")), Ok("2026-11-21T00:00:00Z".into()));
        assert_eq!(shown(parse_end("2026-11-21")), Ok("2026-11-21T23:59:59.999999Z".into()));
        assert_eq!(shown(parse_start("2026-11-21 03:10")), Ok("2026-11-21T03:10:00Z".into()));
        assert_eq!(
            shown(parse_end("2026-11-21T03:10:00+02:00")),
            Ok("2026-11-21T01:10:00Z".into())
        );
        let week = SignedDuration::from_hours(7 * 24);
        let ago = crate::clock::now().duration_since(parse_start("7d").unwrap());
        assert!((ago - week).abs() < SignedDuration::from_secs(60), "{ago}");
        assert!(parse_start("yesterday").is_err());
    }
}
