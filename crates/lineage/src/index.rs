//! The index: opened against its log, folded forward, made anew when it does not fit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evidence::entry;
use policy::PolicySet;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use store::Reader;

use crate::error::LineageError;
use crate::fold::batch::Batch;
use crate::fold::{Folder, Interned, Progress, sql};
use crate::limits::{BATCH_ENTRIES, IDLE_CONNECTIONS, READ_ENTRIES};
use crate::record::{Opener, Record};
use crate::schema;

type Result<T> = core::result::Result<T, LineageError>;

/// What the mark in `meta` is of, by which an index knows its key again.
const MARKS: &str = "marks";

/// A disposable index over one log. Any thread may ask; one at a time folds.
pub struct Index {
    path: PathBuf,
    reader: Reader,
    opener: Opener,
    writer: Mutex<Writer>,
    /// Read-only connections that nobody uses now, with the generation of the file they read.
    idle: Mutex<Vec<(u64, Connection)>>,
    /// Counts how often the file was made anew.
    generation: AtomicU64,
    /// A query found the file damaged; the next fold makes it anew.
    damaged: AtomicBool,
    applied: Mutex<u64>,
    moved: Condvar,
    /// The policy set that an answer compiled last, with its digest.
    policies: Mutex<Option<(String, Arc<PolicySet>)>>,
}

struct Writer {
    connection: Connection,
    progress: Progress,
    interned: Interned,
}

impl Index {
    /// Opens the index file `path` of the log behind `reader`. A file that is damaged, of another schema, of another
    /// log, or ahead of this one is removed and begun anew: it holds nothing that the log does not.
    pub fn open(path: &Path, reader: Reader, opener: Opener) -> Result<Self> {
        schema::check_library()?;
        let writer = match open_fitting(path, &reader, &opener) {
            Ok(Some(writer)) => writer,
            Ok(None) => begin_anew(path)?,
            Err(error) if error.is_damage() => begin_anew(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            opener,
            applied: Mutex::new(writer.progress.applied),
            writer: Mutex::new(writer),
            idle: Mutex::new(Vec::new()),
            generation: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
            moved: Condvar::new(),
            policies: Mutex::new(None),
        })
    }

    /// Entries folded.
    pub fn applied(&self) -> u64 {
        *lock(&self.applied)
    }

    /// Waits until at least `size` entries are folded, at most `timeout`; whether they are.
    pub fn wait_applied(&self, size: u64, timeout: Duration) -> bool {
        let waited = self.moved.wait_timeout_while(lock(&self.applied), timeout, |applied| *applied < size);
        *waited.unwrap_or_else(PoisonError::into_inner).0 >= size
    }

    /// Folds up to `max` of the entries that are sequenced and not folded yet (at most [`BATCH_ENTRIES`]) in one
    /// transaction; how many they were. A file that turns out damaged, here or in a query before, is made anew, and
    /// the fold begins again.
    pub fn fold(&self, max: u64) -> Result<u64> {
        let mut writer = lock(&self.writer);
        if self.damaged.swap(false, Ordering::SeqCst) {
            self.begin_anew(&mut writer)?;
        }
        let folded = match writer.fold(&self.path, &self.reader, &self.opener, max.min(BATCH_ENTRIES)) {
            Err(error) if error.is_damage() => {
                tracing::warn!(index = %self.path.display(), %error, "the index is damaged and made anew");
                self.begin_anew(&mut writer)?;
                writer.fold(&self.path, &self.reader, &self.opener, max.min(BATCH_ENTRIES))?
            }
            other => other?,
        };
        self.publish(writer.progress.applied);
        Ok(folded)
    }

    /// Folds until `size` entries are folded, or all there are; how many are.
    pub fn fold_until(&self, size: u64) -> Result<u64> {
        while self.damaged.load(Ordering::SeqCst) || self.applied() < size.min(self.reader.size()) {
            self.fold(BATCH_ENTRIES)?;
        }
        Ok(self.applied())
    }

    /// Drops the file and folds the whole log again.
    pub fn rebuild(&self) -> Result<u64> {
        self.begin_anew(&mut lock(&self.writer))?;
        self.fold_until(self.reader.size())
    }

    /// The log that is indexed.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads entry `index` of the log and opens its fields.
    pub fn record(&self, index: u64) -> Result<Record> {
        self.opener.open(&self.reader, index)
    }

    /// The mark of a text, as the fold makes it.
    pub(crate) fn mark(&self, text: &str) -> i64 {
        self.opener.mark(text)
    }

    pub(crate) fn kept_policies(&self, digest: &str) -> Option<Arc<PolicySet>> {
        lock(&self.policies).as_ref().filter(|(kept, _)| kept == digest).map(|(_, set)| Arc::clone(set))
    }

    pub(crate) fn keep_policies(&self, digest: &str, set: &Arc<PolicySet>) {
        *lock(&self.policies) = Some((digest.to_owned(), Arc::clone(set)));
    }

    fn begin_anew(&self, writer: &mut Writer) -> Result<()> {
        *writer = begin_anew(&self.path)?;
        // connections to the removed file are dropped as they come back
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.publish(0);
        Ok(())
    }

    fn publish(&self, applied: u64) {
        *lock(&self.applied) = applied;
        self.moved.notify_all();
    }

