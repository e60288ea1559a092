//! Reads a tree ahead of the archive: one thread makes the system calls while another
//! hashes and writes.
//!
//! Small files come with their content, so that a tree of many of them costs the archive no
//! waiting. Only a file that was read whole and did not change is handed over like that;
//! any other comes open, to be read by whoever can say what went wrong with it.

use super::{Content, Files, Opened, Source};
use crate::archive::entry::{Entry, Kind};
use crate::archive::scan::Scanned;
use crate::error::{Code, Error, Result};
use rustix::fs::{Stat, fstat};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::vec::IntoIter;

/// The largest file that comes with its content.
const SMALL: u64 = 128 << 10;
/// A batch is handed over when it holds this many bytes or files, or an open file: that
/// bounds memory (four batches exist at most) and the number of open files.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_FILES: usize = 256;
/// Batches that wait between the threads.
const WAITING: usize = 2;

/// The files of `S`, scanned, opened and as far as they are small read by a thread of their
/// own, in the same order.
pub struct ReadAhead {
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<Result<()>>>,
    bytes: Vec<u8>,
    items: IntoIter<Item>,
    body: Option<io::Result<Body>>,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    scanned: Scanned,
    /// What a regular file holds.
    body: Option<io::Result<Body>>,
}

enum Body {
    /// Its whole content: a range of the batch's bytes.
    Loaded(Range<usize>),
    Open(Opened),
}

impl ReadAhead {
    /// Begins to read. Dropping it ends the thread before `drop` returns.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<S: Files + Send + 'static>(source: S) -> Result<Self> {
        let (sender, batches) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("read".into());
        let thread = thread
            .spawn(move || read(source, &sender))
            .map_err(|e| Error::new(Code::Io, "start a thread for", "reading files").source(e))?;
        Ok(Self {
            batches: Some(batches),
            thread: Some(thread),
            bytes: Vec::new(),
            items: Vec::new().into_iter(),
            body: None,
        })
    }

    /// The thread ended: at the end of the tree, or for the reason that it gives.
    fn join(&mut self) -> Result<()> {
        self.batches = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(Code::Io, "read", "files").cause("the reading thread panicked"))
        })
    }
}

impl Source for ReadAhead {
    fn next(&mut self) -> Result<Option<Scanned>> {
        loop {
            if let Some(item) = self.items.next() {
                self.body = item.body;
                return Ok(Some(item.scanned));
            }
            self.body = None;
            match self.batches.as_ref().map(Receiver::recv) {
                Some(Ok(batch)) => {
                    self.bytes = batch.bytes;
                    self.items = batch.items.into_iter();
                }
                _ => return self.join().map(|()| None),
            }
        }
    }

    fn open(&mut self, _entry: &mut Entry) -> io::Result<Content<'_>> {
        let missing = || Err(io::Error::other("was opened before"));
        match self.body.take().unwrap_or_else(missing)? {
            Body::Loaded(range) => Ok(Content::Loaded(&self.bytes[range])),
            Body::Open(opened) => Ok(Content::File(opened)),
        }
    }

    /// The thread did so as soon as the file could not be opened.
    fn forget(&mut self, _entry: &Entry) {}
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // Given up: nobody waits for the error of a tree that is not read to its end.
        drop(self.join());
    }
}

