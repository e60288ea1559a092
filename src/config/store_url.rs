//! The address of an object store. It holds no secret: one that does is refused.

use super::text::written_as_text;
use std::fmt;
use std::str::FromStr;

/// What kind of store an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// S3, or a store that speaks its protocol: `s3://BUCKET/PREFIX`.
    S3,
    /// Google Cloud Storage: `gcs://BUCKET/PREFIX`.
    Gcs,
    /// Azure Blob Storage: `azblob://CONTAINER/PREFIX`.
    Azblob,
    /// WebDAV over TLS: `webdavs://HOST/PREFIX`.
    Webdavs,
    /// WebDAV without TLS: `webdav://HOST/PREFIX`.
    Webdav,
    /// SSH file transfer: `sftp://USER@HOST/PREFIX`.
    Sftp,
}

const SCHEMES: [(&str, Service); 6] = [
    ("s3", Service::S3),
    ("gcs", Service::Gcs),
    ("azblob", Service::Azblob),
    ("webdavs", Service::Webdavs),
    ("webdav", Service::Webdav),
    ("sftp", Service::Sftp),
];

/// `SERVICE://AUTHORITY/PREFIX`. Nothing in it is percent-encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    service: Service,
    user: Option<String>,
    authority: String,
    prefix: String,
}

impl StoreUrl {
    /// The kind of store.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The user that is named before the host (sftp).
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The bucket or container, or the host with its port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path below it, without `/` at its ends; empty for all of it.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same store, `name` further down.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let prefix = if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        };
        Self { prefix, ..self.clone() }
    }

    /// Whether what lies at one of the two may lie at the other as well.
    pub fn overlaps(&self, other: &Self) -> bool {
        let inside = |inner: &str, outer: &str| {
            outer.is_empty()
                || inner
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.service == other.service
            && self.authority == other.authority
            && (inside(&self.prefix, &other.prefix) || inside(&other.prefix, &self.prefix))
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    /// Reads an address. The error says what is wrong, never what was written.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = text.split_once("://").and_then(|(scheme, rest)| {
            let found = SCHEMES.iter().find(|(name, _)| *name == scheme)?;
            Some((found.1, rest))
        });
        let (service, rest) = known
            .ok_or("must begin with s3://, gcs://, azblob://, webdav://, webdavs:// or sftp://")?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, authority) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((user, host)) if service == Service::Sftp && !user.contains([':', '@']) => {
                (Some(user.to_owned()), host)
            }
            Some(_) => {
                return Err("holds a user or password; these belong into `credentials`".into());
            }
        };
        if text.contains(['?', '#']) {
            return Err("holds a query; what a store asks for belongs into `options`".into());
        }
        if authority.is_empty() || authority.contains(|c: char| c.is_whitespace() || c == '%') {
            return Err("names no bucket, container or host before its first /".into());
        }
        let prefix = prefix.trim_matches('/');
        let parts = prefix.split('/').filter(|_| !prefix.is_empty());
        let plain = |part: &str| {
            !part.is_empty() && part.trim() == part && !matches!(part, "." | "..") && part != "*"
        };
        if !parts.clone().all(plain) || prefix.contains(char::is_control) {
            return Err("has a part between two / that is empty, `.`, `..` or `*`, or has a \
                 space at its end"
                .into());
        }
        Ok(Self { service, user, authority: authority.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES.iter().find(|(_, service)| *service == self.service);
        write!(f, "{}://", scheme.map_or("", |(name, _)| name))?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.authority)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

written_as_text!(StoreUrl, "store-url", inline: true, ["s3://bucket/shop"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_all_services_are_taken_apart_and_shown_again() {
        for (text, user, authority, prefix) in [
            ("s3://bucket", None, "bucket", ""),
            ("s3://bucket/shop/eu", None, "bucket", "shop/eu"),
            ("gcs://bucket/shop", None, "bucket", "shop"),
            ("azblob://container/a b", None, "container", "a b"),
            (
                "webdavs://dav.example.com:8443/remote.php/dav",
                None,
                "dav.example.com:8443",
                "remote.php/dav",
            ),
            ("webdav://[::1]:80/x", None, "[::1]:80", "x"),
            ("sftp://backup@nas/volume1/shop", Some("backup"), "nas", "volume1/shop"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.user(), url.authority(), url.prefix()), (user, authority, prefix));
            assert_eq!(url.to_string(), text);
        }
        assert_eq!("s3://b/x/".parse::<StoreUrl>().unwrap().to_string(), "s3://b/x");
    }

    #[test]
    fn what_is_no_address_or_holds_a_secret_is_refused_without_being_repeated() {
        for text in [
            "s3cret",
            "ftp://s3cret/x",
            "s3://",
            "s3:///s3cret",
            "s3://key:s3cret@bucket/x",
            "sftp://user:s3cret@host/x",
            "webdav://user@s3cret/x",
            "s3://bucket/x?secret_access_key=s3cret",
            "s3://s3 cret/x",
            "s3://bucket/s3cret/../x",
            "s3://bucket/s3cret//x",
            "s3://bucket/s3cret/*",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(!error.contains("s3c"), "{error}");
        }
    }

    #[test]
    fn stores_overlap_where_one_prefix_leads_into_the_other() {
        let url = |text: &str| text.parse::<StoreUrl>().unwrap();
        assert!(url("s3://b").overlaps(&url("s3://b/shop")));
        assert!(url("s3://b/shop/eu").overlaps(&url("s3://b/shop")));
        assert!(!url("s3://b/shop").overlaps(&url("s3://b/shop2")));
        assert!(!url("s3://b/shop").overlaps(&url("s3://c/shop")));
    }
}