    /// Runs a query on one snapshot of the file. A file that turns out damaged is made anew by the next fold.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&Connection, u64) -> rusqlite::Result<T>) -> Result<T> {
        let generation = self.generation.load(Ordering::SeqCst);
        let database = |cause| {
            let error = LineageError::Database { path: self.path.clone(), cause };
            if error.is_damage() {
                tracing::warn!(%error, "a query found the index damaged");
                self.damaged.store(true, Ordering::SeqCst);
            }
            error
        };
        let idle = lock(&self.idle).pop().filter(|(made, _)| *made == generation);
        let mut connection = match idle {
            Some((_, connection)) => connection,
            None => schema::open_reader(&self.path).map_err(database)?,
        };
        let answer = in_snapshot(&mut connection, ask).map_err(database)?;
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push((generation, connection));
        }
        Ok(answer)
    }
}

impl Writer {
    fn fold(&mut self, path: &Path, reader: &Reader, opener: &Opener, max: u64) -> Result<u64> {
        let from = self.progress.applied;
        let until = reader.size().min(from.saturating_add(max));
        if from >= until {
            return Ok(0);
        }
        let log_id = reader.log_id().unwrap_or_default();
        match fold_batch(self, path, (reader, opener), until, &log_id) {
            Ok(progress) => {
                // committed: with `synchronous=NORMAL` a power cut may take the last commits back, and the rows and
                // the position that they reach go together
                self.progress = progress;
                Ok(until - from)
            }
            Err(error) => {
                // ids that the rolled-back transaction gave out are not in the file
                self.interned = Interned::default();
                Err(error)
            }
        }
    }
}

fn fold_batch(
    writer: &mut Writer,
    path: &Path,
    (reader, opener): (&Reader, &Opener),
    until: u64,
    log_id: &[u8; 32],
) -> Result<Progress> {
    let database = |cause| LineageError::Database { path: path.to_owned(), cause };
    let tx = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(database)?;
    let mut folder = Folder {
        tx: &tx,
        interned: &mut writer.interned,
        opener,
        progress: writer.progress.clone(),
        batch: Batch::default(),
    };
    while folder.progress.applied < until {
        let from = folder.progress.applied;
        let wanted = usize::try_from(until - from).unwrap_or(usize::MAX).min(READ_ENTRIES);
        for (bytes, index) in reader.entries(from, wanted)?.into_iter().zip(from..until) {
            let record = opener.open_bytes(reader, index, bytes)?;
            folder.apply(&record).map_err(database)?;
        }
        if folder.progress.applied == from {
            // the log is shorter than it said: nothing to fold, and nothing lost by stopping here
            break;
        }
    }
    folder.flush().map_err(database)?;
    let progress = folder.progress;
    save(&tx, &progress, log_id, opener).and_then(|()| tx.commit()).map_err(database)?;
    Ok(progress)
}

fn begin_anew(path: &Path) -> Result<Writer> {
    schema::remove(path)?;
    let connection = schema::open_writer(path)?.ok_or_else(|| LineageError::Database {
        path: path.to_owned(),
        // somebody else made the file between the two steps
        cause: rusqlite::Error::InvalidQuery,
    })?;
    Ok(Writer { connection, progress: Progress::default(), interned: Interned::default() })
}

/// The file, if it has the right tables and was made from this log.
fn open_fitting(path: &Path, reader: &Reader, opener: &Opener) -> Result<Option<Writer>> {
    let database = |cause| LineageError::Database { path: path.to_owned(), cause };
    let Some(connection) = schema::open_writer(path)? else { return Ok(None) };
    let (progress, log_id, marks) = load(&connection).map_err(database)?;
    if progress.applied == 0 {
        return Ok(progress.last_leaf.is_none().then(|| Writer {
            connection,
            progress,
            interned: Interned::default(),
        }));
    }
    // marks that another key made find nothing
    if progress.applied > reader.size() || log_id != reader.log_id() || marks != Some(opener.mark(MARKS)) {
        return Ok(None);
    }
    // two logs that share a beginning differ in the last entry folded: every entry has its own event id
    let last = entry::leaf_hash(&reader.entry(progress.applied - 1)?);
    Ok((progress.last_leaf == Some(last)).then(|| Writer {
        connection,
        progress,
        interned: Interned::default(),
    }))
}

/// Position, name of the log, and what the marks were made with.
type Loaded = (Progress, Option<[u8; 32]>, Option<i64>);

fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    let number = |name| meta::<i64>(connection, name).map(|n| n.and_then(|n| u64::try_from(n).ok()));
    let progress = Progress {
        applied: number("applied")?.unwrap_or(0),
        last_leaf: meta(connection, "last_leaf")?,
        second: number("second")?,
        behind: number("behind")?.unwrap_or(0),
    };
    Ok((progress, meta(connection, "log_id")?, meta(connection, "marks")?))
}

fn save(
    connection: &Connection,
    progress: &Progress,
    log_id: &[u8; 32],
    opener: &Opener,
) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES(?1, ?2)")?;
    put.execute(params!["log_id", log_id])?;
    put.execute(params!["marks", opener.mark(MARKS)])?;
    put.execute(params!["applied", sql(progress.applied)])?;
    put.execute(params!["last_leaf", progress.last_leaf])?;
    put.execute(params!["second", progress.second.map(sql)])?;
    put.execute(params!["behind", sql(progress.behind)])?;
    Ok(())
}

pub(crate) fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached("SELECT v FROM meta WHERE k = ?1 AND v IS NOT NULL")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn in_snapshot<T>(
    connection: &mut Connection,
    ask: impl FnOnce(&Connection, u64) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // all statements of one answer see the same rows, and the position they reach
    let tx = connection.transaction()?;
    let applied = meta::<i64>(&tx, "applied")?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let answer = ask(&tx, applied)?;
    tx.finish()?;
    Ok(answer)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // what a panic left behind is only connections and numbers, each whole
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
