//! Receipts: the log's signed promise that an entry is durable (DESIGN §6, `docs/format.md` §8).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use tlog::proof::verify_inclusion;
use tlog::{Hash, node_hash};

use crate::bytes::to_u64;

/// What every signed message begins with.
const DOMAIN: &[u8] = b"deeds/receipt/v1\0";

/// Most hashes in a path: no batch has 2^32 entries or more.
const MAX_PATH: usize = 32;

/// A promise that one entry is durable. The log signs once for a batch; the path leads from the entry
/// to the root of the batch. As JSON: hashes and signature in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Leaf hash of entry 0 of the log.
    #[serde(with = "hex")]
    pub log_id: Hash,
    /// Index of the entry.
    pub index: u64,
    /// Index of the first entry of its batch.
    pub first: u64,
    /// Entries in the batch.
    pub count: u32,
    /// RFC 6962 root over the entries of the batch.
    #[serde(with = "hex")]
    pub batch_root: Hash,
    /// Size of the log after the batch.
    pub size: u64,
    /// Root of the log at that size.
    #[serde(with = "hex")]
    pub root: Hash,
    /// Inclusion path of the entry in the batch (position `index - first` of `count`), its sibling first.
    #[serde(with = "hex_list")]
    pub path: Vec<Hash>,
    /// Ed25519 by the log key over [`Receipt::message`].
    #[serde(with = "hex")]
    pub signature: [u8; 64],
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The numbers contradict each other.
    #[error("the receipt puts entry {index} in a batch of {count} from {first} that ends at {size}")]
    Numbers {
        /// Index of the entry.
        index: u64,
        /// First of the batch.
        first: u64,
        /// Entries in the batch.
        count: u32,
        /// Size after the batch.
        size: u64,
    },
    /// The path does not lead from the entry to the root of the batch.
    #[error("the receipt is for another entry: its path does not lead to the root of the batch")]
    Path,
    /// The signature is not of this key.
    #[error("the receipt is not signed by this log key; it was altered or comes from another log")]
    Signature,
}

impl Receipt {
    /// The 133 bytes that the log signs, integers big-endian:
    /// `"deeds/receipt/v1\0" ‖ log_id ‖ u64 first ‖ u32 count ‖ batch root ‖ u64 size after ‖ root after`.
    pub fn message(
        log_id: &Hash,
        first: u64,
        count: u32,
        batch_root: &Hash,
        size: u64,
        root: &Hash,
    ) -> Vec<u8> {
        let mut message = DOMAIN.to_vec();
        message.extend_from_slice(log_id);
        message.extend_from_slice(&first.to_be_bytes());
        message.extend_from_slice(&count.to_be_bytes());
        message.extend_from_slice(batch_root);
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(root);
        message
    }

    /// Checks that the holder of `key` promised that the entry with this leaf hash is durable at
    /// [`Receipt::index`] of the log [`Receipt::log_id`]. The caller compares both with what it expects.
    pub fn verify(&self, entry_leaf: &Hash, key: &VerifyingKey) -> Result<(), ReceiptError> {
        let Self { index, first, count, size, .. } = *self;
        let position = index.checked_sub(first).filter(|position| *position < u64::from(count));
        let position = position
            .filter(|_| first.checked_add(u64::from(count)) == Some(size) && self.path.len() <= MAX_PATH)
            .ok_or(ReceiptError::Numbers { index, first, count, size })?;
        verify_inclusion(position, u64::from(count), entry_leaf, &self.path, &self.batch_root)
            .map_err(|_| ReceiptError::Path)?;
        let message = Self::message(&self.log_id, first, count, &self.batch_root, size, &self.root);
        key.verify_strict(&message, &Signature::from_bytes(&self.signature))
            .map_err(|_| ReceiptError::Signature)
    }
}

/// The receipts of a batch that has just become durable, one for each leaf: one signature for all.
pub(crate) fn issue(
    log_id: Hash,
    first: u64,
    leaves: &[Hash],
    root: Hash,
    signer: &SigningKey,
) -> Vec<Receipt> {
    let levels = levels(leaves);
    let batch_root = levels.last().and_then(|top| top.first()).copied().unwrap_or_else(tlog::empty_root);
    // a batch is limited to 8,191 entries
    let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    let size = first + u64::from(count);
    let message = Receipt::message(&log_id, first, count, &batch_root, size, &root);
    let signature = signer.sign(&message).to_bytes();
    let receipt = |position: usize| Receipt {
        log_id,
        index: first + to_u64(position),
        first,
        count,
        batch_root,
        size,
        root,
        path: path(&levels, position),
        signature,
    };
    (0..leaves.len()).map(receipt).collect()
}

/// All levels of the tree over these leaves, leaves first; made once, because a path for each leaf from
/// scratch would cost the square of the batch.
fn levels(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let (pairs, odd) = below.as_chunks::<2>();
        let above = pairs.iter().map(|[left, right]| node_hash(left, right)).chain(odd.iter().copied());
        levels.push(above.collect());
    }
    levels
}

