//! Sealed bodies and wrapped entry keys (format §3). Keys, salts and nonces come in as arguments.

use std::cell::RefCell;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;
use zstd::bulk::Compressor;

use crate::field::{Field, FieldSet, ids};
use crate::id::Id;
use crate::limits::{BODY_CONTENT_MAX_BYTES, BODY_MAX_BYTES, BODY_PADDING_BYTES};

/// Length of a wrapped entry key: nonce, key, tag.
pub const WRAPPED_KEY_BYTES: usize = 72;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// A decision takes 2 % fewer bytes than at level 1 for a third more time; the next level takes twice the time for 1 %.
const ZSTD_LEVEL: i32 = 3;
const HEAD_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;

/// What a body is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Of the log; 32 zero bytes for entry 0, whose hash is not known when it is sealed.
    pub log_id: &'a [u8; 32],
    /// Of the entry.
    pub event_id: &'a Id,
    /// Of the entry.
    pub fields_root: &'a [u8; 32],
}

/// Why a body cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The values are too much for one entry.
    #[error(
        "the fields of one entry take {0} bytes sealed, more than the {BODY_MAX_BYTES} allowed: keep long values as digests"
    )]
    TooLong(usize),
    /// Wrong key, wrong entry, or altered bytes.
    #[error(
        "a sealed body does not open: its key, its entry or its bytes are not the ones it was sealed with"
    )]
    Sealed,
    /// Opened, but not what a body contains.
    #[error("a body opens but is malformed: {0}")]
    Malformed(&'static str),
}

/// Seals the fields of one entry under a key that is used for nothing else.
pub fn seal(fields: &FieldSet, key: &[u8; 32], binding: Binding<'_>) -> Result<Vec<u8>, BodyError> {
    let plaintext = Zeroizing::new(pack(fields)?);
    let sealed = cipher(key)
        .encrypt((&[0; NONCE_BYTES]).into(), Payload { msg: &plaintext, aad: &body_aad(binding) })
        .map_err(|_| BodyError::Sealed)?;
    if sealed.len() > BODY_MAX_BYTES {
        return Err(BodyError::TooLong(sealed.len()));
    }
    Ok(sealed)
}

/// Opens a sealed body; `mask` is the entry's `fields`.
pub fn open(sealed: &[u8], key: &[u8; 32], mask: u64, binding: Binding<'_>) -> Result<FieldSet, BodyError> {
    if sealed.len() > BODY_MAX_BYTES {
        return Err(BodyError::TooLong(sealed.len()));
    }
    let plaintext = cipher(key)
        .decrypt((&[0; NONCE_BYTES]).into(), Payload { msg: sealed, aad: &body_aad(binding) })
        .map_err(|_| BodyError::Sealed)?;
    unpack(&Zeroizing::new(plaintext), mask)
}

/// Wraps an entry key with the tenant's key-encryption key.
pub fn wrap_key(
    key: &[u8; 32],
    kek: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    log_id: &[u8; 32],
    event_id: &Id,
) -> Result<[u8; WRAPPED_KEY_BYTES], BodyError> {
    let wrapped = cipher(kek)
        .encrypt(nonce.into(), Payload { msg: key, aad: &key_aad(log_id, event_id) })
        .map_err(|_| BodyError::Sealed)?;
    [nonce.as_slice(), &wrapped].concat().try_into().map_err(|_| BodyError::Sealed)
}

/// Unwraps an entry key.
pub fn unwrap_key(
    wrapped: &[u8; WRAPPED_KEY_BYTES],
    kek: &[u8; 32],
    log_id: &[u8; 32],
    event_id: &Id,
) -> Result<Zeroizing<[u8; 32]>, BodyError> {
    let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_BYTES>().ok_or(BodyError::Sealed)?;
    let key = Zeroizing::new(
        cipher(kek)
            .decrypt(nonce.into(), Payload { msg: sealed, aad: &key_aad(log_id, event_id) })
            .map_err(|_| BodyError::Sealed)?,
    );
    key.as_slice().try_into().map(Zeroizing::new).map_err(|_| BodyError::Malformed("a key of another length"))
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

fn body_aad(binding: Binding<'_>) -> Vec<u8> {
    [b"deeds/body/v1\0".as_slice(), binding.log_id, binding.event_id, binding.fields_root].concat()
}

fn key_aad(log_id: &[u8; 32], event_id: &Id) -> Vec<u8> {
    [b"deeds/key/v1\0".as_slice(), log_id, event_id].concat()
}

fn pack(fields: &FieldSet) -> Result<Vec<u8>, BodyError> {
    let mut content = Zeroizing::new(Vec::new());
    for field in fields.iter() {
        content.extend_from_slice(&field.salt);
        content.extend_from_slice(&length(field.value.len())?);
        content.extend_from_slice(field.value.as_bytes());
    }
    if content.len() > BODY_CONTENT_MAX_BYTES {
        return Err(BodyError::TooLong(content.len()));
    }
    let compressed = compress(&content).filter(|short| short.len() < content.len());
    let (codec, packed) = match &compressed {
        Some(short) => (ZSTD, short.as_slice()),
        None => (PLAIN, content.as_slice()),
    };
    let padded = (HEAD_BYTES + packed.len()).next_multiple_of(BODY_PADDING_BYTES);
    let mut plaintext = Vec::with_capacity(padded + TAG_BYTES);
    plaintext.push(codec);
    plaintext.extend_from_slice(&length(packed.len())?);
    plaintext.extend_from_slice(packed);
    plaintext.resize(padded, 0);
    Ok(plaintext)
}

thread_local! {
    /// Making one takes longer than compressing a body. What it writes does not depend on what it wrote before.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(ZSTD_LEVEL).ok());
}

/// `None`: the content stays as it is.
fn compress(content: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(content).ok())
}

