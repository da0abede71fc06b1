//! Scopes of every constraint type: whatever one scope permits, each scope that it is within permits too, and saying
//! where they differ never fails.

use crate::draw::{Result, Unstructured, arguments, scope, tool};
use evidence::Scope;

/// Takes one input.
pub fn input(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let outer = scope(u)?;
    let mut inner = if u.ratio(1, 2)? { outer.clone() } else { scope(u)? };
    crate::draw::alter(u, &mut inner)?;
    let (Ok(outer), Ok(inner)) = (Scope::parse(&outer), Scope::parse(&inner)) else { return Ok(()) };
    assert!(outer.within(&outer) && inner.within(&inner));
    assert_eq!(Scope::parse(&inner.to_json()).as_ref(), Ok(&inner));
    let within = inner.within(&outer);
    assert_eq!(within, inner.excess(&outer).is_empty());
    let _ = inner.difference(&outer);
    for _ in 0..4 {
        let (tool, args) = (tool(u)?, arguments(u)?);
        let (narrow, wide) = (inner.permits(&tool, &args), outer.permits(&tool, &args));
        assert!(!within || narrow.is_err() || wide.is_ok(), "{inner:?} within {outer:?}: {tool} {args:?}");
    }
    Ok(())
}
