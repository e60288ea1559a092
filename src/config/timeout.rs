//! Lengths of time in the config, written as `30s`, `1h 30m` or `30d`. A day has 24 hours.

use super::text::written_as_text;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use std::time::Duration;

/// A length of time that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(Duration);

impl Timeout {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl std::str::FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a length of time such as 30s, 2m or 30d");
        let span: Span = text.parse().map_err(|_| wrong())?;
        let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        let length = Duration::try_from(signed).map_err(|_| format!("`{text}` is negative"))?;
        Ok(Self(length))
    }
}

impl std::fmt::Display for Timeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAY: u64 = 24 * 60 * 60;
        if self.0.subsec_nanos() == 0
            && self.0.as_secs() >= DAY
            && self.0.as_secs().is_multiple_of(DAY)
        {
            return write!(f, "{}d", self.0.as_secs() / DAY);
        }
        let signed = SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX);
        write!(f, "{signed:#}")
    }
}

written_as_text!(Timeout, "timeout", inline: false, ["30s", "2m", "1h 30m"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        assert_eq!("30s".parse(), Ok(Timeout::seconds(30)));
        assert_eq!("2m".parse(), Ok(Timeout::seconds(120)));
        assert_eq!("30d".parse(), Ok(Timeout::seconds(30 * 86_400)));
        assert_eq!(Timeout::seconds(30 * 86_400).to_string(), "30d");
        assert_eq!(Timeout::seconds(90).to_string(), "1m 30s");
        assert!("-1s".parse::<Timeout>().is_err());
        assert!("soon".parse::<Timeout>().is_err());
    }
}
