//! What wrapping would change, worked out without changing anything.

use std::path::{Path, PathBuf};

use evidence::definition::command_digest;

use super::alias::Aliases;
use super::diff::{DiffLine, diff, shown};
use super::edit::{Prefix, wrap};
use super::entries::{Entry, Kind, Stdio, Wrapped, option, read};
use super::look::{Found, Looked, Seen};
use super::places::Place;
use super::record::WiredServer;
use super::splice::{Splice, apply, shifted};

/// Our program as clients are to call it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its name, or its path.
    pub(crate) program: String,
    /// Options that it needs to find the same data directory and configuration as now.
    pub(crate) options: Vec<String>,
}

impl Program {
    pub(super) fn prefix(&self, alias: &str) -> Prefix {
        let mut args = vec!["wrap".to_owned(), "--name".to_owned(), alias.to_owned()];
        args.extend(self.options.iter().cloned());
        args.push("--".to_owned());
        Prefix { program: self.program.clone(), args }
    }
}

/// What there is to do about one file.
#[derive(Debug)]
pub(crate) struct FilePlan {
    pub(crate) place: Place,
    /// The file itself, behind all symbolic links.
    pub(crate) real: PathBuf,
    pub(crate) servers: Vec<ServerPlan>,
    /// What to say where there is no server in it.
    pub(crate) remark: Option<String>,
    /// The text that was read.
    pub(super) before: String,
    /// The text to write; nothing where all is as it should be.
    pub(super) after: Option<String>,
    /// What to remember of each server that is wrapped.
    pub(super) wired: Vec<WiredServer>,
    /// The difference, without values that may be secret.
    pub(crate) diff: Vec<DiffLine>,
}

impl FilePlan {
    /// Whether there is anything to write.
    pub(crate) fn changes(&self) -> bool {
        self.after.is_some()
    }
}

/// One server and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerPlan {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    pub(crate) state: ServerState,
    /// The server's own command.
    pub(crate) command: Vec<String>,
    /// Why its name has a number, or what is amiss with how it is wrapped.
    pub(crate) remark: Option<String>,
}

/// What becomes of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerState {
    /// It is not wrapped, and would be under this name.
    ToWrap(String),
    /// It is wrapped under this name.
    Wrapped(String),
    /// It is reached by a URL, which is not covered yet.
    Remote,
    /// It is left alone, and why.
    LeftAlone(String),
}

/// Works out what to do about each file that was found.
pub(crate) fn plan(seen: Vec<Seen>, program: &Program) -> Vec<FilePlan> {
    let mut aliases = Aliases::default();
    for (place, found) in seen.iter().filter_map(|seen| Some((&seen.place, found(&seen.looked)?))) {
        for entry in &found.servers {
            if let Some(wrapped) = stdio(entry).and_then(Stdio::wrapped) {
                aliases.taken(&wrapped.alias, &wrapped.command, &owner(place, entry));
            }
        }
    }
    let files = seen.into_iter().filter_map(|seen| match seen.looked {
        Looked::File(found) => Some((seen.place, found)),
        _ => None,
    });
    files.map(|(place, found)| of_file(place, found, program, &mut aliases)).collect()
}

/// Whose server it is, for people.
fn owner(place: &Place, entry: &Entry) -> String {
    format!("`{}` of {}", entry.name, place.client.name())
}

fn found(looked: &Looked) -> Option<&Found> {
    match looked {
        Looked::File(found) => Some(found),
        _ => None,
    }
}

fn stdio(entry: &Entry) -> Option<&Stdio> {
    match &entry.kind {
        Kind::Stdio(stdio) => Some(stdio),
        _ => None,
    }
}

fn of_file(place: Place, found: Found, program: &Program, aliases: &mut Aliases) -> FilePlan {
    let mut servers: Vec<ServerPlan> =
        found.servers.iter().map(|entry| of_server(&place, entry, program, aliases)).collect();
    let mut splices = Vec::new();
    for (entry, server) in found.servers.iter().zip(&servers) {
        if let (Kind::Stdio(stdio), ServerState::ToWrap(alias)) = (&entry.kind, &server.state) {
            splices.extend(wrap(&found.text, stdio, &program.prefix(alias)));
        }
    }
    let written =
        if splices.is_empty() { None } else { checked(&place, &found, &servers, &splices, program) };
    if written.is_none() {
        for server in &mut servers {
            if matches!(server.state, ServerState::ToWrap(_)) {
                server.state = ServerState::LeftAlone(
                    "its file is written in a way that cannot be edited safely: wrap it by hand".to_owned(),
                );
            }
        }
        splices.clear();
    }
    let masks = found.masks(place.layout, &shown(&found.text, &splices));
    let masked = apply(&found.text, &masks).unwrap_or_default();
    let diff = diff(&masked, &shifted(&splices, &masks)).unwrap_or_default();
    let (after, wired) = written.map_or((None, Vec::new()), |(after, wired)| (Some(after), wired));
    FilePlan {
        place,
        real: found.real,
        servers,
        remark: found.remark,
        before: found.text,
        after,
        wired,
        diff,
    }
}

