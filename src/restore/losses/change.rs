//! What became of one file since the backup, by its metadata.

use crate::archive::entry::{Entry, Kind};

const SECOND_NS: i64 = 1_000_000_000;

/// What became of a file that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that can be seen.
    Nothing,
    /// Its change time alone.
    Time,
    /// More than that.
    Something,
}

impl Change {
    /// What lies between `known`, which the backup has, and `entry` of now.
    pub(super) fn between(known: &Entry, entry: &Entry) -> Self {
        // Which name of a file comes first, and has its content, depends on the others.
        let is_regular = |kind| matches!(kind, Kind::File | Kind::Hardlink);
        let both_regular = is_regular(known.kind) && is_regular(entry.kind);
        let is_one_kind = known.kind == entry.kind;
        let rights = |it: &Entry| (it.mode, it.uid, it.gid);
        if !(is_one_kind || both_regular) || rights(known) != rights(entry) {
            return Self::Something;
        }
        if entry.kind == Kind::Directory {
            return Self::Nothing;
        }
        let leads_elsewhere = entry.kind == Kind::Symlink && known.link_target != entry.link_target;
        if is_one_kind && (known.size, known.rdev) != (entry.size, entry.rdev)
            || leads_elsewhere
            || !is_same_time(known, entry)
        {
            return Self::Something;
        }
        match known.ctime_ns != 0 && known.ctime_ns != entry.ctime_ns {
            true => Self::Time,
            false => Self::Nothing,
        }
    }
}

/// Whether a file was modified when it was then. Docker's archives, which know no change times,
/// cut this time to seconds.
fn is_same_time(known: &Entry, entry: &Entry) -> bool {
    let is_cut = known.ctime_ns == 0 && known.mtime_ns % SECOND_NS == 0;
    match is_cut {
        true => known.mtime_ns.div_euclid(SECOND_NS) == entry.mtime_ns.div_euclid(SECOND_NS),
        false => known.mtime_ns == entry.mtime_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const FILE: &str = "a";

    fn file() -> Entry {
        Entry {
            path: PathBuf::from(FILE),
            kind: Kind::File,
            size: 10,
            mode: 0o644,
            uid: 1,
            gid: 2,
            user: None,
            group: None,
            mtime_ns: 7_500_000_000,
            ctime_ns: 8_500_000_000,
            device: 1,
            inode: 3,
            nlink: 1,
            link_target: None,
            xattrs: Vec::new(),
            rdev: None,
        }
    }

    #[track_caller]
    fn becomes(known: &Entry, edit: impl Fn(&mut Entry), expected: Change) {
        let mut entry = known.clone();
        edit(&mut entry);
        assert_eq!(Change::between(known, &entry), expected);
    }

    #[test]
    fn size_time_type_owner_and_permissions_tell_of_a_change() {
        let edits: [fn(&mut Entry); 6] = [
            |it| it.size = 11,
            |it| it.mtime_ns += 1,
            |it| it.mode = 0o600,
            |it| it.uid = 0,
            |it| it.gid = 0,
            |it| it.kind = Kind::Symlink,
        ];
        for edit in edits {
            becomes(&file(), edit, Change::Something);
        }
        becomes(&file(), |_| {}, Change::Nothing);
        becomes(&file(), |it| (it.device, it.inode) = (9, 9), Change::Nothing);
    }

    #[test]
    fn a_change_time_alone_is_told_apart_and_one_that_is_unknown_tells_nothing() {
        becomes(&file(), |it| it.ctime_ns += 1, Change::Time);
        let unknown = Entry { ctime_ns: 0, ..file() };
        becomes(&unknown, |it| it.ctime_ns = 9, Change::Nothing);
    }

    #[test]
    fn times_that_were_cut_to_seconds_are_compared_so() {
        let cut = Entry { ctime_ns: 0, mtime_ns: 7_000_000_000, ..file() };
        becomes(&cut, |it| it.mtime_ns += 999_999_999, Change::Nothing);
        becomes(&cut, |it| it.mtime_ns += 1_000_000_000, Change::Something);
        let whole = Entry { mtime_ns: 7_000_000_000, ..file() };
        becomes(&whole, |it| it.mtime_ns += 1, Change::Something);
    }

    #[test]
    fn names_of_one_file_may_take_turns_in_having_its_content() {
        let link = Entry { kind: Kind::Hardlink, size: 0, ..file() };
        becomes(&link, |it| (it.kind, it.size) = (Kind::File, 10), Change::Nothing);
        becomes(&link, |it| it.link_target = Some("b".into()), Change::Nothing);
        becomes(&link, |it| it.mtime_ns += 1, Change::Something);
    }

    #[test]
    fn symlinks_change_with_where_they_lead_and_directories_not_with_their_times() {
        let link = Entry { kind: Kind::Symlink, link_target: Some("b".into()), ..file() };
        becomes(&link, |it| it.link_target = Some("c".into()), Change::Something);
        let directory = Entry { kind: Kind::Directory, ..file() };
        becomes(&directory, |it| (it.mtime_ns, it.ctime_ns) = (1, 1), Change::Nothing);
        becomes(&directory, |it| it.mode = 0o700, Change::Something);
    }
}
