//! The tables, and how their file is opened.
//!
//! The index holds names, positions and what queries select by; answers are made of what the log says at those
//! positions. Values that can be erased (display names, arguments, results, prompts, what clients say of
//! themselves) and digests of them are never in it. Names and digests of artifacts, names of definitions, commands: of
//! these it holds *marks*, 8 bytes that only the holder of the tenant's key can make of a text
//! ([`crate::record::Opener::mark`]).

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::LineageError;

/// Version of the tables; another one in the file: the file is made anew.
pub(crate) const SCHEMA: i64 = 3;

/// `application_id` of the file: "deed".
const APPLICATION: i64 = 0x6465_6564;

/// First SQLite without the defect that loses a write-ahead log when it is reset.
const SQLITE_MIN: i32 = 3_051_003;

/// Statements kept prepared in each connection.
const STATEMENTS: usize = 64;

/// `secure_delete`: pages that are freed are overwritten. 10,000 pages of write-ahead log are moved into the file at
/// a time: the fold waits for that, readers do not.
const WRITER: &str = "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
    PRAGMA secure_delete=ON; PRAGMA cache_size=-65536; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;
    PRAGMA wal_autocheckpoint=10000;";

const READ_ONLY: &str = "PRAGMA query_only=ON; PRAGMA cache_size=-16384; PRAGMA mmap_size=0; \
    PRAGMA temp_store=MEMORY;";

