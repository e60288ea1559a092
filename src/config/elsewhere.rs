//! The same stack with another repository than the config names: one of its copies, or any that
//! the command line says.

use super::origin::absolute;
use super::problem::Problems;
use super::schema::schema;
use super::{
    Config, Copy, Credentials, Encryption, Environment, Loaded, Place, Repository, Stack, State,
    Store, StoreOptions, StoreUrl, overrides, real_path,
};
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use figment::Figment;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// In the state directory: the catalogs of other repositories than the config's own.
const ELSEWHERE: &str = "elsewhere";
/// In the state directory: what is remembered of each copy.
const COPIES: &str = "copies";

impl Config {
    /// The directory of the catalog, and of what else is only right for this repository.
    pub fn catalog_dir(&self) -> PathBuf {
        match &self.elsewhere {
            None => self.state.dir.clone(),
            Some(key) => self.state.dir.join(ELSEWHERE).join(key),
        }
    }

    /// The directory of what this host remembers of the copy of this name.
    pub fn copy_state_dir(&self, name: &str) -> PathBuf {
        self.state.dir.join(COPIES).join(name)
    }

    /// This stack with its backups in `place`. What is known of them is kept apart from what is
    /// known of the config's own repository.
    #[must_use]
    pub fn with_repository(mut self, place: Place) -> Self {
        // However a directory is written, it is the same one.
        let place = match place {
            Place::Directory(path) => Place::Directory(real_path(&path)),
            store => store,
        };
        let digest = Sha256::digest(place.to_string().as_bytes());
        self.elsewhere = Some(hex(&digest[..8]));
        let repository = &mut self.repository;
        repository.copies.clear();
        (repository.path, repository.url) = match &place {
            Place::Directory(path) => (path.clone(), None),
            Place::Store(store) => (PathBuf::new(), Some(store.url.clone())),
        };
        if let Place::Store(store) = place {
            (repository.options, repository.credentials) = (store.options, store.credentials);
        }
        self
    }

    /// The place of the copy `name`.
    ///
    /// # Errors
    /// `usage` where the config has no such copy.
    pub fn copy(&self, name: &str) -> Result<Place> {
        let copies = &self.repository.copies;
        copies.iter().find(|copy| copy.name == name).map(Copy::place).ok_or_else(|| {
            let known: Vec<&str> = copies.iter().map(|copy| copy.name.as_str()).collect();
            Error::new(Code::Usage, "use copy", name).cause(match known.is_empty() {
                true => "the config names no copies".to_owned(),
                false => format!("the config names {}", known.join(", ")),
            })
        })
    }

    /// The place that a path or url leads to. A store is spoken to as the config says of one in
    /// the same bucket or on the same host, if it names any.
    ///
    /// # Errors
    /// `usage` where it is neither.
    pub fn place(&self, text: &str) -> Result<Place> {
        if !text.contains("://") {
            let path =
                std::path::absolute(text).map_err(|e| Error::io("look at", Path::new(text), e))?;
            return Ok(Place::Directory(path));
        }
        let url: StoreUrl =
            text.parse().map_err(|cause| Error::new(Code::Usage, "use url", text).cause(cause))?;
        let copies = self.repository.copies.iter().map(Copy::place);
        let alike = std::iter::once(self.repository.place()).chain(copies).find_map(|known| {
            let is_alike = |known: &StoreUrl| {
                known.service() == url.service() && known.authority() == url.authority()
            };
            match known {
                Place::Store(store) if is_alike(&store.url) => Some(store),
                _ => None,
            }
        });
        let (options, credentials) = match alike {
            Some(store) => (store.options, store.credentials),
            None => (StoreOptions::default(), Credentials::default()),
        };
        Ok(Place::Store(Box::new(Store { url, options, credentials })))
    }

    /// Whether the repository is a copy of the config's own.
    pub fn is_copy(&self) -> bool {
        self.copy
    }

