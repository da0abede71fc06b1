//! Frames from clients and servers, and all that is read of them.

use capture::mcp::{Frame, look};
use serde_json::Value;

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(frame) = Frame::parse(data.to_vec()) {
        assert_eq!(frame.into_bytes(), data);
    }
    let Some(act) = look(data) else { return };
    if let Some(args) = &act.args {
        assert!(matches!(serde_json::from_str(args), Ok(Value::Object(_))), "arguments are an object: {args}");
    }
    // what is forwarded is the same act, and has nothing in it that is meant for us
    let again = look(&act.sent).expect("what is forwarded is an act");
    assert_eq!((&again.name, &again.args_digest), (&act.name, &act.args_digest));
    assert_eq!(again.sent, act.sent, "nothing is left to take out");
}
