//! The bundle, `.deeds` (format §9): one deterministic CBOR map, then SHA-256 over it.
//!
//! Decoding accepts exactly what encoding writes. It looks at the container alone: entries, the checkpoint and field
//! values are bytes here.

use evidence::cbor::{CborError, Decoder, Encoder, Type};
use evidence::digest::Digest;
use evidence::id::Id;
use evidence::limits::{BUNDLE_ENTRIES_MAX, BUNDLE_MAX_BYTES};

use crate::finding::{Code, Findings};
use crate::limits::OPENED_VALUE_MAX_BYTES;

/// The container version that this code reads and writes.
const VERSION: u64 = 0;
const DIGEST_BYTES: usize = 32;
const ACTION: &str = "action";
const RUN: &str = "run";

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Fewer bytes than a digest and one more.
    #[error(
        "{0} bytes are no bundle: it ends in a digest of {DIGEST_BYTES} bytes; the file may have been cut short"
    )]
    TooShort(usize),
    /// More than the format allows.
    #[error("the bundle has {0} bytes, more than the {BUNDLE_MAX_BYTES} that the format allows")]
    TooLong(usize),
    /// The digest at the end is another.
    #[error(
        "the digest at the end of the bundle is not that of its content: it was altered or damaged, get it again"
    )]
    Digest,
    /// Not the canonical bytes of any bundle.
    #[error("not a bundle: {0}")]
    Malformed(#[from] CborError),
    /// Another version.
    #[error("a bundle of version {0}, which this program cannot read: use a newer one")]
    Version(u64),
    /// A member that the verifier needs.
    #[error("the bundle lacks its member {0}")]
    Missing(u64),
}

/// One evidence file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Origin of the log.
    pub origin: String,
    /// Leaf hash of entry 0.
    pub log_id: [u8; 32],
    /// The signed checkpoint that every item is proven against.
    pub checkpoint: Vec<u8>,
    /// By index, strictly ascending.
    pub items: Vec<Item>,
    /// What it is about.
    pub subject: Option<Subject>,
    /// A checkpoint from before, and that the later one extends it.
    pub earlier: Option<Earlier>,
}

/// One entry, with the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Log index.
    pub index: u64,
    /// Canonical bytes of the entry.
    pub entry: Vec<u8>,
    /// RFC 6962 inclusion path, the leaf's sibling first.
    pub path: Vec<[u8; 32]>,
    /// One per field of the entry in id order; none where nothing of the entry is shown.
    pub fields: Option<Vec<Shown>>,
}

/// How one field is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Its commitment alone.
    Withheld([u8; 32]),
    /// Its value, with the salt that the commitment needs.
    Opened {
        /// Of the commitment.
        salt: [u8; 16],
        /// JSON text, byte-exact.
        value: Vec<u8>,
    },
}

/// What a bundle is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The action with this `act_id`.
    Action(Id),
    /// A run.
    Run(Id),
}

/// An earlier checkpoint: what the log already held then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The signed note.
    pub checkpoint: Vec<u8>,
    /// RFC 6962 consistency proof from it to the bundle's checkpoint.
    pub proof: Vec<[u8; 32]>,
}

impl Bundle {
    /// Canonical bytes, with the digest at the end.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.map(5 + usize::from(self.subject.is_some()) + usize::from(self.earlier.is_some()));
        out.uint(0).uint(VERSION).uint(1).text(&self.origin).uint(2).bytes(&self.log_id);
        out.uint(3).bytes(&self.checkpoint).uint(4).array(self.items.len());
        for item in &self.items {
            item.encode(&mut out);
        }
        if let Some(subject) = &self.subject {
            let (kind, id) = match subject {
                Subject::Action(id) => (ACTION, id),
                Subject::Run(id) => (RUN, id),
            };
            out.uint(5).map(2).uint(0).text(kind).uint(1).bytes(id);
        }
        if let Some(earlier) = &self.earlier {
            out.uint(6).array(2).bytes(&earlier.checkpoint);
            encode_hashes(&earlier.proof, &mut out);
        }
        let mut bytes = out.finish();
        let digest = Digest::of(&bytes);
        bytes.extend(digest.0);
        bytes
    }

    /// Reads canonical bytes; whatever [`Bundle::encode`] would write differently is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let (content, digest) = split(bytes)?;
        if Digest::of(content).0 != *digest {
            return Err(BundleError::Digest);
        }
        Self::decode_content(content)
    }

    fn decode_content(content: &[u8]) -> Result<Self, BundleError> {
        let mut input = Decoder::new(content);
        let mut members = Members::default();
        let mut last = None;
        for _ in 0..input.map(usize::MAX)? {
            let key = input.key_after(last)?;
            members.read(key, &mut input)?;
            last = Some(key);
        }
        input.end()?;
        members.complete()
    }
}

/// Step 1 of format §10: the bundle, or nothing where it is unreadable.
pub(crate) fn open(bytes: &[u8], findings: &mut Findings) -> Option<Bundle> {
    let read = split(bytes).and_then(|(content, digest)| {
        if Digest::of(content).0 != *digest {
            findings.whole(Code::BundleDigest, BundleError::Digest.to_string());
        }
        Bundle::decode_content(content)
    });
    read.map_err(|error| findings.whole(Code::BundleMalformed, error.to_string())).ok()
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8; DIGEST_BYTES]), BundleError> {
    if bytes.len() > BUNDLE_MAX_BYTES {
        return Err(BundleError::TooLong(bytes.len()));
    }
    let parts = bytes.split_last_chunk().filter(|(content, _)| !content.is_empty());
    parts.ok_or(BundleError::TooShort(bytes.len()))
}

