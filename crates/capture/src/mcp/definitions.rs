//! Digests of what the wrapped server has told its client that it offers: tools, resources, resource templates and
//! prompts. What is new or different is told to the deeds server, in the order in which it was seen.
//!
//! A list may come in pages. It was seen whole if its pages followed each other from the first one, and only then is
//! anything known to be gone from it.

mod tell;

use std::collections::{BTreeMap, HashMap, VecDeque};

use evidence::Digest;
use serde_json::value::RawValue;

use super::act::is_tool_name;
use super::frame::{Frame, Id};
use super::members::Members;
use crate::api::{Define, Defined};
use crate::limits::{
    DEFINITION_NAME_MAX, DEFINITIONS_BYTES_TOLD_MAX, DEFINITIONS_MAX, DEFINITIONS_QUEUE_MAX,
    DEFINITIONS_TOLD_MAX,
};

/// What the server offers, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    lists: BTreeMap<Defined, List>,
    /// Requests for a list that are open: the digest of the cursor that they name.
    asked: HashMap<Id, Option<Digest>>,
    /// To be told, oldest first.
    queue: VecDeque<Define>,
    /// Whether somebody is telling.
    telling: bool,
}

/// Name to the digest of the definition; nothing for one that was defined in two ways.
type Names = BTreeMap<String, Option<Digest>>;

#[derive(Debug, Default)]
struct List {
    known: BTreeMap<String, Digest>,
    /// Pages since the first one, while they follow each other.
    walk: Option<Walk>,
    /// Whether all that is known was told.
    is_told: bool,
    /// Whether it was told, too, that there is nothing else.
    is_told_whole: bool,
}

#[derive(Debug)]
struct Walk {
    names: Names,
    /// The cursor of the next page.
    expects: Option<Digest>,
    /// More names than are kept.
    overflown: bool,
}

/// What one page changes.
#[derive(Debug, Default)]
struct News {
    names: BTreeMap<String, Digest>,
    gone: Vec<String>,
    whole: bool,
}

impl Definitions {
    /// The digest under which something was last listed.
    pub(crate) fn digest_of(&self, list: Defined, name: &str) -> Option<String> {
        self.lists.get(&list)?.known.get(name).map(Digest::to_string)
    }

    /// The client asks for (a page of) a list.
    pub(crate) fn ask(&mut self, id: &Id, request: &Frame) {
        let cursor =
            request.params().and_then(Members::of).and_then(|params| digest_of(params.get("cursor")));
        self.asked.insert(id.clone(), cursor);
    }

    /// The server has answered it; nothing when it did so with an error.
    pub(crate) fn answered(&mut self, id: &Id, list: Defined, response: Option<&Frame>) {
        let Some(cursor) = self.asked.remove(id) else { return };
        let Some(response) = response else { return };
        let news = self.lists.entry(list).or_default().learn(list, cursor, response);
        for message in news.messages(list, &response.digest()) {
            if self.queue.len() < DEFINITIONS_QUEUE_MAX {
                self.queue.push_back(message);
            } else {
                self.untold(list);
            }
        }
    }

    /// What was to be told of a list was not: it is told anew when the list comes again.
    fn untold(&mut self, list: Defined) {
        let list = self.lists.entry(list).or_default();
        (list.is_told, list.is_told_whole) = (false, false);
    }
}

impl List {
    fn learn(&mut self, list: Defined, cursor: Option<Digest>, response: &Frame) -> News {
        let result = response.body().and_then(Members::of);
        let get = |name| result.as_ref().and_then(|result| result.get(name));
        let page = listed(list, get(key(list)));
        let next = digest_of(get("nextCursor").filter(|cursor| *cursor != "null"));
        let (page, whole) = self.walk_on(cursor, page, next);
        self.take(page, whole)
    }

    /// Adds a page to those before it. The page as it is to be taken, and the whole list once it was seen.
    fn walk_on(
        &mut self,
        cursor: Option<Digest>,
        page: Names,
        next: Option<Digest>,
    ) -> (Names, Option<Names>) {
        let mut walk = match self.walk.take() {
            Some(walk) if cursor.is_some() && walk.expects == cursor => walk,
            _ if cursor.is_none() => Walk { names: Names::new(), expects: None, overflown: false },
            _ => return (page, None),
        };
        let mut taken = Names::new();
        for (name, digest) in page {
            if !walk.names.contains_key(&name) && walk.names.len() >= DEFINITIONS_MAX {
                walk.overflown = true;
                continue;
            }
            // two pages may define one name in two ways, as one page may
            let seen = walk.names.entry(name.clone()).or_insert(digest);
            *seen = seen.filter(|seen| Some(*seen) == digest);
            taken.insert(name, *seen);
        }
        if next.is_some() {
            self.walk = Some(Walk { expects: next, ..walk });
            return (taken, None);
        }
        let whole = (!walk.overflown).then_some(walk.names);
        (taken, whole)
    }

