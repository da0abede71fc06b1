//! The JSON-RPC messages that the proxy writes in its own name.

use serde_json::{Value, json};

use super::frame::Id;

/// JSON-RPC: the bytes are not JSON.
pub(crate) const PARSE_ERROR: i64 = -32_700;
/// JSON-RPC: the JSON is not an acceptable request.
pub(crate) const INVALID_REQUEST: i64 = -32_600;
/// JSON-RPC: there is no such method.
pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
/// Ours: the gate refused. Outside the range that MCP and JSON-RPC reserve (-32768 to -32000).
pub const REFUSED: i64 = -31_403;
/// Ours: the wrapped server or the deeds server is gone.
pub const UNAVAILABLE: i64 = -31_503;

/// An error answer; without an id where the request cannot be named, or must not be (a duplicate).
pub(crate) fn error(id: Option<&Id>, code: i64, message: &str) -> Vec<u8> {
    let id = id.map_or(Value::Null, Id::to_json);
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string().into_bytes()
}

/// The tool result of a refused call: the model reads the reason. Clients of the modern era expect `resultType`.
pub(crate) fn refused_call(id: &Id, text: &str, modern: bool) -> Vec<u8> {
    let mut result = json!({"content": [{"type": "text", "text": text}], "isError": true});
    if modern && let Some(members) = result.as_object_mut() {
        members.insert("resultType".into(), "complete".into());
    }
    json!({"jsonrpc": "2.0", "id": id.to_json(), "result": result}).to_string().into_bytes()
}

/// The sentence that ends the refusal of a decided call: where its decision is and how to see more.
pub(crate) fn decided_at(index: Option<u64>) -> String {
    index.map_or_else(counted, |index| format!("Recorded as @{index}; see `deeds authority @{index}`."))
}

/// The sentence that ends every other refusal: it is an entry of the log, behind which no decision stands.
pub(crate) fn recorded_at(index: Option<u64>) -> String {
    index.map_or_else(counted, |index| format!("Recorded as @{index}; see `deeds entry @{index}`."))
}

fn counted() -> String {
    "Refusals of this source are being counted, not recorded one by one; see `deeds did`.".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_shape_that_clients_of_each_era_expect() {
        let legacy = refused_call(&Id::Number(7), "no", false);
        assert_eq!(
            serde_json::from_slice::<Value>(&legacy).unwrap(),
            json!({"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"no"}],"isError":true}})
        );
        let modern: Value = serde_json::from_slice(&refused_call(&Id::Text("a".into()), "no", true)).unwrap();
        assert_eq!(modern.pointer("/result/resultType"), Some(&json!("complete")));
        assert_eq!(modern.pointer("/id"), Some(&json!("a")));
    }

    #[test]
    fn own_codes_lie_outside_the_reserved_range() {
        for code in [REFUSED, UNAVAILABLE] {
            assert!(!(-32_768..=-32_000).contains(&code));
        }
        let error: Value = serde_json::from_slice(&error(None, REFUSED, "no")).unwrap();
        assert_eq!(error, json!({"jsonrpc":"2.0","id":null,"error":{"code":REFUSED,"message":"no"}}));
    }
}