/// Members as they are read; which of them must be there is decided at the end.
#[derive(Default)]
struct Members {
    version: Option<u64>,
    origin: Option<String>,
    log_id: Option<[u8; 32]>,
    checkpoint: Option<Vec<u8>>,
    items: Option<Vec<Item>>,
    subject: Option<Subject>,
    earlier: Option<Earlier>,
}

impl Members {
    fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), BundleError> {
        match key {
            0 => {
                let version = input.uint()?;
                if version != VERSION {
                    return Err(BundleError::Version(version));
                }
                self.version = Some(version);
            }
            1 => self.origin = Some(input.text()?.to_owned()),
            2 => self.log_id = Some(input.array_of()?),
            3 => self.checkpoint = Some(input.bytes()?.to_vec()),
            4 => self.items = Some(read_items(input)?),
            5 => self.subject = Some(read_subject(input)?),
            6 => self.earlier = Some(read_earlier(input)?),
            _ => return Err(input.error("a member that this version does not know").into()),
        }
        Ok(())
    }

    fn complete(self) -> Result<Bundle, BundleError> {
        self.version.ok_or(BundleError::Missing(0))?;
        Ok(Bundle {
            origin: self.origin.ok_or(BundleError::Missing(1))?,
            log_id: self.log_id.ok_or(BundleError::Missing(2))?,
            checkpoint: self.checkpoint.ok_or(BundleError::Missing(3))?,
            items: self.items.ok_or(BundleError::Missing(4))?,
            subject: self.subject,
            earlier: self.earlier,
        })
    }
}

impl Item {
    fn encode(&self, out: &mut Encoder) {
        out.map(if self.fields.is_some() { 4 } else { 3 });
        out.uint(0).uint(self.index).uint(1).bytes(&self.entry).uint(2);
        encode_hashes(&self.path, out);
        let Some(fields) = &self.fields else { return };
        out.uint(3).array(fields.len());
        for shown in fields {
            match shown {
                Shown::Withheld(commitment) => out.bytes(commitment),
                Shown::Opened { salt, value } => out.array(2).bytes(salt).bytes(value),
            };
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CborError> {
        let pairs = input.map(4)?;
        if pairs < 3 {
            return Err(input.error("an item has an index, an entry and a path"));
        }
        expect_key(input, 0)?;
        let index = input.uint()?;
        expect_key(input, 1)?;
        let entry = input.bytes()?.to_vec();
        expect_key(input, 2)?;
        let path = read_hashes(input)?;
        let fields = if pairs == 4 {
            expect_key(input, 3)?;
            Some(read_fields(input)?)
        } else {
            None
        };
        Ok(Self { index, entry, path, fields })
    }
}

fn encode_hashes(hashes: &[[u8; 32]], out: &mut Encoder) {
    out.array(hashes.len());
    for hash in hashes {
        out.bytes(hash);
    }
}

fn expect_key(input: &mut Decoder<'_>, key: u64) -> Result<(), CborError> {
    let before = input.clone();
    if input.uint()? == key {
        Ok(())
    } else {
        Err(before.error("another member than the format has at this place"))
    }
}

// Lengths that an array claims are not believed: vectors grow as their members are read, and each member costs the
// file at least one byte.

fn read_items(input: &mut Decoder<'_>) -> Result<Vec<Item>, CborError> {
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..input.array(BUNDLE_ENTRIES_MAX)? {
        let before = input.clone();
        let item = Item::decode(input)?;
        if items.last().is_some_and(|last| item.index <= last.index) {
            return Err(before.error("items whose indexes are not ascending"));
        }
        items.push(item);
    }
    Ok(items)
}

fn read_hashes(input: &mut Decoder<'_>) -> Result<Vec<[u8; 32]>, CborError> {
    let mut hashes = Vec::new();
    for _ in 0..input.array(usize::MAX)? {
        hashes.push(input.array_of()?);
    }
    Ok(hashes)
}

fn read_fields(input: &mut Decoder<'_>) -> Result<Vec<Shown>, CborError> {
    let mut fields = Vec::new();
    for _ in 0..input.array(usize::MAX)? {
        fields.push(read_field(input)?);
    }
    Ok(fields)
}

fn read_field(input: &mut Decoder<'_>) -> Result<Shown, CborError> {
    if input.peek() != Type::Array {
        return input.array_of().map(Shown::Withheld);
    }
    expect_pair(input)?;
    let salt = input.array_of()?;
    let before = input.clone();
    let value = input.bytes()?;
    if value.len() > OPENED_VALUE_MAX_BYTES {
        return Err(before.error("an opened value that is longer than the format allows"));
    }
    Ok(Shown::Opened { salt, value: value.to_vec() })
}

fn read_subject(input: &mut Decoder<'_>) -> Result<Subject, CborError> {
    let before = input.clone();
    if input.map(2)? != 2 {
        return Err(before.error("a subject is a kind and an id"));
    }
    expect_key(input, 0)?;
    let kind = input.text()?;
    expect_key(input, 1)?;
    let id = input.array_of()?;
    match kind {
        ACTION => Ok(Subject::Action(id)),
        RUN => Ok(Subject::Run(id)),
        _ => Err(before.error("a subject that is neither an action nor a run")),
    }
}

fn read_earlier(input: &mut Decoder<'_>) -> Result<Earlier, CborError> {
    expect_pair(input)?;
    Ok(Earlier { checkpoint: input.bytes()?.to_vec(), proof: read_hashes(input)? })
}

fn expect_pair(input: &mut Decoder<'_>) -> Result<(), CborError> {
    let before = input.clone();
    if input.array(2)? == 2 { Ok(()) } else { Err(before.error("expected a pair")) }
}

#[cfg(test)]
mod tests;
