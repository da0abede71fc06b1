//! The machine: modes, space, how fast the disk syncs, the clock of the file system, who can read which key.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Access, access, fdatasync, statvfs};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Check, Level};
use crate::clock;
use crate::config::Config;
use crate::render::text::duration;

/// Syncs that are measured.
const SYNCS: usize = 25;
/// Bytes of each.
const SYNC_BYTES: [u8; 4_096] = [0; 4_096];
/// A disk that takes longer than this for most syncs slows down every call, µs.
const SYNC_SLOW_US: u64 = 20_000;
/// With less free than this a log may stop within days, bytes.
const FREE_LOW_BYTES: u64 = 1_024 * 1_024 * 1_024;
/// Directories whose content is tried too.
const TRIED_MAX: usize = 64;
/// Levels below the data directory that are tried: the tenant, and what it has.
const TRIED_DEPTH: usize = 2;
/// Files that a server opens to write, beside those that it makes anew.
const WRITTEN: [&str; 6] = ["start.lock", "serve.log", "LOCK", "index.sqlite", "head", "keys"];
/// How far the clock of the file system may be from this machine's, ms.
const CLOCKS_APART_MS: u64 = 2_000;

/// All that can be seen without a server.
pub(super) fn look(config: &Config, running: bool) -> Vec<Check> {
    let mut checks = vec![socket(config, running)];
    if config.is_system_client() {
        let text = "the data directory is another user's, and is not looked at from here";
        checks.push(Check::new("disk", Level::Note, text, Value::Null));
        return checks;
    }
    if !config.data.is_dir() {
        checks.push(no_data(&config.data));
        return checks;
    }
    checks.push(data_mode(&config.data));
    checks.extend(space(&config.data));
    match unwritable(&config.data) {
        Some(check) => checks.push(check),
        None => checks.extend(syncs(&config.data)),
    }
    checks.push(damage(config));
    checks
}

fn socket(config: &Config, running: bool) -> Check {
    let path = config.socket();
    let name = path.display();
    let Ok(found) = fs::symlink_metadata(&path) else {
        let text = format!("no socket: `{name}`");
        return Check::new(
            "server",
            if running { Level::Wrong } else { Level::Note },
            text,
            json!({"socket": path}),
        );
    };
    let mode = found.mode() & 0o777;
    let data = json!({"socket": path, "mode": format!("{mode:04o}"), "uid": found.uid()});
    let (level, says) = match mode {
        0o600 => (Level::Fine, "for its user alone"),
        0o660 => (Level::Fine, "for its user and its group"),
        _ => (Level::Wrong, "not as a server makes it: stop and start the server"),
    };
    Check::new("server", level, format!("socket `{name}`, mode {mode:04o}: {says}"), data)
}

fn data_mode(data: &Path) -> Check {
    let name = data.display();
    match fs::metadata(data) {
        Ok(found) => {
            let mode = found.mode() & 0o777;
            let told = json!({"data": data, "mode": format!("{mode:04o}"), "uid": found.uid()});
            let is_open = mode & 0o077 != 0;
            if !is_open {
                return Check::new(
                    "disk",
                    Level::Fine,
                    format!("data directory `{name}`, mode {mode:04o}"),
                    told,
                );
            }
            let text = format!(
                "data directory `{name}` is open to others (mode {mode:04o}): run `chmod 700 {name}`"
            );
            Check::new("disk", Level::Wrong, text, told)
        }
        Err(error) => Check::new(
            "disk",
            Level::Wrong,
            format!("cannot look at `{name}`: {}", crate::plain_io(&error)),
            json!({"data": data}),
        ),
    }
}

fn space(data: &Path) -> Option<Check> {
    let found = statvfs(data).ok()?;
    let (free, size) =
        (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize));
    let low = free < FREE_LOW_BYTES;
    let text = format!(
        "{} of {} free{}",
        bytes(free),
        bytes(size),
        if low { ": make room, a log that cannot be written lets nothing pass" } else { "" }
    );
    let level = if low { Level::Wrong } else { Level::Fine };
    Some(Check::new("disk", level, text, json!({"free_bytes": free, "size_bytes": size})))
}

fn bytes(n: u64) -> String {
    const GIB: u64 = 1_024 * 1_024 * 1_024;
    if n >= GIB {
        format!("{}.{} GiB", n / GIB, n % GIB * 10 / GIB)
    } else {
        format!("{} MiB", n / (1_024 * 1_024))
    }
}

