//! Repositories on their way from or to a store.

use super::header::Header;
use super::relocation::{MovedTo, MovingFrom, Way, refuse};
use super::{BACKUPS, Home, INCOMING, PINS, Pace, Repository, TRASH, header, lease, sync_dir};
use crate::config::Place;
use crate::encryption::Identities;
use crate::error::{Code, Error, Result};
use crate::storage::{self, LocalStorage, Storage};
use std::path::Path;
use std::sync::Arc;

impl Repository {
    /// Where the repository at `place` has gone to; none where it lies there, or where there is
    /// none.
    pub fn gone_from(place: &Place) -> Result<Option<MovedTo>> {
        match place {
            Place::Directory(path) => MovedTo::read(path),
            Place::Store(_) => {
                let header = Header::look(storage::open(place)?.as_ref())?;
                Ok(header.and_then(|header| header.gone()))
            }
        }
    }

    /// The repository of this id at `place`, from which it has gone already or to which it is
    /// still coming: whoever opens it otherwise is refused.
    pub fn in_transit(place: &Place, state_dir: &Path, id: &str) -> Result<Self> {
        let (home, storage): (_, Arc<dyn Storage>) = match place {
            Place::Directory(path) => {
                (Home::Directory(path.clone()), Arc::new(LocalStorage::new(path)))
            }
            Place::Store(_) => (Home::Store(state_dir.to_path_buf()), storage::open(place)?),
        };
        Ok(Self {
            home,
            storage,
            identities: Identities::default(),
            id: id.to_owned(),
            pace: Pace::default(),
            in_transit: true,
        })
    }

    /// Says on the store to which it comes that it is not there yet. Nothing else may lie there,
    /// but for what an earlier attempt brought.
    ///
    /// # Errors
    /// `usage` where something else lies there.
    pub fn claim_store(&self, from: &Path) -> Result<()> {
        let storage = self.storage.as_ref();
        let Some(header) = Header::look(storage)? else {
            return Header::create_coming(storage, Some(&self.id), Some(from), self.pace);
        };
        let refused = |cause: String| Err(refused(&self.shown(), cause));
        if header.id != self.id {
            return refused(format!("the repository {} lies there", header.id));
        }
        match (header.coming(), header.gone()) {
            (Some(coming), _) if coming.from == from => Ok(()),
            (Some(coming), _) => {
                refused(format!("it is being moved there from {}", coming.from.display()))
            }
            // Where it was before it may come back to.
            (None, Some(_)) if self.storage.names(BACKUPS)?.is_empty() => {
                header.mark(storage, Way::From(from))
            }
            (None, Some(_)) => refused("what was there before is not cleared away yet".into()),
            (None, None) => refused("a copy of this repository lies there".into()),
        }
    }

    /// Whether it is still coming here.
    pub fn is_coming(&self) -> Result<bool> {
        match &self.home {
            Home::Directory(path) => Ok(MovingFrom::read(path)?.is_some()),
            Home::Store(_) => {
                let header = Header::look(self.storage.as_ref())?;
                Ok(header.is_none_or(|header| header.coming().is_some()))
            }
        }
    }

    /// Says that it lies here from now on.
    pub fn arrive(&self) -> Result<()> {
        match &self.home {
            Home::Directory(path) => {
                if !path.join(header::NAME).exists() {
                    Header::create(path, Some(&self.id))?;
                }
                MovingFrom::remove(path)
            }
            Home::Store(_) => self.header()?.mark(self.storage.as_ref(), Way::Here),
        }
    }

    /// Makes the other place count. Needs the lock.
    ///
    /// # Errors
    /// `locked` where another host is writing a backup here, which stays where it is; the
    /// repository has not gone then.
    pub fn depart(&self, to: &Path) -> Result<()> {
        match &self.home {
            Home::Directory(path) => {
                MovedTo { id: self.id.clone(), to: to.to_path_buf() }.write(path)
            }
            Home::Store(_) => {
                let storage = self.storage.as_ref();
                self.refuse_writers()?;
                let header = self.header()?;
                // Another host may be moving it to another place.
                refuse(&self.shown(), header.gone(), None)?;
                header.mark(storage, Way::To(to))?;
                // Writers announce themselves before they look whether it has gone. So one that
                // did not see that it has is seen here.
                self.refuse_writers().or_else(|e| {
                    self.header()?.mark(storage, Way::Here)?;
                    Err(e)
                })
            }
        }
    }

    /// Fails while another host is writing a backup here. Nobody can be in a directory, whose
    /// lock is held.
    fn refuse_writers(&self) -> Result<()> {
        if self.directory().is_some() {
            return Ok(());
        }
        match lease::who_writes(self.storage.as_ref(), self.pace)? {
            None => Ok(()),
            Some(host) => {
                let minutes = self.pace.stale.as_secs() / 60;
                Err(Error::new(Code::Locked, "move repository of", self.shown())
                    .cause(format!(
                        "{host} is writing a backup there, or died less than {minutes} minutes ago"
                    ))
                    .hint("run it again when that backup has ended; what was copied is not copied again"))
            }
        }
    }