/// Columns named `run`, `child`, `task`, `tool`, `principal`, `holder`, `key`, `token`, `parent`, `server` are ids of
/// `runs`, `dict` and `servers`; `idx`, `decided`, `finished`, `started`, `ended`, `first`, `last`, `lifts`, `since`,
/// `gone`, `retry_of` are log positions; `h` is the start of a leaf hash, `leaf` all of it; `what` of `seen`, `granted`
/// and `touched` says of what kind the id is. `mark`, `uri`, `digest`, `command` and `name` (but of `names`) are marks.
const TABLES: &str = "
CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE dict(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, val TEXT NOT NULL, UNIQUE(kind, val));
CREATE TABLE names(name TEXT NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY(name, kind, id)) WITHOUT ROWID;
CREATE TABLE counts(kind INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE seconds(second INTEGER PRIMARY KEY, first INTEGER NOT NULL);
CREATE TABLE runs(id INTEGER PRIMARY KEY, run BLOB NOT NULL UNIQUE, task INTEGER, started INTEGER,
    ended INTEGER, actions INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
    outcomes INTEGER NOT NULL DEFAULT 0, issued INTEGER NOT NULL DEFAULT 0, started_ms INTEGER);
CREATE INDEX runs_open ON runs(started) WHERE started IS NOT NULL AND ended IS NULL;
CREATE INDEX runs_task ON runs(task, started);
CREATE INDEX runs_started ON runs(started);
CREATE TABLE chain(run INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY(run, idx)) WITHOUT ROWID;
CREATE TABLE streams(run INTEGER NOT NULL, stream INTEGER NOT NULL, started INTEGER, ended INTEGER,
    entries INTEGER NOT NULL, last INTEGER NOT NULL, command INTEGER, PRIMARY KEY(run, stream)) WITHOUT ROWID;
CREATE TABLE tasks(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, first_ms INTEGER NOT NULL, last INTEGER NOT NULL,
    last_ms INTEGER NOT NULL);
CREATE INDEX tasks_first ON tasks(first);
CREATE TABLE actions(decided INTEGER PRIMARY KEY, leaf BLOB NOT NULL, h INTEGER NOT NULL, act_id BLOB,
    run INTEGER NOT NULL, task INTEGER, tool INTEGER, principal INTEGER, holder INTEGER, verdict TEXT,
    observed_ms INTEGER NOT NULL, finished INTEGER, finished_leaf BLOB, status TEXT, token INTEGER, at_ms INTEGER,
    retry_of INTEGER);
CREATE INDEX actions_h ON actions(h);
CREATE INDEX actions_act ON actions(act_id);
CREATE INDEX actions_run ON actions(run);
CREATE INDEX actions_task ON actions(task);
CREATE INDEX actions_tool ON actions(tool);
CREATE INDEX actions_principal ON actions(principal);
CREATE INDEX actions_holder ON actions(holder);
CREATE INDEX actions_open ON actions(run) WHERE verdict = 'allow' AND finished IS NULL;
CREATE INDEX actions_finished ON actions(finished) WHERE finished IS NOT NULL;
CREATE INDEX actions_refused ON actions(decided) WHERE verdict = 'deny';
CREATE INDEX actions_status ON actions(status) WHERE status <> 'ok';
CREATE INDEX actions_unknown ON actions(task) WHERE status = 'unknown';
CREATE INDEX actions_asked ON actions(run, finished_leaf) WHERE status = 'input-required';
CREATE INDEX actions_retry ON actions(retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX actions_token ON actions(token, at_ms);
CREATE TABLE delegations(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, token INTEGER, run INTEGER NOT NULL);
CREATE INDEX delegations_token ON delegations(token, run);
CREATE INDEX delegations_run ON delegations(run);
CREATE TABLE links(token INTEGER PRIMARY KEY, idx INTEGER NOT NULL, leaf BLOB NOT NULL, kind INTEGER NOT NULL,
    parent INTEGER, holder INTEGER, key INTEGER, principal INTEGER, task INTEGER, iat INTEGER NOT NULL,
    exp INTEGER NOT NULL, glass INTEGER NOT NULL);
CREATE INDEX links_top ON links(idx) WHERE parent IS NULL;
CREATE INDEX links_parent ON links(parent, idx) WHERE parent IS NOT NULL;
CREATE INDEX links_holder ON links(holder, exp);
CREATE INDEX links_key ON links(key, exp);
CREATE INDEX links_principal ON links(principal, exp);
CREATE INDEX links_task ON links(task, exp);
CREATE TABLE sources(token INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY(key, token)) WITHOUT ROWID;
CREATE TABLE revocations(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, what TEXT, target TEXT, eff INTEGER,
    observed_ms INTEGER NOT NULL);
CREATE INDEX revocations_target ON revocations(what, target);
CREATE TABLE halts(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, what TEXT, target TEXT, observed_ms INTEGER NOT NULL,
    lifts INTEGER);
CREATE INDEX halts_target ON halts(what, target);
CREATE INDEX halts_lifts ON halts(lifts) WHERE lifts IS NOT NULL;
CREATE TABLE children(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, run INTEGER NOT NULL, child INTEGER NOT NULL,
    token INTEGER);
CREATE INDEX children_run ON children(run);
CREATE INDEX children_child ON children(child);
CREATE TABLE policies(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, digest TEXT, observed_ms INTEGER NOT NULL);
CREATE INDEX policies_digest ON policies(digest);
CREATE TABLE keys(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, thumbprint TEXT, change TEXT, principal INTEGER,
    observed_ms INTEGER NOT NULL);
CREATE INDEX keys_thumbprint ON keys(thumbprint);
CREATE INDEX keys_principal ON keys(principal);
CREATE TABLE seen(what INTEGER NOT NULL, id INTEGER NOT NULL, first INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY(what, id)) WITHOUT ROWID;
CREATE INDEX seen_last ON seen(last);
CREATE TABLE granted(what INTEGER NOT NULL, id INTEGER NOT NULL, tool INTEGER NOT NULL,
    PRIMARY KEY(what, id, tool)) WITHOUT ROWID;
CREATE TABLE touched(what INTEGER NOT NULL, id INTEGER NOT NULL, tool INTEGER NOT NULL,
    PRIMARY KEY(what, id, tool)) WITHOUT ROWID;
CREATE TABLE uses(token INTEGER NOT NULL, tool INTEGER NOT NULL, allowed INTEGER NOT NULL, refused INTEGER NOT NULL,
    PRIMARY KEY(token, tool)) WITHOUT ROWID;
CREATE TABLE users(key INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY(key, run)) WITHOUT ROWID;
CREATE TABLE counters(run INTEGER NOT NULL, key INTEGER NOT NULL, ranges TEXT NOT NULL,
    PRIMARY KEY(run, key)) WITHOUT ROWID;
CREATE INDEX counters_key ON counters(key);
CREATE TABLE remarks(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, run INTEGER NOT NULL, kind INTEGER NOT NULL,
    subtype TEXT, act_id BLOB, n INTEGER);
CREATE INDEX remarks_run ON remarks(run);
CREATE INDEX remarks_act ON remarks(act_id) WHERE act_id IS NOT NULL;
CREATE TABLE missing(idx INTEGER NOT NULL, what INTEGER NOT NULL, leaf BLOB NOT NULL, run INTEGER NOT NULL,
    observed_ms INTEGER NOT NULL, PRIMARY KEY(idx, what)) WITHOUT ROWID;
CREATE TABLE digests(mark INTEGER NOT NULL, idx INTEGER NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY(mark, idx, role)) WITHOUT ROWID;
CREATE TABLE uris(mark INTEGER NOT NULL, idx INTEGER NOT NULL, role INTEGER NOT NULL, digest INTEGER,
    PRIMARY KEY(mark, idx, role)) WITHOUT ROWID;
CREATE TABLE withdrawals(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, uri INTEGER, digest INTEGER);
CREATE INDEX withdrawals_uri ON withdrawals(uri) WHERE uri IS NOT NULL;
CREATE INDEX withdrawals_digest ON withdrawals(digest) WHERE digest IS NOT NULL;
CREATE TABLE servers(id INTEGER PRIMARY KEY, uri TEXT NOT NULL, command INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, UNIQUE(uri, command));
CREATE INDEX servers_last ON servers(last);
CREATE TABLE defined(server INTEGER NOT NULL, list INTEGER NOT NULL, name INTEGER NOT NULL, digest INTEGER NOT NULL,
    since INTEGER NOT NULL, last INTEGER NOT NULL, gone INTEGER, PRIMARY KEY(server, list, name)) WITHOUT ROWID;
CREATE TABLE changes(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, run INTEGER NOT NULL, server INTEGER,
    what INTEGER NOT NULL, name INTEGER);
CREATE INDEX changes_server ON changes(server);
CREATE INDEX changes_run ON changes(run);
";

/// Fails when the linked SQLite is one that can damage its files.
pub(crate) fn check_library() -> Result<(), LineageError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(LineageError::OldSqlite(rusqlite::version()));
    }
    Ok(())
}

