//! Step 12, first part: revocations and halts say what their signatures say.

use evidence::Kind;
use evidence::delegation::{HaltAct, HaltOrder, On, Revocation, Target, What};
use evidence::id::LOG_LEVEL;
use evidence::json;
use evidence::label::Assurance;
use evidence::limits::SKEW_S;
use evidence::principal::PrincipalKind;
use serde_json::{Value, json};

use crate::chain::{self, Failure, Stated};
use crate::finding::{Code, Findings};
use crate::genesis::Genesis;
use crate::items::{Items, Seen};
use crate::limits::ORDER_LATE_S;
use crate::orders::Orders;
use crate::steps::keys::{Register, Registered};

/// What an order entry does.
pub(crate) enum Order {
    Revoke(What, Target, u64),
    Halt(On),
    /// Lifts the halt with this index.
    Resume(u64),
}

/// The log-level orders that are shown well enough to count, by index.
pub(crate) fn read(items: &Items<'_>) -> Vec<(u64, Order)> {
    at_log_level(items).filter_map(|(seen, kind)| Some((seen.index, order(seen, kind)?))).collect()
}

impl Order {
    /// Takes the order at an index in.
    pub(crate) fn apply(&self, index: u64, orders: &mut Orders) {
        match self {
            Self::Revoke(what, target, eff) => orders.revoke(index, *what, target.clone(), *eff),
            Self::Halt(on) => orders.halt(index, on.clone()),
            Self::Resume(halt) => {
                // one that lifts nothing changes nothing
                orders.resume(*halt);
            }
        }
    }
}

/// Step 12, orders.
pub(crate) fn check(items: &Items<'_>, genesis: &Genesis, register: &Register, findings: &mut Findings) {
    let mut before = Orders::default();
    for (seen, kind) in at_log_level(items) {
        if !is_shown(seen, kind) {
            let text =
                "what this order is about is withheld or not understood: what it takes away was not checked";
            findings.at(seen.index, Code::OrderWithheld, text);
        }
        for failure in check_token(seen, kind, &genesis.stated(), register, &before) {
            findings.at(seen.index, failure.step, failure.text);
        }
        if let Some(order) = order(seen, kind) {
            order.apply(seen.index, &mut before);
        }
        if kind == Kind::HaltedOrResumed && lifts(seen) && seen.is_shown_lacking("token") {
            let text = "a halt was lifted without anybody's signature: only a registered person may";
            findings.at(seen.index, Code::OrderUnsigned, text);
        }
    }
}

fn at_log_level<'s, 'a>(items: &'s Items<'a>) -> impl Iterator<Item = (&'s Seen<'a>, Kind)> {
    items.list.iter().filter_map(|seen| {
        let entry = seen.entry.as_ref().ok().filter(|entry| entry.run == LOG_LEVEL)?;
        let kind = entry.kind().filter(|kind| matches!(kind, Kind::Revoked | Kind::HaltedOrResumed))?;
        Some((seen, kind))
    })
}

fn order(seen: &Seen<'_>, kind: Kind) -> Option<Order> {
    if kind == Kind::Revoked {
        let (what, target) = revoked(seen)?;
        return Some(Order::Revoke(what, target, seen.number("eff")?));
    }
    match change(seen)? {
        HaltAct::Halt => on(seen).map(Order::Halt),
        HaltAct::Resume => seen.number("halt").map(Order::Resume),
    }
}

fn is_shown(seen: &Seen<'_>, kind: Kind) -> bool {
    if kind == Kind::Revoked {
        return revoked(seen).is_some() && seen.number("eff").is_some();
    }
    // who lifted a halt is what an auditor has to see
    let signed = !lifts(seen) || seen.value("token").is_some() || seen.is_shown_lacking("token");
    change(seen).is_some() && on(seen).is_some() && signed
}

fn revoked(seen: &Seen<'_>) -> Option<(What, Target)> {
    let what = seen.text("what").as_deref().and_then(What::parse)?;
    Some((what, Target::from_json(&seen.value("target")?, what).ok()?))
}

fn change(seen: &Seen<'_>) -> Option<HaltAct> {
    let change = seen.text("change")?;
    [HaltAct::Halt, HaltAct::Resume].into_iter().find(|act| act.change() == change)
}

fn on(seen: &Seen<'_>) -> Option<On> {
    On::from_json(&seen.value("on")?).ok()
}

