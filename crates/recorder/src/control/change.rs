//! What an entry changes in the control state, read from its opened fields.
//!
//! The writer of an entry makes its change from the very fields it seals, through this same function, so that a
//! rebuild from the log cannot differ from the state that grew with it.

use std::collections::{BTreeMap, VecDeque};

use evidence::definition::{Told, command_digest};
use evidence::delegation::{On, Target, What};
use evidence::id::{self, LOG_LEVEL};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::{Holder, Principal};
use evidence::tool::Scheme;
use evidence::{Digest, Entry, FieldSet, Kind, Status};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Run;
use super::run::{End, Wrapped, what};

/// Subtype of a part of a list of artifacts.
pub(crate) const ARTIFACTS: &str = "artifacts";
/// Subtype of what a server tells of its definitions.
pub(crate) const DEFINITIONS: &str = "definitions";

/// The effect of one entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A run began, or a writer joined it.
    RunStarted {
        /// The run as it begins.
        run: Box<Run>,
        /// The client whose task it belongs to.
        client: Option<String>,
        /// What the writer wraps.
        server: Option<Wrapped>,
    },
    /// A link of a chain is used in a run from here on.
    Delegated {
        /// Token digest.
        digest: String,
        /// The token.
        token: String,
        /// Token digest of the link above it; nothing for a root.
        parent: Option<String>,
        /// Id of its holder.
        holder: String,
        /// Thumbprint of the bound key.
        thumbprint: String,
        /// The first second at which it no longer holds.
        exp: u64,
    },
    /// A mandate was registered.
    Mandated {
        /// Token digest.
        digest: String,
        /// The token.
        token: String,
        /// The first second at which it no longer holds.
        exp: u64,
    },
    /// Something was revoked.
    Revoked {
        /// What kind of thing.
        what: What,
        /// Which.
        target: Target,
        /// From when on, seconds.
        eff: u64,
        /// Token digest and last second of the signed order, where there is one.
        order: Option<(String, u64)>,
    },
    /// Somebody, or everybody, was halted.
    Halted {
        /// Whom.
        on: On,
        /// Token digest and last second of the signed order, where there is one.
        order: Option<(String, u64)>,
    },
    /// A halt was lifted.
    Resumed {
        /// Index of its entry.
        halt: u64,
    },
    /// A run announced a child.
    ChildStarted {
        /// The child.
        child: String,
    },
    /// An act was decided.
    Decided {
        /// The act.
        act_id: String,
        /// Whether it may go.
        allowed: bool,
        /// Names what was asked, and with which proof.
        asked: [u8; 32],
        /// Names what is done.
        what: [u8; 32],
        /// Thumbprint of the leaf key, where it signed the proof: the counter is used up then.
        thumbprint: Option<String>,
        /// The proof's counter.
        counter: u64,
        /// When it was decided, ms.
        at_ms: u64,
    },
    /// The attempt that is the entry's cause got its outcome.
    Finished {
        /// Event id of the outcome.
        event: String,
        /// What it leaves to come.
        end: End,
    },
    /// An outcome came after that of the attempt had been set to unknown.
    LateOutcome {
        /// Event id.
        event: String,
    },
    /// A server told what it offers, or is.
    Told(Box<Told>),
    /// A part of a list of artifacts was recorded.
    Part {
        /// Names what it says: the act and the payload.
        told: [u8; 32],
    },
    /// A key was registered.
    Key {
        /// Its thumbprint.
        thumbprint: String,
        /// Whose.
        principal: Principal,
        /// The public JWK.
        jwk: Value,
    },
    /// A key was retired.
    KeyRetired {
        /// Its thumbprint.
        thumbprint: String,
    },
    /// A policy set came into force.
    Policy {
        /// Its digest.
        digest: String,
    },
    /// A gap was recorded.
    Gap,
    /// A run ended.
    RunEnded,
    /// Nothing that a decision needs.
    Nothing,
}

