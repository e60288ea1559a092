//! Tables and lengths of time as people read them.

use crate::printable::one_line;
use std::borrow::Cow;

/// `1.3 s`, `2 min 5 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64)
    }
}

/// Left-aligned columns, two spaces apart, without trailing blanks. A row is one line, whatever
/// is in its cells.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        padded.join("  ").trim_end().to_string() + "\n"
    };
    let mut text = line(&mut header.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(AsRef::as_ref)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["1".into(), "ä".into()], vec!["333".into(), "b".into()]];
        assert_eq!(table(&["a", "b"], &rows), "a    b\n1    ä\n333  b\n");
    }

    #[test]
    fn a_name_with_a_line_feed_stays_in_its_row() {
        assert_eq!(table(&["a"], &[vec!["x\ny".into()]]), "a\nx\\u{a}y\n");
    }

    #[test]
    fn lengths_of_time_read_naturally() {
        assert_eq!(seconds(1.26), "1.3 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
    }
}
