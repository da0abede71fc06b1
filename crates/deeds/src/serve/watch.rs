//! Watches the client configurations that were wired: what is no longer wrapped, or is again, is recorded once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use evidence::limits::DEFINITION_NAME_MAX_BYTES;
use recorder::{ConfigChanged, Recorder};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Config;
use crate::files::{Existing, PRIVATE, read_limited, write_whole};
use crate::wiring::{Now, Records, Watched, now_of_all, watched, watched_path};

/// How often the configurations are looked at.
const WATCH_EVERY: Duration = Duration::from_mins(1);
/// What was seen must still be so after this: a client may be in the middle of writing.
const SETTLED: Duration = Duration::from_secs(1);
/// Largest file that remembers how servers were last seen, bytes.
const WATCHED_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// Looks at the configurations as long as the server lives. What goes wrong here is told and disturbs nothing else.
pub(super) async fn watch(recorder: Recorder, config: Config) {
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = check(&recorder, &config).await {
            tracing::warn!(error = crate::chain(&error), "the client configurations could not be looked at");
        }
    }
}

async fn check(recorder: &Recorder, config: &Config) -> anyhow::Result<()> {
    let data = config.data.clone();
    let Ok(dir) = config.dir().map(Path::to_path_buf) else { return Ok(()) };
    let known = {
        let data = data.clone();
        blocking(move || known(&data, &dir)).await??
    };
    let (known, seen) = look(known).await?;
    if changed(&known, &seen).next().is_none() {
        return blocking(move || remember(&data, &known)).await?;
    }
    sleep(SETTLED).await;
    let (mut known, again) = look(known).await?;
    let settled: Vec<(usize, Now)> = changed(&known, &again)
        .filter(|(at, now)| seen.get(*at).is_some_and(|seen| seen.as_ref() == Some(now)))
        .map(|(at, now)| (at, now.clone()))
        .collect();
    for (at, now) in settled {
        let Some(server) = known.get_mut(at) else { continue };
        let (name, old, new) = (label(server), server.digest(), now.digest);
        if old != new {
            let index =
                recorder.client_config_changed(ConfigChanged { name: name.clone(), old, new }).await?;
            tracing::warn!(index, server = name, wrapped = now.wrapped, "a client configuration changed");
        }
        server.set(&now);
        // Durable after each: after a crash in between at most this one change is recorded a second time.
        let (data, known) = (data.clone(), known.clone());
        blocking(move || remember(&data, &known)).await??;
    }
    Ok(())
}

fn changed<'a>(known: &'a [Watched], seen: &'a [Option<Now>]) -> impl Iterator<Item = (usize, &'a Now)> {
    let both = known.iter().zip(seen).enumerate();
    both.filter_map(|(at, (server, now))| now.as_ref().filter(|now| server.differs(now)).map(|now| (at, now)))
}

async fn look(known: Vec<Watched>) -> anyhow::Result<(Vec<Watched>, Vec<Option<Now>>)> {
    blocking(move || {
        let seen = now_of_all(&known);
        (known, seen)
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// What is to be watched. Without a readable record of what was wired, what is remembered is.
fn known(data: &Path, dir: &Path) -> anyhow::Result<Vec<Watched>> {
    let path = watched_path(data);
    let remembered = match path.try_exists() {
        Ok(true) => serde_json::from_slice(&read_limited(&path, WATCHED_MAX_BYTES)?)
            .with_context(|| format!("cannot read `{}`: remove it", path.display()))?,
        _ => Vec::new(),
    };
    let wired = Records::read(dir).unwrap_or_else(|error| {
        tracing::warn!(error = crate::chain(&error), "what was wired is not known");
        Vec::new()
    });
    Ok(watched(remembered, &wired))
}

/// Writes how the servers were last seen, unless that is written already.
fn remember(data: &Path, known: &[Watched]) -> anyhow::Result<()> {
    let path: PathBuf = watched_path(data);
    let bytes = serde_json::to_vec(known)?;
    let there = read_limited(&path, WATCHED_MAX_BYTES).ok();
    if there.as_ref() == Some(&bytes) || (there.is_none() && known.is_empty()) {
        return Ok(());
    }
    write_whole(&path, &bytes, PRIVATE, Existing::Replace)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// The name in evidence; of one that is too long the end, where the server's name is.
fn label(server: &Watched) -> String {
    let label = server.label();
    let mut from = label.len().saturating_sub(DEFINITION_NAME_MAX_BYTES);
    while !label.is_char_boundary(from) {
        from += 1;
    }
    label.get(from..).unwrap_or_default().to_owned()
}
