//! Hours, days, weeks, months and years in the local time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A length of calendar time, of which the newest backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Bucket {
    /// The rule's word in reasons.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The name of the bucket that `at` lies in: `2026-11-20 03:00+01`, `2026-11-20`,
    /// `2026-W47` (ISO 8601), `2026-11`, `2026`. The hour that a clock change repeats is two.
    pub(super) fn of(self, at: Timestamp, zone: &TimeZone) -> String {
        let local = at.to_zoned(zone.clone());
        match self {
            Self::Hour => local.strftime("%Y-%m-%d %H:00%:::z").to_string(),
            Self::Day => local.strftime("%Y-%m-%d").to_string(),
            Self::Week => {
                let week = local.date().iso_week_date();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Self::Month => local.strftime("%Y-%m").to_string(),
            Self::Year => local.strftime("%Y").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_local_calendar() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let name = |bucket: Bucket, at: &str| bucket.of(at.parse().unwrap(), &zone);
        // 2026 begins on a Thursday, in the first ISO week of the year.
        let turn = "2025-12-31T23:30:00Z";
        assert_eq!(name(Bucket::Hour, turn), "2026-01-01 00:00+01");
        assert_eq!(name(Bucket::Day, turn), "2026-01-01");
        assert_eq!(name(Bucket::Week, "2025-12-28T23:30:00Z"), "2026-W01");
        assert_eq!(name(Bucket::Month, turn), "2026-01");
        assert_eq!(name(Bucket::Year, turn), "2026");
        // The hour from two to three of 25 October comes twice.
        let (first, second) = ("2026-10-25T00:10:00Z", "2026-10-25T01:10:00Z");
        assert_eq!(name(Bucket::Hour, first), "2026-10-25 02:00+02");
        assert_eq!(name(Bucket::Hour, second), "2026-10-25 02:00+01");
        assert_eq!(name(Bucket::Day, first), name(Bucket::Day, second));
    }
}
