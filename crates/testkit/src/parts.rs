//! A bundle in parts (format §9), each of which can be replaced before it is encoded.

use evidence::cbor::Encoder;
use evidence::id::Id;
use evidence::{Digest, Kind};
use tlog::Hash;

use crate::log::{LogBuilder, Written};

/// One field of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartField {
    /// Its commitment.
    Withheld(Hash),
    /// Its salt and value.
    Opened([u8; 16], Vec<u8>),
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartItem {
    /// Log index.
    pub index: u64,
    /// Entry bytes.
    pub entry: Vec<u8>,
    /// Inclusion path.
    pub path: Vec<Hash>,
    /// Fields, where any is shown.
    pub fields: Option<Vec<PartField>>,
}

/// A bundle before encoding. Whether it makes sense is up to the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Container version.
    pub version: u64,
    /// Origin.
    pub origin: String,
    /// Leaf hash of entry 0.
    pub log_id: Hash,
    /// Signed note.
    pub checkpoint: Vec<u8>,
    /// Items, in the order they are written.
    pub items: Vec<PartItem>,
    /// Kind and id of what it is about.
    pub subject: Option<(String, Id)>,
    /// Earlier note and consistency proof.
    pub earlier: Option<(Vec<u8>, Vec<Hash>)>,
}

impl Parts {
    /// The map, without the digest.
    pub fn content(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        let optional = usize::from(self.subject.is_some()) + usize::from(self.earlier.is_some());
        out.map(5 + optional).uint(0).uint(self.version).uint(1).text(&self.origin);
        out.uint(2).bytes(&self.log_id).uint(3).bytes(&self.checkpoint).uint(4).array(self.items.len());
        for item in &self.items {
            out.map(3 + usize::from(item.fields.is_some())).uint(0).uint(item.index);
            out.uint(1).bytes(&item.entry).uint(2);
            hashes(&mut out, &item.path);
            if let Some(fields) = &item.fields {
                out.uint(3).array(fields.len());
                for field in fields {
                    match field {
                        PartField::Withheld(commitment) => out.bytes(commitment),
                        PartField::Opened(salt, value) => out.array(2).bytes(salt).bytes(value),
                    };
                }
            }
        }
        if let Some((kind, id)) = &self.subject {
            out.uint(5).map(2).uint(0).text(kind).uint(1).bytes(id);
        }
        if let Some((note, proof)) = &self.earlier {
            out.uint(6).array(2).bytes(note);
            hashes(&mut out, proof);
        }
        out.finish()
    }

    /// The whole file.
    pub fn encode(&self) -> Vec<u8> {
        Self::seal(self.content())
    }

    /// Any content with its digest.
    pub fn seal(mut content: Vec<u8>) -> Vec<u8> {
        let digest = Digest::of(&content);
        content.extend(digest.0);
        content
    }

    /// The item with a log index.
    pub fn item(&mut self, index: u64) -> &mut PartItem {
        self.items.iter_mut().find(|item| item.index == index).expect("an item of the bundle")
    }

    /// Leaves an item out.
    #[must_use]
    pub fn without(mut self, index: u64) -> Self {
        self.items.retain(|item| item.index != index);
        self
    }

    /// Says what the bundle is about.
    #[must_use]
    pub fn about(mut self, kind: &str, id: Id) -> Self {
        self.subject = Some((kind.to_owned(), id));
        self
    }
}

impl LogBuilder {
    /// Whether the checks of format §10 read a field.
    pub fn needed(kind: Kind, name: &str) -> bool {
        let names: &[&str] = match kind {
            Kind::LogGenesis => &["log_key", "issuer", "issuer_key", "tenant"],
            Kind::RunStarted => &["parent"],
            Kind::Delegated => &["token", "request"],
            Kind::Revoked => &["what", "target", "eff", "token"],
            Kind::ChildStarted => &["child"],
            Kind::HaltedOrResumed => &["change", "on", "token", "halt"],
            Kind::Decided => &[
                "act_id",
                "chain",
                "pop",
                "decided_at_ms",
                "tool",
                "args",
                "args_digest",
                "policy_digest",
                "revocations",
                "verdict",
                "credential",
            ],
            Kind::Finished => &["act_id", "status"],
            Kind::PolicyActivated => &["policy_digest"],
            Kind::KeyOrTrustChanged => &["change", "principal", "key"],
            Kind::RunEnded => &["streams", "children"],
            _ => &[],
        };
        names.contains(&name)
    }

