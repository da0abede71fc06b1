//! What is last known of the servers that runs wrap: what they offer, what they are, and where that was told.
//!
//! Kept by the server's name and the digest of its command: one alias may stand for several commands at a time, in
//! tasks of their own, and the lists of one say nothing about those of the other.

use std::collections::BTreeMap;

use evidence::Digest;
use evidence::definition::{List, Told};
use serde::{Deserialize, Serialize};

use super::hex32;
use super::run::Wrapped;
use crate::limits::{DEFINED_NAMES, DEFINED_NAMES_OF_ONE, SERVERS};

/// A digest, and where it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The digest.
    #[serde(with = "hex32")]
    pub digest: [u8; 32],
    /// Index of the entry.
    pub index: u64,
}

/// One difference between what was known of a server and what it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name, in its list.
    pub name: String,
    /// What was known; nothing for what is new.
    pub old: Option<Last>,
    /// What it tells; nothing for what is gone.
    pub new: Option<Digest>,
}

/// All servers, by name and then by command. Never more than [`SERVERS`] and [`DEFINED_NAMES`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definitions(BTreeMap<String, Named>);

/// What goes by one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    /// Digest string of the command that was started last, and where that is recorded.
    command: String,
    index: u64,
    by_command: BTreeMap<String, Known>,
}

/// What is known of a server that one command runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Index of the last entry about it.
    seen: u64,
    lists: BTreeMap<String, Listed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// Whether the list was known as a whole: what else it offers then is new.
    whole: bool,
    names: BTreeMap<String, Last>,
}

impl Known {
    fn size(&self) -> usize {
        self.lists.values().map(|list| list.names.len()).sum()
    }
}

impl Definitions {
    /// The command that this name stood for last, digest string and index, where it never stood for the one that
    /// `started`.
    pub fn other_command(&self, started: &Wrapped) -> Option<(&str, u64)> {
        let named = self.0.get(&started.server)?;
        let known = named.command == started.command || named.by_command.contains_key(&started.command);
        (!known).then_some((named.command.as_str(), named.index))
    }

    /// A run of a server began.
    pub(super) fn started(&mut self, server: &Wrapped, index: u64) {
        let named = self.0.entry(server.server.clone()).or_insert_with(|| Named {
            command: String::new(),
            index,
            by_command: BTreeMap::new(),
        });
        named.command.clone_from(&server.command);
        named.index = index;
        named.by_command.entry(server.command.clone()).or_default().seen = index;
        self.bound();
    }

    /// How what a server tells differs from what was last known of it, by name. What is told of it for the first time
    /// is no difference, and neither is what was only not known of the server itself.
    pub fn differences(&self, server: &Wrapped, told: &Told) -> Vec<Difference> {
        let known = self.0.get(&server.server).and_then(|named| named.by_command.get(&server.command));
        let Some(list) = known.and_then(|known| known.lists.get(told.list.as_str())) else {
            return Vec::new();
        };
        let tells_new = list.whole && told.list != List::Server;
        let told_now = told.names.iter().filter_map(|(name, digest)| {
            let old = list.names.get(name).copied();
            let differs = old.map_or(tells_new, |old| old.digest != digest.0);
            differs.then(|| Difference { name: name.clone(), old, new: Some(*digest) })
        });
        let gone = list.names.iter().filter(|(name, _)| is_gone(told, name));
        let gone = gone.map(|(name, old)| Difference { name: name.clone(), old: Some(*old), new: None });
        let mut differences: Vec<_> = told_now.chain(gone).collect();
        differences.sort_by(|one, other| one.name.cmp(&other.name));
        differences
    }

    /// A server told something, in the entry with this index.
    pub(super) fn learn(&mut self, server: &Wrapped, told: &Told, index: u64) {
        let named = self.0.get_mut(&server.server);
        // a server that was forgotten while its run went on is known again from its next run on
        let Some(known) = named.and_then(|named| named.by_command.get_mut(&server.command)) else { return };
        known.seen = index;
        let mut size = known.size();
        let list = known.lists.entry(told.list.as_str().to_owned()).or_default();
        let before = list.names.len();
        list.names.retain(|name, _| !is_gone(told, name));
        size -= before - list.names.len();
        list.whole |= told.complete;
        for (name, digest) in &told.names {
            if let Some(last) = list.names.get_mut(name) {
                *last = Last { digest: digest.0, index };
            } else if size < DEFINED_NAMES_OF_ONE {
                list.names.insert(name.clone(), Last { digest: digest.0, index });
                size += 1;
            } else {
                // one server cannot have what is known of the others forgotten; what it offers beyond is not known
                list.whole = false;
            }
        }
        self.bound();
    }