    /// Whether the repository is the one that the config names.
    pub fn is_at_home(&self) -> bool {
        self.elsewhere.is_none()
    }

    /// Whether nothing is known but where backups lie.
    pub fn is_unknown(&self) -> bool {
        self.stack.name.is_empty()
    }

    /// What is known without any config: nothing of the stack, and that its backups lie in a
    /// repository that is still to be named. Enough to look into them, and to bring them back
    /// beside what is live.
    pub fn unknown(state_dir: &Path) -> Self {
        Self {
            enabled: true,
            stack: Stack { name: String::new() },
            repository: Repository::unnamed(),
            state: State { dir: state_dir.to_path_buf() },
            databases: Vec::new(),
            files: Vec::new(),
            containers: Vec::new(),
            encryption: None,
            retention: None,
            runbooks: None,
            guard: super::Guard::default(),
            elsewhere: None,
            copy: false,
        }
    }
}

impl Loaded {
    /// What is known where there is no config: see [`Config::unknown`]. The key that backups are
    /// read with may stand in the environment, as `BACKSTOP_ENCRYPTION__IDENTITY_FILE`.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] for a variable that sets no key.
    pub fn unknown() -> Result<Self> {
        let mut config = Config::unknown(&state_dir());
        config.encryption = encryption(&Environment::current())?;
        Ok(Self::without_file(config))
    }
}

/// What the variables alone say of encryption.
fn encryption(environment: &Environment) -> Result<Option<Encryption>> {
    let mut problems = Problems::default();
    let figment = overrides::merge(Figment::new(), &schema(), environment, &mut problems);
    problems.refuse(None)?;
    if !figment.contains("encryption") {
        return Ok(None);
    }
    // Nothing is written here, so nobody has to be named.
    let figment = figment.join(("encryption.recipients", Vec::<String>::new()));
    let mut encryption: Encryption = figment.extract_inner("encryption").map_err(|e| {
        Error::new(Code::ConfigInvalid, "accept config", "from the environment").source(e)
    })?;
    let files = [&mut encryption.identity_file, &mut encryption.passphrase_file];
    for path in files.into_iter().flatten() {
        *path = absolute(path, &environment.directory);
    }
    Ok(Some(encryption))
}

/// Where the state lies that belongs to no stack: where the environment says, else the system's
/// place for root, and the user's for others.
pub(crate) fn state_dir() -> PathBuf {
    let of = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    if let Some(dir) = of("BACKSTOP_STATE__DIR") {
        return dir;
    }
    let home = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")));
    match home.filter(|home| home.is_absolute() && !rustix::process::geteuid().is_root()) {
        Some(home) => home.join("backstop"),
        None => State::default().dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::unknown(Path::new("/state"));
        config.repository.url = Some("s3://bucket/web-1".parse().unwrap());
        config.repository.options.endpoint = Some("https://s3.example.com".into());
        config
    }

    #[test]
    fn another_prefix_of_the_bucket_is_spoken_to_alike() {
        let Place::Store(store) = config().place("s3://bucket/web-2").unwrap() else { panic!() };
        assert_eq!(store.options.endpoint.as_deref(), Some("https://s3.example.com"));
        let Place::Store(store) = config().place("s3://other/web-2").unwrap() else { panic!() };
        assert_eq!(store.options, StoreOptions::default());
        assert!(config().place("ftp://host/x").is_err());
    }

    #[test]
    fn every_repository_has_a_catalog_of_its_own() {
        let config = config();
        let dir = |place: &str| {
            config.clone().with_repository(config.place(place).unwrap()).catalog_dir()
        };
        assert_eq!(config.catalog_dir(), Path::new("/state"));
        assert_eq!(dir("/a"), dir("/a"));
        assert_ne!(dir("/a"), dir("/b"));
        assert!(dir("/a").starts_with("/state/elsewhere"));
    }
}
