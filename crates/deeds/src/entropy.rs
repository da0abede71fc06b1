//! The one place that draws randomness.

use anyhow::Context as _;
use evidence::id::{self, Id};
use zeroize::Zeroizing;

/// `N` bytes from the operating system.
pub(crate) fn bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gives no randomness")?;
    Ok(bytes)
}

/// A seed for a key, wiped when dropped.
pub(crate) fn seed() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    Ok(Zeroizing::new(bytes()?))
}

/// A fresh UUIDv7.
pub(crate) fn id() -> anyhow::Result<Id> {
    Ok(id::uuid_v7(crate::clock::now_ms(), &bytes()?))
}

/// Fills a buffer from the operating system. Without randomness no key and no salt can be made, and nobody here could
/// go on with weaker ones: the process ends.
pub(crate) fn fill(buffer: &mut [u8]) {
    if let Err(error) = getrandom::fill(buffer) {
        tracing::error!(%error, "the operating system gives no randomness; the server ends");
        std::process::abort();
    }
}

/// The operating system's randomness, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl recorder::Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        fill(buffer);
    }
}
