//! Carries a plan out: what was there is kept first, then it is remembered, then the file is replaced.

use std::path::Path;

use anyhow::{Context as _, ensure};
use evidence::Digest;

use super::look::{CLIENT_CONFIG_MAX_BYTES, read_config};
use super::plan::FilePlan;
use super::record::{Records, WiredEdit};
use super::replace::replace;
use crate::files::{Existing, SHARED, read_limited, write_whole};

/// Largest configuration of our own, bytes.
const OWN_MAX_BYTES: usize = 1_024 * 1_024;

/// Wraps the servers of one file.
pub(crate) fn apply(plan: &FilePlan, records: &mut Records, now_ms: u64) -> anyhow::Result<()> {
    let Some(after) = &plan.after else { return Ok(()) };
    let edit = WiredEdit {
        at_ms: now_ms,
        before: Some(Digest::of(plan.before.as_bytes()).to_string()),
        after: Digest::of(after.as_bytes()).to_string(),
        servers: plan.wired.clone(),
        line: None,
    };
    ensure!(
        after.len() <= CLIENT_CONFIG_MAX_BYTES,
        "`{}` would grow beyond the {CLIENT_CONFIG_MAX_BYTES} bytes that can be read",
        plan.real.display()
    );
    records.add(plan.place.client.id(), &plan.real, edit, Some(plan.before.as_bytes()))?;
    let replaced = replace(&plan.real, plan.before.as_bytes(), after.as_bytes());
    if replaced.is_err() && read_config(&plan.real).is_ok_and(|now| now != after.as_bytes()) {
        // Not made, so not remembered: its servers would be watched as if they had been wrapped. If we crash before
        // this, a watch says so once, and undoing notices that the file is as it was before.
        records.take_back(&plan.real)?;
    }
    replaced
}

/// Puts a line at the beginning of our own configuration, where a setting belongs to no table, and makes the file if
/// there is none. `check` says whether the new text can be used.
pub(crate) fn write_own(
    path: &Path,
    line: &str,
    records: &mut Records,
    now_ms: u64,
    check: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let line = format!("{line}\n");
    let real = std::fs::canonicalize(path).ok();
    let target = real.as_deref().unwrap_or(path);
    let before = real.as_deref().map(|real| read_limited(real, OWN_MAX_BYTES)).transpose()?;
    let text = before
        .as_deref()
        .map(std::str::from_utf8)
        .transpose()
        .context("the configuration is not UTF-8 text")?;
    let body = text.unwrap_or_default();
    ensure!(
        !body.starts_with('\u{feff}'),
        "`{}` begins with a byte order mark: take it out",
        target.display()
    );
    if body.starts_with(&line) {
        // another that ran at the same time has put it there since our configuration was read
        return Ok(());
    }
    let after = format!("{line}{body}");
    check(&after).with_context(|| format!("cannot add a line to `{}`", target.display()))?;
    let edit = WiredEdit {
        at_ms: now_ms,
        before: before.as_deref().map(|bytes| Digest::of(bytes).to_string()),
        after: Digest::of(after.as_bytes()).to_string(),
        servers: Vec::new(),
        line: Some(line),
    };
    records.add("deeds", target, edit, before.as_deref())?;
    match &before {
        Some(before) => replace(target, before, after.as_bytes()),
        None => write_whole(target, after.as_bytes(), SHARED, Existing::Refuse)
            .with_context(|| format!("cannot write `{}`", target.display())),
    }
}
