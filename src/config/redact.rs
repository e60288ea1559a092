//! A config file without the passwords that stand in its urls, for the copy in a backup.
//!
//! Comments and order stay, so that the copy is still the file that people know. What is
//! taken out is taken out of the text, wherever a url stands; what is left is then read as a
//! config is, so that no spelling slips through.

use super::DatabaseUrl;
use super::source::parse;
use figment::value::{Dict, Value};
use std::path::Path;

/// What the copy begins with where something was taken out.
const NOTE: &str = "# Passwords in urls were left out of this copy: give them by password_env,\n\
                    # password_file, PGPASSWORD or ~/.pgpass.\n";

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The keys of a url's query that hold passwords.
const SECRET_KEYS: [&str; 2] = ["password", "sslpassword"];

/// The `text` of the config at `path` without the passwords of its urls, those in comments
/// too. None where a password cannot be found in the text although the config has one, as
/// when its url is written with escapes, or where the text is no config.
pub fn without_passwords(path: &Path, text: &str) -> Option<String> {
    let text = &without_secret_keys(text);
    let redacted: String = text.split_inclusive('\n').map(redact_line).collect();
    let values = parse(path, &redacted)?.ok()?.0;
    let safe = urls(&values).all(|url| !may_tell(url));
    match (safe, redacted == *text) {
        (false, _) => None,
        (true, true) => Some(redacted),
        (true, false) => Some(format!("{NOTE}{redacted}")),
    }
}

/// The text without secret keys of age, which belong into a file of their own.
fn without_secret_keys(text: &str) -> String {
    const START: &str = "AGE-SECRET-KEY-";
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_uppercase().find(START) {
        let (before, key) = rest.split_at(at);
        let length = key.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
        done.push_str(before);
        done.push_str(&START[..START.len() - 1]);
        rest = &key[length..];
    }
    done + rest
}

/// The line, with every url in it redacted.
fn redact_line(line: &str) -> String {
    let mut done = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((at, scheme)) = next_url(rest) {
        let (before, url) = rest.split_at(at);
        let end = end_of_url(url, before.chars().next_back());
        done.push_str(before);
        done.push_str(&redact_url(&url[..end], scheme));
        rest = &url[end..];
    }
    done + rest
}

fn next_url(text: &str) -> Option<(usize, &'static str)> {
    let found = SCHEMES.into_iter().filter_map(|scheme| Some((text.find(scheme)?, scheme)));
    found.min_by_key(|(at, _)| *at)
}

/// Where a url ends: at the quote that it began with, else at a blank, since a url has none.
fn end_of_url(url: &str, before: Option<char>) -> usize {
    let mut escaped = false;
    for (at, c) in url.char_indices() {
        match before {
            Some('"') if c == '"' && !escaped => return at,
            Some('\'') if c == '\'' => return at,
            Some('"' | '\'') => {}
            _ if c.is_whitespace() => return at,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    url.len()
}

/// Everything between the user and the last `@` goes, and so do passwords in the query.
fn redact_url(url: &str, scheme: &str) -> String {
    let rest = url.get(scheme.len()..).unwrap_or_default();
    let (user, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => {
            let user = credentials.split_once(':').map_or(credentials, |(user, _)| user);
            (format!("{user}@"), rest)
        }
        None => (String::new(), rest),
    };
    let Some((address, query)) = rest.split_once('?') else {
        return format!("{scheme}{user}{rest}");
    };
    let tells =
        |pair: &&str| pair.split_once('=').is_some_and(|(key, _)| SECRET_KEYS.contains(&key));
    let kept: Vec<&str> = query.split('&').filter(|pair| !tells(pair)).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{scheme}{user}{address}{mark}{}", kept.join("&"))
}

fn urls(values: &Dict) -> impl Iterator<Item = &str> {
    let databases = values.get("databases").and_then(Value::as_array).unwrap_or_default();
    databases.iter().filter_map(|database| database.find_ref("url")?.as_str())
}

/// Whether a url holds a password, or cannot be read and might.
fn may_tell(url: &str) -> bool {
    url.parse::<DatabaseUrl>().map_or(true, |url| url.has_password())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn toml(text: &str) -> Option<String> {
        without_passwords(Path::new("backstop.toml"), text)
    }

    fn database(url: &str) -> String {
        format!("[[databases]] # the shop\nname = \"shop\"\nurl = {url}\njobs = 2\n")
    }

    #[test]
    fn a_config_without_passwords_stays_as_it_is() {
        let text = database("\"postgres://shop@[::1]:5432/shop?sslmode=require\"");
        assert_eq!(toml(&text).unwrap(), text);
    }

    #[test]
    fn passwords_go_and_everything_else_stays() {
        for (with, without) in [
            ("\"postgres://shop:hunter2@db/shop\"", "\"postgres://shop@db/shop\""),
            ("'postgresql://shop:a\"b@db:5433/shop'", "'postgresql://shop@db:5433/shop'"),
            (
                "\"postgres://shop@db/shop?password=hunter2&sslmode=require\"",
                "\"postgres://shop@db/shop?sslmode=require\"",
            ),
            (
                "\"postgres://shop@db/shop?sslpassword=x\" # old",
                "\"postgres://shop@db/shop\" # old",
            ),
            ("\"postgres://shop:h\\\"2@db/shop\"", "\"postgres://shop@db/shop\""),
        ] {
            let redacted = toml(&database(with)).unwrap();
            assert_eq!(redacted, format!("{NOTE}{}", database(without)));
        }
    }

    #[test]
    fn comments_tell_no_password_either() {
        let text = database("\"postgres://shop@db/shop\"")
            + "# url = \"postgres://old:hun/ter@2@db/shop\" and postgres://a:b@c/d too\n";
        let redacted = toml(&text).unwrap();
        assert!(
            redacted.ends_with("# url = \"postgres://old@db/shop\" and postgres://a@c/d too\n")
        );
    }

    #[test]
    fn secret_keys_go_wherever_they_stand() {
        let text = "# AGE-SECRET-KEY-1ABC, age-secret-key-1def\n[stack]\n";
        assert_eq!(toml(text).unwrap(), "# AGE-SECRET-KEY, AGE-SECRET-KEY\n[stack]\n");
    }

    #[test]
    fn yaml_is_redacted_too() {
        let text = "databases:\n  - {name: shop, url: postgres://shop:hunter2@db/shop }\n";
        let redacted = without_passwords(Path::new("x.yaml"), text).unwrap();
        assert!(redacted.contains("url: postgres://shop@db/shop }"), "{redacted}");
    }

    #[test]
    fn a_password_that_the_text_hides_keeps_the_whole_copy_out() {
        assert_eq!(toml(&database("\"postgres:\\u002F/shop:hunter2@db/shop\"")), None);
        assert_eq!(toml(&database("\"\"\"postgres://shop:hun\\\n  ter2@db/shop\"\"\"")), None);
        assert_eq!(toml("no config ["), None);
    }

    proptest! {
        #[test]
        fn no_password_stays(password in "[!-~&&[^\\\\\"'#@/?:]]{8,20}", in_query: bool) {
            let url = if in_query {
                format!("postgres://u@h/d?a=b&password={password}&sslmode=require")
            } else {
                format!("postgres://u:{password}@h/d")
            };
            let secret = password.split(['&', '=']).next().unwrap_or_default();
            for quote in ["\"", "'"] {
                if let Some(text) = toml(&database(&format!("{quote}{url}{quote}"))) {
                    prop_assert!(secret.len() < 6 || !text.contains(secret), "{text}");
                }
            }
        }
    }
}
