//! Requests to the server.

/// Takes one input.
pub fn input(data: &[u8]) {
    let _ = serde_json::from_slice::<capture::api::OpenRun>(data);
    let _ = serde_json::from_slice::<capture::api::Begin>(data);
    let _ = serde_json::from_slice::<capture::api::Finish>(data);
    let _ = serde_json::from_slice::<capture::api::Begun>(data);
}
