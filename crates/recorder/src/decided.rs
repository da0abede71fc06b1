//! The decision: what the policy says about an authorized act, and the fields that record it.

use evidence::artifact::Artifacts;
use evidence::delegation::Source;
use evidence::id::{self, Id};
use evidence::json::jcs_text;
use evidence::label::{Assurance, Grade};
use evidence::limits::VALUE_SEALED_MAX_BYTES;
use evidence::{Digest, Kind, tool};
use policy::{ActionRequest, RequestAgent, RequestDelegation, RequestPrincipal, ServerFacts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use verify::chain::Chain;

use crate::authorize::{Authorized, View};
use crate::control::{asked, what};
use crate::draft::{Draft, Fields, Guard, Place};
use crate::limits::{CORRELATORS_MAX_BYTES, STALE_RETRIES_MAX};
use crate::outcome::bounded as bounded_text;
use crate::permit::{Answer, Reason, Refusal};
use crate::sequencing::Reply;
use crate::{Active, Peer, Recorder, RecorderError};

/// One proposed act, as an enforcement point saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The run it belongs to.
    pub run: Id,
    /// The stream that writes.
    pub stream: u64,
    /// Chosen once per act.
    pub act_id: Id,
    /// What [`evidence::tool::operation`] says of the tool URI; anything else is refused.
    pub operation: String,
    /// Tool URI.
    pub tool: String,
    /// The arguments, byte for byte as seen.
    pub args: Option<String>,
    /// Digest string of the frame as received.
    pub frame_digest: String,
    /// Digest string of the frame as it will be forwarded, where something is stripped.
    pub sent_frame_digest: Option<String>,
    /// Digest string of the tool's definition, where a list has shown it.
    pub definition_digest: Option<String>,
    /// Token digest of the leaf of the chain that it is made under.
    pub delegation: String,
    /// The proof of possession.
    pub pop: String,
    /// How chain and proof came.
    pub carrier: Carrier,
    /// Directory that relative paths are resolved against.
    pub root_dir: Option<String>,
    /// What client and agent say of themselves.
    pub correlators: Value,
    /// What stands in the path.
    pub enforcement_point: Value,
    /// Artifacts as they were before the act.
    pub inputs: Artifacts,
    /// Where it stood among others in one frame.
    pub batch: Option<Batch>,
    /// Index of the decision that this tries again: an attempt at the same in this run, which ended with the target
    /// asking for input.
    pub retry_of: Option<u64>,
    /// Set by an enforcement point that already knows why this cannot go.
    pub malformed: Option<Reason>,
}

/// One act among several in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Of the whole frame.
    pub digest: Digest,
    /// Position in it, from 0.
    pub position: u64,
    /// How many there are.
    pub count: u64,
}

/// How chain and proof of an act came to the enforcement point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// The wrap holds the key.
    Wrap,
    /// In `_meta` of an MCP request: the agent signed.
    McpMeta,
    /// In headers of an HTTP request.
    Http,
}

impl Carrier {
    /// The word in `credential`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::McpMeta => "mcp-meta",
            Self::Http => "http",
        }
    }
}

impl Request {
    pub(crate) fn run_text(&self) -> String {
        id::text(&self.run)
    }

    /// Names the question: see [`crate::control::asked`].
    pub(crate) fn asked(&self, authorized: &Authorized) -> [u8; 32] {
        let args = authorized.args_digest.as_deref().unwrap_or_default();
        asked(self.stream, [&self.pop, &self.delegation, &self.tool, &self.operation, args])
    }

    /// Names what is done: see [`crate::control::what`].
    fn what(&self, authorized: &Authorized) -> [u8; 32] {
        let args = authorized.args_digest.as_deref().unwrap_or_default();
        what([&self.tool, &self.operation, args])
    }

    /// A URI says which operation it is for, so that no rule about one is passed by under the name of another.
    pub(crate) fn other_operation(&self) -> Option<Reason> {
        let expected = tool::operation(&self.tool);
        let text = || {
            format!(
                "the operation `{}` is not what `{}` is for: `{expected}` is",
                bounded_text(&self.operation),
                bounded_text(&self.tool)
            )
        };
        (self.operation != expected).then(|| Reason::new("malformed", "begin", &text()))
    }

