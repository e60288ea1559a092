//! Bytes as people read them.

/// `3.2 GiB`: bytes in binary units with one decimal; below 1 KiB the bytes themselves.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64 / 1024.0;
    if value < 1.0 {
        return format!("{count} B");
    }
    for unit in UNITS {
        if value < 1023.95 || unit == "PiB" {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(58_372_935_680), "54.4 GiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }
}
