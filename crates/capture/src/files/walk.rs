//! One look at the declared paths: one thread lists directories, several read files.
//!
//! Every directory is opened relative to the one above it and never through a link, so that nothing that is moved or
//! replaced meanwhile leads out of the declared paths.

use std::ffi::{CStr, CString};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, CWD, Dir, FileType, statat};
use rustix::io::Errno;

use super::declared::{Root, Roots};
use super::read::{Budget, Read, Seen, open_directory, open_parent, read_file, read_link, read_path};
use super::snapshot::{At, Snapshot};
use super::uri::{child_uri, file_uri};
use super::{Extent, Watch};
use crate::limits::{ARTIFACT_URI_MAX, FILES_THREADS_MAX};

/// Files that wait for a thread to read them; each keeps its directory open.
const QUEUE: usize = 64;

/// A file to read.
struct Job {
    directory: Arc<OwnedFd>,
    name: CString,
    uri: String,
}

/// Looks at all roots, but for the directories passed over. Blocks; what it cannot see is in the snapshot.
pub(crate) fn look(roots: &Roots, passed_over: &[PathBuf], extent: Extent, watch: &Watch) -> Snapshot {
    watch.begins();
    let budget = Budget { bytes: AtomicU64::new(0), bytes_max: extent.bytes, watch };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(FILES_THREADS_MAX);
    let (jobs, queue) = sync_channel(QUEUE);
    let queue = Mutex::new(queue);
    let mut snapshot = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(|| read_all(&queue, &budget))).collect();
        let mut walk = Walk {
            seen: Snapshot::default(),
            jobs,
            passed_over: passed_over.iter().map(|path| real(path)).collect(),
            extent,
            entries: 0,
            watch,
        };
        for root in &roots.all {
            walk.root(root);
        }
        let mut seen = walk.finish();
        for reader in readers {
            // a reader that panicked has read less than it was given: that must not look like files that are gone
            let read = reader.join().unwrap_or_else(|_| vec![(String::new(), Read::CutOff)]);
            for (uri, read) in read {
                take(&mut seen, uri, read);
            }
        }
        seen
    });
    if snapshot.cut.as_deref() == Some(CUT_OFF) {
        snapshot.cut = Some(why_cut(&extent, &budget));
    }
    watch.ends();
    snapshot
}

/// The URI of a path by which the walk would come to it.
fn real(path: &Path) -> String {
    file_uri(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

/// Stands for the reason until all readers have ended.
const CUT_OFF: &str = "";

fn why_cut(extent: &Extent, budget: &Budget<'_>) -> String {
    if budget.bytes.load(Ordering::Relaxed) > extent.bytes {
        format!("the declared files hold more than the {} bytes that are read at most", extent.bytes)
    } else {
        "looking at the declared files was stopped before its end".to_owned()
    }
}

fn take(seen: &mut Snapshot, uri: String, read: Read) {
    match read {
        Read::Seen(file) => {
            seen.files.insert(uri, file);
        }
        Read::Vanished => seen.vanished += 1,
        Read::Special => seen.special += 1,
        Read::CutOff => {
            seen.cut.get_or_insert_with(|| CUT_OFF.to_owned());
        }
    }
}

fn read_all(queue: &Mutex<Receiver<Job>>, budget: &Budget<'_>) -> Vec<(String, Read)> {
    let mut read = Vec::new();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return read };
        let what =
            if budget.is_spent() { Read::CutOff } else { read_file(&*job.directory, &job.name, budget) };
        budget.watch.files.fetch_add(1, Ordering::Relaxed);
        read.push((job.uri, what));
    }
}

struct Walk<'a> {
    seen: Snapshot,
    jobs: SyncSender<Job>,
    passed_over: Vec<String>,
    extent: Extent,
    entries: usize,
    watch: &'a Watch,
}

