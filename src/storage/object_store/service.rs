//! From an address, options and credentials to a connection.

use super::failure::Failures;
use super::runtime::{Own, Threads};
use super::stream::Streaming;
use crate::config::{Credentials, KnownHosts, Service, Store};
use crate::error::{Code, Error, Result};
use opendal::{Operator, services};
use std::path::Path;

/// The region that stores other than Amazon's are told where none is configured.
const ANY_REGION: &str = "us-east-1";

/// A connection and what is particular about the service.
#[derive(Debug)]
pub(super) struct Connection {
    /// Dropped first: what a connection of SSH leaves to the operator then has ended.
    pub(super) threads: Threads,
    pub(super) operator: Operator,
    pub(super) failures: Failures,
    /// Whether an object appears at once and whole; elsewhere it gets its name by a rename.
    pub(super) atomic: bool,
    /// How big objects are sent where they cannot be cut into parts.
    pub(super) streaming: Option<Streaming>,
    /// Whether there are directories, which stay when they are empty.
    pub(super) directories: bool,
}

/// What the credentials of a store say.
#[derive(Default)]
struct Secrets {
    key_id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
}

/// Prepares a connection. Nothing is sent yet.
///
/// # Errors
/// `storage_failed` where the service needs more than it was told, or a credential is not
/// where the config says.
pub(super) fn connect(store: &Store) -> Result<Connection> {
    super::runtime::install();
    let secrets = secrets(store)?;
    let failures = Failures {
        doubtful_means_unreachable: store.url.service() == Service::Sftp,
        secrets: [&secrets.secret, &secrets.token].into_iter().flatten().cloned().collect(),
    };
    let built = match store.url.service() {
        Service::S3 => s3(store, &secrets),
        Service::Gcs => gcs(store, &secrets),
        Service::Azblob => azblob(store, &secrets),
        Service::Webdav => webdav(store, &secrets, "http"),
        Service::Webdavs => webdav(store, &secrets, "https"),
        Service::Sftp => sftp(store),
    };
    let operator = built.map_err(|e| {
        failures
            .of("use", store.url.to_string(), &e)
            .hint("docs/configuration.md tells what each kind of store asks for")
    })?;
    let directories =
        matches!(store.url.service(), Service::Webdav | Service::Webdavs | Service::Sftp);
    let streaming = match store.url.service() {
        Service::Webdav => streaming(store, secrets, "http"),
        Service::Webdavs => streaming(store, secrets, "https"),
        _ => None,
    };
    let threads = match store.url.service() {
        Service::Sftp => Threads::Own(Own::start()?),
        _ => Threads::Shared,
    };
    Ok(Connection { threads, operator, failures, atomic: !directories, streaming, directories })
}

fn streaming(store: &Store, secrets: Secrets, scheme: &str) -> Option<Streaming> {
    let server = format!("{scheme}://{}", store.url.authority());
    let user = store.options.account.clone().or(secrets.key_id);
    Streaming::new(&server, store.url.prefix(), user, secrets.secret, secrets.token)
}

fn root(store: &Store) -> String {
    format!("/{}", store.url.prefix())
}

fn s3(store: &Store, secrets: &Secrets) -> opendal::Result<Operator> {
    let options = &store.options;
    let mut builder = services::S3::default().root(&root(store)).bucket(store.url.authority());
    let endpoint = options.endpoint.clone().or_else(s3_endpoint_of_environment);
    if let Some(endpoint) = &endpoint {
        builder = builder.endpoint(endpoint);
    }
    match &options.region {
        Some(region) => builder = builder.region(region),
        None if endpoint.is_some() && !names_a_region() => {
            builder = builder.region(ANY_REGION);
        }
        None => {}
    }
    if options.virtual_host == Some(true) {
        builder = builder.enable_virtual_host_style();
    }
    if let Some(class) = &options.storage_class {
        builder = builder.default_storage_class(class);
    }
    if let Some(encryption) = &options.server_side_encryption {
        builder = builder.server_side_encryption(encryption);
    }
    if let Some(key) = &options.kms_key_id {
        builder = builder.server_side_encryption_aws_kms_key_id(key);
    }
    if let Some(profile) = &options.profile {
        builder = builder.profile(profile);
    }
    if let Some(id) = &secrets.key_id {
        builder = builder.access_key_id(id);
    }
    if let Some(secret) = &secrets.secret {
        builder = builder.secret_access_key(secret);
    }
    if let Some(token) = &secrets.token {
        builder = builder.session_token(token);
    }
    Operator::new(builder)
}

