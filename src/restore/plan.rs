//! What a restore will do: everything is found and verified before anything is touched.

use super::checked::{Wanted, open_checked};
use super::record::RestoreRecord;
use super::salvage::{self, Lost, Reading};
use super::summary::{PlanSummary, Replacement};
use super::volume;
use super::{databases, files, onlookers};
use crate::backup::{INDEX, Place, Reach, Selected, Source, connect_if_needed, require_space};
use crate::catalog::BackupRecord;
use crate::config::{Config, FileTree};
use crate::database::{Compared, database_exists};
use crate::docker::{Container, Docker};
use crate::error::{Code, Error, Result};
use crate::repository::manifest::{Component, DatabaseDetail, Detail, FilesDetail};
use crate::repository::{Damage, PublishedBackup};
use crate::setting::Setting;
use std::slice;

/// A restore that may begin: the backup's bytes are verified.
pub(super) struct Plan {
    pub(super) backup: PublishedBackup,
    pub(super) docker: Option<Docker>,
    /// The containers that are stopped for the swap; none where nothing live is replaced.
    pub(super) containers: Vec<Container>,
    pub(super) trees: Vec<PlannedTree>,
    pub(super) databases: Vec<PlannedDatabase>,
    /// The scripts with the roles of the databases' servers.
    pub(super) globals: Vec<(Vec<u8>, Vec<String>)>,
    /// What is damaged and does not come back; only where that is accepted.
    pub(super) lost: Vec<Lost>,
}

/// A file tree of the backup and where it goes.
pub(super) struct PlannedTree {
    pub(super) component: Component,
    pub(super) detail: FilesDetail,
    /// What it replaces; nothing where it goes elsewhere.
    pub(super) source: Option<Source>,
    pub(super) reading: Reading,
}

/// A database of the backup and where it goes.
pub(super) struct PlannedDatabase {
    pub(super) component: Component,
    pub(super) detail: DatabaseDetail,
    pub(super) reach: Reach,
    pub(super) live_existed: bool,
}

/// Two stacks may call a tree or a database alike.
fn refuse_another_stack(setting: &Setting, record: &BackupRecord) -> Result<()> {
    let own = &setting.config.stack.name;
    if record.stack == *own {
        return Ok(());
    }
    Err(Error::new(Code::Usage, "restore backup", &record.name)
        .cause(match own {
            own if own.is_empty() => {
                format!("it is of the stack {}, and no config names one", record.stack)
            }
            own => format!("it is of the stack {}, the config is that of {own}", record.stack),
        })
        .hint("name that stack's config with --config, or restore beside what is live with --to"))
}

impl Plan {
    /// Verifies the stored bytes of what is wanted and finds where it goes.
    ///
    /// # Errors
    /// `backup_damaged` names what is damaged.
    pub(super) async fn prepare(
        setting: &Setting,
        record: &BackupRecord,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let docker = connect_if_needed(setting).await?;
        Self::prepare_with(setting, record, wanted, docker).await
    }

    /// The same for a restore elsewhere, which needs no live stack: Docker only where a
    /// wanted database is reached through it.
    pub(super) async fn prepare_elsewhere(
        setting: &Setting,
        record: &BackupRecord,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let mut databases = setting.config.databases.iter();
        let through_docker = databases
            .any(|one| one.container.is_some() && wanted.selection.wants_database(&one.name));
        let docker = match connect_if_needed(setting).await {
            Err(_) if !through_docker => None,
            connected => connected?,
        };
        Self::prepare_with(setting, record, wanted, docker).await
    }

    async fn prepare_with(
        setting: &Setting,
        record: &BackupRecord,
        wanted: Wanted<'_>,
        docker: Option<Docker>,
    ) -> Result<Self> {
        let (backup, damages) = open_checked(setting, record, wanted).await?;
        let mut plan = Self {
            docker,
            containers: Vec::new(),
            trees: Vec::new(),
            databases: Vec::new(),
            globals: Vec::new(),
            lost: Vec::new(),
            backup: backup.clone(),
        };
        for component in &backup.manifest().components {
            plan.add(setting, component, wanted, &damages).await?;
        }
        plan.note_other_losses(&damages);
        Ok(plan)
    }

