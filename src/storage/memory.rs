//! A storage in memory for tests, with faults where they are asked for.

use super::failure::{to_io, unreachable};
use super::{Blob, Created, Listed, NEW, ReadAt, Storage, check_name};
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// It fails and did nothing.
    Refused,
    /// It takes place, and the answer is lost.
    AnswerLost,
    /// A read brings fewer bytes than were asked for.
    Short,
    /// It takes a while.
    Slow,
}

/// A request, as hooks see it: what is done to which object or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) verb: &'static str,
    pub(crate) name: String,
}

type Hook = dyn Fn(&Request) -> Fault + Send + Sync;
type Objects = BTreeMap<String, (Arc<Vec<u8>>, i64)>;

/// Objects in memory. Clones share them, and may have hooks of their own.
#[derive(Clone)]
pub(crate) struct MemoryStorage {
    objects: Arc<Mutex<Objects>>,
    /// Its own time, in seconds since 1970.
    clock: Arc<AtomicI64>,
    hook: Arc<Hook>,
    /// Whether `create` refuses to replace, or ignores that it was asked to.
    conditional: bool,
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStorage")
    }
}

impl MemoryStorage {
    /// An empty one without faults.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(1_800_000_000));
        Self { objects: Arc::default(), clock, hook: Arc::new(|_| Fault::None), conditional: true }
    }

    /// The same objects, with `hook` called before each request.
    pub(crate) fn hooked(&self, hook: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> Self {
        Self { hook: Arc::new(hook), ..self.clone() }
    }

    /// The same objects, in a store that accepts conditions and ignores them.
    pub(crate) fn ignoring_conditions(&self) -> Self {
        Self { conditional: false, ..self.clone() }
    }

    /// The names of all objects.
    pub(crate) fn all(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    /// Lets time pass in the store.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_secs() as i64, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request<T>(
        &self,
        verb: &'static str,
        name: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let lost = || unreachable(verb, self.shown(name), "a fault of the test");
        match (self.hook)(&Request { verb, name: name.to_owned() }) {
            Fault::Refused => Err(lost()),
            Fault::AnswerLost => work().and_then(|_| Err(lost())),
            Fault::Slow => {
                std::thread::sleep(Duration::from_millis(5));
                work()
            }
            Fault::None | Fault::Short => work(),
        }
    }

    fn below(&self, dir: &str) -> Result<Vec<Listed>> {
        if !dir.is_empty() {
            check_name(dir)?;
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let objects = self.objects();
        let below = objects.iter().filter_map(|(name, content)| {
            let name = name.strip_prefix(&prefix)?;
            let hidden = name.rsplit('/').next().is_some_and(|last| last.starts_with(NEW));
            (!hidden).then(|| Listed { name: name.to_owned(), size: content.0.len() as u64 })
        });
        Ok(below.collect())
    }
}

/// An object that is read through the hooks.
#[derive(Debug)]
struct Reads {
    storage: MemoryStorage,
    name: String,
}

impl ReadAt for Reads {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let request = Request { verb: "read part", name: self.name.clone() };
        let fault = (self.storage.hook)(&request);
        // Of what a read brought, nothing is left where the answer is lost.
        if matches!(fault, Fault::Refused | Fault::AnswerLost) {
            let shown = self.storage.shown(&self.name);
            return Err(to_io(unreachable("read", shown, "a fault of the test")));
        }
        let content = self.storage.objects().get(&self.name).cloned();
        let (content, _) = content.ok_or(io::ErrorKind::NotFound)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..));
        let rest = rest.unwrap_or_default();
        let most = if fault == Fault::Short { into.len().div_ceil(2) } else { into.len() };
        let count = most.min(rest.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Storage for MemoryStorage {
    fn shown(&self, name: &str) -> String {
        format!("memory:{name}")
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        check_name(name)?;
        self.request("size", name, || Ok(self.objects().get(name).map(|it| it.0.len() as u64)))
    }

    fn open(&self, name: &str) -> Result<Option<Blob>> {
        let Some(size) = self.size(name)? else { return Ok(None) };
        let reads = Reads { storage: self.clone(), name: name.to_owned() };
        Ok(Some(Blob::new(Arc::new(reads), size, &self.shown(name))))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        self.request("read", name, || Ok(self.objects().get(name).map(|it| it.0.to_vec())))
    }

    fn names(&self, dir: &str) -> Result<Vec<String>> {
        self.request("names", dir, || {
            let first = |listed: Listed| listed.name.split('/').next().map(str::to_owned);
            let names: BTreeSet<String> = self.below(dir)?.into_iter().filter_map(first).collect();
            Ok(names.into_iter().collect())
        })
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>> {
        self.request("list", dir, || self.below(dir))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        check_name(name)?;
        self.request("write", name, || {
            self.objects().insert(name.to_owned(), (Arc::new(content.to_vec()), self.now()));
            Ok(())
        })
    }

    fn upload(
        &self,
        name: &str,
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        check_name(name)?;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < content.size() {
            if cancel.is_cancelled() {
                return Err(Error::new(Code::Interrupted, "write", self.shown(name)));
            }
            let left = content.size() - bytes.len() as u64;
            let mut piece = vec![0; left.min(1 << 20) as usize];
            content
                .read_exact_at(&mut piece, bytes.len() as u64)
                .map_err(|e| Error::io("read", std::path::Path::new(content.name()), e))?;
            bytes.extend(&piece);
            sent(piece.len() as u64);
        }
        if cancel.is_cancelled() {
            return Err(Error::new(Code::Interrupted, "write", self.shown(name)));
        }
        self.request("upload", name, || {
            self.objects().insert(name.to_owned(), (Arc::new(bytes), self.now()));
            Ok(())
        })
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<Created> {
        check_name(name)?;
        self.request("create", name, || {
            let mut objects = self.objects();
            if self.conditional && objects.contains_key(name) {
                return Ok(Created::Existed);
            }
            objects.insert(name.to_owned(), (Arc::new(content.to_vec()), self.now()));
            Ok(Created::New)
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        check_name(from)?;
        check_name(to)?;
        self.request("copy", to, || {
            let mut objects = self.objects();
            let (content, _) = objects.get(from).cloned().ok_or_else(|| {
                Error::new(Code::StorageFailed, "copy", self.shown(from)).cause("it is not there")
            })?;
            objects.insert(to.to_owned(), (content, self.now()));
            Ok(true)
        })
    }

    fn modified(&self, name: &str) -> Result<Option<Timestamp>> {
        check_name(name)?;
        self.request("modified", name, || {
            let at = self.objects().get(name).map(|it| it.1);
            Ok(at.and_then(|at| Timestamp::from_second(at).ok()))
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.request("remove", name, || {
            self.objects().remove(name);
            Ok(())
        })
    }
}
