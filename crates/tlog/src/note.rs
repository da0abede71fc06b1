//! Signed note: text with signature lines under it (C2SP signed-note).
//!
//! Only Ed25519 (type 0x01) is verified. Keys of other types are carried as [`KeyMaterial::Opaque`] and
//! their lines count as unknown; timestamped cosignatures (0x04, 0x06) become further variants there,
//! with their message built in `verify_line`.

use std::fmt;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::limits::{MAX_KEY_NAME_BYTES, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, MAX_VERIFIER_KEY_BYTES};

/// Signature type of an Ed25519 signature over the note text.
pub const TYPE_ED25519: u8 = 0x01;

/// What begins each signature line: an em dash and a space.
const LINE_START: &str = "— ";

/// First four bytes of a hash over name, type and public key; a hint, never proof, of which key signed.
pub type KeyId = [u8; 4];

/// Why a note or a verifier key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// More than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes, more than the {MAX_NOTE_BYTES} allowed")]
    TooLong(usize),
    /// Not UTF-8, or a control character other than newline.
    #[error("the note is not UTF-8 text without control characters")]
    NotText,
    /// No text, or a text that does not end in a newline.
    #[error("the text of the note is empty or does not end in a newline")]
    Text,
    /// No blank line followed by complete signature lines.
    #[error("the note does not end in a blank line and signature lines")]
    Unsigned,
    /// More than [`MAX_NOTE_SIGNATURES`].
    #[error("the note has more than the {MAX_NOTE_SIGNATURES} signature lines allowed")]
    TooManySignatures,
    /// A line after the blank one that is no signature line. Counted from 1.
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    /// Empty, too long, or with a space, a plus sign or a control character.
    #[error(
        "`{}` is not a key name: 1 to {MAX_KEY_NAME_BYTES} bytes without spaces, plus signs and control characters",
        .0.escape_debug()
    )]
    KeyName(String),
    /// Not `name+id+key`.
    #[error("the verifier key is not `<name>+<8 lower-case hex digits>+<base64 of type and key>`")]
    VerifierKey,
    /// The id in a verifier key is not that of its name and key.
    #[error("the id in the verifier key of `{0}` does not belong to its name and key; it was altered")]
    KeyIdMismatch(String),
    /// Not an Ed25519 public key, or one that anybody can sign for.
    #[error("the verifier key of `{0}` is not a usable Ed25519 public key")]
    PublicKey(String),
    /// Two of the known keys have the same name and id.
    #[error("two known keys share the name `{name}` and the id {}; remove one of them", hex(*.id))]
    Ambiguous {
        /// Name of both.
        name: String,
        /// Id of both.
        id: KeyId,
    },
    /// A line that names a known key does not verify.
    #[error("the signature of `{name}` (key {}) is wrong; the note was altered or forged", hex(*.id))]
    BadSignature {
        /// Name of the key.
        name: String,
        /// Id of the key.
        id: KeyId,
    },
    /// No line names a known key.
    #[error("no known key signed the note; pin the key of its signer, or reject the note")]
    NoKnownKey,
}

/// Key id of type `kind`: SHA-256(name ‖ 0x0A ‖ kind ‖ public key), first four bytes.
///
/// ECDSA (0x02) computes it otherwise.
pub fn key_id(name: &str, kind: u8, public_key: &[u8]) -> KeyId {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', kind]);
    hasher.update(public_key);
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    [a, b, c, d]
}

/// Public key of a [`VerifierKey`], by signature type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// Type 0x01.
    Ed25519(VerifyingKey),
    /// A type that this version does not verify: its lines count as unknown.
    Opaque {
        /// Signature type.
        kind: u8,
        /// Everything after the type byte.
        key: Vec<u8>,
    },
}

impl KeyMaterial {
    fn kind(&self) -> u8 {
        match self {
            Self::Ed25519(_) => TYPE_ED25519,
            Self::Opaque { kind, .. } => *kind,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.as_bytes(),
            Self::Opaque { key, .. } => key,
        }
    }
}

/// A key that a verifier knows: name, id and public key. Its text form (`Display`) is the "vkey".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    material: KeyMaterial,
}

impl VerifierKey {
    /// The verifier key of an Ed25519 public key under a name.
    pub fn ed25519(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        if key.is_weak() {
            return Err(NoteError::PublicKey(name.to_owned()));
        }
        let id = key_id(name, TYPE_ED25519, key.as_bytes());
        Ok(Self { name: name.to_owned(), id, material: KeyMaterial::Ed25519(key) })
    }

    /// Strict inverse of `Display`: `<name>+<hex id>+<base64 of type ‖ key>`.
    ///
    /// The id of an Ed25519 key is recomputed; that of another type is kept as given.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > MAX_VERIFIER_KEY_BYTES {
            return Err(NoteError::VerifierKey);
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey);
        };
        check_name(name)?;
        let id = parse_hex(id).ok_or(NoteError::VerifierKey)?;
        let key = Base64::decode_vec(key).map_err(|_| NoteError::VerifierKey)?;
        match key.as_slice() {
            [TYPE_ED25519, key @ ..] => {
                let key = parse_ed25519(key).ok_or_else(|| NoteError::PublicKey(name.to_owned()))?;
                let known = Self::ed25519(name, key)?;
                if known.id == id { Ok(known) } else { Err(NoteError::KeyIdMismatch(name.to_owned())) }
            }
            [kind, key @ ..] if !key.is_empty() => {
                let material = KeyMaterial::Opaque { kind: *kind, key: key.to_vec() };
                Ok(Self { name: name.to_owned(), id, material })
            }
            _ => Err(NoteError::VerifierKey),
        }
    }

    /// Name of the key; for a log it is the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The public key.
    pub fn material(&self) -> &KeyMaterial {
        &self.material
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.material.kind()], self.material.bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id), Base64::encode_string(&key))
    }
}

