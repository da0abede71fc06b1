//! For tests only: hand clock, seeded randomness, a fault store.