/// No data directory: nothing is wrong as long as one could be made.
fn no_data(data: &Path) -> Check {
    let name = data.display();
    let there = data.ancestors().find(|dir| fs::symlink_metadata(dir).is_ok()).unwrap_or(Path::new("/"));
    let told = json!({"data": data});
    if there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Check::new("disk", Level::Note, format!("there is no data directory yet: `{name}`"), told);
    }
    let text = format!(
        "there is no data directory `{name}`, and this user cannot make it in `{}`: no server can start; name another \
         with `--data`",
        there.display()
    );
    Check::new("disk", Level::Wrong, text, told)
}

/// What of the log this user cannot write, asked of the operating system without writing anything: a server may be
/// writing there. Nothing where all can be written.
fn unwritable(data: &Path) -> Option<Check> {
    let refused = |path: &Path, needed| access(path, needed).err().map(std::io::Error::from);
    let mut waiting = vec![(data.to_owned(), 0)];
    let mut tried = 0;
    while let Some((dir, depth)) = waiting.pop() {
        if let Some(error) = refused(&dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
            return Some(cannot_write(&dir, true, &error));
        }
        for file in WRITTEN.map(|name| dir.join(name)).iter().filter(|file| file.is_file()) {
            if let Some(error) = refused(file, Access::READ_OK | Access::WRITE_OK) {
                return Some(cannot_write(file, false, &error));
            }
        }
        tried += 1;
        if depth == TRIED_DEPTH || tried == TRIED_MAX {
            continue;
        }
        let below = fs::read_dir(&dir).into_iter().flatten().flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        // keys are made once and then only read
        let below = below.filter(|entry| entry.file_name() != "keys");
        waiting.extend(below.take(TRIED_MAX).map(|entry| (entry.path(), depth + 1)));
    }
    None
}

fn cannot_write(path: &Path, is_dir: bool, error: &std::io::Error) -> Check {
    let name = path.display();
    let what = if is_dir { "directory" } else { "file" };
    let text = format!(
        "the {what} `{name}` cannot be read and written by this user ({}): no server can start or go on; give it back \
         to the user who runs the server, or run `chmod u+rw{} {name}`",
        crate::plain_io(error),
        if is_dir { "x" } else { "" }
    );
    Check::new("disk", Level::Wrong, text, json!({"not_writable": path}))
}

