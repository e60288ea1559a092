//! Questions to the catalog and the lists of files, asked again without what cannot be read.

use super::context::Context;
use super::{Ending, fleet};
use crate::browse::{self, Reading, Unreadable};
use crate::catalog::{self, BackupRecord, Catalog, Query, Session, Source};
use crate::error::{Error, Result};
use crate::progress::{Event, Warning};
use crate::repository::{BackupId, Repository};
use crate::setting::Setting;
use crate::size::count;
use std::path::{Path, PathBuf};

/// An answer, and of how many backups it says nothing because their index cannot be read.
pub(super) struct Asked<T> {
    pub(super) answer: T,
    left_out: usize,
}

impl<T> Asked<T> {
    /// Whether everything that should have been read was.
    pub(super) fn is_whole(&self) -> bool {
        self.left_out == 0
    }

    /// How a command ends with this answer: where it is not whole, it says so.
    pub(super) fn ending(&self, context: &Context) -> Ending {
        if self.is_whole() {
            return Ending::Done;
        }
        let backups = count(self.left_out as u64, "backup", "backups");
        context.output.note(&format!("This says nothing of {backups} that could not be read."));
        Ending::Degraded
    }
}

/// What a question is asked of.
pub(super) struct Prepared<C> {
    sources: Vec<Source>,
    left_out: Vec<(BackupId, Error)>,
    warnings: Vec<Warning>,
    /// What was found in the catalog beforehand.
    chosen: C,
}

impl<C> Prepared<C> {
    pub(super) fn new(chosen: C) -> Self {
        Self { sources: Vec::new(), left_out: Vec::new(), warnings: Vec::new(), chosen }
    }

    /// Adds a catalog, and what is read for it.
    pub(super) fn add(&mut self, session: Session, repository: Option<String>, reading: Reading) {
        let Reading { indexes, changes, left_out, warnings } = reading;
        self.sources.push(Source { session, repository, indexes, changes });
        self.left_out.extend(left_out);
        self.warnings.extend(warnings);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Fails where anything is left out.
    fn whole(mut self) -> Result<Self> {
        match self.left_out.is_empty() {
            true => Ok(self),
            false => Err(self.left_out.swap_remove(0).1),
        }
    }

    /// Fails where everything is left out: then there is no answer.
    fn answerable(self) -> Result<Self> {
        let is_read = self.sources.iter().any(|source| source.lists().next().is_some());
        if is_read { Ok(self) } else { self.whole() }
    }
}

/// What is read for a question about these of the backups; none means all.
type Read<'a> = dyn Fn(&Setting, &Repository, &[BackupRecord], Option<&[BackupId]>, &Unreadable) -> Result<Reading>
    + 'a;

/// Takes the backups that a question is about, none for all, and what else is known of them.
type Choose<'a, C> = dyn Fn(&Session) -> Result<(Option<Vec<BackupId>>, C)> + 'a;

impl Context {
    /// Asks where files were, in all backups or in the `wanted` ones.
    ///
    /// # Errors
    /// Why the first of them cannot be read, where none can.
    pub(super) fn ask_lists<T>(
        &self,
        wanted: Option<&[BackupId]>,
        ask: impl Fn(&Query) -> Result<T>,
    ) -> Result<Asked<T>> {
        let choose = |_: &Session| Ok((wanted.map(<[BackupId]>::to_vec), ()));
        let prepare = |unreadable: &Unreadable| {
            self.prepare(&choose, &browse::reading, unreadable)?.answerable()
        };
        self.ask(prepare, |query, ()| ask(query))
    }

    /// Asks about the files of the backups that `choose` takes out of the catalog, with what
    /// else it says.
    ///
    /// # Errors
    /// Why one of them cannot be read.
    pub(super) fn ask_about<T, C>(
        &self,
        choose: impl Fn(&Session) -> Result<(Vec<BackupId>, C)>,
        ask: impl Fn(&Query, &C) -> Result<T>,
    ) -> Result<T> {
        let choose = |session: &Session| choose(session).map(|(ids, chosen)| (Some(ids), chosen));
        let prepare =
            |unreadable: &Unreadable| self.prepare(&choose, &browse::indexes, unreadable)?.whole();
        self.ask(prepare, ask).map(|asked| asked.answer)
    }

