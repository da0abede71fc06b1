//! `fuzz_targets::target::trust` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::target::trust::input(data));
