//! What a command needs: the loaded config, the repository, the catalog, the listener.

use super::output::Output;
use super::{Global, fleet};
use crate::backup::{claim_state, open_repository};
use crate::catalog::{BackupRecord, Catalog, Session};
use crate::config::{Config, Loaded};
use crate::encryption::{Identities, Recipients};
use crate::error::{Code, Error, Result};
use crate::progress::{JsonLines, Progress, Terminal};
use crate::repository::{Lock, LockMode, Repository};
use crate::restore;
use crate::runbook;
use crate::setting::Setting;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The surroundings of one command. The config is loaded when it is first asked for.
pub(super) struct Context {
    global: Global,
    pub(super) output: Output,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) cancel: CancellationToken,
    loaded: OnceLock<Arc<Loaded>>,
    /// Read and unlocked once, however often they are asked for.
    identities: OnceLock<Identities>,
}

impl Context {
    pub(super) fn new(global: Global, output: Output) -> Self {
        let progress: Arc<dyn Progress> = if output.is_json() {
            Arc::new(JsonLines::stderr())
        } else {
            Arc::new(Terminal::stderr(output.is_quiet()))
        };
        Self {
            global,
            output,
            progress,
            cancel: CancellationToken::new(),
            loaded: OnceLock::new(),
            identities: OnceLock::new(),
        }
    }

