//! Runs: opening, joining, and staying under authority.

use evidence::definition;
use evidence::id::{self, Id};
use evidence::jws::Jwk;
use evidence::label::Assurance;
use evidence::principal::Holder;
use evidence::tool::Scheme;
use evidence::{Kind, Scope};
use identity::Identified;
use serde_json::{Value, json};
use store::Receipt;

use crate::chains::{Authority, Presented, Renewal, check_fits};
use crate::children::check_handoff;
use crate::draft::{CauseRef, Draft, Fields, Ground, Guard, Item, Place};
use crate::issue::Wanted;
use crate::limits::{STALE_RETRIES_MAX, STREAMS_MAX};
use crate::outcome::bounded;
use crate::sequencing::{CHILD_RUNS, Reply, Written};
use crate::tasks::TaskFacts;
use crate::{Peer, Recorder, RecorderError};

/// Why it is not known what acts, and on which words.
const UNSEEN: &str = "a wrap does not see it";

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
    /// What kind of thing it is.
    pub scheme: Scheme,
    /// Name in tool URIs; not empty.
    pub alias: String,
    /// The command, without environment.
    pub command: Vec<String>,
    /// Digest string of the executable.
    pub executable: Option<String>,
    /// Digest string of the configuration.
    pub config: Option<String>,
}

impl Server {
    /// The part of its tool URIs before `#`.
    pub fn name(&self) -> String {
        self.scheme.server(&self.alias)
    }

    /// Digest string of its command.
    pub(crate) fn command_digest(&self) -> String {
        definition::command_digest(&self.command).to_string()
    }

    /// As it is recorded (format §5, kind 2, 8). What is not said is an MCP server over its standard streams.
    fn to_json(&self) -> Value {
        let unknown = |digest: &Option<String>| match digest {
            Some(digest) => Value::from(digest.clone()),
            None => json!({"unknown": "it could not be read"}),
        };
        let mut server = json!({"alias": self.alias, "command": self.command,
            "executable": unknown(&self.executable), "config": unknown(&self.config)});
        let scheme = Some(self.scheme).filter(|scheme| *scheme != Scheme::default());
        if let (Some(members), Some(scheme)) = (server.as_object_mut(), scheme) {
            members.insert("scheme".into(), Value::from(scheme.as_str()));
        }
        server
    }
}

/// A run to be opened, or joined.
#[derive(Debug, Clone)]
pub struct OpenRun {
    /// What it wraps.
    pub server: Server,
    /// The writer's key: a fresh one, or the one that the leaf of `delegation` is bound to.
    pub key: Jwk,
    /// The principal's signed request, where there is one.
    pub root_request: Option<String>,
    /// Scope wanted; none: what the request asks for, else every tool of the server.
    pub scope: Option<Scope>,
    /// What it is for, where neither a request nor a chain says so.
    pub purpose: String,
    /// Who or what started it: `human`, `schedule`, `event`, `agent`.
    pub trigger: Option<String>,
    /// The run to join.
    pub join: Option<Id>,
    /// The process behind it.
    pub client: Client,
    /// The chain it acts under; none: a root is issued for it.
    pub delegation: Option<Presented>,
    /// The text that was handed over with the work, whose digest the leaf of the chain has.
    pub handoff: Option<String>,
    /// The run that the work was handed over from, where several could be meant.
    pub parent: Option<Id>,
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
    /// The run that it is a child of, where it was announced there.
    pub parent: Option<Id>,
    /// Index of the first entry.
    pub index: u64,
    /// The log's promises for the entries.
    pub receipts: Vec<Receipt>,
}