    /// Removes what makes the place a repository, once no backup is left in it; returns what
    /// stays because it is none. What says where it has gone stays as well.
    pub fn abandon(&self) -> Result<Vec<String>> {
        match &self.home {
            Home::Directory(path) => {
                for dir in [BACKUPS, INCOMING, TRASH, PINS] {
                    let dir = path.join(dir);
                    match std::fs::remove_dir(&dir) {
                        Err(e) if !is_gone_or_full(&e) => return Err(Error::io("remove", &dir, e)),
                        _ => {}
                    }
                }
                let header = path.join(header::NAME);
                match std::fs::remove_file(&header) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &header, e));
                    }
                    _ => sync_dir(path)?,
                }
                let left = path.join(BACKUPS);
                let left = std::fs::read_dir(left).into_iter().flatten().flatten();
                Ok(left.map(|entry| entry.path().display().to_string()).collect())
            }
            Home::Store(_) => {
                let left = self.storage.names(BACKUPS)?;
                Ok(left.iter().map(|it| self.storage.shown(&format!("{BACKUPS}/{it}"))).collect())
            }
        }
    }

    fn header(&self) -> Result<Header> {
        Header::look(self.storage.as_ref())?.ok_or_else(|| {
            Error::new(Code::RepositoryNotFound, "move repository of", self.shown())
                .cause("its backstop-repository.json is gone")
        })
    }
}

fn is_gone_or_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
    matches!(error.kind(), NotFound | DirectoryNotEmpty)
}

fn refused(to: &str, cause: String) -> Error {
    Error::new(Code::Usage, "move repository to", to).cause(cause).hint(
        "name an empty or a new prefix; a copy becomes the repository without a move: run \
         `backstop sync`, then let [repository] name it and remove it from [[repository.copies]]",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::BackupId;
    use crate::repository::lease::Writer;
    use crate::storage::memory::{Fault, MemoryStorage};
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    const PLACE: &str = "/new";

    fn on(storage: Arc<dyn Storage>) -> (tempfile::TempDir, Repository) {
        let state = tempfile::tempdir().unwrap();
        let repository =
            Repository::open_or_create_on(storage, state.path(), Pace::default()).unwrap();
        (state, repository)
    }

    fn writer(storage: &Arc<dyn Storage>) -> Result<Writer> {
        Writer::take(storage, Pace::default(), &BackupId::random().unwrap(), BTreeMap::new())
    }

    #[test]
    fn a_repository_does_not_leave_a_store_while_somebody_writes_there() {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let (state, repository) = on(storage.clone());
        let writing = writer(&storage).unwrap();
        let error = repository.depart(Path::new(PLACE)).unwrap_err();
        assert_eq!(error.code(), Code::Locked);
        assert!(Repository::open_on(storage.clone(), state.path(), Pace::default()).is_ok());
        writing.give_back().unwrap();
        repository.depart(Path::new(PLACE)).unwrap();
        assert_eq!(writer(&storage).unwrap_err().code(), Code::RepositoryMoved);
        let opened = Repository::open_on(storage, state.path(), Pace::default());
        assert_eq!(opened.unwrap_err().code(), Code::RepositoryMoved);
    }

    #[test]
    fn of_a_writer_and_a_move_that_begin_at_once_one_sees_the_other() {
        let shared = MemoryStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(shared.clone());
        let (state, _) = on(storage.clone());
        for moment in 0.. {
            // Before the request of this number the writer begins.
            let (count, begun) = (Mutex::new(0), Arc::new(Mutex::new(None)));
            let (of_writer, at_once) = (begun.clone(), storage.clone());
            let hooked = shared.hooked(move |_| {
                let mut count = count.lock().unwrap();
                if *count == moment {
                    *of_writer.lock().unwrap() = Some(writer(&at_once));
                }
                *count += 1;
                Fault::None
            });
            let hooked: Arc<dyn Storage> = Arc::new(hooked);
            let repository = Repository::open_on(hooked, state.path(), Pace::default()).unwrap();
            let departed = repository.depart(Path::new(PLACE));
            let begun = begun.lock().unwrap().take();
            let Some(writer) = begun else { break };
            assert!(departed.is_err() || writer.is_err(), "{moment}");
            if let Ok(writer) = writer {
                writer.give_back().unwrap();
            }
            let header = Header::look(storage.as_ref()).unwrap().unwrap();
            assert_eq!(header.gone().is_some(), departed.is_ok(), "{moment}");
            header.mark(storage.as_ref(), Way::Here).unwrap();
        }
    }
}