    /// That there is nothing that this could be a further attempt after.
    pub(crate) fn no_retry(&self) -> RecorderError {
        RecorderError::Invalid(format!(
            "@{} is no decision of this run about `{}` with these arguments that ended with `input-required`: ask for an \
             act of its own",
            self.retry_of.unwrap_or_default(),
            bounded_text(&self.tool)
        ))
    }

    /// Whose refusals are counted together.
    pub(crate) fn source(&self) -> String {
        self.run_text()
    }
}

/// What of an act and its result is kept: `sealed`, or `digest` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Of the arguments.
    pub args: Mode,
    /// Of the result.
    pub result: Mode,
}

/// How a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In full, in the sealed body.
    Sealed,
    /// As its digest.
    Digest,
    /// Not at all.
    None,
}

impl Default for Capture {
    fn default() -> Self {
        Self { args: Mode::Sealed, result: Mode::Digest }
    }
}

/// A decision before it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    policy: Active,
    outcome: Option<policy::Decision>,
    class: Value,
    reason: Option<Reason>,
    capture: Capture,
}

impl Decided {
    pub(crate) fn allows(&self) -> bool {
        self.reason.is_none()
    }

    pub(crate) fn class(&self) -> Value {
        self.class.clone()
    }

    pub(crate) fn capture(&self) -> Capture {
        self.capture
    }

    pub(crate) fn into_reason(self) -> Reason {
        self.reason.unwrap_or_else(|| Reason::new("refused", "unknown", "refused"))
    }
}

impl Recorder {
    /// Decides an act: nothing that is not authorized is put to the policy.
    pub(crate) fn decide(
        &self,
        view: &View,
        request: &Request,
        authorized: &Authorized,
    ) -> Result<Decided, RecorderError> {
        let policy = self.policy()?;
        let class = policy.set.classify(&request.tool, request.definition_digest.as_deref());
        let class = serde_json::to_value(class).unwrap_or_default();
        let args_fit = request.args.as_deref().is_none_or(|args| args.len() <= VALUE_SEALED_MAX_BYTES);
        let capture =
            Capture { args: if args_fit { Mode::Sealed } else { Mode::Digest }, ..Capture::default() };
        let refusal = authorized.refusal.clone().or_else(|| unpinned(&policy, view, request));
        let outcome = match (&refusal, Asked::of(authorized)) {
            (None, Some(asked)) => Some(policy.set.decide(&asked.action(view, request))),
            _ => None,
        };
        let reason = refusal.or_else(|| refusal_of(outcome.as_ref()));
        Ok(Decided { policy, outcome, class, reason, capture })
    }

    /// The draft of the decision's entry.
    pub(crate) fn decided_draft(
        &self,
        view: &View,
        request: &Request,
        authorized: &Authorized,
        decision: &Decided,
    ) -> Result<Draft, RecorderError> {
        let place = Place::harness(request.run, request.stream);
        let fields = identity_fields(view, request, authorized);
        let fields = act_fields(fields, request, authorized);
        let fields = verdict_fields(fields, view, decision);
        let item = self.0.sealer.item(Kind::Decided, place, fields)?;
        let uses = authorized.pop.as_ref().zip(authorized.thumbprint.clone()).filter(|_| decision.allows());
        let guard = Guard::Decides {
            log_index: view.log_index,
            policy: decision.policy.set.digest(),
            act_id: id::text(&request.act_id),
            asked: request.asked(authorized),
            retry_of: request.retry_of.map(|decision| (decision, request.what(authorized))),
            server: view.server.clone(),
            uses: uses.map(|(pop, thumbprint)| (thumbprint, pop.counter)),
        };
        Ok(Draft::one(guard, item))
    }