/// A field that the control state needs is missing or is not what the format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its field `{0}` is missing or not as the format says; the control state cannot be rebuilt from it")]
pub struct ChangeError(&'static str);

impl Change {
    /// Reads the effect of an entry from its fields.
    pub fn of(entry: &Entry, fields: &FieldSet) -> Result<Self, ChangeError> {
        let Some(kind) = entry.kind() else { return Ok(Self::Nothing) };
        let fields = Fields { kind, fields };
        match kind {
            Kind::RunStarted => run_started(&fields),
            Kind::Delegated if entry.run == LOG_LEVEL => Ok(Self::Mandated {
                digest: fields.get("digest")?,
                token: fields.get("token")?,
                exp: fields.get("exp")?,
            }),
            Kind::Delegated => delegated(&fields),
            Kind::Revoked => revoked(&fields),
            Kind::Decided => decided(entry.stream, &fields),
            Kind::Finished => {
                let status = Status::parse(&fields.get::<String>("status")?).ok_or(ChangeError("status"))?;
                Ok(Self::Finished { event: id::text(&entry.event_id), end: End::of(status) })
            }
            Kind::Observed => observed(entry, &fields),
            Kind::PolicyActivated => Ok(Self::Policy { digest: fields.get("policy_digest")? }),
            Kind::KeyOrTrustChanged => key_changed(&fields),
            Kind::Gap => Ok(Self::Gap),
            Kind::RunEnded => Ok(Self::RunEnded),
            Kind::ChildStarted => Ok(Self::ChildStarted { child: fields.get("child")? }),
            Kind::HaltedOrResumed => halted_or_resumed(&fields),
            _ => Ok(Self::Nothing),
        }
    }
}

fn observed(entry: &Entry, fields: &Fields<'_>) -> Result<Change, ChangeError> {
    match fields.get::<String>("subtype")?.as_str() {
        "late-outcome" => Ok(Change::LateOutcome { event: id::text(&entry.event_id) }),
        DEFINITIONS => {
            let payload: Value = fields.get("payload")?;
            // before servers had lists, anybody could write an observation of this name, and it changed nothing
            Ok(Told::from_json(&payload).map_or(Change::Nothing, |told| Change::Told(Box::new(told))))
        }
        ARTIFACTS => {
            let [act, payload] =
                ["act_id", "payload"].map(|name| fields.fields.get(fields.kind, name).unwrap_or_default());
            Ok(Change::Part { told: Digest::of(&evidence::json::jcs(&json!([act, payload]))).0 })
        }
        _ => Ok(Change::Nothing),
    }
}

fn run_started(fields: &Fields<'_>) -> Result<Change, ChangeError> {
    let servers: Vec<Value> = fields.get("servers")?;
    let server = servers.first().map(wrapped).transpose()?;
    let client: Value = fields.get("client")?;
    let uid = client.get("uid").and_then(Value::as_u64);
    let run = Run {
        txn: fields.get("txn")?,
        uid: uid.and_then(|uid| u32::try_from(uid).ok()),
        principal: fields.get("initiator")?,
        grade: fields.get("evidence_grade")?,
        holder: fields.get::<Holder>("holder")?,
        servers: BTreeMap::default(),
        parent: fields.optional("parent")?,
        children: Vec::default(),
        streams: BTreeMap::default(),
        open: BTreeMap::default(),
        recent: VecDeque::default(),
        parts: VecDeque::default(),
        delegations: BTreeMap::default(),
        gaps: 0,
        ended: None,
    };
    let client = client.get("task").and_then(Value::as_str).map(str::to_owned);
    Ok(Change::RunStarted { run: Box::new(run), client, server })
}

/// What a writer wraps. A run that wraps nothing records the issuance of a root.
fn wrapped(server: &Value) -> Result<Wrapped, ChangeError> {
    let wrong = ChangeError("servers");
    let alias = server.get("alias").and_then(Value::as_str).filter(|alias| !alias.is_empty());
    let alias = alias.ok_or(wrong.clone())?;
    let scheme = match server.get("scheme") {
        None => Scheme::Stdio,
        Some(word) => word.as_str().and_then(Scheme::parse).ok_or(wrong.clone())?,
    };
    let command = server.get("command").cloned().unwrap_or_default();
    let command: Vec<String> = serde_json::from_value(command).map_err(|_| wrong)?;
    let command = command_digest(&command).to_string();
    Ok(Wrapped { server: scheme.server(alias), command, facts: BTreeMap::new() })
}

fn delegated(fields: &Fields<'_>) -> Result<Change, ChangeError> {
    let holder: Holder = fields.get("holder")?;
    let token: String = fields.get("token")?;
    let signed = Signed::parse(&token, jws::DELEGATION).map_err(|_| ChangeError("token"))?;
    let parent = signed.unverified().get("par_hash").and_then(Value::as_str).map(str::to_owned);
    Ok(Change::Delegated {
        digest: fields.get("digest")?,
        token,
        parent,
        holder: holder.id,
        thumbprint: holder.key,
        exp: fields.get("exp")?,
    })
}

fn revoked(fields: &Fields<'_>) -> Result<Change, ChangeError> {
    let what = What::parse(&fields.get::<String>("what")?).ok_or(ChangeError("what"))?;
    let target: Value = fields.get("target")?;
    let target = Target::from_json(&target, what).map_err(|_| ChangeError("target"))?;
    Ok(Change::Revoked { what, target, eff: fields.get("eff")?, order: order(fields, jws::REVOCATION)? })
}

fn order(fields: &Fields<'_>, typ: &str) -> Result<Option<(String, u64)>, ChangeError> {
    let token: Value = fields.optional("token")?.unwrap_or_default();
    // null where the operating system alone vouches for who asked
    let Some(token) = token.as_str() else { return Ok(None) };
    let signed = Signed::parse(token, typ).map_err(|_| ChangeError("token"))?;
    let exp = signed.unverified().get("exp").and_then(Value::as_u64).ok_or(ChangeError("token"))?;
    Ok(Some((signed.digest(), exp)))
}

fn halted_or_resumed(fields: &Fields<'_>) -> Result<Change, ChangeError> {
    match fields.get::<String>("change")?.as_str() {
        "halted" => {
            let on: Value = fields.get("on")?;
            let on = On::from_json(&on).map_err(|_| ChangeError("on"))?;
            Ok(Change::Halted { on, order: order(fields, jws::HALT)? })
        }
        "resumed" => Ok(Change::Resumed { halt: fields.get("halt")? }),
        _ => Err(ChangeError("change")),
    }
}

fn decided(stream: u64, fields: &Fields<'_>) -> Result<Change, ChangeError> {
    let verdict: String = fields.get("verdict")?;
    let allowed = verdict == "allow";
    let pop: Option<String> = fields.optional("pop")?;
    // only a proof that its holder signed uses up its counter, so that nobody can burn the counters of another
    let credential: Value = fields.get("credential")?;
    let signed = matches!(credential.get("pop").and_then(Value::as_str), Some("verified" | "signed"));
    let accepted = pop.as_deref().filter(|_| signed).map(proof).transpose()?;
    let (chain, tool): (String, String) = (fields.get("chain")?, fields.get("tool")?);
    let (operation, args): (String, Option<String>) =
        (fields.get("operation")?, fields.optional("args_digest")?);
    Ok(Change::Decided {
        act_id: fields.get("act_id")?,
        allowed,
        what: what([&tool, &operation, args.as_deref().unwrap_or_default()]),
        asked: asked(
            stream,
            [
                pop.as_deref().unwrap_or_default(),
                &chain,
                &tool,
                &operation,
                args.as_deref().unwrap_or_default(),
            ],
        ),
        counter: accepted.as_ref().map_or(0, |(_, counter)| *counter),
        thumbprint: accepted.map(|(thumbprint, _)| thumbprint),
        at_ms: fields.get("decided_at_ms")?,
    })
}

/// Names what was asked: the stream that asks, proof, delegation, tool, operation and digest of the arguments. Only the
/// very same question is a retry; the same proof for anything else, or from anybody else, is a replay.
pub(crate) fn asked(stream: u64, parts: [&str; 5]) -> [u8; 32] {
    Digest::of(&evidence::json::jcs(&json!([stream, parts]))).0
}

fn proof(token: &str) -> Result<(String, u64), ChangeError> {
    let signed = Signed::parse(token, jws::POP).map_err(|_| ChangeError("pop"))?;
    let counter = signed.unverified().get("ctr").and_then(Value::as_u64).ok_or(ChangeError("pop"))?;
    Ok((signed.kid().to_owned(), counter))
}

fn key_changed(fields: &Fields<'_>) -> Result<Change, ChangeError> {
    let thumbprint = fields.get("thumbprint")?;
    match fields.get::<String>("change")?.as_str() {
        "principal-registered" => {
            let jwk: Value = fields.get("key")?;
            Jwk::parse(&jwk).map_err(|_| ChangeError("key"))?;
            Ok(Change::Key { thumbprint, principal: fields.get("principal")?, jwk })
        }
        "principal-retired" => Ok(Change::KeyRetired { thumbprint }),
        _ => Err(ChangeError("change")),
    }
}

struct Fields<'a> {
    kind: Kind,
    fields: &'a FieldSet,
}

impl Fields<'_> {
    fn get<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, ChangeError> {
        self.optional(name)?.ok_or(ChangeError(name))
    }

    fn optional<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, ChangeError> {
        self.fields
            .get(self.kind, name)
            .map(|text| serde_json::from_str(text).map_err(|_| ChangeError(name)))
            .transpose()
    }
}
