//! A scope that parses is within itself and comes back from its own JSON.

/// Takes one input.
pub fn input(data: &[u8]) {
    if let Ok(value) = evidence::json::parse(data)
        && let Ok(scope) = evidence::Scope::parse(&value)
    {
        assert!(scope.within(&scope));
        assert_eq!(evidence::Scope::parse(&scope.to_json()), Ok(scope));
    }
}
