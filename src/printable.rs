//! Texts from elsewhere on a terminal: labels, names and messages may hold what commands one.

use std::borrow::Cow;

/// `text` with every control character but line feed and tab written as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match commands(c) {
            true => safe.extend(c.escape_unicode()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_commands_a_terminal() {
        assert_eq!(printable("red \x1b[31m\u{9b}0m\r"), r"red \u{1b}[31m\u{9b}0m\u{d}");
        assert_eq!(printable("ä\tb\n"), "ä\tb\n");
    }
}
