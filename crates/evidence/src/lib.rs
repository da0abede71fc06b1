//! The nouns of deeds, their canonical bytes, digests and JWS: no I/O, no clock, no randomness.
