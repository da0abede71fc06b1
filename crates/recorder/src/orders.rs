//! Orders: what is revoked, who is halted, and who may go on (format §6, *Revocation* and *Halt*).
//!
//! Each is in force for the next decision behind its entry: a decision is written only where the log level still
//! stands at the position that it was made at.

use evidence::Kind;
use evidence::delegation::{HaltAct, HaltOrder, On, Revocation, Target, What};
use evidence::jws::{self, Signed};
use evidence::label::Assurance;
use evidence::limits::JSON_INTEGER_MAX;
use evidence::principal::{Principal, PrincipalKind};
use serde_json::{Value, json};
use verify::chain::{self, Failure, Step};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{HALTS_MAX, REVOCATIONS_MAX, STALE_RETRIES_MAX, WHY_MAX_BYTES};
use crate::sequencing::Reply;
use crate::{OpenError, Peer, Recorder, RecorderError};

/// Something to be revoked.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// What kind of thing.
    pub what: What,
    /// Which.
    pub target: Target,
    /// From when on, seconds; none: as the token says, else from now on.
    pub eff: Option<u64>,
    /// Why.
    pub why: String,
    /// The signed revocation (JWS), which says the same; none: the uid of the peer stands behind it.
    pub token: Option<String>,
}

/// A revocation that is in force for the next decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Index of its entry.
    pub index: u64,
    /// From when on, seconds.
    pub eff: u64,
}

/// A halt in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Index of its entry.
    pub index: u64,
    /// Whom it stops.
    pub on: On,
    /// Why; empty where that was erased.
    pub why: String,
    /// Who ordered it; nothing where that was erased.
    pub by: Option<Principal>,
    /// When it was recorded, ms.
    pub at_ms: u64,
}

/// Who stands behind an order, and how well that is known.
struct By {
    principal: Principal,
    assurance: Assurance,
    /// Thumbprint of the key that signed it.
    key: Option<String>,
}

impl By {
    fn key(principal: Principal, key: String) -> Self {
        Self { principal, assurance: Assurance::IssuerAsserted, key: Some(key) }
    }

    /// Token digest of the order that was signed.
    fn order(&self, token: Option<&str>, typ: &str) -> Option<String> {
        token.filter(|_| self.key.is_some()).and_then(|token| Some(Signed::parse(token, typ).ok()?.digest()))
    }

    fn fields(&self, why: &str, token: Option<&str>) -> Fields {
        Fields::new()
            .text("why", why)
            .json("by", &json!(self.principal))
            .json("token", &token.map_or(Value::Null, Value::from))
            .text("assurance", self.assurance.as_str())
    }
}

impl Recorder {
    /// Revokes something, on a registered key's signature or on the word of the operating system.
    pub async fn revoke(&self, revoke: Revoke, peer: Peer) -> Result<Revoked, RecorderError> {
        check_why(&revoke.why)?;
        check_target(&revoke)?;
        let token = revoke.token.as_deref();
        for _ in 0..STALE_RETRIES_MAX {
            let ordered = self.revocation(&revoke, peer);
            let (by, eff) = self.on_record(ordered, token.unwrap_or_default(), peer).await?;
            let order = by.order(token, jws::REVOCATION);
            if let Some(index) = self.carried_out(order.as_deref()) {
                return Ok(Revoked { index, eff });
            }
            if !self.ends_all(&revoke, eff) {
                let known = self.control().orders.revocations().count();
                check_room("revocations", known, REVOCATIONS_MAX, &by)?;
            }
            let fields = by
                .fields(&revoke.why, token)
                .text("what", revoke.what.as_str())
                .json("target", &revoke.target.to_json())
                .json("eff", &json!(eff));
            let guard = Guard::Orders { key: by.key, order, lifts: None };
            if let Some(index) = self.order(Kind::Revoked, fields, guard).await? {
                return Ok(Revoked { index, eff });
            }
        }
        Err(RecorderError::Busy)
    }

    /// Stops an agent, everybody who acts for a principal, or all, until it is lifted. Gives the index of its entry.
    pub async fn halt(
        &self,
        on: On,
        why: &str,
        token: Option<&str>,
        peer: Peer,
    ) -> Result<u64, RecorderError> {
        check_why(why)?;
        for _ in 0..STALE_RETRIES_MAX {
            let ordered = self.halt_order(&on, why, token, peer);
            let by = self.on_record(ordered, token.unwrap_or_default(), peer).await?;
            let order = by.order(token, jws::HALT);
            if let Some(index) = self.carried_out(order.as_deref()) {
                return Ok(index);
            }
            if on != On::All || self.stands(|_, known| *known == On::All) {
                check_room("halts in force", self.control().orders.halts().count(), HALTS_MAX, &by)?;
            }
            let fields =
                by.fields(why, token).text("change", HaltAct::Halt.change()).json("on", &on.to_json());
            let guard = Guard::Orders { key: by.key, order, lifts: None };
            if let Some(index) = self.order(Kind::HaltedOrResumed, fields, guard).await? {
                return Ok(index);
            }
        }
        Err(RecorderError::Busy)
    }

