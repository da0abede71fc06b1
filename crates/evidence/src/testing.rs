//! What the tests of this crate share.

pub(crate) mod scopes;

use proptest::prelude::ProptestConfig;

/// So many cases, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { config } else { ProptestConfig { cases: usual, ..config } }
}

/// A stream of choices that a seed determines (splitmix64).
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (n as u64)).unwrap()
    }

    /// Once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn of<'a, T>(&mut self, those: &'a [T]) -> &'a T {
        &those[self.below(those.len())]
    }
}
