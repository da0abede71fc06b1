//! `fuzz_targets::target::tile_path` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target::tile_path::input(data));