impl Recorder {
    /// Opens a run, or joins one: takes the chain that was presented, or identifies the authority and issues a root;
    /// then records both. A run under a child is announced in the run that the work came from.
    pub async fn open_run(&self, open: OpenRun, peer: Peer) -> Result<Opened, RecorderError> {
        for overtaken in 0..STALE_RETRIES_MAX {
            let undisturbed = self.undisturbed(overtaken).await;
            let opening = self.opening(&open, peer);
            // a refusal is recorded at log level
            let _undisturbed = undisturbed.filter(|_| opening.is_ok());
            let opening = self.on_record(opening, &open.about(), peer).await?;
            let draft = self.opening_draft(&open, &opening)?;
            let (run, stream) = (opening.place.run, opening.place.stream);
            // Before it is written, so that a caller that gives up leaves no run that nobody ends. After a crash before
            // the run is durable the writer has none and asks again; behind it the run waits out its grace period and
            // ends as lost. A child and its announcement are there together or not at all.
            self.expect_lease(run, stream);
            match self.append(draft).await? {
                Reply::Written(written) => return Ok(self.opened(opening, written)),
                Reply::Gone => return Err(RecorderError::RunEnded(id::text(&run))),
                Reply::Full(what) => {
                    let full = opening.parent.filter(|_| what == CHILD_RUNS).unwrap_or(run);
                    return Err(RecorderError::RunFull(id::text(&full), what));
                }
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
        let name = id::text(&run);
        for overtaken in 0..STALE_RETRIES_MAX {
            let undisturbed = self.undisturbed(overtaken).await;
            let log_index = self.control().log_index;
            let acting = self.acting(&run, stream)?;
            let under = self.renewed(&run, &open, acting, peer);
            let _undisturbed = undisturbed.filter(|_| under.is_ok());
            let under = self.on_record(under, &open.about(), peer).await?;
            let items = self.link_items(&under, 0, None, Place::harness(run, stream))?;
            match self.append(Draft { guard: Guard::Takes { log_index }, items }).await? {
                Reply::Written(written) => return Ok(self.renewal(&under, written.first)),
                Reply::Gone => return Err(RecorderError::RunEnded(name)),
                Reply::Full(what) => return Err(RecorderError::RunFull(name, what)),
                _ => {}
            }
        }
        Err(RecorderError::Busy)
    }

    /// A fresh root for whoever acts in a run, on the same authority.
    fn renewed(
        &self,
        run: &Id,
        open: &OpenRun,
        acting: Acting,
        peer: Peer,
    ) -> Result<Authority, RecorderError> {
        let refused = |failure| RecorderError::request(&failure);
        let identified = self.identified(open.root_request.as_deref(), peer).map_err(refused)?;
        let task = TaskFacts { name: None, txn: acting.txn, holder: acting.holder };
        let under = self.root_for(open, &identified, &task)?;
        self.check_joins(run, open, &under)?;
        Ok(under)
    }

    /// All that is known of a run before its entries are made.
    fn opening(&self, open: &OpenRun, peer: Peer) -> Result<Opening, RecorderError> {
        // first, so that what changes while the rest is looked at makes the draft stale
        let log_index = self.control().log_index;
        let place = self.run_place(open.join)?;
        let (under, task) = match &open.delegation {
            Some(presented) => self.under_chain(open, presented)?,
            None => self.under_root(open, &place, peer)?,
        };
        check_handoff(open, &under.chain)?;
        let parent = match &place.joined {
            Some(_) => {
                self.check_joins(&place.run, open, &under)?;
                None
            }
            None => self.parent(&under.chain, open.parent)?,
        };
        Ok(Opening { log_index, uid: peer.uid, place, under, task, parent })
    }

    /// Under a chain that somebody made for the writer's key.
    fn under_chain(
        &self,
        open: &OpenRun,
        presented: &Presented,
    ) -> Result<(Authority, TaskFacts), RecorderError> {
        if open.root_request.is_some() || open.scope.is_some() {
            let text =
                "a run acts under a chain, or under a root that is issued for it: ask for one of the two";
            return Err(RecorderError::Invalid(text.to_owned()));
        }
        let under = self.presented(presented)?;
        let chain = &under.chain;
        if *chain.leaf().claims.cnf() != open.key {
            let text = "the delegation is bound to another key than the writer's: only who holds its key acts under it";
            return Err(RecorderError::DelegationRefused { step: "holder-key", text: text.to_owned() });
        }
        let task = self.task_of_chain(&chain.root().txn, chain.holder(), &open.server)?;
        Ok((under, task))
    }

    /// Under a root that is issued for the writer.
    fn under_root(
        &self,
        open: &OpenRun,
        place: &RunPlace,
        peer: Peer,
    ) -> Result<(Authority, TaskFacts), RecorderError> {
        let refused = |failure| RecorderError::request(&failure);
        let identified = self.identified(open.root_request.as_deref(), peer).map_err(refused)?;
        let task = self.task(open, &identified, peer, place)?;
        let under = self.root_for(open, &identified, &task)?;
        Ok((under, task))
    }

    /// A root for a writer: as wide as it asked for, else as the request, else every tool of its server.
    fn root_for(
        &self,
        open: &OpenRun,
        identified: &Identified,
        task: &TaskFacts,
    ) -> Result<Authority, RecorderError> {
        let asked = identified.request.as_ref().map(|asked| asked.request.scope.clone());
        let scope = open.scope.clone().or(asked);
        let scope = scope.unwrap_or_else(|| Scope::server(&open.server.name()));
        let wanted = Wanted { key: &open.key, scope, purpose: &open.purpose };
        let signed = self.sign_root(identified, task, &wanted, open.root_request.as_deref());
        signed.map_err(|failure| RecorderError::request(&failure))
    }

    /// Whether what a writer acts under is of the task, principal and holder of the run that it joins or stays in.
    fn check_joins(&self, run: &Id, open: &OpenRun, under: &Authority) -> Result<(), RecorderError> {
        let control = self.control();
        let state = control.run(run).ok_or_else(|| RecorderError::RunUnknown(id::text(run)))?;
        match check_fits(state, &under.chain) {
            Err(RecorderError::DelegationRefused { text, .. }) if open.delegation.is_none() => {
                Err(RecorderError::RequestRefused { step: "request-binding", text })
            }
            fits => fits,
        }
    }

    fn run_place(&self, join: Option<Id>) -> Result<RunPlace, RecorderError> {
        let Some(run) = join else {
            return Ok(RunPlace { run: self.new_id(), stream: 0, joined: None });
        };
        let acting = self.acting(&run, 0)?;
        let control = self.control();
        let state = control.run(&run).ok_or_else(|| RecorderError::RunUnknown(id::text(&run)))?;
        if state.streams.len() >= STREAMS_MAX {
            return Err(RecorderError::RunFull(id::text(&run), "streams"));
        }
        Ok(RunPlace { run, stream: state.next_stream(), joined: Some(acting) })
    }

    /// Who acts in a stream of a run that is open, and for which task.
    pub(crate) fn acting(&self, run: &Id, stream: u64) -> Result<Acting, RecorderError> {
        let name = id::text(run);
        let control = self.control();
        let state = control.run(run).ok_or_else(|| RecorderError::RunUnknown(name.clone()))?;
        if state.ended.is_some() {
            return Err(RecorderError::RunEnded(name));
        }
        if !state.streams.contains_key(&stream) {
            return Err(RecorderError::StreamUnknown(name, stream));
        }
        Ok(Acting { txn: state.txn.clone(), holder: state.holder.clone() })
    }

    /// The entries of a new run or writer, and of the parent that announces it.
    fn opening_draft(&self, open: &OpenRun, opening: &Opening) -> Result<Draft, RecorderError> {
        let Opening { log_index, place, under, task, parent, .. } = opening;
        let ground = Ground {
            log_index: *log_index,
            task: task.name.clone(),
            txn: task.txn.clone(),
            server: open.server.name(),
            command: open.server.command_digest(),
        };
        let mut items = vec![self.started_item(open, opening)?];
        let links = match place.joined {
            Some(_) => self.missing_links(under, Some(CauseRef::Previous), place.of())?,
            None => self.link_items(under, 0, Some(CauseRef::Previous), place.of())?,
        };
        items.extend(links);
        if let Some(parent) = parent {
            items.push(self.child_item(*parent, &place.run, under, open.handoff.as_deref())?);
        }
        let guard = match place.joined {
            Some(_) => Guard::Joins { stream: place.stream, ground },
            None => Guard::NewRun { ground, parent: *parent },
        };
        Ok(Draft { guard, items })
    }

    fn started_item(&self, open: &OpenRun, opening: &Opening) -> Result<Item, RecorderError> {
        let Opening { place, under, task, parent, .. } = opening;
        let client = json!({"task": task.name, "uid": opening.uid, "pid": open.client.pid,
            "start": open.client.start, "exe": open.client.exe, "label": Assurance::Inferred.as_str()});
        let mut fields = Fields::new()
            .text("txn", &task.txn)
            .json("initiator", &json!(under.chain.root().principal))
            .text("evidence_grade", under.grade().as_str())
            .json("servers", &json!([open.server.to_json()]))
            .json("holder", &json!(under.chain.holder()))
            .json("client", &client)
            .unknown("agent_definition", UNSEEN)
            .unknown("model", UNSEEN)
            .unknown("prompt", UNSEEN)
            .maybe("parent", parent.map(|parent| json!(id::text(&parent))).as_ref())
            .maybe("joined", place.joined.as_ref().map(|_| json!(place.stream)).as_ref());
        fields = match &open.trigger {
            Some(trigger) => fields.text("trigger", &bounded(trigger)),
            None => fields.unknown("trigger", "nobody said what started this run"),
        };
        self.0.sealer.item(Kind::RunStarted, place.of(), fields)
    }

    fn opened(&self, opening: Opening, written: Written) -> Opened {
        let Opening { place, under, parent, .. } = opening;
        let leaf = under.chain.leaf().digest.as_str();
        // that of the leaf's entry, also where the run that was joined had it before
        let index = self.control().run(&place.run).and_then(|run| Some(run.delegations.get(leaf)?.index));
        Opened {
            run: place.run,
            stream: place.stream,
            grade: under.grade().as_str(),
            principal: under.chain.root().principal.clone(),
            parent,
            index: written.first,
            renewal: self.renewal(&under, index.unwrap_or(written.first)),
            receipts: written.receipts,
        }
    }
}

impl OpenRun {
    /// What is on the record of a refusal, as its digest.
    fn about(&self) -> String {
        let presented = self.delegation.as_ref().map(Presented::text);
        presented.or_else(|| self.root_request.clone()).unwrap_or_default()
    }
}

/// All that is known of a run before its entries are made.
struct Opening {
    /// Position of the log-level chain when the rest was looked at.
    log_index: u64,
    /// Whose process asks.
    uid: u32,
    place: RunPlace,
    under: Authority,
    task: TaskFacts,
    parent: Option<Id>,
}

/// Where a writer's entries go.
#[derive(Debug, Clone)]
pub(crate) struct RunPlace {
    pub(crate) run: Id,
    pub(crate) stream: u64,
    /// Who acts in the run that is joined.
    pub(crate) joined: Option<Acting>,
}

impl RunPlace {
    fn of(&self) -> Place {
        Place::harness(self.run, self.stream)
    }
}

/// Who acts in a run, and for which task.
#[derive(Debug, Clone)]
pub(crate) struct Acting {
    pub(crate) txn: String,
    pub(crate) holder: Holder,
}
