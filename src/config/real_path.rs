//! Whether two paths lead to one place.

use crate::deadline;
use std::path::{Path, PathBuf};

/// `path`, absolute, with the symbolic links of what exists of it resolved. What does not
/// exist keeps its name, so a missing directory is not taken for the one it would lie in, and
/// so does what does not answer.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    deadline::of_path(&path, resolved).unwrap_or(path)
}

fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(resolved) = ancestor.canonicalize() {
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_os_str().is_empty() => resolved.join(rest),
                _ => resolved,
            };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_and_what_is_missing_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(real_path(&real.join("link/none/deep")), real.join("none/deep"));
        assert_eq!(real_path(&real.join("link")), real);
    }
}
