//! Identity and authority of one proposed act: its run, its delegation, its proof of possession.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use evidence::delegation::{Pop, Source};
use evidence::json;
use evidence::label::Grade;
use serde_json::{Map, Value};
use verify::chain::{self, Act, Delegation, Failure, Step};

use crate::control::Run;
use crate::decided::Request;
use crate::limits::DELEGATION_CACHE;
use crate::permit::Reason;
use crate::{Peer, Recorder, RecorderError};

/// What the control state says about the run of a request, as it stood when we looked.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) run: RunFacts,
    /// The token that the request names, where the run has it.
    pub(crate) token: Option<String>,
    /// Position of the log-level chain.
    pub(crate) log_index: u64,
    /// Who asks.
    pub(crate) peer: Peer,
    /// When the decision is made, ms.
    pub(crate) at_ms: u64,
}

/// The facts of a run that a decision records.
#[derive(Debug, Clone)]
pub(crate) struct RunFacts {
    pub(crate) id: String,
    pub(crate) txn: String,
    pub(crate) principal: evidence::Principal,
    pub(crate) grade: String,
    pub(crate) holder: evidence::Holder,
}

/// What was established about a request.
#[derive(Debug, Clone)]
pub struct Authorized {
    /// The arguments as an object, where they are acceptable.
    pub args: Option<Map<String, Value>>,
    /// base64url SHA-256 of their JCS.
    pub args_digest: Option<String>,
    /// The delegation, where it is one of this run and its signature holds.
    pub delegation: Option<Arc<Delegation>>,
    /// The proof, where the holder signed it: its counter is used up then. That it is unused is checked when the
    /// decision is sequenced.
    pub pop: Option<Pop>,
    /// Whether the proof is for this act, now.
    pub proven: bool,
    /// Thumbprint of the key that signed the proof.
    pub thumbprint: Option<String>,
    /// Why the act is not authorized.
    pub refusal: Option<Reason>,
}

impl RunFacts {
    /// On whose authority and by whom an act is done: as the delegation it is done under says. A run can have several,
    /// after a renewal or when somebody joined it.
    pub(crate) fn of(view: &View, authorized: &Authorized) -> Self {
        let Some(delegation) = &authorized.delegation else { return view.run.clone() };
        let root = &delegation.root;
        let grade = match root.source {
            Source::KeyRequest { .. } => Grade::KeySigned,
            Source::PeerCredentials { .. } => Grade::IssuerOnly,
        };
        Self {
            id: view.run.id.clone(),
            txn: evidence::id::text(&root.txn),
            principal: root.principal.clone(),
            grade: grade.as_str().to_owned(),
            holder: root.holder.clone(),
        }
    }
}

/// Delegations whose signature has been checked, so that it is checked once.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    by_digest: BTreeMap<String, Arc<Delegation>>,
    order: VecDeque<String>,
}

impl Cache {
    fn get(&self, digest: &str) -> Option<Arc<Delegation>> {
        self.by_digest.get(digest).cloned()
    }

    fn put(&mut self, delegation: Arc<Delegation>) {
        self.order.push_back(delegation.digest.clone());
        self.by_digest.insert(delegation.digest.clone(), delegation);
        if self.order.len() > DELEGATION_CACHE {
            self.order.pop_front().and_then(|oldest| self.by_digest.remove(&oldest));
        }
    }
}

impl Recorder {
    /// Looks at the state and checks the request against it. What is decided and recorded then speaks of the authority
    /// of the very delegation that the act is done under.
    pub(crate) fn looked(&self, request: &Request, peer: Peer) -> Result<(View, Authorized), RecorderError> {
        let mut view = self.view(request, peer)?;
        let authorized = self.authorize(&view, request);
        view.run = RunFacts::of(&view, &authorized);
        Ok((view, authorized))
    }

    /// Looks up the run of a request.
    pub(crate) fn view(&self, request: &Request, peer: Peer) -> Result<View, RecorderError> {
        let control = self.control();
        let run = open_run(control.run(&request.run), request)?;
        Ok(View {
            run: RunFacts {
                id: request.run_text(),
                txn: run.txn.clone(),
                principal: run.principal.clone(),
                grade: run.grade.clone(),
                holder: run.holder.clone(),
            },
            token: run.delegations.get(&request.delegation).map(|(token, _)| token.clone()),
            log_index: control.log_index,
            peer,
            at_ms: self.0.clock.wall_ms(),
        })
    }