    /// Forgets the servers that were not seen for longest, until the limits hold.
    fn bound(&mut self) {
        loop {
            let all = || self.0.values().flat_map(|named| named.by_command.values());
            if all().count() <= SERVERS && all().map(Known::size).sum::<usize>() <= DEFINED_NAMES {
                return;
            }
            let servers = self.0.iter().flat_map(|(name, named)| {
                named.by_command.iter().map(move |(command, known)| (known.seen, name, command))
            });
            let Some((_, name, command)) = servers.min() else { return };
            let (name, command) = (name.clone(), command.clone());
            if let Some(named) = self.0.get_mut(&name) {
                named.by_command.remove(&command);
                if named.by_command.is_empty() {
                    self.0.remove(&name);
                }
            }
        }
    }
}

/// Whether a name that was offered is no more.
fn is_gone(told: &Told, name: &str) -> bool {
    !told.names.contains_key(name) && (told.complete || told.gone.iter().any(|gone| gone == name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(name: &str, command: &str) -> Wrapped {
        Wrapped { server: name.into(), command: command.into(), facts: BTreeMap::new() }
    }

    fn told(names: impl IntoIterator<Item = (String, u8)>, gone: &[&str], complete: bool) -> Told {
        Told {
            server: "s".into(),
            list: List::Tool,
            names: names.into_iter().map(|(name, version)| (name, Digest([version; 32]))).collect(),
            gone: gone.iter().map(|name| (*name).to_owned()).collect(),
            complete,
        }
    }

    fn numbered(range: core::ops::Range<usize>) -> impl Iterator<Item = (String, u8)> {
        range.map(|n| (format!("{n:06}"), 1))
    }

    fn known(definitions: &Definitions, of: &Wrapped) -> usize {
        let named = definitions.0.get(&of.server);
        named.and_then(|named| named.by_command.get(&of.command)).map_or(0, Known::size)
    }

    #[test]
    fn the_server_that_was_not_seen_for_longest_is_forgotten() {
        let mut definitions = Definitions::default();
        let nth = |n: usize| server(&format!("s{}", n / 2), &format!("c{}", n % 2));
        for n in 0..SERVERS {
            definitions.started(&nth(n), n as u64);
        }
        definitions.started(&nth(0), SERVERS as u64);
        assert_eq!(definitions.other_command(&server("s1", "c9")), Some(("c1", 3)));
        // one more, and the second goes: the first was seen since
        definitions.started(&nth(SERVERS), SERVERS as u64 + 1);
        let first = &definitions.0["s0"];
        assert_eq!(first.by_command.keys().collect::<Vec<_>>(), ["c0"]);
        // what the name stood for last is no other command, though it was forgotten
        definitions.started(&nth(SERVERS + 1), SERVERS as u64 + 2);
        assert!(!definitions.0["s1"].by_command.contains_key("c0"));
        definitions.started(&nth(SERVERS + 2), SERVERS as u64 + 3);
        assert!(!definitions.0.contains_key("s1"), "and a name without commands is unknown");
        assert_eq!(definitions.other_command(&server("s1", "c9")), None);
    }

    #[test]
    fn names_are_bounded_of_one_server_and_of_all() {
        let mut definitions = Definitions::default();
        let one = server("one", "c");
        definitions.started(&one, 0);
        definitions.learn(&one, &told(numbered(0..DEFINED_NAMES_OF_ONE), &[], true), 1);
        assert_eq!(known(&definitions, &one), DEFINED_NAMES_OF_ONE);
        assert_eq!(definitions.differences(&one, &told([("x".into(), 1)], &[], false)).len(), 1);
        // one past: it is not remembered, and from then on nothing is known to be new
        definitions.learn(&one, &told([("x".into(), 1)], &[], false), 2);
        assert_eq!(known(&definitions, &one), DEFINED_NAMES_OF_ONE);
        assert!(definitions.differences(&one, &told([("y".into(), 1)], &[], false)).is_empty());
        // what is remembered is still compared, and room that was freed is used
        assert_eq!(definitions.differences(&one, &told([("000000".into(), 2)], &[], false)).len(), 1);
        definitions.learn(&one, &told([("x".into(), 1)], &["000000"], false), 3);
        assert_eq!(known(&definitions, &one), DEFINED_NAMES_OF_ONE);
        assert_eq!(definitions.differences(&one, &told([("x".into(), 2)], &[], false)).len(), 1);

        let others = DEFINED_NAMES / DEFINED_NAMES_OF_ONE;
        for n in 1..others {
            let other = server(&format!("other {n}"), "c");
            definitions.started(&other, 10 * n as u64);
            let names = told(numbered(0..DEFINED_NAMES_OF_ONE), &[], true);
            definitions.learn(&other, &names, 10 * n as u64 + 1);
        }
        assert_eq!(known(&definitions, &one), DEFINED_NAMES_OF_ONE, "just full");
        let last = server("last", "c");
        definitions.started(&last, 1_000);
        definitions.learn(&last, &told([("x".into(), 1)], &[], true), 1_001);
        assert_eq!((known(&definitions, &one), known(&definitions, &last)), (0, 1));
        // told again by a run that went on, it is nothing: its next run makes it known
        definitions.learn(&one, &told([("x".into(), 1)], &[], true), 1_002);
        assert_eq!(known(&definitions, &one), 0);
    }

    #[test]
    fn a_server_cannot_have_another_one_forgotten() {
        let mut definitions = Definitions::default();
        let (honest, flood) = (server("honest", "c"), server("flood", "c"));
        definitions.started(&honest, 0);
        definitions.learn(&honest, &told([("read".into(), 1)], &[], true), 1);
        definitions.started(&flood, 2);
        for round in 0..200 {
            let names = told(numbered(round * 256..(round + 1) * 256), &[], false);
            definitions.learn(&flood, &names, 3 + round as u64);
        }
        assert_eq!(definitions.differences(&honest, &told([("read".into(), 2)], &[], true)).len(), 1);
    }

    type Telling = (Vec<(u8, u8)>, Vec<u8>, bool);

    proptest! {
        /// What was just told differs in nothing, and the differences lead from what was known to what is.
        #[test]
        fn differences_are_what_learning_changes(
            tellings in prop::collection::vec(
                (
                    prop::collection::vec((0_u8..6, 0_u8..3), 0..5),
                    prop::collection::vec(0_u8..6, 0..3),
                    any::<bool>(),
                ),
                1..12,
            )
        ) {
            let mut definitions = Definitions::default();
            let one = server("s", "c");
            definitions.started(&one, 0);
            let names = |definitions: &Definitions| {
                let known = definitions.0["s"].by_command["c"].lists.get("tool").cloned().unwrap_or_default();
                known.names.into_iter().map(|(name, last)| (name, last.digest)).collect::<BTreeMap<_, _>>()
            };
            for (index, telling) in (1..).zip(tellings) {
                let (there, gone, complete): Telling = telling;
                let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
                let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
                let there = there.into_iter().map(|(name, version)| (name.to_string(), version));
                let telling = told(there, &gone, complete);
                let mut expected = names(&definitions);
                for Difference { name, old, new } in definitions.differences(&one, &telling) {
                    prop_assert_eq!(expected.get(&name).copied(), old.map(|old| old.digest));
                    match new {
                        Some(new) => expected.insert(name, new.0),
                        None => expected.remove(&name),
                    };
                }
                // what is seen for the first time is learned and is no difference
                for (name, digest) in &telling.names {
                    expected.entry(name.clone()).or_insert(digest.0);
                }
                definitions.learn(&one, &telling, index);
                prop_assert_eq!(names(&definitions), expected);
                prop_assert!(definitions.differences(&one, &telling).is_empty());
            }
        }
    }
}