    /// The same for what will replace something live, now or later.
    ///
    /// # Errors
    /// `component_not_found` where nothing that is wanted replaces anything live.
    pub(super) async fn prepare_replacing(
        setting: &Setting,
        record: &BackupRecord,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        refuse_another_stack(setting, record)?;
        let mut plan = Self::prepare(setting, record, wanted).await?;
        plan.leave_damaged_volumes();
        plan.refuse_all_lost(record)?;
        if plan.trees.is_empty() && plan.databases.is_empty() {
            return Err(Error::new(Code::ComponentNotFound, "restore", &record.name)
                .cause("nothing that is wanted of it replaces anything live")
                .hint(
                    "name a database or a file tree; roles come with their databases, \
                     definitions of containers are for people to read",
                ));
        }
        for tree in &plan.trees {
            if let Some(Source { place: Place::Directory(path), .. }) = &tree.source {
                let parent = path.parent().unwrap_or(path);
                require_space(parent, tree.component.source_bytes, "restore files to")?;
            }
        }
        Ok(plan)
    }

    /// The same for a restore in place: finds who has to be held as well.
    ///
    /// # Errors
    /// `component_not_found` where nothing that is wanted replaces anything live,
    /// `container_not_held` where a container would go on with the replaced files.
    pub(super) async fn prepare_live(
        setting: &Setting,
        record: &BackupRecord,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let mut plan = Self::prepare_replacing(setting, record, wanted).await?;
        plan.containers = to_stop(setting, plan.docker.as_ref()).await?;
        let sources = plan.trees.iter().filter_map(|tree| tree.source.as_ref());
        onlookers::refuse(plan.docker.as_ref(), sources, &plan.containers).await?;
        for planned in &plan.databases {
            databases::refuse_replicated(setting, &planned.reach).await?;
        }
        Ok(plan)
    }

