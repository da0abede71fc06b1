//! Revocations and halts: what a registered person signs, and the entries of it.

use evidence::delegation::{HaltAct, HaltOrder, On, Revocation, Target, What};
use evidence::jws::Jwk;
use evidence::{Kind, id};
use serde_json::json;

use crate::log::{Draft, LogBuilder};
use crate::story::Person;

/// Life of the orders signed here, seconds.
const ORDER_S: u64 = 300;

impl LogBuilder {
    /// What a person signs to revoke something from `eff` (seconds) on.
    pub fn revocation(&mut self, person: &Person, what: What, target: &Target, eff: u64) -> Revocation {
        let now = self.clock.now_ms() / 1_000;
        Revocation {
            jti: id::text(&self.id()),
            key: Jwk::of(&person.key).thumbprint(),
            audience: self.issuer.clone(),
            iat: now,
            exp: now + ORDER_S,
            what,
            target: target.clone(),
            eff,
            why: "tests".to_owned(),
            tenant: "local".to_owned(),
        }
    }

    /// The entry of a revocation; without a token the operating system alone vouches for who asked.
    pub fn revoked(&self, what: What, target: &Target, eff: u64, token: Option<&str>) -> Draft {
        Draft::new(Kind::Revoked)
            .with("what", &json!(what.as_str()))
            .with("target", &target.to_json())
            .with("eff", &json!(eff))
            .with("why", &json!("tests"))
            .with("token", &json!(token))
    }

    /// What a person signs to stop somebody, or, with the index of that halt, to lift it.
    pub fn halt_order(&mut self, person: &Person, on: &On, halt: Option<u64>) -> HaltOrder {
        let now = self.clock.now_ms() / 1_000;
        HaltOrder {
            jti: id::text(&self.id()),
            key: Jwk::of(&person.key).thumbprint(),
            audience: self.issuer.clone(),
            iat: now,
            exp: now + ORDER_S,
            act: if halt.is_some() { HaltAct::Resume } else { HaltAct::Halt },
            on: on.clone(),
            why: "tests".to_owned(),
            tenant: "local".to_owned(),
            halt,
        }
    }

    /// The entry of a halt.
    pub fn halted(&self, on: &On, token: Option<&str>) -> Draft {
        halt_change(HaltAct::Halt, on, token)
    }

    /// The entry that lifts the halt at an index.
    pub fn resumed(&self, on: &On, halt: u64, token: Option<&str>) -> Draft {
        halt_change(HaltAct::Resume, on, token).with("halt", &json!(halt))
    }
}

fn halt_change(act: HaltAct, on: &On, token: Option<&str>) -> Draft {
    Draft::new(Kind::HaltedOrResumed)
        .with("change", &json!(act.change()))
        .with("on", &on.to_json())
        .with("why", &json!("tests"))
        .with("token", &json!(token))
}

#[cfg(test)]
mod tests {
    use evidence::jws::{self, Signed};

    use super::*;

    #[test]
    fn orders_read_as_they_were_written() {
        let mut log = LogBuilder::new("orders");
        let person = log.person("alice");
        let target = Target::Text("local".to_owned());
        let revocation = log.revocation(&person, What::Tenant, &target, 7);
        let signed = Signed::parse(&revocation.sign(&person.key), jws::REVOCATION).unwrap();
        assert_eq!(Revocation::parse(signed.unverified()).unwrap(), revocation);
        let resume = log.halt_order(&person, &On::All, Some(3));
        let signed = Signed::parse(&resume.sign(&person.key), jws::HALT).unwrap();
        assert_eq!(HaltOrder::parse(signed.unverified()).unwrap(), resume);
    }
}
