//! Whether servers that were wrapped still are. Clients and people change configurations whenever they like, and what
//! goes around `wrap` is in nobody's path: all that can be done is to see it and to say so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evidence::Digest;
use evidence::definition::command_digest;
use serde::{Deserialize, Serialize};

use super::entries::{Entry, Kind};
use super::look::{Looked, look_at};
use super::places::{Client, Layout, Place};
use super::record::WiredFile;

/// Most servers that are watched.
const WATCHED_MAX: usize = 1_024;

/// A server that was wrapped, and how it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watched {
    client: String,
    path: PathBuf,
    project: Option<String>,
    name: String,
    wrapped: bool,
    /// Digest string of its command line; nothing while it is not there.
    digest: Option<String>,
}

/// How a server is configured now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wrapped: bool,
    /// Of its command line; nothing when it is not there.
    pub(crate) digest: Option<Digest>,
}

impl Watched {
    /// As evidence names it: client, path and name of the server there, separated by `#`.
    pub(crate) fn label(&self) -> String {
        let project = self.project.as_ref().map(|project| format!("{project}#")).unwrap_or_default();
        format!("{}:{}#{project}{}", self.client, self.path.display(), self.name)
    }

    /// How it was last seen.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest.as_deref().and_then(|digest| Digest::parse(digest).ok())
    }

    /// Whether it is wrapped now and was not, or the other way round.
    pub(crate) fn differs(&self, now: &Now) -> bool {
        self.wrapped != now.wrapped
    }

    /// Remembers how it is now.
    pub(crate) fn set(&mut self, now: &Now) {
        self.wrapped = now.wrapped;
        self.digest = now.digest.map(|digest| digest.to_string());
    }

    /// How it is configured now; nothing where that cannot be said, as in the middle of a write.
    pub(crate) fn now(&self) -> Option<Now> {
        self.seen_in(&look_at(&self.place()?))
    }

    fn place(&self) -> Option<Place> {
        let client = Client::of(&self.client)?;
        Some(Place { client, path: self.path.clone(), layout: Layout::of(client), shared: false })
    }

    fn seen_in(&self, looked: &Looked) -> Option<Now> {
        let gone = Now { wrapped: false, digest: None };
        match looked {
            Looked::Nothing => Some(gone),
            Looked::Unusable(_) => None,
            // a client that cuts its file before it writes it again leaves nothing for a moment
            Looked::File(found) if found.text.trim().is_empty() => None,
            Looked::File(found) => {
                let same = |entry: &&Entry| entry.name == self.name && entry.project == self.project;
                Some(found.servers.iter().find(same).map_or(gone, of_entry))
            }
        }
    }
}

/// How each is configured now. Every file is read once, however many servers are in it.
pub(crate) fn now_of_all(watched: &[Watched]) -> Vec<Option<Now>> {
    let mut files: BTreeMap<(&str, &Path), Vec<usize>> = BTreeMap::new();
    for (at, server) in watched.iter().enumerate() {
        files.entry((&server.client, &server.path)).or_default().push(at);
    }
    let mut all = vec![None; watched.len()];
    for servers in files.into_values() {
        let servers: Vec<_> = servers.into_iter().filter_map(|at| Some((at, watched.get(at)?))).collect();
        let Some(place) = servers.first().and_then(|(_, server)| server.place()) else { continue };
        let looked = look_at(&place);
        for (at, server) in servers {
            if let Some(now) = all.get_mut(at) {
                *now = server.seen_in(&looked);
            }
        }
    }
    all
}

fn of_entry(entry: &Entry) -> Now {
    let (wrapped, words) = match &entry.kind {
        Kind::Stdio(stdio) => (stdio.wrapped().is_some(), stdio.words()),
        Kind::Remote(url) => (false, vec![url.clone()]),
        // it has no command line that could be told
        Kind::Odd(_) => (false, Vec::new()),
    };
    Now { wrapped, digest: Some(command_digest(&words)) }
}

/// What is to be watched: what was ever seen wrapped, and what is wired now. A server is not forgotten when it is taken
/// back, because taking it back is one of the ways around.
pub(crate) fn watched(mut remembered: Vec<Watched>, wired: &[WiredFile]) -> Vec<Watched> {
    for file in wired {
        for server in file.edits.iter().flat_map(|edit| &edit.servers) {
            let known = |watched: &Watched| {
                (&watched.path, &watched.project, &watched.name)
                    == (&file.path, &server.project, &server.name)
            };
            if remembered.len() < WATCHED_MAX && !remembered.iter().any(known) {
                remembered.push(Watched {
                    client: file.client.clone(),
                    path: file.path.clone(),
                    project: server.project.clone(),
                    name: server.name.clone(),
                    wrapped: true,
                    digest: Some(server.digest.clone()),
                });
            }
        }
    }
    remembered
}

