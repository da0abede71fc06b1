//! Frames that are too long to be kept, of which only the id is looked for while they go by.

use capture::limits::ID_MAX;
use capture::mcp::{Id, Scan};
use serde_json::Value;

/// Takes one input: the first byte says where the rest is cut in two.
pub fn input(data: &[u8]) {
    let Some((cut, frame)) = data.split_first() else { return };
    if frame.contains(&b'\n') {
        // that would be two
        return;
    }
    let mut scan = Scan::default();
    let (head, tail) = frame.split_at(usize::from(*cut).min(frame.len()));
    scan.take(head);
    scan.take(tail);
    let found = scan.end();
    assert!(found.answers().is_none() || !found.has_method, "a request answers nothing");
    let Ok(value) = evidence::json::parse(frame) else { return };
    let Value::Object(members) = value else {
        assert_eq!(found.id, None);
        return;
    };
    let has = |name: &str| members.contains_key(name);
    assert_eq!(found.has_method, has("method"));
    assert_eq!(found.has_body, has("result") || has("error"));
    let id = members.get("id").map(Value::to_string).filter(|id| id.len() <= ID_MAX);
    // what was escaped may be longer than what is held, and a number may be written in more than one way
    if let (Some(found), Some(id)) = (&found.id, id) {
        assert_eq!(Some(found), Id::parse(&id).as_ref());
    }
}