    /// Records the refusal of a proof that was used before.
    pub(crate) async fn refuse(
        &self,
        request: &Request,
        reason: Reason,
        peer: Peer,
    ) -> Result<Answer, RecorderError> {
        if !self.may_record_refusal(&request.source(), &request.frame_digest) {
            return Ok(Answer::counted(reason));
        }
        // a fresh act id: the first decision keeps the name that was tried again, and this follows none
        let renamed =
            Request { act_id: self.new_id(), malformed: Some(reason), retry_of: None, ..request.clone() };
        for _ in 0..STALE_RETRIES_MAX {
            let (view, mut authorized) = self.looked(&renamed, peer)?;
            // the proof is evidence of the attempt, but it uses up nothing
            authorized.pop = None;
            let decision = self.decide(&view, &renamed, &authorized)?;
            let draft = self.decided_draft(&view, &renamed, &authorized, &decision)?;
            if let Reply::Written(written) = self.append(draft).await? {
                return Ok(Answer::Refused(Refusal {
                    index: Some(written.first),
                    reason: decision.into_reason(),
                    receipt: written.receipts.into_iter().next(),
                }));
            }
        }
        Err(RecorderError::Busy)
    }
}

/// Whether a pin of the class table does not hold. What a stream wraps says nothing about the server of another.
fn unpinned(policy: &Active, view: &View, request: &Request) -> Option<Reason> {
    let of = tool::split(&request.tool).map(|(server, _)| server);
    let server = view.server.as_ref().filter(|known| of == Some(known.server.as_str()));
    let fact = |name| server.and_then(|server| server.fact(name));
    let facts = ServerFacts {
        command: fact("command"),
        executable: fact("executable"),
        package: fact("package"),
        environment: fact("environment"),
    };
    let pinned = policy.set.pinned(&request.tool, request.definition_digest.as_deref(), &facts);
    pinned.err().map(|unpinned| Reason::new("pinned", "definition-changed", &unpinned.text))
}

fn refusal_of(outcome: Option<&policy::Decision>) -> Option<Reason> {
    let Some(outcome) = outcome else {
        return Some(Reason::new("undecidable", "arguments", "the act could not be put to the policy"));
    };
    match (outcome.verdict, &outcome.reason) {
        (policy::Verdict::Allow, _) => None,
        (policy::Verdict::Deny, Some(reason)) => Some(Reason::new(reason.code, "policy", &reason.text)),
        (policy::Verdict::Deny, None) => {
            Some(Reason::new("forbidden", "policy", "the policy does not allow it"))
        }
    }
}

/// What a policy is asked with: an act whose arguments and chain are known.
struct Asked<'a> {
    chain: &'a Chain,
    args: Value,
    /// Of the leaf, which no link above it allows less.
    tools: Vec<String>,
    /// Ids, root first.
    holders: Vec<String>,
}

impl<'a> Asked<'a> {
    fn of(authorized: &'a Authorized) -> Option<Self> {
        let chain = authorized.chain.as_deref()?;
        Some(Self {
            chain,
            args: Value::Object(authorized.args.clone()?),
            tools: chain.leaf().claims.scope().tools().map(str::to_owned).collect(),
            holders: chain.links().map(|link| link.claims.holder().id).collect(),
        })
    }

    fn action(&'a self, view: &'a View, request: &'a Request) -> ActionRequest<'a> {
        let (principal, holder) = (&view.run.principal, &view.run.holder);
        let leaf = &self.chain.leaf().claims;
        let depth = |depth: u64| u32::try_from(depth).unwrap_or(u32::MAX);
        ActionRequest {
            principal: RequestPrincipal {
                kind: principal.kind.as_str(),
                iss: &principal.iss,
                sub: &principal.sub,
                assurance: principal_assurance(&view.run.grade),
                grade: &view.run.grade,
            },
            agent: RequestAgent { id: &holder.id, key: &holder.key, assurance: &holder.asr },
            operation: &request.operation,
            tool: &request.tool,
            definition: request.definition_digest.as_deref(),
            args: &self.args,
            delegation: RequestDelegation {
                leaf: &request.delegation,
                depth: depth(leaf.depth()),
                max_depth: depth(leaf.max_depth()),
                tools: &self.tools,
                expires_ms: self.chain.exp().saturating_mul(1_000),
                txn: &view.run.txn,
                holders: &self.holders,
                purpose: Some(&self.chain.root().purpose),
            },
            run: &view.run.id,
            now_ms: view.at_ms,
            root: request.root_dir.as_deref(),
        }
    }
}

fn principal_assurance(grade: &str) -> &'static str {
    if grade == Grade::KeySigned.as_str() {
        Assurance::IssuerAsserted.as_str()
    } else {
        Assurance::Inferred.as_str()
    }
}

