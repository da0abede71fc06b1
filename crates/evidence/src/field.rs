//! Fields and their commitments (format §3): one field can be shown while the others stay withheld.

use crate::digest::Digest;
use crate::kind::Kind;
use crate::limits::FIELDS_MAX;

const CONTEXT: &[u8] = b"deeds/field/v1\0";

/// One field, opened: with the salt that its commitment needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// 0 to 63.
    pub id: u8,
    /// Fresh randomness; without it the value cannot be guessed from the commitment.
    pub salt: [u8; 16],
    /// JSON text, byte-exact.
    pub value: String,
}

impl Field {
    /// The commitment to this field in an entry of `kind`.
    pub fn commitment(&self, kind: u64) -> [u8; 32] {
        commitment(kind, self.id, &self.salt, self.value.as_bytes())
    }
}

/// The fields of one entry, in id order, each id at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(Vec<Field>);

impl FieldSet {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces the field `name` of `kind`; `false` (and no change) when the registry has no such name.
    #[must_use = "a field that the registry does not know is not recorded"]
    pub fn set(&mut self, kind: Kind, name: &str, salt: [u8; 16], value: String) -> bool {
        let Some(id) = kind.field_id(name) else { return false };
        self.insert(Field { id, salt, value });
        true
    }

    /// Adds or replaces by id.
    pub fn insert(&mut self, field: Field) {
        match self.0.binary_search_by_key(&field.id, |known| known.id) {
            Ok(at) => {
                if let Some(slot) = self.0.get_mut(at) {
                    *slot = field;
                }
            }
            Err(at) => self.0.insert(at, field),
        }
    }

    /// In id order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// The value of the field `name` of `kind`.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&str> {
        let id = kind.field_id(name)?;
        self.0.iter().find(|field| field.id == id).map(|field| field.value.as_str())
    }

    /// The entry's `fields` mask.
    pub fn mask(&self) -> u64 {
        self.0.iter().fold(0, |mask, field| mask | 1_u64.checked_shl(u32::from(field.id)).unwrap_or(0))
    }

    /// The entry's `fields_root`.
    pub fn root(&self, kind: u64) -> [u8; 32] {
        root_of_commitments(self.0.iter().map(|field| field.commitment(kind)))
    }
}

/// The commitment to a value as field `id` of an entry of `kind` (format §3), whatever the bytes are.
///
/// A kind has one byte in it. Kinds beyond that do not exist in version 0: an entry of one commits to nothing that can
/// be opened, so a verifier must not take this as proof of what its fields say.
pub fn commitment(kind: u64, id: u8, salt: &[u8; 16], value: &[u8]) -> [u8; 32] {
    let kind = u8::try_from(kind).unwrap_or(u8::MAX);
    Digest::of_parts(&[CONTEXT, &[kind, id], salt, value]).0
}

/// The RFC 6962 root over commitments in id order.
pub fn root_of_commitments(commitments: impl Iterator<Item = [u8; 32]>) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = commitments.map(|commitment| tlog::leaf_hash(&commitment)).collect();
    tlog::root_of(&leaves)
}

/// The ids present in a mask, ascending.
pub fn ids(mask: u64) -> impl Iterator<Item = u8> {
    (0..FIELDS_MAX).filter(move |id| mask >> id & 1 == 1).filter_map(|id| u8::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_does_not_depend_on_the_order_of_setting() {
        let mut forth = FieldSet::new();
        let mut back = FieldSet::new();
        assert!(forth.set(Kind::Decided, "act_id", [1; 16], "\"a\"".into()));
        assert!(forth.set(Kind::Decided, "verdict", [2; 16], "\"allow\"".into()));
        assert!(back.set(Kind::Decided, "verdict", [2; 16], "\"allow\"".into()));
        assert!(back.set(Kind::Decided, "act_id", [1; 16], "\"a\"".into()));
        assert_eq!(forth, back);
        assert_eq!(forth.root(5), back.root(5));
        assert_eq!(forth.mask(), 1 << 22 | 1);
        assert_eq!(ids(forth.mask()).collect::<Vec<_>>(), [0, 22]);
        assert!(!forth.set(Kind::Decided, "nothing", [3; 16], String::new()));
    }

    #[test]
    fn kind_id_salt_and_value_are_all_committed() {
        let base = Field { id: 1, salt: [0; 16], value: "1".into() };
        let other = |change: fn(&mut Field)| {
            let mut field = base.clone();
            change(&mut field);
            field.commitment(5)
        };
        let commitments = [
            base.commitment(5),
            base.commitment(6),
            other(|f| f.id = 2),
            other(|f| f.salt[15] = 1),
            other(|f| f.value = "2".into()),
        ];
        for (i, a) in commitments.iter().enumerate() {
            assert!(commitments.iter().skip(i + 1).all(|b| a != b));
        }
        assert_eq!(FieldSet::new().root(5), tlog::empty_root());
    }
}