fn length(len: usize) -> Result<[u8; 4], BodyError> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(|_| BodyError::TooLong(len))
}

fn unpack(plaintext: &[u8], mask: u64) -> Result<FieldSet, BodyError> {
    let ([codec], rest) = plaintext.split_first_chunk().ok_or(BodyError::Malformed("no codec"))?;
    let packed = take_value(&mut { rest }).ok_or(BodyError::Malformed("a length beyond the body"))?;
    let content = Zeroizing::new(match *codec {
        PLAIN => packed.to_vec(),
        ZSTD => zstd::bulk::decompress(packed, BODY_CONTENT_MAX_BYTES).map_err(|_| {
            BodyError::Malformed("a compressed content that does not expand within its limit")
        })?,
        _ => return Err(BodyError::Malformed("an unknown codec")),
    });
    let mut rest = content.as_slice();
    let mut fields = FieldSet::new();
    for id in ids(mask) {
        let (salt, after) =
            rest.split_first_chunk::<16>().ok_or(BodyError::Malformed("a field is missing"))?;
        rest = after;
        let value = take_value(&mut rest).ok_or(BodyError::Malformed("a value is cut short"))?;
        let value =
            String::from_utf8(value.to_vec()).map_err(|_| BodyError::Malformed("a value is not text"))?;
        fields.insert(Field { id, salt: *salt, value });
    }
    if rest.is_empty() { Ok(fields) } else { Err(BodyError::Malformed("bytes after the last field")) }
}

fn take_value<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = input.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    *input = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::Kind;

    const BINDING: Binding<'static> = Binding { log_id: &[1; 32], event_id: &[2; 16], fields_root: &[3; 32] };

    fn fields(values: &[String]) -> FieldSet {
        let mut set = FieldSet::new();
        for (value, id) in values.iter().zip(0..) {
            set.insert(Field { id, salt: [id; 16], value: value.clone() });
        }
        set
    }

    proptest! {
        #[test]
        fn open_reverses_seal(values in proptest::collection::vec("\\PC{0,300}", 0..10)) {
            let set = fields(&values);
            let sealed = seal(&set, &[9; 32], BINDING).unwrap();
            prop_assert_eq!(sealed.len() % BODY_PADDING_BYTES, TAG_BYTES);
            prop_assert_eq!(open(&sealed, &[9; 32], set.mask(), BINDING), Ok(set));
        }

        #[test]
        fn what_was_compressed_before_does_not_show(values in proptest::collection::vec("\\PC{0,300}", 0..10)) {
            let content = values.concat();
            let fresh = zstd::bulk::compress(content.as_bytes(), ZSTD_LEVEL).unwrap();
            prop_assert_eq!(compress(content.as_bytes()), Some(fresh.clone()));
            prop_assert_eq!(compress(content.as_bytes()), Some(fresh));
        }

        #[test]
        fn nothing_altered_opens(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let set = fields(&["\"secret\"".into()]);
            let mut sealed = seal(&set, &[9; 32], BINDING).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert_eq!(open(&sealed, &[9; 32], set.mask(), BINDING), Err(BodyError::Sealed));
        }
    }

    #[test]
    fn a_body_is_bound_to_its_entry() {
        let set = fields(&["1".into()]);
        let sealed = seal(&set, &[9; 32], BINDING).unwrap();
        for other in [
            Binding { log_id: &[0; 32], ..BINDING },
            Binding { event_id: &[0; 16], ..BINDING },
            Binding { fields_root: &[0; 32], ..BINDING },
        ] {
            assert_eq!(open(&sealed, &[9; 32], set.mask(), other), Err(BodyError::Sealed));
        }
        assert!(matches!(open(&sealed, &[9; 32], 3, BINDING), Err(BodyError::Malformed(_))));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_kept() {
        // incompressible: every character from a fixed generator
        let mut state = 1_u64;
        let mut noise = |len: usize| -> String {
            (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(b'!' + u8::try_from(state >> 58).unwrap())
                })
                .collect()
        };
        let mut set = FieldSet::new();
        assert!(set.set(Kind::Decided, "args", [0; 16], noise(60_000)));
        assert!(seal(&set, &[9; 32], BINDING).is_ok());
        assert!(set.set(Kind::Decided, "args", [0; 16], noise(120_000)));
        assert!(matches!(seal(&set, &[9; 32], BINDING), Err(BodyError::TooLong(_))));
    }

    #[test]
    fn wrapped_keys_open_for_their_entry_only() {
        let wrapped = wrap_key(&[5; 32], &[6; 32], &[7; 24], &[1; 32], &[2; 16]).unwrap();
        assert_eq!(*unwrap_key(&wrapped, &[6; 32], &[1; 32], &[2; 16]).unwrap(), [5; 32]);
        assert!(unwrap_key(&wrapped, &[6; 32], &[1; 32], &[3; 16]).is_err());
        assert!(unwrap_key(&wrapped, &[0; 32], &[1; 32], &[2; 16]).is_err());
    }
}
