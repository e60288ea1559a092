//! Bytes and counts as people read them.

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

/// Reads `10MiB`, `1.5 GB` or `4096`: binary and decimal units, bytes without one.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size such as 4096, 10MiB or 1.5GB");
    let text_end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(text_end);
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let unit = unit.to_ascii_lowercase();
    let (prefix, base) = match unit.strip_suffix("ib") {
        Some(prefix) => (prefix, 1024_f64),
        None => (unit.strip_suffix('b').unwrap_or(&unit), 1000.0),
    };
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == prefix);
    let power = i32::try_from(power.ok_or_else(wrong)?).map_err(|_| wrong())?;
    let bytes = number * base.powi(power);
    if !bytes.is_finite() || bytes < 0.0 || bytes > u64::MAX as f64 {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// `1 file`, `2 files`: a count with its noun.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        let read = [
            ("0", 0),
            ("4096", 4096),
            ("10MiB", 10 << 20),
            ("1.5 GB", 1_500_000_000),
            ("2k", 2000),
        ];
        for (text, bytes) in read {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "x", "-1", "10XB", "1 2"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(58_372_935_680), "54.4 GiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn counts_have_the_noun_that_fits() {
        assert_eq!(count(0, "file", "files"), "0 files");
        assert_eq!(count(1, "directory", "directories"), "1 directory");
        assert_eq!(count(2, "entry", "entries"), "2 entries");
    }
}