    /// The config with the origin of its values, and with the repository that is asked for.
    pub(super) fn loaded(&self) -> Result<Arc<Loaded>> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded.clone());
        }
        let Global { config, repository, copy, .. } = &self.global;
        let loaded = match (Config::load(config.as_deref()), repository) {
            // A repository can be looked into, and restored from, without any config.
            (Err(e), Some(_)) if e.code() == Code::ConfigNotFound && config.is_none() => {
                Loaded::unknown()?
            }
            (loaded, _) => loaded?,
        };
        let place = match (repository, copy) {
            // Several: each is opened where they are read.
            (Some(place), _) if fleet::parent(place).is_some() => None,
            (Some(place), _) => {
                let place = loaded.config.place(place)?;
                // Named in another way, home is home.
                (place != loaded.config.repository.place()).then_some(place)
            }
            (None, Some(name)) => Some(loaded.config.copy(name)?),
            (None, None) => None,
        };
        let loaded = match place {
            Some(place) => loaded.with_repository(place),
            None => loaded,
        };
        let loaded = Arc::new(loaded);
        Ok(self.loaded.get_or_init(|| loaded).clone())
    }

    /// The config, where it was loaded already.
    pub(super) fn known(&self) -> Option<Arc<Loaded>> {
        self.loaded.get().cloned()
    }

    /// The name of the copy that the command is about, where it is about one.
    pub(super) fn copy_name(&self) -> Option<&str> {
        self.global.copy.as_deref()
    }

    /// Whether there is a config. One that is damaged is one.
    pub(super) fn has_config(&self) -> bool {
        match Config::load(self.global.config.as_deref()) {
            Err(e) => e.code() != Code::ConfigNotFound,
            Ok(_) => true,
        }
    }

    /// The same command with this config file.
    pub(super) fn with_config(&self, file: PathBuf) -> Self {
        self.with_global(Global { config: Some(file), ..self.global.clone() })
    }

    /// The same command on this repository, unless another is named.
    pub(super) fn with_repository(&self, place: Option<String>) -> Self {
        let repository = self.global.repository.clone().or(place);
        self.with_global(Global { repository, ..self.global.clone() })
    }

    fn with_global(&self, global: Global) -> Self {
        Self {
            global,
            output: self.output.clone(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
            loaded: OnceLock::new(),
            identities: OnceLock::new(),
        }
    }

    /// The same command as if there was no config.
    pub(super) fn without_config(&self) -> Result<Self> {
        let context = self.with_global(self.global.clone());
        let Some(place) = &self.global.repository else {
            return Err(Error::new(Code::ConfigNotFound, "find", "a config file")
                .cause("there is none here")
                .hint("name the repository with --repository: the config is in its backups"));
        };
        let loaded = Loaded::unknown()?;
        let place = loaded.config.place(place)?;
        let _ = context.loaded.set(Arc::new(loaded.with_repository(place)));
        Ok(context)
    }

    /// The same command on the config's own repository.
    pub(super) fn with_own_repository(&self) -> Self {
        self.with_global(Global { repository: None, copy: None, ..self.global.clone() })
    }

    /// The config file that the command line or the environment names.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let by_variable = || std::env::var_os("BACKSTOP_CONFIG").filter(|it| !it.is_empty());
        self.global.config.clone().or_else(|| by_variable().map(PathBuf::from))
    }

    /// The repository that the command line names in the place of the config's own.
    pub(super) fn other_repository(&self) -> Option<&str> {
        self.global.repository.as_deref()
    }

    /// What an operation is given.
    pub(super) fn setting(&self) -> Result<Setting> {
        let loaded = self.loaded()?;
        if !loaded.config.is_unknown() {
            claim_state(&loaded.config)?;
        }
        self.unclaimed_setting()
    }

    /// The same for one that does not yet touch the state directory.
    pub(super) fn unclaimed_setting(&self) -> Result<Setting> {
        let loaded = self.loaded()?;
        let encryption = loaded.config.encryption.as_ref();
        Ok(Setting {
            recipients: Recipients::of(encryption)?,
            identities: self.identities.get_or_init(|| Identities::of(encryption)).clone(),
            config: Arc::new(loaded.config.clone()),
            config_file: loaded.file.clone(),
            // The kernel finds the running program even when its file was replaced.
            executable: PathBuf::from("/proc/self/exe"),
            lock_wait: self.global.lock_wait.duration(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
        })
    }

    /// The repository, which must exist.
    pub(super) fn repository(&self) -> Result<Repository> {
        open_repository(&self.setting()?)
    }

    /// The repository's lock, for a change.
    pub(super) fn lock(&self, repository: &Repository) -> Result<Lock> {
        repository.lock(LockMode::Exclusive, self.global.lock_wait.duration())
    }

    /// The repository's lock, which only keeps its backups where they are.
    pub(super) fn shared_lock(&self, repository: &Repository) -> Result<Lock> {
        repository.lock(LockMode::Shared, self.global.lock_wait.duration())
    }

    /// The catalog, in line with the repository where that exists.
    pub(super) fn reconciled(&self) -> Result<Session> {
        self.catalog().map(|(session, _)| session)
    }

    /// The same, with the repository.
    pub(super) fn catalog(&self) -> Result<(Session, Option<Repository>)> {
        if let Some(place) = self.global.repository.as_deref().and_then(fleet::parent) {
            return Err(Error::new(Code::Usage, "work on all repositories below", place)
                .cause("only `sql` reads several at once"));
        }
        self.catalog_of(&self.setting()?)
    }

    /// The catalog of the repository that `setting` names.
    pub(super) fn catalog_of(&self, setting: &Setting) -> Result<(Session, Option<Repository>)> {
        let opened = open_repository(setting);
        let open = || -> Result<Session> {
            let mut session = Catalog::of(&setting.config).session(&self.progress)?;
            // Runs belong to this host, not to another repository that is asked about.
            if setting.config.is_at_home() {
                runbook::mirror_into(&mut session, &setting.config.state.dir, &self.progress)?;
            }
            Ok(session)
        };
        let repository = match opened {
            Ok(repository) => repository,
            // What was named on the command line is to be there.
            Err(e) if e.code() == Code::RepositoryNotFound && setting.config.is_at_home() => {
                let session = open()?;
                if session.list()?.iter().any(BackupRecord::is_published) {
                    self.progress.warn(e.code(), e.to_string());
                }
                return Ok((session, None));
            }
            Err(e) => return Err(e),
        };
        let mut session = open()?;
        session.reconcile(&repository, &self.progress)?;
        // A backup that is being written holds the lock: without it, it is dead.
        if session.has_unfinished()? && repository.lock(LockMode::Shared, Duration::ZERO).is_ok() {
            session.fail_interrupted()?;
        }
        Ok((session, Some(repository)))
    }

    /// Resumes what a dead backstop left held, before the command does anything else.
    pub(super) async fn recover_first(&self) -> Result<()> {
        let recovery = restore::resume(&self.setting()?).await?;
        for line in &recovery.done {
            self.output.note(&format!("recovered: {line}"));
        }
        recovery.require_complete()
    }
}