impl Walk<'_> {
    /// What was listed; closes the queue, so that the readers end.
    fn finish(self) -> Snapshot {
        self.seen
    }

    fn root(&mut self, root: &Root) {
        let (directory, name) = (root.path.parent().unwrap_or(Path::new("/")), root.path.file_name());
        let name = name.map_or_else(|| CString::new("."), |name| CString::new(name.as_bytes()));
        let directory = CString::new(directory.as_os_str().as_bytes());
        let (Ok(directory), Ok(name)) = (directory, name) else {
            // a path with a NUL names nothing
            self.seen.roots.insert(root.uri.clone(), At::Nothing);
            return;
        };
        let at = match open_parent(CWD, &directory).map(Arc::new) {
            Ok(directory) => match kind_of(&directory, &name) {
                Ok(kind) => {
                    self.entry(&directory, &name, root.uri.clone(), kind, 0);
                    if kind == FileType::Directory { At::Directory } else { At::File }
                }
                Err(Errno::NOENT) => At::Nothing,
                Err(_) => self.unlisted_root(root),
            },
            Err(Errno::NOENT | Errno::NOTDIR) => At::Nothing,
            Err(_) => self.unlisted_root(root),
        };
        self.seen.roots.insert(root.uri.clone(), at);
    }

    fn unlisted_root(&mut self, root: &Root) -> At {
        self.seen.unlisted.push(root.uri.clone());
        At::Nothing
    }

    /// One entry of a directory that lies `depth` levels below a declared path.
    fn entry(&mut self, parent: &Arc<OwnedFd>, name: &CStr, uri: String, kind: FileType, depth: usize) {
        if self.is_over(depth) {
            return;
        }
        if uri.len() > ARTIFACT_URI_MAX {
            self.seen.unnamed += 1;
            return;
        }
        match kind {
            FileType::Directory if self.passed_over.contains(&uri) => {}
            FileType::Directory => self.directory(parent, name, &uri, depth),
            FileType::Symlink => take(&mut self.seen, uri, read_link(parent, name)),
            FileType::RegularFile => {
                let job = Job { directory: Arc::clone(parent), name: name.to_owned(), uri };
                if self.jobs.send(job).is_err() {
                    self.cut("the threads that read the declared files ended".into());
                }
            }
            _ => self.seen.special += 1,
        }
    }

    fn directory(&mut self, parent: &Arc<OwnedFd>, name: &CStr, uri: &str, depth: usize) {
        let listed = open_directory(parent, name).and_then(|fd| Ok((self.names(&fd)?, fd)));
        let (names, directory) = match listed {
            Ok((names, fd)) => (names, Arc::new(fd)),
            Err(Errno::NOENT) => {
                self.seen.vanished += 1;
                return;
            }
            Err(_) => {
                self.seen.unlisted.push(uri.to_owned());
                return;
            }
        };
        for (name, kind) in names {
            let known = if kind == FileType::Unknown { kind_of(&directory, &name) } else { Ok(kind) };
            match known {
                Ok(kind) => self.entry(&directory, &name, child_uri(uri, name.to_bytes()), kind, depth + 1),
                Err(_) => self.seen.vanished += 1,
            }
        }
    }

    /// The entries of a directory in the order of their names; no more than may still be looked at.
    fn names(&self, directory: &OwnedFd) -> rustix::io::Result<Vec<(CString, FileType)>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            names.push((entry.file_name().to_owned(), entry.file_type()));
            if self.entries + names.len() > self.extent.files {
                break;
            }
        }
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }

    /// Whether this entry is beyond a limit; counts it.
    fn is_over(&mut self, depth: usize) -> bool {
        self.entries += 1;
        if self.watch.is_stopped() {
            self.seen.cut.get_or_insert_with(|| CUT_OFF.to_owned());
        } else if self.entries > self.extent.files {
            self.cut(format!("there are more than {} declared files and directories", self.extent.files));
        } else if depth > self.extent.depth {
            self.cut(format!("the declared directories are more than {} levels deep", self.extent.depth));
        }
        self.seen.cut.is_some()
    }

    fn cut(&mut self, why: String) {
        self.seen.cut.get_or_insert(why);
    }
}

fn kind_of(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<FileType> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// What is seen of one regular file by its path, which may lead through links; nothing where there is none. One with
/// more bytes than that is there, and not read.
pub(crate) fn look_at(path: &Path, bytes_max: u64) -> Option<Seen> {
    let watch = Watch::default();
    let budget = Budget { bytes: AtomicU64::new(0), bytes_max, watch: &watch };
    match read_path(path, &budget) {
        Read::Seen(seen) => Some(seen),
        Read::CutOff => Some(Seen::Unreadable),
        Read::Vanished | Read::Special => None,
    }
}