    /// Lifts a halt. It takes the signature of a registered person: whoever shares the server's user cannot let loose
    /// what somebody stopped. Gives the index of its entry.
    pub async fn resume(&self, halt: u64, why: &str, token: &str, peer: Peer) -> Result<u64, RecorderError> {
        check_why(why)?;
        for _ in 0..STALE_RETRIES_MAX {
            let ordered = self.resume_order(halt, why, token);
            let (by, on) = self.on_record(ordered, token, peer).await?;
            let fields = by
                .fields(why, Some(token))
                .text("change", HaltAct::Resume.change())
                .json("on", &on.to_json())
                .json("halt", &json!(halt));
            // it names the halt that it lifts, so it serves once
            let guard = Guard::Orders { key: by.key, order: None, lifts: Some(halt) };
            if let Some(index) = self.order(Kind::HaltedOrResumed, fields, guard).await? {
                return Ok(index);
            }
        }
        Err(RecorderError::Busy)
    }

    /// The halts in force, by index. An error where the entry of one cannot be read: it is in force all the same, and
    /// a list without it would say the opposite.
    pub fn halts(&self) -> Result<Vec<Halted>, OpenError> {
        let in_force: Vec<(u64, On)> =
            self.control().orders.halts().map(|(index, on)| (index, on.clone())).collect();
        let entries = self.entries();
        let read = |(index, on)| {
            let (entry, fields) = entries.open(index)?;
            let fields = fields.unwrap_or_default();
            let field = |name| fields.get(Kind::HaltedOrResumed, name);
            Ok(Halted {
                index,
                on,
                why: field("why").and_then(|why| serde_json::from_str(why).ok()).unwrap_or_default(),
                by: field("by").and_then(|by| serde_json::from_str(by).ok()),
                at_ms: entry.observed_ms,
            })
        };
        // one that is in the queue is not durable yet, and not in force for anybody who asks
        let durable = self.reader().size();
        in_force.into_iter().filter(|(index, _)| *index < durable).map(read).collect()
    }

    /// Writes an order, unless what it was checked against is no longer so.
    ///
    /// Durable once this returns. After a crash before it nothing was ordered; behind it every later decision is held
    /// to it, in this process and the next.
    async fn order(&self, kind: Kind, fields: Fields, guard: Guard) -> Result<Option<u64>, RecorderError> {
        let item = self.0.sealer.item(kind, Place::LOG, fields)?;
        match self.append(Draft::one(guard, item)).await? {
            Reply::Written(written) => Ok(Some(written.first)),
            _ => Ok(None),
        }
    }

    /// Who revokes, and from when on.
    fn revocation(&self, revoke: &Revoke, peer: Peer) -> Result<(By, u64), RecorderError> {
        let now_s = self.0.clock.wall_ms() / 1_000;
        let Some(token) = &revoke.token else {
            return Ok((self.peer(peer), revoke.eff.unwrap_or(now_s)));
        };
        let refused = |failure: Failure| RecorderError::order(&failure);
        let registered = |kid: &str| self.control().signer(kid, self.0.clock.wall_ms());
        let (signed, principal) = chain::revocation(token, &self.anchor(), registered).map_err(refused)?;
        chain::order_fresh(signed.iat, signed.exp, now_s).map_err(refused)?;
        let Revocation { what, target, eff, why, key, .. } = signed;
        let asked = (revoke.what, &revoke.target, revoke.eff.unwrap_or(eff), &revoke.why);
        if asked != (what, &target, eff, &why) {
            return Err(other_order("revocation"));
        }
        Ok((By::key(principal, key), eff))
    }

    fn halt_order(&self, on: &On, why: &str, token: Option<&str>, peer: Peer) -> Result<By, RecorderError> {
        let Some(token) = token else { return Ok(self.peer(peer)) };
        let (signed, principal) = self.signed_halt(token)?;
        if (signed.act, &signed.on, signed.why.as_str()) != (HaltAct::Halt, on, why) {
            return Err(other_order("halt"));
        }
        let by = By::key(principal, signed.key);
        let before = self.carried_out(by.order(Some(token), jws::HALT).as_deref());
        match before {
            Some(halt) if !self.stands(|index, _| index == halt) => {
                let text =
                    format!("this order was carried out at @{halt} and has been lifted: sign a new one");
                Err(RecorderError::OrderRefused { step: Step::OrderBinding.name(), text })
            }
            _ => Ok(by),
        }
    }

