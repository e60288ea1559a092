//! Places of the repository that contradict themselves or each other.

use super::{Search, child, entry, is_variable, real_path};
use crate::config::problem::quoted_list;
use crate::config::{Config, Credentials, Service, StoreOptions, StoreUrl};
use std::path::Path;

/// What the config says of one place.
struct Said<'a> {
    key: String,
    path: Option<&'a Path>,
    url: Option<&'a StoreUrl>,
    options: &'a StoreOptions,
    credentials: &'a Credentials,
}

impl Search<'_> {
    pub(super) fn stores(&mut self, config: &Config) {
        let repository = &config.repository;
        let path = Some(repository.path.as_path()).filter(|path| !path.as_os_str().is_empty());
        self.place(&Said {
            key: "repository".into(),
            path,
            url: repository.url.as_ref(),
            options: &repository.options,
            credentials: &repository.credentials,
        });
        for (index, copy) in repository.copies.iter().enumerate() {
            let key = entry("repository.copies", index);
            self.name(&child(&key, "name"), &copy.name);
            self.place(&Said {
                key: key.clone(),
                path: copy.path.as_deref(),
                url: copy.url.as_ref(),
                options: &copy.options,
                credentials: &copy.credentials,
            });
            if let Some(path) = &copy.path {
                self.not_in_a_tree(&child(&key, "path"), path, config);
            }
            let earlier = &repository.copies[..index];
            if let Some(other) = earlier.iter().position(|other| other.name == copy.name) {
                let message = format!(
                    "`{}` is already the name of {}",
                    copy.name,
                    entry("repository.copies", other)
                );
                self.report(&child(&key, "name"), message);
            }
            let place = copy.place();
            let mut others = vec![("the repository".to_owned(), repository.place())];
            others.extend(
                earlier
                    .iter()
                    .enumerate()
                    .map(|(at, it)| (entry("repository.copies", at), it.place())),
            );
            for (what, other) in others {
                if place.overlaps(&other) {
                    let message = format!("{place} and {what} at {other} lie in one another");
                    self.report(&key, message);
                }
            }
        }
    }

    fn place(&mut self, said: &Said<'_>) {
        match (said.path, said.url) {
            (Some(_), Some(_)) => self.report(&said.key, "has both `path` and `url`; keep one"),
            (None, None) => self.report(&said.key, "needs `path` or `url`"),
            (Some(_), None) => {
                for (name, given) in [
                    ("options", !given_options(said.options).is_empty()),
                    ("credentials", !given_credentials(said.credentials).is_empty()),
                ] {
                    if given {
                        let message = "has no meaning without `url`; remove it";
                        self.report(&child(&said.key, name), message);
                    }
                }
            }
            (None, Some(url)) => self.store(said, url),
        }
    }

    /// What a kind of store does not understand is refused, lest it be relied upon.
    fn store(&mut self, said: &Said<'_>, url: &StoreUrl) {
        let (options, credentials): (&[&str], &[&str]) = match url.service() {
            Service::S3 => (
                &[
                    "endpoint",
                    "region",
                    "virtual_host",
                    "storage_class",
                    "server_side_encryption",
                    "kms_key_id",
                    "profile",
                ],
                &[
                    "key_id_env",
                    "key_id_file",
                    "secret_env",
                    "secret_file",
                    "token_env",
                    "token_file",
                ],
            ),
            Service::Gcs => (
                &["endpoint", "storage_class"],
                &["secret_env", "secret_file", "token_env", "token_file"],
            ),
            Service::Azblob | Service::Webdav | Service::Webdavs => (
                if url.service() == Service::Azblob {
                    &["endpoint", "account"]
                } else {
                    &["account"]
                },
                &[
                    "key_id_env",
                    "key_id_file",
                    "secret_env",
                    "secret_file",
                    "token_env",
                    "token_file",
                ],
            ),
            Service::Sftp => (&["known_hosts"], &["secret_file"]),
        };
        for (section, given, known) in [
            ("options", given_options(said.options), options),
            ("credentials", given_credentials(said.credentials), credentials),
        ] {
            for name in given.iter().filter(|name| !known.contains(*name)) {
                let key = child(&child(&said.key, section), name);
                let known = quoted_list(known.iter().copied());
                self.report(&key, format!("has no meaning for such a store; accepted are {known}"));
            }
        }
        let credentials = said.credentials;
        for (what, variable, file) in [
            ("key_id", &credentials.key_id_env, &credentials.key_id_file),
            ("secret", &credentials.secret_env, &credentials.secret_file),
            ("token", &credentials.token_env, &credentials.token_file),
        ] {
            let key = child(&said.key, "credentials");
            if variable.is_some() && file.is_some() {
                let message =
                    format!("`{what}_env` and `{what}_file` contradict each other; keep one");
                self.report(&key, message);
            }
            if variable.as_deref().is_some_and(|name| !is_variable(name)) {
                let message = "expected the name of an environment variable, not the secret itself";
                self.report(&child(&key, &format!("{what}_env")), message);
            }
        }
    }

    /// A copy inside of what is backed up would be backed up into itself.
    fn not_in_a_tree(&mut self, key: &str, path: &Path, config: &Config) {
        let path = real_path(path);
        for (index, tree) in config.files.iter().enumerate() {
            let Some(tree) = tree.path.as_deref().map(real_path) else { continue };
            if path.starts_with(&tree) || tree.starts_with(&path) {
                let message = format!("it and {} lie in one another", entry("files", index));
                self.report(key, message);
            }
        }
    }
}

/// The keys that are set, by the names that the file uses.
fn given_options(options: &StoreOptions) -> Vec<&'static str> {
    let StoreOptions {
        endpoint,
        region,
        virtual_host,
        storage_class,
        server_side_encryption,
        kms_key_id,
        profile,
        account,
        known_hosts,
    } = options;
    given([
        ("endpoint", endpoint.is_some()),
        ("region", region.is_some()),
        ("virtual_host", virtual_host.is_some()),
        ("storage_class", storage_class.is_some()),
        ("server_side_encryption", server_side_encryption.is_some()),
        ("kms_key_id", kms_key_id.is_some()),
        ("profile", profile.is_some()),
        ("account", account.is_some()),
        ("known_hosts", known_hosts.is_some()),
    ])
}

fn given_credentials(credentials: &Credentials) -> Vec<&'static str> {
    let Credentials { key_id_env, key_id_file, secret_env, secret_file, token_env, token_file } =
        credentials;
    given([
        ("key_id_env", key_id_env.is_some()),
        ("key_id_file", key_id_file.is_some()),
        ("secret_env", secret_env.is_some()),
        ("secret_file", secret_file.is_some()),
        ("token_env", token_env.is_some()),
        ("token_file", token_file.is_some()),
    ])
}

fn given<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}
