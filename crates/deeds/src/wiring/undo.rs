//! Takes back what was wired: byte for byte where a file is as it was left, else only what we put in.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use evidence::Digest;

use super::edit::{Original, unwrap};
use super::entries::{Kind, read};
use super::look::read_config;
use super::places::{Client, Layout};
use super::record::{Records, WiredEdit, WiredFile, WiredServer};
use super::replace::replace;
use super::splice::apply;

/// What became of one file.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) client: String,
    pub(crate) path: PathBuf,
    pub(crate) how: How,
    /// What could not be taken back, or what somebody should know.
    pub(crate) remarks: Vec<String>,
}

/// How a file was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It has the bytes that it had before.
    Exact,
    /// There was no such file before, and there is none again.
    Removed,
    /// It was changed since; our edits were taken out of it.
    Edits,
    /// There was nothing to take back.
    Nothing,
    /// It could not be done; the remarks say why.
    Failed,
}

impl How {
    /// For machines.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Removed => "removed",
            Self::Edits => "edits",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

/// Takes back all edits of the clients named, or of all and our own configuration. A file that cannot be put back keeps
/// its record.
pub(crate) fn undo(records: &mut Records, clients: &[Client]) -> anyhow::Result<Vec<Undone>> {
    let chosen = |file: &&WiredFile| {
        clients.is_empty() || Client::of(&file.client).is_some_and(|client| clients.contains(&client))
    };
    let files: Vec<WiredFile> = records.files().iter().filter(chosen).cloned().collect();
    let mut all = Vec::new();
    for file in files {
        let undone = match undo_file(records, &file) {
            Ok(undone) => undone,
            Err(error) => {
                let mut remarks = vec![crate::chain(&error)];
                // the first edit found it as its owner had it
                let kept = file.edits.first().and_then(|edit| records.kept(edit.before.as_deref()?));
                remarks.extend(kept.map(|path| format!("as it was before is kept in `{}`", path.display())));
                Undone { client: file.client.clone(), path: file.path.clone(), how: How::Failed, remarks }
            }
        };
        if undone.how != How::Failed {
            records.forget(&file.path)?;
        }
        all.push(undone);
    }
    Ok(all)
}

fn undo_file(records: &Records, file: &WiredFile) -> anyhow::Result<Undone> {
    let name = file.path.display();
    let mut undone = Undone {
        client: file.client.clone(),
        path: file.path.clone(),
        how: How::Nothing,
        remarks: Vec::new(),
    };
    // somebody may have put it elsewhere since, and a link in its place
    let real = match fs::canonicalize(&file.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            undone.remarks.push("the file is not there any more, and was not made again".to_owned());
            return Ok(undone);
        }
        found => found.with_context(|| format!("cannot look at `{name}`"))?,
    };
    let found = read_config(&real)?;
    let mut now = Some(found.clone());
    // the newest edit first: each leads to what the one before it left, or to what somebody made of that
    for edit in file.edits.iter().rev() {
        let Some(bytes) = now.take() else { break };
        now = step(records, file, edit, bytes, &mut undone)?;
    }
    match now {
        Some(now) if now == found => {}
        Some(now) => replace(&real, &found, &now)?,
        None => {
            fs::remove_file(&real).with_context(|| format!("cannot remove `{name}`"))?;
            undone.how = How::Removed;
        }
    }
    Ok(undone)
}

/// The file before one edit; nothing where there was none.
fn step(
    records: &Records,
    file: &WiredFile,
    edit: &WiredEdit,
    bytes: Vec<u8>,
    undone: &mut Undone,
) -> anyhow::Result<Option<Vec<u8>>> {
    let digest = Digest::of(&bytes).to_string();
    if edit.before.as_ref() == Some(&digest) {
        // the edit was remembered and never made, or somebody took it back already
        return Ok(Some(bytes));
    }
    if edit.after == digest {
        let original = edit.before.as_deref().map(|before| records.original(before)).transpose();
        match original {
            Ok(original) => {
                undone.how = if undone.how == How::Edits { How::Edits } else { How::Exact };
                return Ok(original);
            }
            Err(error) => undone.remarks.push(format!("the kept original cannot be used: {error:#}")),
        }
    }
    let text = String::from_utf8(bytes).context("it is not UTF-8 text any more")?;
    let text = match (&edit.line, Client::of(&file.client).map(Layout::of)) {
        (Some(line), _) => without_line(&text, line, undone),
        (None, Some(layout)) => without_wraps(&text, layout, &edit.servers, undone)?,
        (None, None) => {
            anyhow::bail!("`wired.json` names the client `{}`, which this deeds does not know", file.client)
        }
    };
    Ok(Some(text.into_bytes()))
}

fn without_line(text: &str, line: &str, undone: &mut Undone) -> String {
    let Some(at) =
        text.find(line).filter(|at| *at == 0 || text.get(..*at).is_some_and(|text| text.ends_with('\n')))
    else {
        undone.remarks.push(format!("the line `{}` is not there any more", line.trim_end()));
        return text.to_owned();
    };
    undone.how = How::Edits;
    let (before, after) = (text.get(..at), text.get(at + line.len()..));
    [before.unwrap_or_default(), after.unwrap_or_default()].concat()
}

fn without_wraps(
    text: &str,
    layout: Layout,
    servers: &[WiredServer],
    undone: &mut Undone,
) -> anyhow::Result<String> {
    let entries =
        read(text, layout).map_err(|why| anyhow::anyhow!("{why}: take `deeds wrap` out by hand"))?;
    let mut splices = Vec::new();
    for server in servers {
        let entry =
            entries.iter().find(|entry| (&entry.name, &entry.project) == (&server.name, &server.project));
        let Some(entry) = entry else {
            undone.remarks.push(format!("the server `{}` is not there any more", server.name));
            continue;
        };
        let Kind::Stdio(stdio) = &entry.kind else {
            undone
                .remarks
                .push(format!("the server `{}` is no command any more, and was left as it is", server.name));
            continue;
        };
        match unwrap(text, stdio, Some(original(server))) {
            Some(edits) => splices.extend(edits),
            None => undone.remarks.push(format!("the server `{}` was not wrapped any more", server.name)),
        }
    }
    if splices.is_empty() {
        return Ok(text.to_owned());
    }
    undone.how = How::Edits;
    let after =
        apply(text, &splices).context("our edits in it lie across each other: take them out by hand")?;
    read(&after, layout).map_err(|why| anyhow::anyhow!("without our edits {why}: take them out by hand"))?;
    Ok(after)
}

fn original(server: &WiredServer) -> Original<'_> {
    Original {
        command: &server.command_text,
        args: server.args_before.as_deref().map(|before| (before, server.args_after.as_str())),
        inserted: server.inserted.as_deref(),
    }
}

#[cfg(test)]
mod tests;