fn read(mut source: impl Files, sender: &SyncSender<Batch>) -> Result<()> {
    let mut batch = Batch::default();
    while let Some(mut scanned) = source.next()? {
        let body = match &mut scanned {
            Scanned::Entry(entry) if entry.kind == Kind::File => {
                let opened = source.open_file(entry);
                if opened.is_err() {
                    source.forget(entry);
                }
                Some(opened.map(|opened| batch.load(entry, opened)))
            }
            _ => None,
        };
        let is_open = matches!(body, Some(Ok(Body::Open(_))));
        batch.items.push(Item { scanned, body });
        let full = batch.items.len() >= BATCH_FILES || batch.bytes.len() >= BATCH_BYTES;
        if (is_open || full) && sender.send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
    // Nobody receives it any more where the archive was given up.
    drop(sender.send(batch));
    Ok(())
}

impl Batch {
    /// Reads the content if that is all there is to it.
    fn load(&mut self, entry: &Entry, opened: Opened) -> Body {
        let start = self.bytes.len();
        match self.try_load(entry, &opened) {
            Some(()) => Body::Loaded(start..self.bytes.len()),
            None => {
                self.bytes.truncate(start);
                Body::Open(opened)
            }
        }
    }

    fn try_load(&mut self, entry: &Entry, opened: &Opened) -> Option<()> {
        match opened {
            Opened::Live { file, stat } => {
                (entry.is_unchanged(stat) && is_small(stat)).then_some(())?;
                self.append(file, stat)?;
                entry.is_unchanged(&fstat(file).ok()?).then_some(())
            }
            Opened::Copy { file, changed } => {
                let stat = fstat(file).ok()?;
                let is_whole = !changed && stat.st_size as u64 == entry.size;
                (is_whole && is_small(&stat)).then_some(())?;
                self.append(file, &stat)
            }
        }
    }

    fn append(&mut self, file: &File, stat: &Stat) -> Option<()> {
        let start = self.bytes.len();
        self.bytes.resize(start + stat.st_size as usize, 0);
        file.read_exact_at(&mut self.bytes[start..], 0).ok()
    }
}

/// Whether a file is small, and without holes as far as its blocks tell.
fn is_small(stat: &Stat) -> bool {
    stat.st_size as u64 <= SMALL && stat.st_blocks * 512 >= stat.st_size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::scan::Excludes;
    use crate::archive::source::LiveSource;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A live tree to whose file `a` something happens right after it was opened.
    struct Meddling(LiveSource, PathBuf, fn(&Path));

    impl Source for Meddling {
        fn next(&mut self) -> Result<Option<Scanned>> {
            self.0.next()
        }

        fn open(&mut self, entry: &mut Entry) -> io::Result<Content<'_>> {
            self.open_file(entry).map(Content::File)
        }

        fn forget(&mut self, entry: &Entry) {
            self.0.forget(entry);
        }
    }

    impl Files for Meddling {
        fn open_file(&mut self, entry: &mut Entry) -> io::Result<Opened> {
            let opened = self.0.open_file(entry);
            if entry.path == Path::new("a") {
                (self.2)(&self.1.join("a"));
            }
            opened
        }

        fn is_proven(&self, entry: &Entry) -> bool {
            self.0.is_proven(entry)
        }
    }

    fn live(root: &Path) -> LiveSource {
        LiveSource::open(root, Excludes::none()).unwrap()
    }

    /// What comes, and of files whether it comes with its content, which is checked.
    fn contents(root: &Path, mut source: ReadAhead) -> Vec<(String, Option<bool>)> {
        let mut seen = Vec::new();
        while let Some(Scanned::Entry(mut entry)) = source.next().unwrap() {
            let loaded =
                (entry.kind == Kind::File).then(|| match source.open(&mut entry).unwrap() {
                    Content::Loaded(bytes) => {
                        assert_eq!(bytes, fs::read(root.join(&entry.path)).unwrap());
                        true
                    }
                    _ => false,
                });
            seen.push((entry.shown(), loaded));
        }
        seen
    }

    #[test]
    fn everything_comes_in_order_and_small_files_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [0, 1, 5000, SMALL as usize, SMALL as usize + 1];
        for number in 0..2 * BATCH_FILES {
            let bytes = vec![number as u8; sizes[number % sizes.len()]];
            fs::write(dir.path().join(format!("{number:04}")), bytes).unwrap();
        }
        fs::File::create(dir.path().join("sparse")).unwrap().set_len(50_000).unwrap();
        let seen = contents(dir.path(), ReadAhead::start(live(dir.path())).unwrap());
        assert_eq!(seen.len(), 2 + 2 * BATCH_FILES);
        assert!(seen.is_sorted());
        assert_eq!(seen[0], (".".into(), None));
        assert_eq!(seen.last().unwrap(), &("sparse".into(), Some(false)));
        for (number, (_, loaded)) in seen[1..=2 * BATCH_FILES].iter().enumerate() {
            assert_eq!(*loaded, Some(sizes[number % sizes.len()] as u64 <= SMALL));
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_handed_over_open() {
        for meddle in [
            |path: &Path| fs::write(path, "longer than before").unwrap(),
            |path: &Path| fs::write(path, "").unwrap(),
            |path: &Path| fs::remove_file(path).unwrap(),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("a"), "content").unwrap();
            fs::write(dir.path().join("b"), "content").unwrap();
            let source = Meddling(live(dir.path()), dir.path().into(), meddle);
            let seen = contents(dir.path(), ReadAhead::start(source).unwrap());
            let expected = [(".", None), ("a", Some(false)), ("b", Some(true))];
            assert_eq!(seen, expected.map(|(path, loaded)| (path.to_owned(), loaded)));
        }
    }

    #[test]
    fn a_source_that_ends_early_is_an_error_and_not_the_end_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "content").unwrap();
        let source = Meddling(live(dir.path()), dir.path().into(), |_| panic!("on purpose"));
        let mut ahead = ReadAhead::start(source).unwrap();
        let error = loop {
            match ahead.next() {
                Ok(scanned) => assert!(scanned.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Code::Io);
    }

    #[test]
    fn reading_ends_when_nobody_wants_more() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..20 * BATCH_FILES {
            fs::write(dir.path().join(number.to_string()), "x").unwrap();
        }
        let mut ahead = ReadAhead::start(live(dir.path())).unwrap();
        assert!(ahead.next().unwrap().is_some());
        drop(ahead);
    }
}