    /// Where the signed order with this token digest was carried out: whoever reads it cannot give it once more. One
    /// that is in the queue is not durable yet: its second giver comes back for the answer.
    fn carried_out(&self, order: Option<&str>) -> Option<u64> {
        let index = self.control().carried_out.get(order?).map(|order| order.index);
        index.filter(|index| *index < self.reader().size())
    }

    /// Whether there is such a halt in force.
    fn stands(&self, such: impl Fn(u64, &On) -> bool) -> bool {
        self.control().orders.halts().any(|(index, on)| such(index, on))
    }

    /// Whether this takes away everything now, for the first time: there is always room for that.
    fn ends_all(&self, revoke: &Revoke, eff: u64) -> bool {
        let own = Target::Text(self.names().tenant.clone());
        let now_s = self.0.clock.wall_ms() / 1_000;
        let control = self.control();
        let mut known = control.orders.revocations();
        revoke.what == What::Tenant
            && revoke.target == own
            && eff <= now_s
            && !known.any(|(_, what, target, eff)| what == What::Tenant && *target == own && eff <= now_s)
    }

    /// Who lifts a halt, and of whom. The order names the halt, so that it cannot be used for a later one.
    fn resume_order(&self, halt: u64, why: &str, token: &str) -> Result<(By, On), RecorderError> {
        let (signed, principal) = self.signed_halt(token)?;
        if principal.kind != PrincipalKind::Human {
            let text = format!("`{}` is no person: only a registered person lifts a halt", principal.sub);
            return Err(RecorderError::OrderRefused { step: Step::OrderKey.name(), text });
        }
        if !self.control().may_lift(&signed.key, halt) {
            let text = format!(
                "the key of `{}` was registered after the halt @{halt}: somebody who was there lifts it",
                principal.sub
            );
            return Err(RecorderError::OrderRefused { step: Step::OrderKey.name(), text });
        }
        let on = self.control().orders.halts().find(|(index, _)| *index == halt).map(|(_, on)| on.clone());
        let on = on.ok_or(RecorderError::HaltUnknown(halt))?;
        let said = (signed.act, signed.halt, &signed.on, signed.why.as_str());
        if said != (HaltAct::Resume, Some(halt), &on, why) {
            return Err(other_order("resume"));
        }
        Ok((By::key(principal, signed.key), on))
    }

    fn signed_halt(&self, token: &str) -> Result<(HaltOrder, Principal), RecorderError> {
        let refused = |failure: Failure| RecorderError::order(&failure);
        let registered = |kid: &str| self.control().signer(kid, self.0.clock.wall_ms());
        let (signed, principal) = chain::halt(token, &self.anchor(), registered).map_err(refused)?;
        let now_s = self.0.clock.wall_ms() / 1_000;
        chain::order_fresh(signed.iat, signed.exp, now_s).map_err(refused)?;
        Ok((signed, principal))
    }

    /// The uid of a peer, behind an order that nobody signed.
    fn peer(&self, peer: Peer) -> By {
        let principal = identity::peer_principal(&self.names().issuer, peer.uid);
        By { principal, assurance: Assurance::Inferred, key: None }
    }
}

/// Half of the room is for orders that somebody signed: whoever shares the server's user must not be able to fill it.
fn check_room(what: &str, count: usize, most: usize, by: &By) -> Result<(), RecorderError> {
    let (most, signed) = if by.key.is_some() { (most, "") } else { (most / 2, " without a signature") };
    if count < most {
        return Ok(());
    }
    let text =
        format!("the log has its {most} {what}{signed}: sign this one, revoke the tenant, or halt all");
    Err(RecorderError::Invalid(text))
}

fn other_order(what: &str) -> RecorderError {
    let text = format!("the signed order does not say what this {what} asks for: sign one that does");
    RecorderError::OrderRefused { step: Step::OrderBinding.name(), text }
}

/// A reason is always given, and has room in a claim.
pub(crate) fn check_why(why: &str) -> Result<(), RecorderError> {
    if (1..=WHY_MAX_BYTES).contains(&why.len()) {
        return Ok(());
    }
    Err(RecorderError::Invalid(format!(
        "`why` has {} bytes: give a reason of 1 to {WHY_MAX_BYTES}",
        why.len()
    )))
}

/// What is recorded must be what a verifier can read.
fn check_target(revoke: &Revoke) -> Result<(), RecorderError> {
    let fits = Target::from_json(&revoke.target.to_json(), revoke.what).is_ok();
    if fits && revoke.eff.is_none_or(|eff| eff <= JSON_INTEGER_MAX) {
        return Ok(());
    }
    let text = format!("the target or the time of this revocation of a {} is none", revoke.what.as_str());
    Err(RecorderError::Invalid(text))
}
