//! Names of backup directories: readable, sortable, unique.

use super::BackupId;
use super::manifest::{Kind, Reason};
use crate::clock;
use jiff::Timestamp;

/// `backup_full_pre-upgrade_v2.3_2026-11-21_03-00-00_4f2a`: kind, reason, the version
/// label where there is one, the UTC start time, and the first digits of the id.
pub fn backup_name(
    kind: Kind,
    reason: Reason,
    version_label: Option<&str>,
    started_at: Timestamp,
    id: &BackupId,
) -> String {
    let mut parts = vec!["backup".to_string(), kind.as_str().into(), reason.as_str().into()];
    if let Some(version) = version_label.map(file_name_part).filter(|text| !text.is_empty()) {
        parts.push(if version.starts_with(|c: char| c.is_ascii_digit()) {
            format!("v{version}")
        } else {
            version
        });
    }
    parts.push(clock::name_stamp(started_at));
    parts.push(id.suffix().into());
    parts.join("_")
}

/// The part of such a name that is the UTC start time, as [`clock::name_stamp`] writes it.
pub fn stamp_of_name(name: &str) -> Option<&str> {
    let (before, _id) = name.rsplit_once('_')?;
    before.get(before.len().checked_sub("2026-11-21_03-00-00".len())?..)
}

/// The text with everything but `[A-Za-z0-9.+-]` replaced by `-`, at most 40 characters.
fn file_name_part(text: &str) -> String {
    text.chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() || ".+-".contains(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(version: Option<&str>) -> String {
        let id = BackupId::try_from("4f2a".repeat(8)).unwrap();
        let at = "2026-11-21T03:00:00Z".parse().unwrap();
        backup_name(Kind::Full, Reason::PreUpgrade, version, at, &id)
    }

    #[test]
    fn names_tell_kind_reason_version_time_and_id() {
        assert_eq!(name(Some("2.3")), "backup_full_pre-upgrade_v2.3_2026-11-21_03-00-00_4f2a");
        assert_eq!(name(None), "backup_full_pre-upgrade_2026-11-21_03-00-00_4f2a");
    }

    #[test]
    fn a_name_gives_its_time_back() {
        for version in [None, Some("2.3"), Some("a_b")] {
            assert_eq!(stamp_of_name(&name(version)), Some("2026-11-21_03-00-00"));
        }
        for other in ["", "_", "lost+found", "x_4f2a"] {
            assert_eq!(stamp_of_name(other), None);
        }
    }

    #[test]
    fn a_version_label_cannot_lead_out_of_the_repository() {
        assert_eq!(
            name(Some("../../x y")),
            "backup_full_pre-upgrade_..-..-x-y_2026-11-21_03-00-00_4f2a"
        );
    }
}
