//! The directories that backstop makes for itself beside a tree, or at its top, by their names.

use std::ffi::OsStr;

/// How the name of each begins.
const PREFIX: &str = ".backstop-";

/// A directory of backstop's own. Where a tree is a mount point, or the directory above it
/// cannot be written to, it lies at the tree's top: scans and swaps leave it alone there, and
/// nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// What a capture makes for the time of a backup; its key is the backup's id.
    Capture,
    /// The tree that a restore builds; its key is the restore's.
    Restored,
    /// The tree that a restore replaced; likewise.
    Kept,
    /// What a runbook took out of the tree; its key is that of the run's step.
    Quarantine,
}

impl Own {
    const ALL: [Self; 4] = [Self::Capture, Self::Restored, Self::Kept, Self::Quarantine];

    /// The name of this directory, of the tree of this component.
    pub fn name(self, key: &str, component: &str) -> String {
        format!("{PREFIX}{}-{key}-{component}", self.word())
    }

    /// Which of them has this name. What somebody else's begins alike is none of them.
    pub fn of(name: &OsStr) -> Option<Self> {
        let rest = name.to_str()?.strip_prefix(PREFIX)?;
        Self::ALL.into_iter().find(|own| {
            let parts = rest
                .strip_prefix(own.word())
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.split_once('-'));
            parts.is_some_and(|(key, component)| own.has_key(key) && is_component(component))
        })
    }

    /// What it is, for people.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Capture => "backstop's own: what a backup keeps while it is taken",
            Self::Restored => "backstop's own: what a restore builds",
            Self::Kept => "backstop's own: what a restore replaced",
            Self::Quarantine => "backstop's own: what a runbook keeps in quarantine",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Restored => "restore",
            Self::Kept => "kept",
            Self::Quarantine => "quarantine",
        }
    }

    fn has_key(self, key: &str) -> bool {
        match self {
            // `BackupId`
            Self::Capture => is_hex(key, 32),
            // `RestoreRecord::begin`: 14 digits of its time, 4 of an id
            Self::Restored | Self::Kept => key.split_once('_').is_some_and(|(time, id)| {
                time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit()) && is_hex(id, 4)
            }),
            // the key of a step: `r` and the beginning of a hash
            Self::Quarantine => key.strip_prefix('r').is_some_and(|hash| is_hex(hash, 12)),
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the config takes it as the name of a component. What a swap adds to it while it is
/// under way (`.filling`) could be the end of one as well.
fn is_component(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const RESTORE: &str = "20260102030405_4f2a";
    const STEP: &str = "r0123456789ab";

    #[test]
    fn its_own_names_are_recognised() {
        for (own, key) in [
            (Own::Capture, ID),
            (Own::Restored, RESTORE),
            (Own::Kept, RESTORE),
            (Own::Quarantine, STEP),
        ] {
            for component in ["uploads", "a-b_c.d", "uploads.filling"] {
                assert_eq!(Own::of(OsStr::new(&own.name(key, component))), Some(own));
            }
            for (key, component) in [("k", "uploads"), (key, ""), (key, ".x"), (key, "a b")] {
                assert_eq!(Own::of(OsStr::new(&own.name(key, component))), None);
            }
        }
    }

    #[test]
    fn other_names_are_somebody_elses() {
        for name in [
            ".backstop-",
            ".backstop-notes",
            ".backstop-kept-",
            ".backstop-kept-uploads",
            ".backstop-kept-20260102-uploads",
            ".backstop-kept-20260102030405_4F2A-uploads",
            ".backstop-kept-20260102030405_4f2a",
            ".backstop-capture-20260102030405_4f2a-uploads",
            ".backstop-quarantine-0123456789ab-uploads",
            "backstop-kept-20260102030405_4f2a-uploads",
            "x.backstop-kept-20260102030405_4f2a-uploads",
        ] {
            assert_eq!(Own::of(OsStr::new(name)), None, "{name}");
        }
    }
}
