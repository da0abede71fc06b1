//! Offline checks of bundles and delegation chains: the one verifier, used online and by auditors.