fn of_server(place: &Place, entry: &Entry, program: &Program, aliases: &mut Aliases) -> ServerPlan {
    let mut remark = None;
    let (state, command) = match &entry.kind {
        Kind::Remote(_) => (ServerState::Remote, Vec::new()),
        Kind::Odd(why) => (ServerState::LeftAlone(why.clone()), Vec::new()),
        Kind::Stdio(stdio) => match stdio.wrapped() {
            Some(wrapped) => {
                let numbered =
                    || aliases.numbered(&entry.name, &wrapped.alias, &wrapped.command).map(taken_by);
                remark = amiss(&wrapped, program).or_else(numbered);
                (ServerState::Wrapped(wrapped.alias), wrapped.command)
            }
            None => {
                let command = stdio.words();
                let assigned = aliases.assign(&entry.name, &command, &owner(place, entry));
                remark = assigned.taken_by.map(taken_by);
                (ServerState::ToWrap(assigned.alias), command)
            }
        },
    };
    ServerPlan { name: entry.name.clone(), project: entry.project.clone(), state, command, remark }
}

/// Why a name has a number.
fn taken_by((stem, owner): (String, String)) -> String {
    format!("`{stem}` stands for {owner}, which is another command")
}

/// What is amiss with a server that is wrapped: a program that is gone, or a record that is kept somewhere else.
fn amiss(wrapped: &Wrapped, program: &Program) -> Option<String> {
    let path = Path::new(&wrapped.program);
    if path.is_absolute() && !path.exists() {
        return Some(format!("there is no `{}` any more: take it back and wrap it again", wrapped.program));
    }
    let other = ["--data", "--config"].into_iter().find_map(|name| {
        let (its, ours) = (option(&wrapped.own, name), option(&program.options, name));
        let shown = |value: Option<&str>| {
            value.map_or_else(|| format!("no {name}"), |value| format!("{name} {value}"))
        };
        (its != ours).then(|| format!("with `{}`, not `{}` as here", shown(its), shown(ours)))
    });
    other.map(|other| format!("{other}: it may be recorded elsewhere"))
}

/// The new text, if it reads as it should: each server wrapped as planned, all else as it was. What to remember of
/// each comes with it.
fn checked(
    place: &Place,
    found: &Found,
    servers: &[ServerPlan],
    splices: &[Splice],
    program: &Program,
) -> Option<(String, Vec<WiredServer>)> {
    let after = apply(&found.text, splices)?;
    let now = read(&after, place.layout).ok()?;
    if now.len() != found.servers.len() {
        return None;
    }
    let mut wired = Vec::new();
    for ((old, new), server) in found.servers.iter().zip(&now).zip(servers) {
        if (&old.name, &old.project) != (&new.name, &new.project) {
            return None;
        }
        let (Some(old), Some(new)) = (stdio(old), stdio(new)) else {
            // of what is no command only that it still is none can be said
            match (stdio(old), stdio(new)) {
                (None, None) => continue,
                _ => return None,
            }
        };
        let ServerState::ToWrap(alias) = &server.state else {
            if old.words() == new.words() {
                continue;
            }
            return None;
        };
        if new.words() != program.prefix(alias).before(&old.words()) {
            return None;
        }
        let literal = |text: &str, at: std::ops::Range<usize>| text.get(at).map(str::to_owned);
        let new_args = new.args.as_ref()?;
        wired.push(WiredServer {
            name: server.name.clone(),
            project: server.project.clone(),
            alias: alias.clone(),
            command: server.command.clone(),
            digest: command_digest(&new.words()).to_string(),
            command_text: literal(&found.text, old.command.at.clone())?,
            args_before: old.args.as_ref().and_then(|args| literal(&found.text, args.at.clone())),
            args_after: literal(&after, new_args.at.clone())?,
            inserted: match &old.args {
                Some(_) => None,
                None => Some(literal(&after, new.room.at..new_args.at.end)?),
            },
        });
    }
    Some((after, wired))
}

#[cfg(test)]
mod tests;
