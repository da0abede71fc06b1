//! Runs: opening, joining, renewing, ending.

use evidence::delegation::{Root, Source};
use evidence::id::{self, Id};
use evidence::jws::Jwk;
use evidence::label::Assurance;
use evidence::limits::{ROOT_HUMAN_MAX_S, ROOT_SERVICE_MAX_S, SKEW_S};
use evidence::principal::{Holder, PrincipalKind};
use evidence::{Digest, Kind, Scope};
use identity::Identified;
use serde_json::{Value, json};
use store::Receipt;
use verify::chain::{self, Delegation};

use crate::control::{Run, Task};
use crate::draft::{CauseRef, Draft, Fields, Guard, Item, Place, RootFacts};
use crate::limits::{OPEN_ACTS_LISTED, PEER_ROOT_S, STALE_RETRIES_MAX, STREAMS_MAX};
use crate::outcome::bounded;
use crate::permit::Reason;
use crate::refusals::Malformed;
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// What the operating system says of the process that started a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Process id of the parent.
    pub pid: Option<i32>,
    /// When it started, as the kernel counts.
    pub start: Option<u64>,
    /// Its program file.
    pub exe: Option<String>,
}

/// The server that a run wraps.
#[derive(Debug, Clone)]
pub struct Server {
    /// Name in tool URIs.
    pub alias: String,
    /// The command, without environment.
    pub command: Vec<String>,
    /// Digest string of the executable.
    pub executable: Option<String>,
    /// Digest string of the configuration.
    pub config: Option<String>,
}

/// A run to be opened, or joined.
#[derive(Debug, Clone)]
pub struct OpenRun {
    /// What it wraps.
    pub server: Server,
    /// The writer's fresh key.
    pub key: Jwk,
    /// The principal's signed request, where there is one.
    pub root_request: Option<String>,
    /// Scope wanted; none: what the request asks for, else every tool of the server.
    pub scope: Option<Scope>,
    /// What it is for.
    pub purpose: String,
    /// Who or what started it: `human`, `schedule`, `event`, `agent`.
    pub trigger: Option<String>,
    /// The run to join.
    pub join: Option<Id>,
    /// The process behind it.
    pub client: Client,
}

/// A run that is open for its writer.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The run.
    pub run: Id,
    /// The writer's stream.
    pub stream: u64,
    /// What it acts under.
    pub renewal: Renewal,
    /// Evidence grade of the root.
    pub grade: &'static str,
    /// On whose authority.
    pub principal: evidence::Principal,
    /// Index of the first entry.
    pub index: u64,
    /// The log's promises for the entries.
    pub receipts: Vec<Receipt>,
}

/// A root delegation as issued.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The token.
    pub token: String,
    /// Its claims.
    pub root: Root,
    /// Index of its entry.
    pub index: u64,
}

/// A run, or a writer's part of it, that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Index of the manifest; nothing when other streams of the run go on.
    pub index: Option<u64>,
    /// Acts whose outcome had to be set to unknown.
    pub abandoned: Vec<String>,
}

