//! The register of principals, as the server answers it.

use anyhow::{Context as _, bail};
use evidence::Principal;
use serde_json::Value;

use crate::connect::Server;

/// The registered keys.
pub(crate) struct Registered(Vec<Row>);

struct Row {
    principal: Principal,
    retired: bool,
}

impl Registered {
    /// Asks the server. What was registered or retired before this command began is in the answer; only where the
    /// index does not follow the log it may not be, because orders must not wait for it.
    pub(crate) async fn ask(server: &Server) -> anyhow::Result<Self> {
        let path = "/v1/principals";
        let fresh = match server.hello.size.checked_sub(1) {
            Some(last) => server.client.get_json(&format!("{path}?wait={last}")).await,
            None => server.client.get_json(path).await,
        };
        match fresh {
            Err(error) if error.code() == Some("not-folded") => {
                Ok(Self::read(&server.client.get_json(path).await?))
            }
            answer => Ok(Self::read(&answer?)),
        }
    }

    fn read(answer: &Value) -> Self {
        let rows = answer.get("principals").and_then(Value::as_array).into_iter().flatten();
        let row = |row: &Value| {
            let principal = serde_json::from_value(row.pointer("/principal/value")?.clone()).ok()?;
            Some(Row { principal, retired: row.get("retired").is_some_and(|at| !at.is_null()) })
        };
        Self(rows.filter_map(row).collect())
    }

    /// The principal that a key in force stands for.
    pub(crate) fn of_key(&self, thumbprint: &str) -> anyhow::Result<&Principal> {
        let found = self.in_force().find(|principal| principal.key.as_deref() == Some(thumbprint));
        found.with_context(|| {
            format!("the key {thumbprint} is not registered; register it with `deeds principal add NAME --key FILE`")
        })
    }

    /// Whether a key was ever registered.
    pub(crate) fn knows_key(&self, thumbprint: &str) -> bool {
        self.0.iter().any(|row| row.principal.key.as_deref() == Some(thumbprint))
    }

    /// The principal of this name, whose keys may all be retired.
    pub(crate) fn named(&self, name: &str) -> Option<&Principal> {
        self.0.iter().map(|row| &row.principal).find(|principal| principal.sub == name)
    }

    /// The one key in force of the principal of this name.
    pub(crate) fn key_of(&self, name: &str) -> anyhow::Result<String> {
        let keys = self.in_force().filter(|principal| principal.sub == name);
        let keys: Vec<&str> = keys.filter_map(|principal| principal.key.as_deref()).collect();
        match keys.as_slice() {
            [key] => Ok((*key).to_owned()),
            [] => {
                bail!("no key of `{}` is in force; `deeds principal list` shows them", name.escape_default())
            }
            several => bail!(
                "`{}` has several keys; name one by its thumbprint: {}",
                name.escape_default(),
                several.join(", ")
            ),
        }
    }

    fn in_force(&self) -> impl Iterator<Item = &Principal> {
        self.0.iter().filter(|row| !row.retired).map(|row| &row.principal)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_selects_keys_in_force() {
        let row = |sub: &str, key: &str, retired: Value| {
            let principal = json!({"kind": "human", "iss": "i", "sub": sub, "key": key});
            json!({"principal": {"value": principal, "check": "not-checked"}, "index": 3, "retired": retired})
        };
        let rows = [
            row("ana", "k1", Value::Null),
            row("ana", "k2", json!(9)),
            row("bo", "k3", Value::Null),
            row("cy", "k4", Value::Null),
            row("cy", "k5", Value::Null),
        ];
        let known = Registered::read(&json!({ "principals": rows }));
        assert_eq!((known.key_of("ana").unwrap(), known.key_of("bo").unwrap()), ("k1".into(), "k3".into()));
        assert!(known.key_of("cy").unwrap_err().to_string().contains("k4, k5"));
        assert!(known.key_of("dee").is_err());
        assert_eq!(known.of_key("k1").unwrap().sub, "ana");
        assert!(known.of_key("k2").unwrap_err().to_string().contains("deeds principal add"));
        assert!(known.knows_key("k2") && !known.knows_key("k9"));
        assert!(known.named("ana").is_some() && known.named("x").is_none());
        assert!(Registered::read(&Value::Null).named("ana").is_none());
    }
}