    /// Asks all repositories that the command line names, about files or only the catalogs.
    ///
    /// # Errors
    /// As [`Self::ask_lists`].
    pub(super) fn ask_all<T>(
        &self,
        about_files: bool,
        ask: impl Fn(&Query) -> Result<T>,
    ) -> Result<Asked<T>> {
        let parent = self.other_repository().and_then(fleet::parent);
        let read = |setting: &Setting,
                    repository: &Repository,
                    records: &[BackupRecord],
                    unreadable: &Unreadable| match about_files {
            true => browse::indexes(setting, repository, records, None, unreadable),
            false => Ok(Reading::default()),
        };
        let prepare = |unreadable: &Unreadable| {
            let prepared = match parent {
                Some(parent) => fleet::prepare(self, parent, &|setting, repository, records| {
                    read(setting, repository, records, unreadable)
                }),
                None => self.prepare(
                    &|_| Ok((None, ())),
                    &|setting, repository, records, _, unreadable| {
                        read(setting, repository, records, unreadable)
                    },
                    unreadable,
                ),
            };
            prepared?.answerable()
        };
        self.ask(prepare, |query, ()| ask(query))
    }

    /// Asks, and asks again as long as a list turns out to be unreadable on the way.
    fn ask<T, C>(
        &self,
        prepare: impl Fn(&Unreadable) -> Result<Prepared<C>>,
        ask: impl Fn(&Query, &C) -> Result<T>,
    ) -> Result<Asked<T>> {
        let setting = self.setting()?;
        let mut unreadable = Unreadable::default();
        let mut warned: Vec<Warning> = Vec::new();
        loop {
            let Prepared { sources, left_out, warnings, chosen } = prepare(&unreadable)?;
            for warning in warnings {
                if !warned.contains(&warning) {
                    self.progress.report(Event::Warned(warning.clone()));
                    warned.push(warning);
                }
            }
            let lists: Vec<PathBuf> =
                sources.iter().flat_map(Source::lists).map(Path::to_path_buf).collect();
            let error = match Query::over(sources).and_then(|query| ask(&query, &chosen)) {
                Ok(answer) => return Ok(Asked { answer, left_out: left_out.len() }),
                Err(e) if catalog::may_be_unreadable(&e) => e,
                Err(e) => return Err(e),
            };
            let found = catalog::unreadable(&lists)?;
            if found.is_empty() {
                return Err(error);
            }
            found.iter().for_each(|(list, why)| unreadable.add(&setting, list, why));
        }
    }

    /// The catalog of the one repository, and what `read` reads of the backups that `choose`
    /// takes.
    fn prepare<C>(
        &self,
        choose: &Choose<'_, C>,
        read: &Read<'_>,
        unreadable: &Unreadable,
    ) -> Result<Prepared<C>> {
        let setting = self.setting()?;
        let (mut session, repository) = self.catalog()?;
        let (wanted, chosen) = choose(&session)?;
        let read = |records: &[BackupRecord]| match &repository {
            Some(it) => read(&setting, it, records, wanted.as_deref(), unreadable),
            None => Ok(Reading::default()),
        };
        let records = session.list()?;
        let reading = match setting.identities.ask_a_person() {
            false => read(&records)?,
            // Nobody waits for the catalog while somebody looks for a passphrase.
            true => {
                drop(session);
                let reading = read(&records)?;
                session = Catalog::of(&setting.config).session(&self.progress)?;
                reading
            }
        };
        let mut prepared = Prepared::new(chosen);
        prepared.add(session, repository.map(|repository| repository.id().to_owned()), reading);
        Ok(prepared)
    }
}
