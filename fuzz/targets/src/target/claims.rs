//! Claims of every signed object.

use evidence::delegation::{Child, HaltOrder, Link, Mandate, Pop, Revocation, Root, RootRequest};

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(serde_json::Value::Object(claims)) = evidence::json::parse(data) {
        let _ = Root::parse(&claims);
        let _ = Child::parse(&claims);
        let _ = Link::parse(&claims);
        let _ = RootRequest::parse(&claims);
        let _ = Pop::parse(&claims);
        let _ = Mandate::parse(&claims);
        let _ = Revocation::parse(&claims);
        let _ = HaltOrder::parse(&claims);
    }
}