/// As the SDKs of AWS take it.
fn s3_endpoint_of_environment() -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok())
}

fn names_a_region() -> bool {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().any(|name| std::env::var_os(name).is_some())
}

fn gcs(store: &Store, secrets: &Secrets) -> opendal::Result<Operator> {
    use base64::Engine as _;
    let mut builder = services::Gcs::default().root(&root(store)).bucket(store.url.authority());
    if let Some(endpoint) = &store.options.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(class) = &store.options.storage_class {
        builder = builder.default_storage_class(class);
    }
    if let Some(account) = &secrets.secret {
        let encoded = base64::engine::general_purpose::STANDARD.encode(account);
        builder = builder.credential(&encoded);
    }
    if let Some(token) = &secrets.token {
        builder = builder.token(token.clone());
    }
    Operator::new(builder)
}

fn azblob(store: &Store, secrets: &Secrets) -> opendal::Result<Operator> {
    let account = store.options.account.as_ref().or(secrets.key_id.as_ref());
    let mut builder =
        services::Azblob::default().root(&root(store)).container(store.url.authority());
    match (&store.options.endpoint, account) {
        (Some(endpoint), _) => builder = builder.endpoint(endpoint),
        (None, Some(account)) => {
            builder = builder.endpoint(&format!("https://{account}.blob.core.windows.net"));
        }
        (None, None) => {}
    }
    if let Some(account) = account {
        builder = builder.account_name(account);
    }
    if let Some(key) = &secrets.secret {
        builder = builder.account_key(key);
    }
    if let Some(token) = &secrets.token {
        builder = builder.sas_token(token);
    }
    Operator::new(builder)
}

fn webdav(store: &Store, secrets: &Secrets, scheme: &str) -> opendal::Result<Operator> {
    let mut builder = services::Webdav::default()
        .root(&root(store))
        .endpoint(&format!("{scheme}://{}", store.url.authority()));
    if let Some(user) = store.options.account.as_ref().or(secrets.key_id.as_ref()) {
        builder = builder.username(user);
    }
    if let Some(password) = &secrets.secret {
        builder = builder.password(password);
    }
    if let Some(token) = &secrets.token {
        builder = builder.token(token);
    }
    Operator::new(builder)
}

fn sftp(store: &Store) -> opendal::Result<Operator> {
    let known_hosts = match store.options.known_hosts {
        None | Some(KnownHosts::Strict) => "strict",
        Some(KnownHosts::Add) => "add",
        Some(KnownHosts::Accept) => "accept",
    };
    let mut builder = services::Sftp::default()
        .root(&root(store))
        .endpoint(&format!("ssh://{}", store.url.authority()))
        .known_hosts_strategy(known_hosts);
    if let Some(user) = store.url.user() {
        builder = builder.user(user);
    }
    // ssh reads the key itself, so its content never passes through this process.
    if let Some(key) = &store.credentials.secret_file {
        builder = builder.key(&key.to_string_lossy());
    }
    Operator::new(builder)
}

fn secrets(store: &Store) -> Result<Secrets> {
    let Credentials { key_id_env, key_id_file, secret_env, secret_file, token_env, token_file } =
        &store.credentials;
    let of = |env: &Option<String>, file| secret(store, env.as_deref(), file);
    let whole = store.url.service() == Service::Gcs;
    Ok(match store.url.service() {
        Service::Sftp => Secrets::default(),
        _ => Secrets {
            key_id: of(key_id_env, key_id_file.as_deref())?.map(first_line),
            secret: of(secret_env, secret_file.as_deref())?
                .map(|text| if whole { text } else { first_line(text) }),
            token: of(token_env, token_file.as_deref())?.map(first_line),
        },
    })
}

fn first_line(text: String) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn secret(store: &Store, env: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    let missing = |place: String, cause: String| {
        Error::new(Code::StorageFailed, "read a credential of", &store.url)
            .cause(format!("{place} {cause}"))
            .hint(format!("provide it in {place}, or change `credentials` in the config"))
    };
    let found = match (env, file) {
        (Some(name), _) => {
            let place = format!("${name}");
            let text =
                std::env::var(name).map_err(|_| missing(place.clone(), "is not set".into()))?;
            Some((place, text))
        }
        (None, Some(path)) => {
            let place = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|e| missing(place.clone(), format!("cannot be read: {e}")))?;
            Some((place, text))
        }
        (None, None) => None,
    };
    match found {
        Some((place, text)) if text.trim().is_empty() => Err(missing(place, "is empty".into())),
        found => Ok(found.map(|(_, text)| text)),
    }
}