    /// A bundle of the whole log that shows every field.
    pub fn bundle(&self) -> Parts {
        self.bundle_showing(|_, _| true)
    }

    /// A bundle of the whole log that shows the fields that `shows` says yes to.
    pub fn bundle_showing(&self, shows: impl Fn(Kind, &str) -> bool) -> Parts {
        let levels = levels(self.leaves(self.size()));
        let items = self.entries.iter().enumerate().map(|(position, written)| PartItem {
            index: position as u64,
            entry: written.bytes.clone(),
            path: path(&levels, position),
            fields: shown(written, &shows),
        });
        Parts {
            version: 0,
            origin: self.origin.clone(),
            log_id: self.log_id(),
            checkpoint: self.checkpoint(self.size()).into_bytes(),
            items: items.collect(),
            subject: None,
            earlier: None,
        }
    }

    /// The consistency proof from the tree of `old` entries to the whole log (RFC 6962 §2.1.2).
    pub fn consistency(&self, old: u64) -> Vec<Hash> {
        let leaves = self.leaves(self.size());
        let old = usize::try_from(old).expect("a size in memory");
        if old == 0 { Vec::new() } else { subproof(old, &leaves, true) }
    }
}

fn hashes(out: &mut Encoder, hashes: &[Hash]) {
    out.array(hashes.len());
    for hash in hashes {
        out.bytes(hash);
    }
}

fn shown(written: &Written, shows: &impl Fn(Kind, &str) -> bool) -> Option<Vec<PartField>> {
    let entry = written.entry.as_ref()?;
    let name_of =
        |id: u8| entry.kind().map_or("", |kind| kind.fields().get(usize::from(id)).copied().unwrap_or(""));
    let opens = |id: u8| entry.kind().is_some_and(|kind| shows(kind, name_of(id)));
    if !written.fields.iter().any(|field| opens(field.id)) {
        return None;
    }
    let part = |field: &evidence::Field| {
        if opens(field.id) {
            PartField::Opened(field.salt, field.value.clone().into_bytes())
        } else {
            PartField::Withheld(field.commitment(entry.kind))
        }
    };
    Some(written.fields.iter().map(part).collect())
}

/// Every level of the tree, leaves first; an odd last node is carried up.
fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    while levels[levels.len() - 1].len() > 1 {
        let below = &levels[levels.len() - 1];
        let above = below.chunks(2).map(|pair| match pair {
            [left, right] => tlog::node_hash(left, right),
            _ => pair[0],
        });
        let above = above.collect();
        levels.push(above);
    }
    levels
}

fn path(levels: &[Vec<Hash>], position: usize) -> Vec<Hash> {
    let siblings =
        levels.iter().enumerate().filter_map(|(height, level)| level.get((position >> height) ^ 1));
    siblings.copied().collect()
}

/// SUBPROOF of RFC 6962 §2.1.2.
fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![tlog::root_of(leaves)] };
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut proof, sibling) = if old <= split {
        (subproof(old, left, whole), right)
    } else {
        (subproof(old - split, right, false), left)
    };
    proof.push(tlog::root_of(sibling));
    proof
}

#[cfg(test)]
mod tests {
    use evidence::Kind;
    use tlog::proof;

    use super::*;
    use crate::log::Draft;

    #[test]
    fn every_path_and_consistency_proof_holds() {
        let mut log = LogBuilder::empty("paths");
        for size in 1..40 {
            log.append(Draft::new(Kind::Gap));
            let root = log.root(size);
            for item in log.bundle().items {
                let leaf = tlog::leaf_hash(&item.entry);
                proof::verify_inclusion(item.index, size, &leaf, &item.path, &root).unwrap();
            }
            for old in 0..=size {
                proof::verify_consistency(old, &log.root(old), size, &root, &log.consistency(old)).unwrap();
            }
        }
    }
}
