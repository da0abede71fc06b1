//! The append-only store: sequencer, journal, tiles, bodies, keys. Entries are opaque bytes.
