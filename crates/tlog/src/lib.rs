//! RFC 6962 tree, C2SP tiles, checkpoint, signed note and proofs: bytes only.