/// One signature line, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key that is said to have signed.
    pub name: String,
    /// Id of that key.
    pub id: KeyId,
    /// What follows the id; at least one byte, its form depends on the type of the key.
    pub signature: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    /// The whole line with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_slice(), &self.signature].concat();
        writeln!(f, "{LINE_START}{} {}", self.name, Base64::encode_string(&blob))
    }
}

/// A note as read, no signature verified. `Display` gives back the bytes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text with its final newline.
    pub text: String,
    /// The signature lines in order, at least one.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note strictly, within the limits of [`crate::limits`]; verifies nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if !is_text(note) {
            return Err(NoteError::NotText);
        }
        // the last blank line separates: the text may have others
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        if lines.split('\n').nth(MAX_NOTE_SIGNATURES).is_some() {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = (1..)
            .zip(lines.split('\n'))
            .map(|(number, line)| parse_signature(line).ok_or(NoteError::SignatureLine(number)))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

/// A note that at least one known key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    /// The signed text with its final newline.
    pub text: String,
    /// The known keys that signed, each once, in the order of their first line.
    pub signers: Vec<VerifierKey>,
    /// Lines of unknown keys, which mean nothing.
    pub ignored: usize,
}

/// Reads a note and verifies it against the keys that the caller trusts.
///
/// Lines whose name and id match none of the keys are ignored. A line that matches a key and does not
/// verify rejects the note, and so does the absence of any that matches.
pub fn open(note_bytes: &[u8], known: &[VerifierKey]) -> Result<VerifiedNote, NoteError> {
    let note = Note::parse(note_bytes)?;
    let mut signers: Vec<VerifierKey> = Vec::new();
    let mut ignored = 0;
    for line in &note.signatures {
        let Some(key) = find_key(line, known)? else {
            ignored += 1;
            continue;
        };
        if !verify_line(key, &note.text, &line.signature) {
            return Err(NoteError::BadSignature { name: line.name.clone(), id: line.id });
        }
        if !signers.contains(key) {
            signers.push(key.clone());
        }
    }
    if signers.is_empty() {
        return Err(NoteError::NoKnownKey);
    }
    Ok(VerifiedNote { text: note.text, signers, ignored })
}

/// The known key that a line names, if its type is one that is verified here.
fn find_key<'a>(
    line: &NoteSignature,
    known: &'a [VerifierKey],
) -> Result<Option<&'a VerifierKey>, NoteError> {
    let mut matching = known.iter().filter(|key| {
        key.name == line.name && key.id == line.id && !matches!(key.material, KeyMaterial::Opaque { .. })
    });
    let key = matching.next();
    // an id has four bytes: two keys can share it, and then a line does not say which one it is of
    if matching.any(|other| Some(other) != key) {
        return Err(NoteError::Ambiguous { name: line.name.clone(), id: line.id });
    }
    Ok(key)
}

/// Whether a signature over `text` verifies. The message that a type signs is built here.
fn verify_line(key: &VerifierKey, text: &str, signature: &[u8]) -> bool {
    match &key.material {
        KeyMaterial::Ed25519(key) => Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify_strict(text.as_bytes(), &signature).is_ok()),
        KeyMaterial::Opaque { .. } => false,
    }
}

/// The note of `text` with one Ed25519 signature line under `name`.
///
/// The text must end in a newline and have no control characters; the name must be a key name.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    Ok(format!("{text}\n{}", sign_line(text, name, key)?))
}

/// The signature line alone, to add to a note that others have signed.
pub fn sign_line(text: &str, name: &str, key: &SigningKey) -> Result<NoteSignature, NoteError> {
    check_name(name)?;
    if !text.ends_with('\n') {
        return Err(NoteError::Text);
    }
    if !is_text(text) {
        return Err(NoteError::NotText);
    }
    let id = key_id(name, TYPE_ED25519, key.verifying_key().as_bytes());
    let signature = key.sign(text.as_bytes()).to_bytes().to_vec();
    Ok(NoteSignature { name: name.to_owned(), id, signature })
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix(LINE_START)?.split_once(' ')?;
    check_name(name).ok()?;
    let blob = Base64::decode_vec(blob).ok()?;
    let (id, signature) = blob.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        id: *id,
        signature: signature.to_vec(),
    })
}

fn parse_ed25519(key: &[u8]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(key.try_into().ok()?).ok()
}

/// No control character below U+0020 except newline.
fn is_text(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 || byte == b'\n')
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let allowed = |c: char| !c.is_whitespace() && c != '+' && c >= ' ';
    if !name.is_empty() && name.len() <= MAX_KEY_NAME_BYTES && name.chars().all(allowed) {
        return Ok(());
    }
    // a name over the limit is cut, so that the message stays short
    Err(NoteError::KeyName(name.chars().take(MAX_KEY_NAME_BYTES).collect()))
}

fn hex(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// Exactly eight lower-case hex digits.
fn parse_hex(digits: &str) -> Option<KeyId> {
    let id = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    (hex(id) == digits).then_some(id)
}

#[cfg(test)]
mod tests;
