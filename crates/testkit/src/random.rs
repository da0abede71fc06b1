//! Randomness from a seed: SplitMix64. Predictable, and therefore for tests only.

use ed25519_dalek::SigningKey;
use evidence::Digest;

/// A sequence that its seed determines.
#[derive(Debug, Clone)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sequence of a text.
    pub fn named(seed: &str) -> Self {
        let bytes = Digest::of(seed.as_bytes()).0;
        Self(u64::from_be_bytes(*bytes.first_chunk().expect("a digest has 32 bytes")))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0. Slightly uneven for huge limits.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit
    }

    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_be_bytes()[..chunk.len()]);
        }
    }

    /// An array of bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The signing key of a name.
pub fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Digest::of_parts(&[b"deeds test key\0", name.as_bytes()]).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence() {
        // first value of the published SplitMix64 for seed 0
        assert_eq!(SeededRandom::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
        let mut one = SeededRandom::named("a");
        let mut other = SeededRandom::named("a");
        assert_eq!(one.array::<19>(), other.array::<19>());
        assert_ne!(one.next_u64(), SeededRandom::named("b").next_u64());
        assert!((0..100).all(|_| one.below(7) < 7));
    }
}
