//! The actions that runbooks may name.

use super::{Action, AnyAction, shipped};
use std::collections::BTreeMap;

/// Every known action by its name.
#[derive(Default)]
pub struct Registry {
    actions: BTreeMap<&'static str, Box<dyn AnyAction>>,
}

impl Registry {
    /// Knows no action.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Knows the actions that come with backstop.
    pub fn shipped() -> Self {
        use shipped::*;
        Self::empty()
            .with(backup::BackupCreate)
            .with(keep::BackupKeep)
            .with(backup::BackupSelect)
            .with(backup::BackupVerify)
            .with(compose::ComposeUp)
            .with(compose_files::ComposeRestore)
            .with(confirm::Confirm)
            .with(database::DatabaseCreate)
            .with(database::DropScratch)
            .with(database::EndSessions)
            .with(disk::DiskAssert)
            .with(docker::assert::DockerAssert)
            .with(docker::exec::DockerExec)
            .with(docker::hold::DockerPause)
            .with(docker::logs::DockerLogs)
            .with(docker::hold::DockerStop)
            .with(docker::images::HoldImages)
            .with(docker::images::ReleaseImages)
            .with(docker::recreate::DockerRecreate)
            .with(docker::release::DockerStart)
            .with(docker::release::DockerUnpause)
            .with(evidence::DatabaseDump)
            .with(evidence::FilesQuarantine)
            .with(file::FileAssert)
            .with(health::HealthCheck)
            .with(host::HostAssert)
            .with(http::HttpCheck)
            .with(manual::Manual)
            .with(missing::CopyMissing)
            .with(notify::Notify)
            .with(rows::CopyRows)
            .with(secret::SecretRotate)
            .with(shell::Shell)
            .with(sql::SqlAssert)
            .with(sql::SqlRun)
            .with(staged::DatabaseRestore)
            .with(staged::DatabaseSwap)
            .with(staged::FilesRestore)
            .with(staged::FilesSwap)
            .with(tcp::TcpCheck)
            .with(verify::DatabaseVerify)
            .with(wait::Wait)
    }

    /// Knows one more action; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, action: impl Action) -> Self {
        self.actions.insert(AnyAction::name(&action), Box::new(action));
        self
    }

    pub(in crate::runbook) fn get(&self, name: &str) -> Option<&dyn AnyAction> {
        self.actions.get(name).map(AsRef::as_ref)
    }

    pub(in crate::runbook) fn all(&self) -> impl Iterator<Item = &dyn AnyAction> {
        self.actions.values().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.actions.keys()).finish()
    }
}
