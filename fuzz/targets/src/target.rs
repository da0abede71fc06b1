//! The targets by name. A new one: its file beside the others, its name below, a program in `fuzz_targets` that calls
//! it, a `[[bin]]` in `fuzz/Cargo.toml`, a folder of inputs in `fuzz/corpus`.

/// Takes one input; panics where it finds something wrong.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// All of them, by the name of their corpus and of their program.
        pub const ALL: &[(&str, Target)] = &[$((stringify!($name), $name::input)),*];
    };
}

targets! {
    api
    bundle
    chain
    claims
    classes
    config
    constraints
    entry
    frame
    halt
    ids
    json
    jws
    mandate
    note
    policy
    proof
    revocation
    scope
    skip
    strip
    tile_path
    token
    trust
}
