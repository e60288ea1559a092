//! Texts from elsewhere on a terminal: labels, names and messages may hold what commands one.

use std::borrow::Cow;

/// `text` with every control character but line feed and tab written as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(escape(text, commands))
}

/// The same where a text has to stay in its line: every control character is written so.
pub fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(escape(text, char::is_control)),
    }
}

fn escape(text: &str, commands: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match commands(c) {
            true => safe.extend(c.escape_unicode()),
            false => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{one_line, printable};

    #[test]
    fn what_stays_in_its_line_has_no_line_feed() {
        assert_eq!(one_line("a\nb\tc\x1b"), r"a\u{a}b\u{9}c\u{1b}");
        assert_eq!(one_line("ä b"), "ä b");
    }

    #[test]
    fn nothing_commands_a_terminal() {
        assert_eq!(printable("red \x1b[31m\u{9b}0m\r"), r"red \u{1b}[31m\u{9b}0m\u{d}");
        assert_eq!(printable("ä\tb\n"), "ä\tb\n");
    }
}
