//! Reading YAML that may be hostile: how large, how deep and how repetitive it may be.

use super::fault::{Fault, Place};
use super::tree::Node;
use serde_saphyr::{MessageFormatter, Options, Spanned, UserMessageFormatter};

/// How many bytes a runbook may have. The longest that people write have some 20 KiB.
pub(in crate::runbook) const MAX_BYTES: usize = 256 * 1024;
/// How deep values may be nested.
const MAX_DEPTH: usize = 32;
/// How many values there may be, aliases followed.
const MAX_NODES: usize = 20_000;
/// How many aliases (`*name`) there may be.
const MAX_ALIASES: usize = 256;

/// Reads a document.
pub(in crate::runbook) fn parse(text: &str) -> Result<Node, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(
            Place::default(),
            format!("it has more than the {MAX_BYTES} bytes that a runbook may have"),
        )
        .hint("split it, or keep long scripts in files of their own that `shell` runs"));
    }
    let parsed: Result<Spanned<Node>, _> = serde_saphyr::from_str_with_options(text, options());
    match parsed {
        Ok(root) => Ok(root.value.at(&root.referenced)),
        Err(error) => {
            let place = error.location().map_or_else(Place::default, |location| Place {
                line: location.line(),
                column: location.column(),
            });
            let said = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
            Err(Fault::new(place, said.trim().replace('\n', ", "))
                .hint("write it as YAML; `backstop runbook schema` describes it for editors"))
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_documents: 1,
            max_inclusion_depth: 0,
            max_recorded_anchor_events: 4 * MAX_NODES,
            max_recorded_anchor_bytes: 4 * MAX_BYTES,
            max_total_scalar_bytes: 4 * MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
            max_alias_expansions_per_anchor: MAX_ALIASES,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Fault {
        parse(text).unwrap_err()
    }

    #[test]
    fn a_text_over_the_limit_is_refused_unread() {
        let fault = refused(&"#".repeat(MAX_BYTES + 1));
        assert!(fault.message.contains("262144"), "{fault}");
    }

    #[test]
    fn bombs_of_aliases_and_of_depth_end_early() {
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..20 {
            let last = n - 1;
            laughs += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{last}"); 9].join(", "));
        }
        assert!(!refused(&laughs).message.is_empty());
        assert!(
            !refused(&format!("a: {}{}", "[".repeat(5000), "]".repeat(5000))).message.is_empty()
        );
        let deep: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(!refused(&deep).message.is_empty());
        let many = "- x\n".repeat(MAX_NODES + 1);
        assert!(!refused(&many).message.is_empty());
    }

    #[test]
    fn a_key_that_is_written_twice_and_broken_syntax_are_refused_with_their_line() {
        assert_eq!(refused("a: 1\nb: 2\na: 3\n").place.unwrap().line, 3);
        assert!(refused("a: 1\nb: [1, 2\n").place.unwrap().line >= 2);
    }
}