/// Where it is remembered how they were last seen.
pub(crate) fn watched_path(data: &Path) -> PathBuf {
    data.join("watched.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(text: &str) -> (tempfile::TempDir, Watched) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, text).unwrap();
        let watched = Watched {
            client: "claude-code".into(),
            path,
            project: Some("/p".into()),
            name: "s".into(),
            wrapped: true,
            digest: None,
        };
        (dir, watched)
    }

    fn text(server: &str) -> String {
        format!(r#"{{"projects":{{"/p":{{"mcpServers":{{{server}}}}}}}}}"#)
    }

    #[test]
    fn so_many_servers_are_watched_and_each_once() {
        let server = |n: usize| {
            serde_json::json!({"name": format!("s{n}"), "project": null, "alias": "s", "command": ["x"],
                "digest": "sha256:0", "command_text": "x", "args_before": null, "args_after": "[]", "inserted": null})
        };
        let file = |count: usize| -> Vec<WiredFile> {
            let servers: Vec<_> = (0..count).map(server).collect();
            let edit = serde_json::json!({"at_ms": 1, "before": null, "after": "", "servers": servers});
            vec![
                serde_json::from_value(
                    serde_json::json!({"client": "codex", "path": "/f", "edits": [edit, edit]}),
                )
                .unwrap(),
            ]
        };
        assert_eq!(watched(Vec::new(), &file(WATCHED_MAX)).len(), WATCHED_MAX);
        assert_eq!(watched(Vec::new(), &file(WATCHED_MAX + 1)).len(), WATCHED_MAX);
        // how one was last seen is not forgotten because it is wired still
        let mut seen = watched(Vec::new(), &file(1));
        seen[0].set(&Now { wrapped: false, digest: None });
        assert_eq!(watched(seen.clone(), &file(2))[0], seen[0]);
    }

    #[test]
    fn a_server_is_seen_as_it_is() {
        let (_dir, watched) = watching(&text(r#""s":{"command":"deeds","args":["wrap","--","x"]}"#));
        let now = watched.now().unwrap();
        let words = ["deeds", "wrap", "--", "x"].map(str::to_owned);
        assert_eq!(now, Now { wrapped: true, digest: Some(command_digest(&words)) });
        assert!(!watched.differs(&now));
        let see = |text: &str| {
            std::fs::write(&watched.path, text).unwrap();
            watched.now()
        };
        let bare = see(&text(r#""s":{"command":"x"}"#)).unwrap();
        assert_eq!(bare, Now { wrapped: false, digest: Some(command_digest(&["x".to_owned()])) });
        assert!(watched.differs(&bare));
        let remote = see(&text(r#""s":{"type":"http","url":"https://x"}"#)).unwrap();
        assert!(!remote.wrapped && remote.digest.is_some() && remote.digest != bare.digest);
        let gone = Some(Now { wrapped: false, digest: None });
        assert_eq!(see(&text("")), gone);
        // what is being written is neither
        assert_eq!((see("{\"proj"), see("")), (None, None));
        std::fs::remove_file(&watched.path).unwrap();
        assert_eq!(watched.now(), gone);
        assert_eq!(watched.label(), format!("claude-code:{}#/p#s", watched.path.display()));
    }

    #[test]
    fn many_servers_of_few_files_are_seen_as_each_alone() {
        let servers = r#""s":{"command":"deeds","args":["wrap","--","x"]},"t":{"command":"y"}"#;
        let (_dir, first) = watching(&text(servers));
        let other = Watched { name: "t".into(), ..first.clone() };
        let elsewhere = Watched { path: first.path.with_file_name("none"), ..first.clone() };
        let unknown = Watched { client: "of another time".into(), ..first.clone() };
        let all = [first, elsewhere, other, unknown];
        let alone: Vec<_> = all.iter().map(Watched::now).collect();
        assert_eq!(now_of_all(&all), alone);
        let wrapped: Vec<_> = alone.iter().map(|now| now.as_ref().map(|now| now.wrapped)).collect();
        assert_eq!(wrapped, [Some(true), Some(false), Some(false), None]);
    }
}
