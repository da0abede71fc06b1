//! Claims of every signed object.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(serde_json::Value::Object(claims)) = evidence::json::parse(data) {
        let _ = evidence::delegation::Root::parse(&claims);
        let _ = evidence::delegation::RootRequest::parse(&claims);
        let _ = evidence::delegation::Pop::parse(&claims);
    }
});
