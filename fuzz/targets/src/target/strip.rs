//! Taking out of a server's frame what only we may say.

use capture::mcp::without_ours;
use serde_json::Value;

/// Takes one input.
pub fn input(data: &[u8]) {
    let Ok(mut value) = evidence::json::parse(data) else { return };
    let text = std::str::from_utf8(data).expect("strict JSON is UTF-8");
    let clean = without_ours(text);
    let some = removed(&mut value, false);
    assert_eq!(clean.is_some(), some);
    let Some(clean) = clean else { return };
    let left = evidence::json::parse(clean.as_bytes()).expect("what is left is strict JSON");
    assert_eq!(left, value, "nothing else is gone");
    assert!(clean.len() < text.len());
    assert_eq!(without_ours(&clean), None, "nothing is left to take out");
}

/// The same by way of a parsed value: true where something was taken out.
fn removed(value: &mut Value, in_meta: bool) -> bool {
    let mut any = false;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| any |= removed(item, false)),
        Value::Object(members) => {
            let before = members.len();
            members.retain(|name, _| !(in_meta && name.starts_with("dev.deeds/")));
            any = members.len() < before;
            members.iter_mut().for_each(|(name, item)| any |= removed(item, name == "_meta"));
        }
        _ => {}
    }
    any
}