/// Opens the file for the fold, an empty one if there is none; `None` when what is there has other tables.
pub(crate) fn open_writer(path: &Path) -> Result<Option<Connection>, LineageError> {
    let database = |cause| LineageError::Database { path: path.to_owned(), cause };
    create_private(path)?;
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))
        .and_then(|connection| connection.execute_batch(WRITER).map(|()| connection))
        .map_err(database)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id").map_err(database)?, pragma("user_version").map_err(database)?) {
        (APPLICATION, SCHEMA) => Ok(Some(connection)),
        (0, 0) => {
            // one transaction: a file with some of the tables is never seen
            let script = format!(
                "BEGIN; {TABLES} PRAGMA application_id={APPLICATION}; PRAGMA user_version={SCHEMA}; COMMIT;"
            );
            connection.execute_batch(&script).map_err(database)?;
            Ok(Some(connection))
        }
        _ => Ok(None),
    }
}

/// Opens the file for queries.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.execute_batch(READ_ONLY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Removes the file and what belongs to it.
pub(crate) fn remove(path: &Path) -> Result<(), LineageError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        match std::fs::remove_file(&file) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(LineageError::File { doing: "remove", path: file, cause });
            }
            _ => {}
        }
    }
    Ok(())
}

fn flags(mode: OpenFlags) -> OpenFlags {
    // each connection is used by one thread at a time; URIs in file names would let a path choose options
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// SQLite gives the files beside the index the index's own mode, so it is set before SQLite sees the file.
fn create_private(path: &Path) -> Result<(), LineageError> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|cause| LineageError::File {
            doing: "create the directory",
            path: parent.to_owned(),
            cause,
        })?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|cause| LineageError::File { doing: "open", path: path.to_owned(), cause })
}

/// The tables without a file, for tests.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(TABLES).unwrap();
    connection
}

/// How SQLite goes about a statement.
#[cfg(test)]
pub(crate) fn plan(connection: &Connection, statement: &str) -> String {
    let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let nulls = vec![rusqlite::types::Null; explained.parameter_count()];
    let lines =
        explained.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
}
