//! Issuing roots: on a principal's signed request, under a mandate, or on the word of the operating system.

use std::sync::Arc;

use evidence::delegation::{BREAK_GLASS, Named, Root, Source};
use evidence::id::{self, Id};
use evidence::jws::Jwk;
use evidence::limits::{ROOT_HUMAN_MAX_S, ROOT_SERVICE_MAX_S, SKEW_S};
use evidence::principal::{Holder, Principal, PrincipalKind};
use evidence::{Kind, Scope};
use identity::Identified;
use serde_json::{Value, json};
use verify::chain::{self, Failure, Step};

use crate::chains::Authority;
use crate::draft::{CauseRef, Draft, Fields, Ground, Guard, Place};
use crate::limits::{PEER_ROOT_S, STALE_RETRIES_MAX};
use crate::sequencing::Reply;
use crate::tasks::TaskFacts;
use crate::{Peer, Recorder, RecorderError};

/// A root that was issued outside any run that acts.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Its token digest.
    pub digest: String,
    /// The first second at which it no longer holds.
    pub exp: u64,
    /// Index of its entry.
    pub index: u64,
    /// The run that records it, which has ended.
    pub run: Id,
    /// The task.
    pub txn: Id,
    /// On whose authority.
    pub principal: Principal,
    /// Evidence grade.
    pub grade: &'static str,
}

/// What a root is to be beyond what its request says.
pub(crate) struct Wanted<'a> {
    /// The key it is bound to.
    pub(crate) key: &'a Jwk,
    pub(crate) scope: Scope,
    /// What for, where no request says so.
    pub(crate) purpose: &'a str,
}

