//! Frames from clients and servers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(frame) = capture::mcp::Frame::parse(data.to_vec()) {
        assert_eq!(frame.into_bytes(), data);
    }
});
