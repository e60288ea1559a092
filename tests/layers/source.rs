//! One source file, read just well enough to see which modules it uses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What one file says about modules.
pub(crate) struct Source {
    /// The file, relative to `src`.
    pub(crate) file: PathBuf,
    /// Its module's path; empty for the crate's root.
    pub(crate) module: Vec<String>,
    /// The top-level modules that it uses outside of tests.
    pub(crate) uses: BTreeSet<String>,
    /// The paths of modules in files of their own that are compiled for tests alone.
    pub(crate) test_modules: Vec<Vec<String>>,
}

impl Source {
    pub(crate) fn read(file: &Path, text: &str) -> Self {
        let mut module: Vec<String> = file
            .with_extension("")
            .components()
            .map(|component| component.as_os_str().to_string_lossy().into_owned())
            .collect();
        if module == ["lib"] {
            module.clear();
        }
        let (code, tests) = without_tests(&without_comments_and_texts(text));
        let test_modules =
            tests.into_iter().map(|name| [module.clone(), vec![name]].concat()).collect();
        let uses = used_modules(&code, module.len());
        Self { file: file.to_owned(), module, uses, test_modules }
    }
}

/// The code with comments, strings and characters blanked.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`; 0 for a raw identifier.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let start = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

/// The length of a character; 0 for a lifetime.
fn character(text: &str) -> usize {
    let inner = &text[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        let skip = escape.chars().next().map_or(0, char::len_utf8);
        return escape[skip..].find('\'').map_or(0, |end| 2 + skip + end + 1);
    }
    let Some(one) = inner.chars().next() else { return 0 };
    if inner[one.len_utf8()..].starts_with('\'') { one.len_utf8() + 2 } else { 0 }
}

/// The code without items under `#[cfg(test)]`, and the names of such modules that lie
/// in files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let end = item.find(['{', ';']).unwrap_or(item.len());
        if item[end..].starts_with('{') {
            rest = &item[end + block(&item[end..])..];
        } else {
            let name = item[..end].split_once("mod ").map(|(_, name)| name.trim().to_owned());
            modules.extend(name);
            rest = &item[end..];
        }
    }
    kept.push_str(rest);
    (kept, modules)
}

/// The length of the block in braces with which `text` begins.
fn block(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The top-level modules that paths from the crate's root begin with, in a module that
/// lies `depth` below it.
fn used_modules(code: &str, depth: usize) -> BTreeSet<String> {
    let climb = "super::".repeat(depth.max(1));
    let mut used = BTreeSet::new();
    for root in ["crate::", "backstop::", &climb] {
        for (at, _) in code.match_indices(root) {
            let inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !inside && !code[..at].ends_with("::") {
                used.extend(first_names(code[at + root.len()..].trim_start()));
            }
        }
    }
    // Types and macros at the root belong to no layer.
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "super");
    used
}

/// The first name of a path, or of each path of a group in braces.
fn first_names(path: &str) -> Vec<String> {
    if !path.starts_with('{') {
        return vec![path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()];
    }
    let group = &path[1..block(path).saturating_sub(1).max(1)];
    let (mut names, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, byte) in group.bytes().chain([b',']).enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                let one = group[start..at].trim();
                names.extend((!one.is_empty()).then(|| first_names(one)).into_iter().flatten());
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}