    async fn add(
        &mut self,
        setting: &Setting,
        component: &Component,
        wanted: Wanted<'_>,
        damages: &[Damage],
    ) -> Result<()> {
        let selection = wanted.selection;
        let name = component.name.as_str();
        match &component.detail {
            Detail::Files(detail) if selection.wants_files(&component.name) => {
                let tree = configured_tree(&setting.config, component, detail);
                let (reading, lost) =
                    salvage::tree(setting, &self.backup, damages, (name, detail)).await?;
                self.lost.extend(lost);
                let Some(reading) = reading else { return Ok(()) };
                let source = match wanted.live {
                    true => Some(Source::locate(&tree, self.docker.as_ref()).await?),
                    false => None,
                };
                let (component, detail) = (component.clone(), detail.clone());
                self.trees.push(PlannedTree { component, detail, source, reading });
            }
            Detail::Database(detail) if selection.wants_database(&component.name) => {
                if let Some(damage) = salvage::of(damages, &detail.object) {
                    self.lost.push(Lost::whole(Some(name), damage));
                    return Ok(());
                }
                let configured = databases::configured(&setting.config, &component.name)?;
                let docker = self.docker.as_ref();
                let reach = Reach::find(setting, configured, docker, Some("postgres")).await?;
                let live_existed = database_exists(&reach.target, reach.target.database()).await?;
                databases::check_version(&reach, detail).await?;
                self.databases.push(PlannedDatabase {
                    component: component.clone(),
                    detail: detail.as_ref().clone(),
                    reach,
                    live_existed,
                });
            }
            Detail::Globals { object, databases }
                if salvage::of(damages, object).is_none()
                    && databases.iter().any(|name| wanted.selection.wants_database(name)) =>
            {
                self.globals.push((self.backup.read(object)?, databases.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the damage that concerns none of the lost components. What only describes the
    /// backup, and is known from elsewhere, is no loss.
    fn note_other_losses(&mut self, damages: &[Damage]) {
        let components = &self.backup.manifest().components;
        let restored = |damage: &Damage| {
            let is_index = damage.concerns(INDEX);
            is_index
                || components.iter().any(|component| match &component.detail {
                    Detail::Database(detail) => {
                        salvage::of(slice::from_ref(damage), &detail.object).is_some()
                    }
                    Detail::Files(detail) => {
                        let mut elsewhere = detail.elsewhere.iter();
                        damage.concerns(&detail.object)
                            || elsewhere.any(|earlier| earlier.shown() == damage.object)
                    }
                    _ => false,
                })
        };
        let describes =
            |damage: &Damage| ["manifest.json", "SHA256SUMS"].contains(&damage.object.as_str());
        let own = |damage: &Damage| damage.fault != "does not belong to the backup";
        for damage in damages.iter().filter(|d| !restored(d) && !describes(d) && own(d)) {
            self.lost.push(Lost::whole(None, damage));
        }
    }

    /// A helper container unpacks whole archives only: a damaged tree of its volume stays as
    /// it is.
    fn leave_damaged_volumes(&mut self) {
        let cannot = |tree: &PlannedTree| {
            let place = tree.source.as_ref().map(|source| &source.place);
            tree.reading == Reading::Salvaged && matches!(place, Some(Place::Container { .. }))
        };
        for tree in self.trees.extract_if(.., |tree| cannot(tree)) {
            let damage = Damage::new(
                &tree.detail.object,
                "is damaged, and its volume cannot be reached from here: salvage it with --to DIR",
            );
            self.lost.push(Lost::whole(Some(&tree.component.name), &damage));
        }
    }

    /// Refuses a restore of which nothing would be left.
    pub(super) fn refuse_all_lost(&self, record: &BackupRecord) -> Result<()> {
        match self.lost.first() {
            Some(first) if self.trees.is_empty() && self.databases.is_empty() => {
                Err(Error::new(Code::BackupDamaged, "salvage", &record.name)
                    .cause(format!("nothing of what is wanted is whole: {first}")))
            }
            _ => Ok(()),
        }
    }

    /// Builds everything beside the live state and verifies it there. Returns how the rows of
    /// each database compare with those at the fence.
    pub(super) async fn build(
        &self,
        setting: &Setting,
        restore: &mut RestoreRecord,
    ) -> Result<Vec<Compared>> {
        for swap in &mut restore.trees {
            let planned = self.trees.iter().find(|tree| tree.component.name == swap.component);
            let Some(PlannedTree { component, detail, reading, .. }) = planned else { continue };
            if swap.volume.is_some() {
                let (docker, what) = (self.docker.as_ref(), (component, detail));
                *swap = volume::extract(setting, docker, &restore.key, &self.backup, what, swap)
                    .await?;
            } else {
                swap.note_live()?;
                let what = (component, *reading);
                files::extract(setting, &self.backup, what, detail, &swap.new).await?;
                swap.note_built()?;
            }
        }
        let mut compared = Vec::new();
        for swap in &restore.databases {
            if let Some(planned) =
                self.databases.iter().find(|planned| planned.component.name == swap.component)
            {
                compared.push(databases::build(setting, self, planned, &swap.new).await?);
            }
        }
        Ok(compared)
    }

    /// Removes what was built, as far as it goes.
    pub(super) async fn abandon(&self, setting: &Setting, restore: &mut RestoreRecord) {
        if let Err(e) = super::recover::remove_built(setting, restore).await {
            setting.progress.warn(e.code(), e.to_string());
        }
    }

    /// The names of the components, and whether there is something live to be replaced.
    pub(super) fn components(&self) -> impl Iterator<Item = (&str, bool)> {
        let trees = self.trees.iter();
        let trees = trees.map(|tree| {
            (tree.component.name.as_str(), tree.source.as_ref().is_some_and(Source::exists))
        });
        let databases = self.databases.iter();
        trees.chain(databases.map(|planned| (&*planned.component.name, planned.live_existed)))
    }

    /// What a person or program is shown of the plan.
    pub(super) fn summary(&self) -> PlanSummary {
        let trees = self.trees.iter().map(|tree| Replacement {
            component: tree.component.name.clone(),
            place: tree.source.as_ref().map(|source| source.place.to_string()).unwrap_or_default(),
            exists: tree.source.as_ref().is_some_and(Source::exists),
            left_out: tree.detail.left_out(),
        });
        let databases = self.databases.iter().map(|planned| Replacement {
            component: planned.component.name.clone(),
            place: format!("database {}", planned.reach.target.database()),
            exists: planned.live_existed,
            left_out: planned.detail.exclude_tables.clone(),
        });
        PlanSummary {
            backup: self.backup.manifest().name.clone(),
            taken_at: self.backup.manifest().started_at,
            omitted: self.backup.manifest().omitted.clone(),
            replaces: trees.chain(databases).collect(),
            lost: self.lost.clone(),
            stops: self
                .containers
                .iter()
                .filter(|container| container.is_running())
                .map(|container| container.name.clone())
                .collect(),
        }
    }
}

/// The tree as the config names it today, else as the backup recorded it.
pub(super) fn configured_tree(
    config: &Config,
    component: &Component,
    detail: &FilesDetail,
) -> FileTree {
    let configured = config.files.iter().find(|tree| tree.name == component.name);
    configured.cloned().unwrap_or_else(|| FileTree {
        name: component.name.clone(),
        path: detail.path.clone(),
        volume: detail.volume.clone(),
        exclude: detail.exclude.clone(),
        capture: crate::config::Capture::Auto,
    })
}

/// The containers that are held for a swap.
pub(super) async fn to_stop(setting: &Setting, docker: Option<&Docker>) -> Result<Vec<Container>> {
    Ok(Selected::find_to_stop(setting, docker).await?.writers)
}
