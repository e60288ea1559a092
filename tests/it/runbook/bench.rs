//! A stack with nothing in it, on which runbooks are run.

use super::effect::{Append, Flaky, Hold};
use backstop::config::Config;
use backstop::encryption::{Identities, Recipients};
use backstop::error::Result;
use backstop::progress::Silent;
use backstop::runbook::{
    Audience, Engine, Nobody, Outcome, Parameters, Points, Registry, RunView, Store, check, view,
};
use backstop::setting::Setting;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The program under test, under which children run.
pub(super) const BACKSTOP: &str = env!("CARGO_BIN_EXE_backstop");

/// A directory with a config, a state directory and a place for effects.
pub(super) struct Bench {
    pub(super) dir: PathBuf,
    /// Removed with the bench, where it owns its directory.
    _owned: Option<tempfile::TempDir>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let bench = Self { dir: owned.path().to_owned(), _owned: Some(owned) };
        for name in ["effects", "files", "runbooks"] {
            fs::create_dir(bench.dir.join(name)).unwrap();
        }
        let dir = bench.dir.display();
        let config = format!(
            "[stack]\nname = \"bench\"\n[repository]\npath = \"{dir}/repository\"\n\
             [state]\ndir = \"{dir}/state\"\n[[files]]\nname = \"files\"\npath = \"{dir}/files\"\n\
             [runbooks]\ndir = \"{dir}/runbooks\"\n"
        );
        fs::write(bench.config(), config).unwrap();
        bench
    }

    /// The same bench in another process.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), _owned: None }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("backstop.toml")
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(super) fn effects(&self) -> PathBuf {
        self.dir.join("effects")
    }

    /// The lines of an effect.
    pub(super) fn effect(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.effects().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Everything that effects left behind: name and content.
    pub(super) fn all_effects(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.effects()).unwrap();
        let mut all: Vec<(String, String)> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    pub(super) fn registry(&self, points: Option<Points>) -> Arc<Registry> {
        let effects = self.effects();
        Arc::new(
            Registry::shipped()
                .with(Append { effects: effects.clone(), points })
                .with(Flaky { effects: effects.clone() })
                .with(Hold { effects }),
        )
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine_with(Arc::new(Nobody), None)
    }

    pub(super) fn engine_with(
        &self,
        audience: Arc<dyn Audience>,
        points: Option<Points>,
    ) -> Engine {
        let loaded = Config::load(Some(&self.config())).unwrap();
        Engine {
            setting: Setting {
                recipients: Recipients::of(None).unwrap(),
                identities: Identities::default(),
                config: Arc::new(loaded.config),
                config_file: loaded.file,
                executable: BACKSTOP.into(),
                lock_wait: Duration::ZERO,
                progress: Arc::new(Silent),
                cancel: CancellationToken::new(),
            },
            registry: self.registry(points.clone()),
            audience,
            yes: true,
            labels: BTreeMap::default(),
            points,
        }
    }

    /// Begins a run of these steps (and further keys of the runbook) with this engine.
    pub(super) async fn start(&self, engine: &Engine, text: &str) -> Result<(String, Outcome)> {
        let text = text.replace("EFFECTS", &self.effects().display().to_string());
        let checked = check("bench.yaml", &text, &engine.registry)?;
        let parameters = Parameters::resolve(&checked.runbook, &[], &engine.setting.config)?;
        engine.start(&checked, parameters).await
    }

    pub(super) fn view(&self, run: &str) -> RunView {
        let run = Store::in_dir(&self.state_dir()).find(run).unwrap();
        view(&run, &self.state_dir(), &self.registry(None)).unwrap()
    }

    /// `id STATE attempts` of every step.
    pub(super) fn states(&self, run: &str) -> Vec<String> {
        let steps = self.view(run).steps;
        steps
            .iter()
            .map(|step| format!("{} {} {}", step.id, step.state.as_str(), step.attempts))
            .collect()
    }
}

/// A runbook of these steps.
pub(super) fn runbook(steps: &str) -> String {
    format!("name: bench\ntitle: Bench\nsteps:\n{steps}")
}
