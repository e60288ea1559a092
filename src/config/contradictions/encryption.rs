//! Keys of `[encryption]` that contradict each other.

use super::super::origin::child;
use super::{Config, Search, is_set, is_variable, real_path};

impl Search<'_> {
    /// One passphrase at most, and only for a file that it may protect.
    pub(super) fn encryption(&mut self, config: &Config) {
        const KEY: &str = "encryption";
        let Some(encryption) = &config.encryption else { return };
        let env = encryption.passphrase_env.is_some();
        let file = encryption.passphrase_file.is_some();
        if env && file {
            let message = "`passphrase_env` and `passphrase_file` contradict each other; keep one";
            self.report(KEY, message);
        }
        if encryption.identity_file.is_none() && (env || file) {
            self.report(KEY, "has a passphrase without the `identity_file` that it unlocks");
        }
        if encryption.identity_file.is_none() && encryption.recipients.is_empty() {
            let message = "has neither `recipients` nor `identity_file`, so it does nothing";
            self.report(KEY, message);
        }
        if let Some(file) = &encryption.identity_file
            && is_set(&config.repository.path)
            && real_path(file).starts_with(real_path(&config.repository.path))
        {
            let message = "lies inside of repository.path: whoever gets the backups gets their key";
            self.report(&child(KEY, "identity_file"), message);
        }
        if let Some(variable) = &encryption.passphrase_env
            && !is_variable(variable)
        {
            let message = "expected the name of an environment variable, not the passphrase itself";
            self.report(&child(KEY, "passphrase_env"), message);
        }
    }
}
