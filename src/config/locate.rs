//! Which file is the config.

use super::Environment;
use crate::error::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// The endings that are looked for, the preferred one first.
const ENDINGS: [&str; 3] = ["toml", "yaml", "yml"];

/// The config file: `explicit`, else `$BACKSTOP_CONFIG`, else the first that exists of
/// [`places`]. None where none of these exists.
pub(super) fn find(explicit: Option<&Path>, environment: &Environment) -> Result<Option<PathBuf>> {
    let named = match (explicit, environment.get("BACKSTOP_CONFIG")) {
        (Some(path), _) => Some((path.to_owned(), "--config")),
        (None, Some(path)) => Some((PathBuf::from(path), "$BACKSTOP_CONFIG")),
        (None, None) => None,
    };
    let Some((path, by)) = named else {
        return Ok(places(environment).into_iter().find(|place| place.is_file()));
    };
    let path = super::origin::absolute(&path, &environment.directory);
    if path.exists() {
        Ok(Some(path))
    } else {
        Err(Error::new(Code::ConfigNotFound, "find config", path.display())
            .cause(format!("the file that {by} names does not exist")))
    }
}

/// Where a config is looked for when none is named.
pub(super) fn places(environment: &Environment) -> Vec<PathBuf> {
    let here = &environment.directory;
    [here.clone(), here.join("config"), environment.system_directory.clone()]
        .iter()
        .flat_map(|directory| ENDINGS.map(|ending| directory.join(format!("backstop.{ending}"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::collections::BTreeMap;
    use std::fs;

    fn environment(directory: &Path) -> Environment {
        Environment {
            variables: BTreeMap::new(),
            directory: directory.join("here"),
            system_directory: directory.join("etc"),
        }
    }

    fn write(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn the_nearest_file_wins_and_a_named_one_wins_over_all() {
        let root = tempfile::tempdir().unwrap();
        let mut environment = environment(root.path());
        assert_eq!(find(None, &environment).unwrap(), None);
        for place in [
            "etc/backstop.yml",
            "etc/backstop.toml",
            "here/config/backstop.yaml",
            "here/backstop.toml",
        ] {
            let path = write(root.path().join(place));
            assert_eq!(find(None, &environment).unwrap(), Some(path));
        }
        let by_variable = write(root.path().join("here/other.toml"));
        environment.variables.insert("BACKSTOP_CONFIG".into(), "other.toml".into());
        assert_eq!(find(None, &environment).unwrap(), Some(by_variable));
        let explicit = write(root.path().join("here/third.toml"));
        assert_eq!(find(Some(Path::new("third.toml")), &environment).unwrap(), Some(explicit));
    }

    #[test]
    fn a_named_file_that_is_missing_is_never_replaced_by_another() {
        let root = tempfile::tempdir().unwrap();
        write(root.path().join("here/backstop.toml"));
        let error = find(Some(Path::new("gone.toml")), &environment(root.path())).unwrap_err();
        assert_eq!(error.code(), Code::ConfigNotFound);
        assert!(error.to_string().contains("gone.toml"));
    }
}