/// All that is wrong with the signed order, where there is one; `before` are the orders below it.
fn check_token(
    seen: &Seen<'_>,
    kind: Kind,
    stated: &Stated<'_>,
    register: &Register,
    before: &Orders,
) -> Vec<Failure> {
    let Some(token) = seen.value("token") else { return check_unsigned(seen).into_iter().collect() };
    let token = token.as_str().unwrap_or_default();
    let parsed = if kind == Kind::Revoked {
        chain::parse_revocation(token, stated).map(|(signed, order)| (signed, says_revocation(seen, &order)))
    } else {
        chain::parse_halt(token, stated).map(|(signed, order)| (signed, says_halt(seen, &order)))
    };
    let (signed, mut says_the_same) = match parsed {
        Ok(parsed) => parsed,
        Err(failure) => return vec![failure],
    };
    let registered = register.at(signed.kid(), seen.index);
    says_the_same &= registered.is_none_or(|registered| is_by(seen, registered));
    let signature = match registered {
        None => Err(chain::unregistered_order(signed.kid())),
        Some(registered) if is_revoked(seen, registered, before) => Err(chain::revoked_signer(signed.kid())),
        Some(registered) if lifts(seen) && !may_lift(seen, signed.kid(), registered, register) => {
            let text = "the halt was lifted with a key that is no person's, or was registered only after it";
            Err(chain::failure(Code::OrderKey, text))
        }
        Some(registered) => chain::signed_order(&signed, &registered.key),
    };
    let mut failures: Vec<Failure> = signature.err().into_iter().collect();
    if !says_the_same {
        let text = "what was signed is another order than the one recorded: the record is not true";
        failures.push(chain::failure(Code::OrderBinding, text));
    }
    failures
}

/// Where nobody signed, nobody but the operating system vouches for who it was.
fn check_unsigned(seen: &Seen<'_>) -> Option<Failure> {
    let unknown = |by: Value| by.get("kind").and_then(Value::as_str) == Some(PrincipalKind::Unknown.as_str());
    let inferred = Assurance::Inferred.as_str();
    let fits = !seen.is_shown_lacking("token")
        || seen.value("by").is_none_or(unknown) && says(seen, "assurance", &json!(inferred));
    let text = "nobody signed this order, and it names somebody as if they had: the record is not true";
    (!fits).then(|| chain::failure(Code::OrderBinding, text))
}

fn is_by(seen: &Seen<'_>, registered: &Registered) -> bool {
    let Some(by) = seen.value("by") else { return true };
    let text = |name: &str| by.get(name).and_then(Value::as_str).map(str::to_owned);
    registered.owner().is_some_and(|(iss, sub)| text("iss") == Some(iss) && text("sub") == Some(sub))
}

fn lifts(seen: &Seen<'_>) -> bool {
    seen.text("change").as_deref() == Some(HaltAct::Resume.change())
}

/// A person lifts a halt, and not one who came after it, unless there was nobody.
fn may_lift(seen: &Seen<'_>, kid: &str, registered: &Registered, register: &Register) -> bool {
    let was_there = seen
        .number("halt")
        .is_none_or(|halt| register.at(kid, halt).is_some() || !register.has_person_at(halt));
    registered.is_person() && was_there
}

/// Whether an entry was written while its order held, or a little after.
fn in_time(seen: &Seen<'_>, iat: u64, exp: u64) -> bool {
    let at_s = seen.entry.as_ref().map_or(0, |entry| entry.observed_ms / 1_000);
    iat.saturating_sub(SKEW_S) <= at_s && at_s <= exp.saturating_add(ORDER_LATE_S)
}

fn is_revoked(seen: &Seen<'_>, registered: &Registered, before: &Orders) -> bool {
    let at_s = seen.entry.as_ref().map_or(0, |entry| entry.observed_ms / 1_000);
    registered.owner().is_some_and(|(iss, sub)| before.is_principal_revoked(&iss, &sub, at_s))
}

fn says_revocation(seen: &Seen<'_>, order: &Revocation) -> bool {
    says(seen, "what", &json!(order.what.as_str()))
        && says(seen, "target", &order.target.to_json())
        && says(seen, "eff", &json!(order.eff))
        && says(seen, "why", &json!(order.why))
        && in_time(seen, order.iat, order.exp)
}

fn says_halt(seen: &Seen<'_>, order: &HaltOrder) -> bool {
    says(seen, "change", &json!(order.act.change()))
        && says(seen, "on", &order.on.to_json())
        && says(seen, "halt", &json!(order.halt))
        && (order.halt.is_none() || !seen.is_without("halt"))
        && says(seen, "why", &json!(order.why))
        && in_time(seen, order.iat, order.exp)
}

/// Whether a field, where it is present, has this value.
fn says(seen: &Seen<'_>, name: &str, value: &Value) -> bool {
    seen.value(name).is_none_or(|recorded| json::jcs(&recorded) == json::jcs(value))
}