/// Measures syncs the way the log does them, and compares the clocks while at it. The file has no name any more when
/// the first byte is written, so nothing is left of it.
fn syncs(data: &Path) -> Vec<Check> {
    let measured = || -> std::io::Result<(Vec<u64>, u64)> {
        let path = data.join(format!(".doctor-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        let mut took = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.write_all(&SYNC_BYTES)?;
            let start = Instant::now();
            fdatasync(&file)?;
            took.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        let written = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        took.sort_unstable();
        Ok((took, u64::try_from(written.as_millis()).unwrap_or_default()))
    };
    match measured() {
        Ok((took, written_ms)) => vec![latency(&took), clocks(written_ms)],
        Err(error) => {
            // the log is written there just like this
            let text = format!(
                "nothing could be written into `{}`: {}. The log cannot be written either: put that right first",
                data.display(),
                crate::plain_io(&error)
            );
            vec![Check::new("disk", Level::Wrong, text, json!({"not_writable": data}))]
        }
    }
}

fn latency(took: &[u64]) -> Check {
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    let worst = took.last().copied().unwrap_or_default();
    let slow = median > SYNC_SLOW_US;
    let text = format!(
        "a sync takes {} (median of {}), {} at worst{}",
        duration(median),
        took.len(),
        duration(worst),
        if slow { ": every call waits for one, so a faster disk makes everything faster" } else { "" }
    );
    let level = if slow { Level::Note } else { Level::Fine };
    Check::new(
        "disk",
        level,
        text,
        json!({"sync_median_us": median, "sync_worst_us": worst, "syncs": took.len()}),
    )
}

fn clocks(written_ms: u64) -> Check {
    let apart = clock::now_ms().abs_diff(written_ms);
    let data = json!({"file_system_apart_ms": apart});
    if apart <= CLOCKS_APART_MS {
        return Check::new("clock", Level::Fine, "the file system's clock agrees with this machine's", data);
    }
    let text =
        format!("the file system's clock is {apart} ms away from this machine's: set one of them right");
    Check::new("clock", Level::Wrong, text, data)
}

/// What a start moved aside because it could not be read.
fn damage(config: &Config) -> Check {
    let tenants = fs::read_dir(&config.data).into_iter().flatten().flatten();
    let journals = tenants.map(|entry| entry.path().join("journal")).filter(|journal| journal.is_dir());
    let mut aside: Vec<PathBuf> = journals
        .flat_map(|journal| fs::read_dir(journal).into_iter().flatten().flatten().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("aside-")))
        .collect();
    aside.sort();
    if aside.is_empty() {
        return Check::new("log", Level::Fine, "nothing damaged was moved aside", json!({"aside": []}));
    }
    let names: Vec<String> = aside.iter().map(|path| format!("`{}`", path.display())).collect();
    let text = format!(
        "a start found a damaged end of the journal and moved it aside: {}. The log says so with a gap (`deeds gaps`); \
         what was acknowledged before is whole",
        names.join(", ")
    );
    Check::new("log", Level::Note, text, json!({"aside": aside}))
}

/// Which secrets the user of this process can read.
#[derive(Debug, Default)]
pub(super) struct KeysFound {
    /// Keys of the log that can be read.
    pub(super) of_log: Vec<PathBuf>,
    /// Keys of principals that can be read.
    pub(super) of_principals: Vec<PathBuf>,
}

/// Looks for keys that an agent under this user could use.
pub(super) fn keys(config: &Config) -> KeysFound {
    let readable = |dir: &Path| -> Vec<PathBuf> {
        let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<_> = found.filter(|path| path.is_file() && File::open(path).is_ok()).collect();
        found.sort();
        found
    };
    let mut of_principals = config.keys.as_deref().map(readable).unwrap_or_default();
    of_principals.extend(config.principal.clone().filter(|path| File::open(path).is_ok()));
    of_principals.sort();
    of_principals.dedup();
    let of_log = if config.is_system_client() { Vec::new() } else { readable(&config.data.join("keys")) };
    KeysFound { of_log, of_principals }
}

impl KeysFound {
    pub(super) fn checks(&self) -> Vec<Check> {
        let named = |paths: &[PathBuf]| {
            paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
        };
        let mut checks = Vec::new();
        if let Some(dir) = self.of_log.first().and_then(|path| path.parent()) {
            let text = format!(
                "whatever runs as your user, agents included, can read the keys of the log in `{}`, and so \
                 forge another log; `deeds install --system` puts them out of reach",
                dir.display()
            );
            checks.push(Check::new("keys", Level::Note, text, json!({"of_log": self.of_log})));
        }
        if !self.of_principals.is_empty() {
            let text = format!(
                "whatever runs as your user, agents included, can sign with {}: a signature then proves the key, not \
                 the person",
                named(&self.of_principals)
            );
            checks.push(Check::new("keys", Level::Note, text, json!({"of_principals": self.of_principals})));
        }
        if checks.is_empty() {
            checks.push(Check::new("keys", Level::Fine, "no key is in reach of this user", json!({})));
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sync_takes_is_told_with_the_worst() {
        let check = latency(&[10, 20, 900]);
        assert_eq!((check.level, check.data["sync_median_us"].as_u64()), (Level::Fine, Some(20)));
        assert!(check.text.contains("20 µs (median of 3), 900 µs at worst"), "{}", check.text);
        assert_eq!(latency(&[SYNC_SLOW_US + 1]).level, Level::Note);
        let dir = tempfile::tempdir().unwrap();
        let checks = syncs(dir.path());
        assert_eq!(checks.len(), 2, "{checks:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        assert_eq!(syncs(&dir.path().join("none"))[0].level, Level::Wrong);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("local/journal")).unwrap();
        assert_eq!(unwritable(dir.path()), None);
        let check = unwritable(&dir.path().join("none")).unwrap();
        assert_eq!(check.level, Level::Wrong);
        assert!(check.text.contains("none` cannot be read and written") && !check.text.contains("os error"));
        assert_eq!(no_data(&dir.path().join("new/data")).level, Level::Note);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(no_data(&dir.path().join("file/data")).level, Level::Wrong);
    }

    #[test]
    fn clocks_that_differ_are_told() {
        assert_eq!(clocks(clock::now_ms()).level, Level::Fine);
        assert_eq!(clocks(clock::now_ms() - 60_000).level, Level::Wrong);
    }

    #[test]
    fn what_was_moved_aside_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().to_owned(), ..Config::default() };
        assert_eq!(damage(&config).level, Level::Fine);
        fs::create_dir_all(dir.path().join("local/journal")).unwrap();
        fs::write(dir.path().join("local/journal/aside-7-1"), "x").unwrap();
        let check = damage(&config);
        assert!(check.level == Level::Note && check.text.contains("aside-7-1"), "{check:?}");
    }

    #[test]
    fn space_is_told_in_units_that_people_read() {
        assert_eq!([bytes(5 * 1_024 * 1_024), bytes(3 * 1_024 * 1_024 * 1_024 / 2)], ["5 MiB", "1.5 GiB"]);
    }
}