/// What the root rests on; where the chain is not known, as the run began.
fn credential_type(grade: &str, source: Option<&Source>) -> &'static str {
    match source {
        Some(Source::Mandate { .. }) => "mandate",
        _ if grade == Grade::KeySigned.as_str() => "local-key",
        _ => "peer-cred",
    }
}

fn identity_fields(view: &View, request: &Request, authorized: &Authorized) -> Fields {
    let run = &view.run;
    let pop = match (&authorized.pop, authorized.proven) {
        (None, _) => "not-accepted",
        (Some(_), false) => "signed",
        (Some(_), true) => "verified",
    };
    let credential = json!({
        "type": credential_type(&run.grade, authorized.source()),
        "uid": view.peer.uid, "pid": view.peer.pid, "pop": pop, "carrier": request.carrier.as_str(),
    });
    let by_mandate = authorized.source().is_some_and(|source| source.mandate().is_some());
    let grade = Grade::parse(&run.grade).unwrap_or(Grade::IssuerOnly);
    let assurance = json!({
        "principal": principal_assurance(&run.grade), "holder": run.holder.asr, "grade": run.grade,
        "note": identity::caveat(grade, by_mandate),
    });
    Fields::new()
        .text("act_id", &id::text(&request.act_id))
        .text("txn", &run.txn)
        .json("principal", &json!(run.principal))
        .json("holder", &json!(run.holder))
        .json("assurance", &assurance)
        .text("chain", &request.delegation)
        .text("pop", &request.pop)
        .json("decided_at_ms", &json!(view.at_ms))
        .json("credential", &credential)
        // hostile and of any size: what is long is kept as its digest
        .within(CORRELATORS_MAX_BYTES, "enforcement_point", jcs_text(&request.enforcement_point))
        .within(CORRELATORS_MAX_BYTES, "correlators", jcs_text(&request.correlators))
}

fn act_fields(fields: Fields, request: &Request, authorized: &Authorized) -> Fields {
    let batch = request.batch.map(
        |batch| json!({"digest": batch.digest.to_string(), "position": batch.position, "count": batch.count}),
    );
    let inputs = Some(&request.inputs).filter(|inputs| !inputs.is_empty());
    let mut fields = fields
        .text("operation", &request.operation)
        .text("tool", &request.tool)
        .maybe("inputs", inputs.map(Artifacts::to_json).as_ref())
        .maybe("batch", batch.as_ref())
        .text("frame_digest", &request.frame_digest)
        .maybe("sent_frame_digest", request.sent_frame_digest.clone().map(Value::from).as_ref())
        .maybe("args_digest", authorized.args_digest.clone().map(Value::from).as_ref());
    fields = match &request.definition_digest {
        Some(digest) => fields.text("definition_digest", digest),
        None => fields.unknown("definition_digest", "no list has shown this tool's definition"),
    };
    // arguments that are not acceptable JSON are known by the frame's digest alone
    match (&authorized.args, request.args.as_deref()) {
        // long arguments are known by their digest; a digest in their place would read as other arguments
        (Some(_), Some(text)) if text.len() > VALUE_SEALED_MAX_BYTES => fields,
        (Some(_), text) => fields.raw("args", text.unwrap_or("{}")),
        (None, _) => fields,
    }
}

fn verdict_fields(fields: Fields, view: &View, decision: &Decided) -> Fields {
    let engine = json!(decision.policy.set.engine());
    let fields = fields
        .json("class", &decision.class)
        .text("policy_digest", &decision.policy.set.digest())
        .json("engine", &engine)
        .json("revocations", &json!({"index": view.log_index}))
        .text("verdict", if decision.allows() { "allow" } else { "deny" })
        .json("capture", &json!(decision.capture))
        .maybe("reason", decision.reason.as_ref().map(|reason| json!(reason)).as_ref());
    let Some(outcome) = &decision.outcome else { return fields };
    fields
        .raw("request", jcs_text(&outcome.request))
        .json("determining", &json!(outcome.determining))
        .json("errors", &json!(outcome.errors))
        .json("obligations", &json!(outcome.obligations))
}