    fn take(&mut self, page: Names, whole: Option<Names>) -> News {
        let mut news = News::default();
        if !core::mem::replace(&mut self.is_told, true) {
            news.names.clone_from(&self.known);
        }
        if let Some(whole) = &whole {
            news.gone
                .extend(self.known.extract_if(.., |name, _| !whole.contains_key(name)).map(|(name, _)| name));
        }
        for (name, digest) in page {
            let known = self.known.get(&name).copied();
            match digest {
                Some(digest) if known == Some(digest) => {}
                Some(_) if known.is_none() && self.known.len() >= DEFINITIONS_MAX => {}
                Some(digest) => {
                    self.known.insert(name.clone(), digest);
                    news.names.insert(name, digest);
                }
                // client and server may mean different definitions: none is known
                None => news.gone.extend(self.known.remove(&name).map(|_| name)),
            }
        }
        for gone in &news.gone {
            news.names.remove(gone);
        }
        let changed = !news.names.is_empty() || !news.gone.is_empty();
        let is_certain = whole.is_some_and(|whole| whole.values().all(Option::is_some));
        if is_certain && (changed || !self.is_told_whole) && fits(&self.known, &news.gone) {
            news.names.clone_from(&self.known);
            news.whole = true;
        }
        if news.whole || changed {
            self.is_told_whole = news.whole;
        }
        news
    }
}

impl News {
    fn messages(self, list: Defined, frame_digest: &str) -> Vec<Define> {
        let message = |names: BTreeMap<String, String>, gone, complete| Define {
            stream: 0,
            list,
            names,
            gone,
            complete,
            frame_digest: Some(frame_digest.to_owned()),
        };
        if self.whole {
            let names = self.names.into_iter().map(|(name, digest)| (name, digest.to_string())).collect();
            return vec![message(names, self.gone, true)];
        }
        let mut messages = Vec::new();
        let (mut names, mut gone, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
        let named = self.names.into_iter().map(|(name, digest)| (name, Some(digest)));
        let all = named.chain(self.gone.into_iter().map(|name| (name, None)));
        for (name, digest) in all {
            let size = told_bytes(&name);
            if names.len() + gone.len() >= DEFINITIONS_TOLD_MAX || bytes + size > DEFINITIONS_BYTES_TOLD_MAX {
                messages.push(message(core::mem::take(&mut names), core::mem::take(&mut gone), false));
                bytes = 0;
            }
            bytes += size;
            match digest {
                Some(digest) => drop(names.insert(name, digest.to_string())),
                None => gone.push(name),
            }
        }
        if !names.is_empty() || !gone.is_empty() {
            messages.push(message(names, gone, false));
        }
        messages
    }
}

/// Whether one message can tell them all.
fn fits(known: &BTreeMap<String, Digest>, gone: &[String]) -> bool {
    let bytes: usize = known.keys().chain(gone).map(|name| told_bytes(name)).sum();
    known.len().max(gone.len()) <= DEFINITIONS_TOLD_MAX && bytes <= DEFINITIONS_BYTES_TOLD_MAX
}

/// What a name takes in a message, with its digest string: no less than where it is recorded.
fn told_bytes(name: &str) -> usize {
    evidence::json::jcs(&name.into()).len() + 80
}

/// The member of a result that holds the definitions.
fn key(list: Defined) -> &'static str {
    match list {
        Defined::Tool => "tools",
        Defined::Resource => "resources",
        Defined::ResourceTemplate => "resourceTemplates",
        Defined::Prompt => "prompts",
        Defined::Server => "",
    }
}

/// The member of a definition that names it.
fn name_key(list: Defined) -> &'static str {
    match list {
        Defined::Resource => "uri",
        Defined::ResourceTemplate => "uriTemplate",
        Defined::Tool | Defined::Prompt | Defined::Server => "name",
    }
}

/// Each definition of a page with its digest.
fn listed(list: Defined, items: Option<&str>) -> Names {
    let items: Vec<&RawValue> = items.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let mut listed = Names::new();
    for item in items {
        let name = Members::of(item.get()).and_then(|members| members.string(name_key(list)));
        let Some(name) = name.filter(|name| is_name(list, name)) else { continue };
        let digest = Some(of_definition(item.get()));
        let seen = listed.entry(name).or_insert(digest);
        *seen = seen.filter(|seen| Some(*seen) == digest);
    }
    listed
}

/// The digest of a definition as JSON (RFC 8785), whatever the order of its members: one server writes the same
/// definitions in another order to clients of another revision. Where readers may differ in what the numbers are, it is
/// that of the exact bytes.
fn of_definition(text: &str) -> Digest {
    match evidence::json::parse_i_json(text.as_bytes()) {
        Ok(definition) => Digest::of(&evidence::json::jcs(&definition)),
        Err(_) => Digest::of(text.as_bytes()),
    }
}

fn is_name(list: Defined, name: &str) -> bool {
    match list {
        Defined::Tool => is_tool_name(name),
        _ => (1..=DEFINITION_NAME_MAX).contains(&name.len()),
    }
}

/// The digest of a cursor: it may be long, and is only compared.
fn digest_of(cursor: Option<&str>) -> Option<Digest> {
    let text: String = serde_json::from_str(cursor?).ok()?;
    Some(Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests;