fn path(levels: &[Vec<Hash>], position: usize) -> Vec<Hash> {
    // the last node of an odd level has no sibling there and is carried up as it is
    (0..).zip(levels).filter_map(|(height, level)| level.get((position >> height) ^ 1).copied()).collect()
}

/// Fixed-length bytes as lower-case hex.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| D::Error::custom(format!("expected {} lower-case hex digits", 2 * N)))
    }

    pub(super) fn encode(bytes: &[u8]) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| DIGITS.get(usize::from(digit))).collect()
    }

    pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        if digits.len() != N || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; N];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(bytes)
    }

    fn digit(character: u8) -> Option<u8> {
        match character {
            b'0'..=b'9' => Some(character - b'0'),
            b'a'..=b'f' => Some(character - b'a' + 10),
            _ => None,
        }
    }
}

/// A list of hashes, each as lower-case hex.
mod hex_list {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tlog::Hash;

    use super::hex;

    pub(super) fn serialize<S: Serializer>(list: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|hash| hex::encode(hash)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        let list = Vec::<String>::deserialize(deserializer)?;
        let hash =
            |text: &String| hex::decode(text).ok_or_else(|| D::Error::custom("expected 64 hex digits"));
        list.iter().map(hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{inclusion_path, leaf_hash, root_of};

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    #[test]
    fn every_receipt_of_every_batch_size_verifies_for_its_own_entry_only() {
        for count in 1..70 {
            let leaves = leaves(count);
            let receipts = issue([9; 32], 1_000, &leaves, [8; 32], &signer());
            for (position, receipt) in receipts.iter().enumerate() {
                assert_eq!(receipt.batch_root, root_of(&leaves));
                assert_eq!(receipt.path, inclusion_path(&leaves, position).unwrap());
                receipt.verify(&leaves[position], &signer().verifying_key()).unwrap();
                let other = leaf_hash(b"another entry");
                assert_eq!(receipt.verify(&other, &signer().verifying_key()), Err(ReceiptError::Path));
            }
        }
    }

    #[test]
    fn every_altered_member_is_found() {
        let leaves = leaves(5);
        let good = issue([9; 32], 10, &leaves, [8; 32], &signer())[3].clone();
        let check = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = good.clone();
            change(&mut receipt);
            receipt.verify(&leaves[3], &signer().verifying_key())
        };
        assert_eq!(check(&|_| ()), Ok(()));
        assert_eq!(check(&|r| r.log_id[0] ^= 1), Err(ReceiptError::Signature));
        assert_eq!(check(&|r| r.root[31] ^= 1), Err(ReceiptError::Signature));
        assert_eq!(check(&|r| r.signature[0] ^= 1), Err(ReceiptError::Signature));
        assert_eq!(check(&|r| r.batch_root[0] ^= 1), Err(ReceiptError::Path));
        assert_eq!(check(&|r| r.path[0][0] ^= 1), Err(ReceiptError::Path));
        assert_eq!(check(&|r| r.path.push([0; 32])), Err(ReceiptError::Path));
        assert_eq!(check(&|r| r.index = 12), Err(ReceiptError::Path));
        for change in [
            |r: &mut Receipt| r.index = 15,
            |r: &mut Receipt| r.index = 9,
            |r: &mut Receipt| r.count = 4,
            |r: &mut Receipt| r.size += 1,
            |r: &mut Receipt| r.first = u64::MAX - 2,
            |r: &mut Receipt| r.path = vec![[0; 32]; MAX_PATH + 1],
        ] {
            assert!(matches!(check(&change), Err(ReceiptError::Numbers { .. })));
        }
        let another = SigningKey::from_bytes(&[2; 32]).verifying_key();
        assert_eq!(good.verify(&leaves[3], &another), Err(ReceiptError::Signature));
    }

    #[test]
    fn the_message_has_the_documented_bytes() {
        let message = Receipt::message(&[1; 32], 2, 3, &[4; 32], 5, &[6; 32]);
        assert_eq!(message.len(), 17 + 32 + 8 + 4 + 32 + 8 + 32);
        assert_eq!(&message[..17], b"deeds/receipt/v1\0");
        assert_eq!(&message[49..61], [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(&message[93..101], [0, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn json_comes_back_and_is_strict() {
        let receipt = issue([9; 32], 10, &leaves(5), [8; 32], &signer())[3].clone();
        let json = serde_json::to_string(&receipt).unwrap();
        assert!(json.starts_with(&format!("{{\"log_id\":\"{}\",\"index\":13,", "09".repeat(32))), "{json}");
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
        for wrong in [json.replace("\"09", "\"0"), json.replace("\"09", "\"0G"), json.replace("0909", "090A")]
        {
            assert!(serde_json::from_str::<Receipt>(&wrong).is_err(), "{wrong}");
        }
    }
}