impl Recorder {
    /// Opens a run, or joins one: identifies the authority, issues the root delegation, records both.
    pub async fn open_run(&self, open: OpenRun, peer: Peer) -> Result<Opened, RecorderError> {
        for _ in 0..STALE_RETRIES_MAX {
            let identified = match self.identified(open.root_request.as_deref(), peer) {
                Ok(identified) => identified,
                Err(failure) => return Err(self.refuse_request(&open, failure, peer).await?),
            };
            let place = self.run_place(&open, &identified)?;
            let task = self.task(&open, &identified, peer, place.join)?;
            let (token, root) = match self.issue(&open, &identified, &task) {
                Ok(issued) => issued,
                Err(failure) => return Err(self.refuse_request(&open, failure, peer).await?),
            };
            let started = self.started_item(&open, &identified, &task, &root, place)?;
            let delegated = self.delegated_item(&open, &identified, &token, &root, place.of())?;
            let guard = place.guard(root_facts(&open, &identified, &task));
            let draft = Draft { guard, items: vec![started, delegated.caused_by(CauseRef::Previous)] };
            // After a crash before this is durable the writer has no run and asks again; behind it the run waits out
            // its grace period and ends as lost.
            // before it is written, so that a caller that gives up leaves no run that nobody ends
            self.expect_lease(place.run, place.stream);
            match self.append(draft).await? {
                Reply::Written(written) => {
                    return Ok(Opened {
                        run: place.run,
                        stream: place.stream,
                        grade: identified.grade.as_str(),
                        principal: identified.principal,
                        index: written.first,
                        renewal: Renewal { token, root, index: written.first + 1 },
                        receipts: written.receipts,
                    });
                }
                Reply::Gone => return Err(RecorderError::RunEnded(id::text(&place.run))),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// Issues a fresh root for the same task, when the old one is near its end.
    pub async fn renew(
        &self,
        run: Id,
        stream: u64,
        open: OpenRun,
        peer: Peer,
    ) -> Result<Renewal, RecorderError> {
        let identified = match self.identified(open.root_request.as_deref(), peer) {
            Ok(identified) => identified,
            Err(failure) => return Err(self.refuse_request(&open, failure, peer).await?),
        };
        let task = {
            let control = self.control();
            let state = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(id::text(&run)))?;
            if !state.principal.same(&identified.principal) {
                let text = "the run acts for another principal: open a new run instead".to_owned();
                return Err(RecorderError::RequestRefused { step: "request-binding", text });
            }
            TaskFacts { client: None, txn: state.txn.clone(), holder: state.holder.clone() }
        };
        let (token, root) = match self.issue(&open, &identified, &task) {
            Ok(issued) => issued,
            Err(failure) => return Err(self.refuse_request(&open, failure, peer).await?),
        };
        let item = self.delegated_item(&open, &identified, &token, &root, Place::harness(run, stream))?;
        let facts = root_facts(&open, &identified, &task);
        match self.append(Draft::one(Guard::Renews(facts), item)).await? {
            Reply::Written(written) => Ok(Renewal { token, root, index: written.first }),
            Reply::Stale => Err(RecorderError::Busy),
            _ => Err(RecorderError::RunEnded(id::text(&run))),
        }
    }

    /// Ends the run of a writer, or the writer's part of it.
    ///
    /// The first stream ends the run: what is still open becomes `unknown`, then the manifest is written. Another
    /// stream just stops; its chain is listed in the manifest.
    pub async fn end_stream(
        &self,
        run: Id,
        stream: u64,
        reason: &str,
        gaps: u64,
    ) -> Result<Ended, RecorderError> {
        self.flush_refusals(Some(&run)).await?;
        let why = format!("the run ended ({}) before an outcome was reported", bounded(reason));
        if stream != 0 {
            let abandoned = self.abandon(run, Some(stream), &why).await?;
            self.forget_lease(run, stream);
            return Ok(Ended { index: None, abandoned });
        }
        let mut abandoned = Vec::new();
        for _ in 0..STALE_RETRIES_MAX {
            abandoned.extend(self.abandon(run, None, &why).await?);
            let (streams, item) = self.manifest(run, reason, gaps, &abandoned)?;
            match self.append(Draft::one(Guard::Ends { streams }, item)).await? {
                // only now: an end that failed half-way is finished by the next sweep
                Reply::Written(written) => {
                    self.forget_lease(run, stream);
                    return Ok(Ended { index: Some(written.first), abandoned });
                }
                Reply::Gone => return Err(RecorderError::RunEnded(id::text(&run))),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// Records that nothing could be recorded for a while.
    pub async fn record_gap(&self, run: Id, stream: u64, gap: Gap) -> Result<u64, RecorderError> {
        let fields = Fields::new()
            .text("reason", &bounded(&gap.reason))
            .json("from_ms", &json!(gap.from_ms))
            .json("to_ms", &json!(gap.to_ms))
            .json("count", &json!(gap.count))
            .maybe("digest", gap.digest.map(Value::from).as_ref())
            .maybe("detail", gap.detail.as_deref().map(bounded).map(Value::from).as_ref());
        self.append_to_run(Kind::Gap, Place::harness(run, stream), fields, None).await
    }

    /// Records something that was seen in the path and is not an act.
    pub async fn observe(
        &self,
        run: Id,
        stream: u64,
        seen: Observation,
    ) -> Result<Option<u64>, RecorderError> {
        if ["late-outcome", "refusals"].contains(&seen.subtype.as_str()) {
            let text = format!("the subtype `{}` is the log's own: choose another", seen.subtype);
            return Err(RecorderError::Invalid(text));
        }
        let digest = seen.frame_digest.clone().unwrap_or_default();
        if seen.refusal && !self.may_record_refusal(&id::text(&run), &digest) {
            return Ok(None);
        }
        let payload = evidence::json::jcs_text(&seen.payload);
        let act_leaf = seen.act_id.and_then(|act| {
            self.control().run(&run)?.answered(&id::text(&act)).map(|answered| answered.leaf)
        });
        let fields = Fields::new()
            .text("subtype", &bounded(&seen.subtype))
            .raw("payload", &payload)
            .maybe("count", seen.count.map(Value::from).as_ref())
            .maybe("act_id", seen.act_id.as_ref().map(|act| Value::from(id::text(act))).as_ref())
            .maybe("frame_digest", seen.frame_digest.map(Value::from).as_ref());
        self.append_to_run(Kind::Observed, Place::harness(run, stream), fields, act_leaf).await.map(Some)
    }

    async fn append_to_run(
        &self,
        kind: Kind,
        place: Place,
        fields: Fields,
        cause: Option<[u8; 32]>,
    ) -> Result<u64, RecorderError> {
        let mut item = self.0.sealer.item(kind, place, fields)?;
        if let Some(leaf) = cause {
            item = item.caused_by(CauseRef::Leaf(leaf));
        }
        match self.append(Draft::one(Guard::RunOpen, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(RecorderError::RunEnded(id::text(&place.run))),
        }
    }

    fn identified(&self, request: Option<&str>, peer: Peer) -> Result<Identified, chain::Failure> {
        let register = self.control().register();
        identity::identify(&register, &self.names().issuer, request, peer, self.0.clock.wall_ms() / 1_000)
    }

    /// Refusals are evidence too: the request that was refused is recorded, then reported.
    async fn refuse_request(
        &self,
        open: &OpenRun,
        failure: chain::Failure,
        peer: Peer,
    ) -> Result<RecorderError, RecorderError> {
        let digest = Digest::of(open.root_request.as_deref().unwrap_or_default().as_bytes()).to_string();
        self.refuse_malformed(&Malformed {
            source: format!("uid:{}", peer.uid),
            reason: Reason::new("request-refused", failure.step.name(), &failure.text),
            digest,
        })
        .await?;
        Ok(RecorderError::RequestRefused { step: failure.step.name(), text: failure.text })
    }

    fn run_place(&self, open: &OpenRun, identified: &Identified) -> Result<RunPlace, RecorderError> {
        let Some(run) = open.join else {
            return Ok(RunPlace { run: self.new_id(), stream: 0, join: None });
        };
        let control = self.control();
        let state = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(id::text(&run)))?;
        if state.ended.is_some() {
            return Err(RecorderError::RunEnded(id::text(&run)));
        }
        if !state.principal.same(&identified.principal) || state.grade != identified.grade.as_str() {
            let text = "the run acts on another authority: open a run of its own".to_owned();
            return Err(RecorderError::RequestRefused { step: "request-binding", text });
        }
        if state.streams.len() >= STREAMS_MAX {
            return Err(RecorderError::RunFull(id::text(&run), "streams"));
        }
        Ok(RunPlace { run, stream: state.next_stream(), join: Some(run) })
    }

    /// The task of a client: all its runs share it, and in it an alias stands for one command.
    fn task(
        &self,
        open: &OpenRun,
        identified: &Identified,
        peer: Peer,
        join: Option<Id>,
    ) -> Result<TaskFacts, RecorderError> {
        let named = identified.request.as_ref().and_then(|request| request.request.holder.clone());
        let key = open.key.thumbprint();
        let client = client_key(&open.client, identified, named.as_ref().map(|(id, _)| id.as_str()), peer);
        let control = self.control();
        let known = client.as_ref().and_then(|client| control.tasks.get(client));
        if let Some(task) = known {
            check_alias(task, &open.server)?;
        }
        let joined = join.and_then(|run| control.run(&run));
        let asked = identified.request.as_ref().and_then(|request| request.request.txn);
        let txn = joined
            .map(|run| run.txn.clone())
            .or_else(|| asked.map(|txn| id::text(&txn)))
            .or_else(|| known.map(|task| task.txn.clone()))
            .unwrap_or_else(|| id::text(&self.new_id()));
        let inst = id::text(&self.new_id());
        let holder = match named {
            Some((id, kind)) => {
                Holder { id, inst, kind, asr: Assurance::DelegatorAsserted.as_str().into(), key }
            }
            None => {
                let id =
                    known.map_or_else(|| inferred_holder(&open.client, peer), |task| task.holder.clone());
                Holder { id, inst, kind: PrincipalKind::Agent, asr: Assurance::Inferred.as_str().into(), key }
            }
        };
        Ok(TaskFacts { client, txn, holder })
    }

    /// Issues the root: within the request where a principal signed one, else for the server that is wrapped.
    fn issue(
        &self,
        open: &OpenRun,
        identified: &Identified,
        task: &TaskFacts,
    ) -> Result<(String, Root), chain::Failure> {
        let names = self.names();
        let now_s = self.0.clock.wall_ms() / 1_000;
        let asked = identified.request.as_ref();
        let longest = match identified.principal.kind {
            PrincipalKind::Human | PrincipalKind::Unknown => ROOT_HUMAN_MAX_S,
            _ => ROOT_SERVICE_MAX_S,
        };
        let scope = open.scope.clone().or_else(|| asked.map(|asked| asked.request.scope.clone()));
        let root = Root {
            jti: id::text(&self.new_id()),
            issuer: names.issuer.clone(),
            iat: now_s,
            // the signer of the first proof may be a little behind
            nbf: now_s.saturating_sub(SKEW_S),
            exp: now_s + asked.map_or(PEER_ROOT_S, |asked| asked.request.ttl).min(longest),
            cnf: open.key.clone(),
            max_depth: asked.map_or(0, |asked| asked.request.max_depth),
            scope: scope.unwrap_or_else(|| Scope::server(&format!("stdio:{}", open.server.alias))),
            tenant: names.tenant.clone(),
            txn: id::parse(&task.txn).unwrap_or_default(),
            purpose: asked.map_or_else(|| open.purpose.clone(), |asked| asked.request.purpose.clone()),
            principal: identified.principal.clone(),
            holder: Holder { key: open.key.thumbprint(), ..task.holder.clone() },
            source: match asked {
                Some(asked) => Source::KeyRequest {
                    kid: asked.request.key.clone(),
                    jti: asked.request.jti.clone(),
                    digest: asked.digest.clone(),
                },
                None => Source::PeerCredentials { uid: uid_of(identified) },
            },
        };
        let token = root.sign(&self.0.issuer_signer);
        // what is issued passes the very check that auditors will run
        let delegation: Delegation = chain::delegation(&token, &names.issuer, &names.issuer_key)?;
        asked.map_or(Ok(()), |asked| chain::within_request(&delegation, asked))?;
        Ok((token, root))
    }

    fn started_item(
        &self,
        open: &OpenRun,
        identified: &Identified,
        task: &TaskFacts,
        root: &Root,
        place: RunPlace,
    ) -> Result<Item, RecorderError> {
        let server = &open.server;
        let unknown = |digest: &Option<String>| match digest {
            Some(digest) => Value::from(digest.clone()),
            None => json!({"unknown": "it could not be read"}),
        };
        let servers = json!([{"alias": server.alias, "command": server.command,
            "executable": unknown(&server.executable), "config": unknown(&server.config)}]);
        let client = json!({"task": task.client, "pid": open.client.pid, "start": open.client.start,
            "exe": open.client.exe, "label": Assurance::Inferred.as_str()});
        let mut fields = Fields::new()
            .text("txn", &task.txn)
            .json("initiator", &json!(identified.principal))
            .text("evidence_grade", identified.grade.as_str())
            .json("servers", &servers)
            .json("holder", &json!(root.holder))
            .json("client", &client)
            .unknown("agent_definition", "a stdio proxy does not see it")
            .unknown("model", "a stdio proxy does not see it")
            .unknown("prompt", "a stdio proxy does not see it")
            .maybe("joined", place.join.map(|_| json!(place.stream)).as_ref());
        fields = match &open.trigger {
            Some(trigger) => fields.text("trigger", &bounded(trigger)),
            None => fields.unknown("trigger", "nobody said what started this run"),
        };
        self.0.sealer.item(Kind::RunStarted, place.of(), fields)
    }

    fn delegated_item(
        &self,
        open: &OpenRun,
        identified: &Identified,
        token: &str,
        root: &Root,
        place: Place,
    ) -> Result<Item, RecorderError> {
        let digest = evidence::jws::Signed::parse(token, evidence::jws::DELEGATION)
            .map_err(|error| RecorderError::Invalid(error.to_string()))?
            .digest();
        let fields = Fields::new()
            .text("token", token)
            .text("digest", &digest)
            .json("request", &open.root_request.clone().map_or(Value::Null, Value::from))
            .text("evidence_grade", identified.grade.as_str())
            .json("principal", &json!(identified.principal))
            .json("holder", &json!(root.holder))
            .text("txn", &id::text(&root.txn))
            .json("exp", &json!(root.exp));
        self.0.sealer.item(Kind::Delegated, place, fields)
    }

    /// The manifest: every stream of the run as it stands, and the counts that the guard holds it to.
    fn manifest(
        &self,
        run: Id,
        reason: &str,
        gaps: u64,
        abandoned: &[String],
    ) -> Result<(Vec<(u64, u64)>, Item), RecorderError> {
        let (streams, listed, recorded_gaps) = {
            let control = self.control();
            let state: &Run = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(id::text(&run)))?;
            let streams: Vec<(u64, u64)> =
                state.streams.iter().map(|(stream, head)| (*stream, head.count)).collect();
            let listed = state.streams.iter().map(|(stream, head)| {
                json!({"stream": stream, "count": head.count, "last": Digest(head.last).hex()})
            });
            (streams, Value::Array(listed.collect()), state.gaps)
        };
        let fields = Fields::new()
            .json("streams", &listed)
            .json("children", &json!([]))
            .json("gaps", &json!(recorded_gaps.max(gaps)))
            .text("reason", &bounded(reason))
            .json("open_actions", &listed_acts(abandoned));
        Ok((streams, self.0.sealer.item(Kind::RunEnded, Place::log(run, 0), fields)?))
    }
}

/// Something that was seen and is not an act.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What kind of thing.
    pub subtype: String,
    /// What was seen.
    pub payload: Value,
    /// How often.
    pub count: Option<u64>,
    /// The act it belongs to.
    pub act_id: Option<Id>,
    /// Digest string of the frame.
    pub frame_digest: Option<String>,
    /// It was refused: the rate rule for refusals applies.
    pub refusal: bool,
}

/// A time in which nothing could be recorded.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Why.
    pub reason: String,
    /// From, ms.
    pub from_ms: u64,
    /// To, ms.
    pub to_ms: u64,
    /// How many acts went unrecorded, as far as known.
    pub count: u64,
    /// Digest string over what is known of them.
    pub digest: Option<String>,
    /// More.
    pub detail: Option<String>,
}

/// Where a writer's entries go.
#[derive(Debug, Clone, Copy)]
struct RunPlace {
    run: Id,
    stream: u64,
    join: Option<Id>,
}

impl RunPlace {
    fn of(self) -> Place {
        Place::harness(self.run, self.stream)
    }

    fn guard(self, root: RootFacts) -> Guard {
        match self.join {
            Some(_) => Guard::Joins { stream: self.stream, root },
            None => Guard::NewRun(root),
        }
    }
}

/// The task that a run belongs to.
#[derive(Debug, Clone)]
struct TaskFacts {
    client: Option<String>,
    txn: String,
    holder: Holder,
}

fn root_facts(open: &OpenRun, identified: &Identified, task: &TaskFacts) -> RootFacts {
    RootFacts {
        client: task.client.clone(),
        txn: task.txn.clone(),
        alias: open.server.alias.clone(),
        command: crate::control::command_digest(&json!({"command": open.server.command})),
        kid: identified.request.as_ref().map(|request| request.request.key.clone()),
    }
}

fn uid_of(identified: &Identified) -> u64 {
    identified.principal.sub.strip_prefix("uid:").and_then(|uid| uid.parse().ok()).unwrap_or_default()
}

/// What makes two writers writers of one client: user, parent process, principal and named holder.
fn client_key(client: &Client, identified: &Identified, named: Option<&str>, peer: Peer) -> Option<String> {
    let (pid, start) = (client.pid?, client.start?);
    let parts = json!([peer.uid, pid, start, identified.principal.iss, identified.principal.sub, named]);
    Some(Digest::of(&evidence::json::jcs(&parts)).hex())
}

/// Acts by id; many are counted and digested, because an entry has its limit.
fn listed_acts(acts: &[String]) -> Value {
    let listed = json!(acts);
    if acts.len() <= OPEN_ACTS_LISTED {
        return listed;
    }
    json!({"count": acts.len(), "digest": Digest::of(&evidence::json::jcs(&listed)).to_string()})
}

fn inferred_holder(client: &Client, peer: Peer) -> String {
    let exe = client.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or("unknown");
    let pid = client.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    format!("local:uid-{}/{exe}/{pid}-{}", peer.uid, client.start.unwrap_or_default())
}

fn check_alias(task: &Task, server: &Server) -> Result<(), RecorderError> {
    let command = crate::control::command_digest(&json!({"command": server.command}));
    match task.aliases.get(&server.alias) {
        Some(known) if *known != command => Err(RecorderError::AliasTaken(server.alias.clone())),
        _ => Ok(()),
    }
}
