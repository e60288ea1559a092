//! Real parts for the tests: each cleans up after itself.

pub(crate) mod cluster;
pub(crate) mod daemon;
pub(crate) mod hanging;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod load;
pub(crate) mod mount;
pub(crate) mod need;
pub(crate) mod port;
pub(crate) mod shop;
pub(crate) mod site;
pub(crate) mod ssh;
pub(crate) mod stack;
pub(crate) mod store;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `chmod 700`.
pub(crate) fn make_executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}