    /// Checks everything about a request that does not need policy. Never fails: what fails is the act.
    pub(crate) fn authorize(&self, view: &View, request: &Request) -> Authorized {
        let mut found = Authorized {
            args: None,
            args_digest: None,
            delegation: None,
            pop: None,
            proven: false,
            thumbprint: None,
            refusal: request.malformed.clone(),
        };
        if let Err(reason) = self.establish(view, request, &mut found) {
            // what was wrong first is the reason; the rest of what could be established stays in the record
            found.refusal.get_or_insert(reason);
        }
        found
    }

    fn establish(&self, view: &View, request: &Request, found: &mut Authorized) -> Result<(), Reason> {
        let parsed = arguments(request.args.as_deref());
        found.args = parsed.as_ref().ok().cloned();
        found.args_digest = found.args.as_ref().map(evidence::delegation::args_digest);
        let token = view.token.as_deref().ok_or_else(|| {
            Reason::new(
                "delegation-unknown",
                "decision-delegation",
                "the delegation named is not one of this run",
            )
        })?;
        let delegation = self.delegation(token).map_err(|failure| refusal(&failure))?;
        let delegation = found.delegation.insert(delegation);
        // A proof that the holder signed uses up its counter even where the act is refused: otherwise refusals would
        // leave holes until no later proof is within the window.
        found.pop = Some(chain::signed_proof(delegation, &request.pop).map_err(|failure| refusal(&failure))?);
        found.thumbprint = Some(delegation.root.cnf.thumbprint());
        let args = parsed?;
        let act = Act {
            tool: &request.tool,
            args: Some(&args),
            args_digest: found.args_digest.as_deref().unwrap_or_default(),
            act_id: request.act_id,
            at_ms: view.at_ms,
        };
        chain::possession(delegation, &request.pop, &act).map_err(|failure| refusal(&failure))?;
        found.proven = true;
        self.in_force(delegation).map_err(|failure| refusal(&failure))?;
        chain::act(delegation, &request.pop, &act).map(drop).map_err(|failure| refusal(&failure))
    }

    /// Whether this very question was answered before: whatever is found now, the first answer stands.
    pub(crate) fn is_retry(&self, request: &Request, authorized: &Authorized) -> bool {
        let control = self.control();
        let answered =
            control.run(&request.run).and_then(|run| run.answered(&evidence::id::text(&request.act_id)));
        answered.is_some_and(|answered| answered.asked == request.asked(authorized))
    }

    /// The delegation of a token, its signature checked once.
    pub(crate) fn delegation(&self, token: &str) -> Result<Arc<Delegation>, Failure> {
        let digest =
            evidence::jws::Signed::parse(token, evidence::jws::DELEGATION).map(|signed| signed.digest());
        let mut cache = self.0.delegations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digest.ok().and_then(|digest| cache.get(&digest)) {
            return Ok(known);
        }
        let names = &self.0.names;
        let checked = Arc::new(chain::delegation(token, &names.issuer, &names.issuer_key)?);
        cache.put(Arc::clone(&checked));
        Ok(checked)
    }

    /// The key that requested a root must still be registered.
    fn in_force(&self, delegation: &Delegation) -> Result<(), Failure> {
        let Source::KeyRequest { kid, .. } = &delegation.root.source else { return Ok(()) };
        if self.control().key(kid).is_some() {
            return Ok(());
        }
        let text = format!(
            "the key of `{}` that this delegation rests on was retired: ask the principal for a new delegation",
            delegation.root.principal.sub
        );
        Err(Failure { step: Step::PrincipalRetired, text })
    }
}

fn open_run<'a>(run: Option<&'a Run>, request: &Request) -> Result<&'a Run, RecorderError> {
    let name = request.run_text();
    let run = run.ok_or_else(|| RecorderError::RunUnknown(name.clone()))?;
    if run.ended.is_some() {
        return Err(RecorderError::RunEnded(name));
    }
    if !run.streams.contains_key(&request.stream) {
        return Err(RecorderError::StreamUnknown(name, request.stream));
    }
    Ok(run)
}

fn refusal(failure: &Failure) -> Reason {
    Reason::new("delegation", failure.step.name(), &failure.text)
}

/// Arguments must be an I-JSON object, because equal digests must mean equal effects. Absent ones are `{}`.
fn arguments(text: Option<&str>) -> Result<Map<String, Value>, Reason> {
    let wrong = |why: &str| {
        Reason::new("args-invalid", "arguments", &format!("the arguments cannot be decided on: {why}"))
    };
    match json::parse_i_json(text.unwrap_or("{}").as_bytes()) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(wrong("they are not an object")),
        Err(error) => Err(wrong(&error.to_string())),
    }
}
