//! Sizes in the config, written as `500GiB`, `1.5TB` or `4096`.

use super::text::written_as_text;
use crate::size;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn of_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        size::parse(text).map(Self)
    }
}

/// In the largest unit that says it exactly.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(&str, u64); 6] = [
            ("TiB", 1 << 40),
            ("TB", 1_000_000_000_000),
            ("GiB", 1 << 30),
            ("GB", 1_000_000_000),
            ("MiB", 1 << 20),
            ("MB", 1_000_000),
        ];
        let fits = |(_, unit): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*unit);
        match UNITS.iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

written_as_text!(Size, "size", inline: false, ["500GiB", "1.5TB"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_so_that_they_read_back() {
        for (text, shown) in
            [("500GiB", "500GiB"), ("1.5 TB", "1500GB"), ("1023", "1023"), ("0", "0")]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), shown);
            assert_eq!(shown.parse(), Ok(size));
        }
        assert!("much".parse::<Size>().is_err());
    }
}