impl Recorder {
    /// Issues a root on a signed request, for whoever holds the key that the request names. It is recorded in a run of
    /// its own, which ends at once.
    pub async fn issue(&self, root_request: &str, peer: Peer) -> Result<Issued, RecorderError> {
        for overtaken in 0..STALE_RETRIES_MAX {
            let undisturbed = self.undisturbed(overtaken).await;
            let log_index = self.control().log_index;
            let under = self.requested(root_request, peer);
            // a refusal is recorded at log level
            let _undisturbed = undisturbed.filter(|_| under.is_ok());
            let under = self.on_record(under, root_request, peer).await?;
            let run = self.new_id();
            let draft = self.issuance(run, &under, log_index)?;
            // After a crash before this is durable nothing was issued: nobody has the root, no chain on it is taken.
            match self.append(draft).await? {
                Reply::Written(written) => {
                    let root = under.chain.root();
                    return Ok(Issued {
                        digest: under.chain.root_link().digest.clone(),
                        exp: root.exp,
                        index: written.first + 1,
                        run,
                        txn: root.txn,
                        principal: root.principal.clone(),
                        grade: under.grade().as_str(),
                        token: under.tokens.into_iter().next().unwrap_or_default(),
                    });
                }
                Reply::Full(what) => return Err(RecorderError::RunFull(id::text(&run), what)),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// The root for a request that nobody opens a run for.
    fn requested(&self, root_request: &str, peer: Peer) -> Result<Authority, RecorderError> {
        let refused = |failure: Failure| RecorderError::request(&failure);
        let identified = self.identified(Some(root_request), peer).map_err(refused)?;
        let request = identified.request.as_ref().map(|request| &request.request);
        let request = request.ok_or_else(|| {
            RecorderError::Invalid("a root outside a run is issued on a signed request alone".into())
        })?;
        let txn = request.txn.unwrap_or_else(|| self.new_id());
        // nobody says who holds the key, so it is known by itself
        let holder = self.holder(&identified, format!("key:{}", request.cnf.thumbprint()));
        let task = TaskFacts { name: None, txn: id::text(&txn), holder };
        let wanted =
            Wanted { key: &request.cnf, scope: request.scope.clone(), purpose: request.purpose.as_str() };
        self.sign_root(&identified, &task, &wanted, Some(root_request)).map_err(refused)
    }

    /// The entries of an issuance run; the sequencer adds its end.
    fn issuance(&self, run: Id, under: &Authority, log_index: u64) -> Result<Draft, RecorderError> {
        let root = under.chain.root();
        let fields = Fields::new()
            .text("txn", &under.txn())
            .json("initiator", &json!(root.principal))
            .text("evidence_grade", under.grade().as_str())
            .json("servers", &json!([]))
            .json("holder", &json!(root.holder))
            .unknown("client", "a root was issued, and nobody acts in this run")
            .unknown("trigger", "nobody said what started this run");
        let place = Place::log(run, 0);
        let mut items = vec![self.0.sealer.item(Kind::RunStarted, place, fields)?];
        items.extend(self.link_items(under, 0, Some(CauseRef::Previous), place)?);
        let ground =
            Ground { log_index, task: None, txn: under.txn(), server: String::new(), command: String::new() };
        Ok(Draft { guard: Guard::Issues(ground), items })
    }

    /// On whose authority a root may be issued.
    pub(crate) fn identified(&self, request: Option<&str>, peer: Peer) -> Result<Identified, Failure> {
        let register = self.control().register();
        let now_s = self.0.clock.wall_ms() / 1_000;
        let mandate = |digest: &str| Some(self.control().mandates.get(digest)?.token.clone());
        identity::identify(&register, &self.anchor(), request, mandate, peer, now_s)
    }

    /// Signs a root: within the request where a principal signed one, and under its mandate where it names one.
    pub(crate) fn sign_root(
        &self,
        identified: &Identified,
        task: &TaskFacts,
        wanted: &Wanted<'_>,
        request: Option<&str>,
    ) -> Result<Authority, Failure> {
        let now_s = self.0.clock.wall_ms() / 1_000;
        let root = self.root(identified, task, wanted, now_s);
        check_break_glass(&root)?;
        let token = root.sign(&self.0.issuer_signer);
        // what is issued passes the very checks that auditors will run
        let chain = chain::root(&token, &self.anchor())?;
        if let Some(asked) = &identified.request {
            chain::within_request(chain.root_link(), asked, identified.mandated.as_ref())?;
        }
        // Nothing is issued that is revoked already, so nothing at all while the issuer's key is. It will be recorded
        // now, and a halt does not keep it away: that stops acts, and may be lifted while the root lives.
        let facts = self.facts(&chain).recorded_at(now_s);
        match facts.known(|known| chain::in_force(&chain, now_s, known)) {
            Err(failure) if failure.step != Step::Halted => return Err(failure),
            _ => facts.still_stands(&chain)?,
        }
        let request = request.map_or(Value::Null, Value::from);
        Ok(Authority { chain: Arc::new(chain), tokens: vec![token], request })
    }

    fn root(&self, identified: &Identified, task: &TaskFacts, wanted: &Wanted<'_>, now_s: u64) -> Root {
        let names = self.names();
        let asked = identified.request.as_ref().map(|asked| &asked.request);
        Root {
            jti: id::text(&self.new_id()),
            issuer: names.issuer.clone(),
            iat: now_s,
            // the signer of the first proof may be a little behind
            nbf: now_s.saturating_sub(SKEW_S),
            exp: end(identified, now_s),
            cnf: wanted.key.clone(),
            max_depth: asked.map_or(0, |asked| asked.max_depth),
            scope: wanted.scope.clone(),
            tenant: names.tenant.clone(),
            txn: id::parse(&task.txn).unwrap_or_default(),
            purpose: asked.map_or_else(|| wanted.purpose.to_owned(), |asked| asked.purpose.clone()),
            principal: identified.principal.clone(),
            holder: Holder { key: wanted.key.thumbprint(), ..task.holder.clone() },
            source: source_of(identified),
            why: asked.and_then(|asked| asked.why.clone()),
            intent: asked.and_then(|asked| asked.intent.clone()),
            approvals: asked.and_then(|asked| asked.approvals.clone()),
        }
    }
}

/// When a root ends: as asked for, no later than the format and the mandate allow.
fn end(identified: &Identified, now_s: u64) -> u64 {
    let wanted = identified.request.as_ref().map_or(PEER_ROOT_S, |asked| asked.request.ttl);
    match &identified.mandated {
        Some(mandated) => {
            let longest = mandated.mandate.root_ttl.min(ROOT_SERVICE_MAX_S);
            // a mandate that is over is found out by the check behind this
            (now_s + wanted.min(longest)).min(mandated.mandate.exp).max(now_s)
        }
        None => {
            let longest = match identified.principal.kind {
                PrincipalKind::Human | PrincipalKind::Unknown => ROOT_HUMAN_MAX_S,
                _ => ROOT_SERVICE_MAX_S,
            };
            now_s + wanted.min(longest)
        }
    }
}

fn source_of(identified: &Identified) -> Source {
    let Some(asked) = &identified.request else {
        return Source::PeerCredentials { uid: uid_of(&identified.principal) };
    };
    let request = Named {
        kid: asked.request.key.clone(),
        jti: asked.request.jti.clone(),
        digest: asked.digest.clone(),
    };
    match &identified.mandated {
        Some(mandated) => Source::Mandate {
            mandate: Named {
                kid: mandated.mandate.key.clone(),
                jti: mandated.mandate.jti.clone(),
                digest: mandated.digest.clone(),
            },
            request,
        },
        None => Source::KeyRequest(request),
    }
}

fn uid_of(principal: &Principal) -> u64 {
    principal.sub.strip_prefix("uid:").and_then(|uid| uid.parse().ok()).unwrap_or_default()
}

/// Break-glass is a person's own signed word, with a reason.
fn check_break_glass(root: &Root) -> Result<(), Failure> {
    let signed = matches!(root.source, Source::KeyRequest(_)) && root.principal.kind == PrincipalKind::Human;
    if root.purpose != BREAK_GLASS || (signed && root.why.is_some()) {
        return Ok(());
    }
    let text = "break-glass is for a registered person who signs the request on their own authority and says why: use \
                `deeds delegate --purpose break-glass --why …`";
    Err(Failure { step: Step::RequestBinding, text: text.to_owned() })
}
