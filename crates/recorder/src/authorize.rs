//! Identity and authority of one proposed act: its run, its chain, its proof of possession.

use std::sync::Arc;

use evidence::delegation::{Pop, Source};
use evidence::json;
use serde_json::{Map, Value};
use verify::chain::{self, Act, Chain, Failure};

use crate::chains::grade_of;
use crate::control::{Run, Wrapped};
use crate::decided::Request;
use crate::permit::Reason;
use crate::{Peer, Recorder, RecorderError};

/// What the control state says about the run of a request, as it stood when we looked.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) run: RunFacts,
    /// The chain that ends in the delegation that the request names, root first, where the run has it.
    pub(crate) tokens: Option<Vec<String>>,
    /// Whether it is the run's own holder's, and not that of somebody on the way to it.
    pub(crate) own: bool,
    /// Position of the log-level chain.
    pub(crate) log_index: u64,
    /// What the stream wraps, as far as it was told.
    pub(crate) server: Option<Wrapped>,
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
    /// The chain, where the run has it and its links hold.
    pub chain: Option<Arc<Chain>>,
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
    /// On whose authority and by whom an act is done: as the chain it is done under says, its root for the principal
    /// and its leaf for the holder. A run can have several, after a renewal or when somebody joined it.
    fn of(view: &View, authorized: &Authorized) -> Self {
        let Some(chain) = &authorized.chain else { return view.run.clone() };
        let root = chain.root();
        Self {
            id: view.run.id.clone(),
            txn: evidence::id::text(&root.txn),
            principal: root.principal.clone(),
            grade: grade_of(&root.source).as_str().to_owned(),
            holder: chain.holder(),
        }
    }
}

impl Authorized {
    /// What the root of the chain rests on.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.chain.as_ref().map(|chain| &chain.root().source)
    }
}

impl Recorder {
    /// Looks at the state and checks the request against it. What is decided and recorded then speaks of the authority
    /// of the very chain that the act is done under.
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
            tokens: run.chain(&request.delegation),
            own: run.acts_under(&request.delegation),
            log_index: control.log_index,
            server: run.servers.get(&request.stream).cloned(),
            peer,
            at_ms: self.0.clock.wall_ms(),
        })
    }

    /// Checks everything about a request that does not need policy. Never fails: what fails is the act.
    pub(crate) fn authorize(&self, view: &View, request: &Request) -> Authorized {
        let mut found = Authorized {
            args: None,
            args_digest: None,
            chain: None,
            pop: None,
            proven: false,
            thumbprint: None,
            refusal: request.malformed.clone().or_else(|| request.other_operation()),
        };
        if let Err(reason) = self.establish(view, request, &mut found) {
            // what was wrong first is the reason; the rest of what could be established stays in the record
            found.refusal.get_or_insert(reason);
        }
        found
    }

    /// The steps of format §6, *An act under a chain*, in their order; the counter is checked when the decision is
    /// sequenced.
    fn establish(&self, view: &View, request: &Request, found: &mut Authorized) -> Result<(), Reason> {
        let parsed = arguments(request.args.as_deref());
        found.args = parsed.as_ref().ok().cloned();
        found.args_digest = found.args.as_ref().map(evidence::delegation::args_digest);
        let tokens = view.tokens.as_deref().ok_or_else(|| {
            Reason::new(
                "delegation-unknown",
                "decision-delegation",
                "the delegation named is not one of this run: present its chain to the run first",
            )
        })?;
        let chain = self.held_as(&request.delegation, tokens).map_err(|failure| refusal(&failure))?;
        let chain: &Chain = found.chain.insert(chain);
        found.thumbprint = Some(chain.holder().key);
        if !view.own {
            found.pop = self.counted(chain, &request.pop);
            let text = "the delegation is another holder's than the run: who holds it opens a run of its own";
            return Err(Reason::new("delegation", "run-binding", text));
        }
        // the log level is read after its position was: what changes in between makes the decision stale
        let facts = self.facts(chain);
        let Ok(args) = &parsed else {
            chain::signed_proof(chain, &request.pop).map_err(|failure| refusal(&failure))?;
            found.pop = self.counted(chain, &request.pop);
            let in_force = facts.in_force(chain, view.at_ms / 1_000);
            return in_force.map_err(|failure| refusal(&failure)).and(parsed.map(drop));
        };
        let act = Act {
            tool: &request.tool,
            args: Some(args),
            args_digest: found.args_digest.as_deref().unwrap_or_default(),
            act_id: request.act_id,
            at_ms: view.at_ms,
        };
        let proven = facts.known(|known| chain::act(chain, &request.pop, &act, known));
        match proven.and_then(|proven| facts.still_stands(chain).map(|()| proven)) {
            Ok(proven) => (found.pop, found.proven) = (Some(proven.pop), true),
            Err(failure) => {
                // A proof that the holder signed uses up its counter even where the act is refused: otherwise refusals
                // would leave holes until no later proof is within the window.
                found.pop = self.counted(chain, &request.pop);
                found.proven =
                    found.pop.as_ref().is_some_and(|pop| chain::proof_for(chain, pop, &act).is_ok());
                return Err(refusal(&failure));
            }
        }
        Ok(())
    }

    /// The proof, where the holder signed it for this log: it uses up its counter here, whatever it is about. One that
    /// was signed for another log is counted there, and whoever got hold of it must not use up counters here.
    fn counted(&self, chain: &Chain, pop: &str) -> Option<Pop> {
        chain::signed_proof(chain, pop).ok().filter(|pop| pop.audience == self.names().issuer)
    }

    /// Whether this very question was answered before: whatever is found now, the first answer stands.
    pub(crate) fn is_retry(&self, request: &Request, authorized: &Authorized) -> bool {
        let (act_id, asked) = (evidence::id::text(&request.act_id), request.asked(authorized));
        let control = self.control();
        control.run(&request.run).is_some_and(|run| run.attempts(&act_id).any(|known| known.asked == asked))
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
