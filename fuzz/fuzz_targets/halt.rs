//! `fuzz_targets::target::halt` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target::halt::input(data));
