//! Runs: opening, joining, renewing, holding, ending, and what was seen beside the acts.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use capture::api;
use evidence::Scope;
use evidence::artifact::{Artifacts, Role};
use evidence::id::{self, Id};
use evidence::jws::{self, Jwk, Signed};
use evidence::tool::Scheme;
use recorder::control::{Link, Window};
use recorder::limits::LEASE_GRACE_MS;
use recorder::{Client, OpenRun, Presented, Server};
use serde_json::Value;

use crate::extract::{self, Caller, Json, Segments, digest_maybe, exact, id_member};
use crate::owners;
use crate::problem::{Code, Problem};
use crate::process;
use crate::state::{AppState, to_the_end};
use crate::stream::LeaseBody;

/// `POST /v1/runs`
pub(super) async fn open(
    State(state): State<AppState>,
    Caller(peer): Caller,
    Json(asked): Json<api::OpenRun>,
) -> Result<Response, Problem> {
    capture::mcp::check_alias(&asked.alias).map_err(|why| Problem::member("alias", why))?;
    if asked.purpose.is_empty() {
        return Err(Problem::member("purpose", "a delegation always states one"));
    }
    digest_maybe("executable", asked.executable.as_deref())?;
    digest_maybe("config", asked.config.as_deref())?;
    let join = asked.join.as_deref().map(|run| id_member("join", run)).transpose()?;
    if let Some(run) = join {
        owners::check(&state, run, peer.uid)?;
    }
    let open = OpenRun {
        server: Server {
            scheme: scheme(asked.scheme),
            alias: asked.alias,
            command: asked.command,
            executable: asked.executable,
            config: asked.config,
        },
        key: key(&asked.key)?,
        root_request: asked.root_request,
        scope: scope(asked.scope)?,
        purpose: asked.purpose,
        trigger: asked.trigger.map(word),
        join,
        client: process::client_of(peer, asked.parent_pid),
        delegation: asked.delegation.map(presented),
        handoff: asked.handoff,
        parent: asked.parent.as_deref().map(|run| id_member("parent", run)).transpose()?,
    };
    let recorder = state.recorder().clone();
    let opened = to_the_end(async move { recorder.open_run(open, peer).await }).await?;
    state.remember_point(opened.run, opened.stream, asked.enforcement_point);
    tracing::info!(run = id::text(&opened.run), stream = opened.stream, index = opened.index, "run opened");
    let receipts = opened.receipts.iter().map(|receipt| serde_json::to_value(receipt).unwrap_or_default());
    let answer = api::OpenedRun {
        run: id::text(&opened.run),
        stream: opened.stream,
        txn: id::text(&opened.renewal.txn),
        holder: opened.renewal.holder,
        principal: opened.principal,
        grade: opened.grade.to_owned(),
        delegation: opened.renewal.token,
        exp: opened.renewal.exp,
        issuer: opened.renewal.issuer,
        index: opened.index,
        lease_grace_ms: LEASE_GRACE_MS,
        receipts: receipts.collect(),
        parent: opened.parent.as_ref().map(id::text),
        next_counter: opened.renewal.next_counter,
    };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// `POST /v1/runs/{run}/delegations`
pub(super) async fn renew(
    State(state): State<AppState>,
    Caller(peer): Caller,
    segments: Segments,
    Json(asked): Json<api::Renew>,
) -> Result<axum::Json<api::Renewed>, Problem> {
    let (run, stream) = (segments.id("run")?, asked.stream);
    let recorder = state.recorder().clone();
    let renewal = match asked.delegation {
        Some(_) if asked.root_request.is_some() || asked.scope.is_some() => {
            let text =
                "`delegation` comes with neither `root_request` nor `scope`: it says all of that itself";
            return Err(Problem::new(Code::Invalid, text));
        }
        Some(delegation) => {
            key(&asked.key)?;
            let chain = presented(delegation);
            to_the_end(async move { recorder.take_chain(run, stream, chain, peer).await }).await?
        }
        None => {
            let open = fresh_root(&state, run, &asked)?;
            to_the_end(async move { recorder.renew(run, stream, open, peer).await }).await?
        }
    };
    let missing = state.recorder().control().windows.get(&renewal.holder.key).map(Window::holes);
    Ok(axum::Json(api::Renewed {
        delegation: renewal.token,
        exp: renewal.exp,
        index: renewal.index,
        next_counter: renewal.next_counter,
        missing: missing.unwrap_or_default(),
    }))
}

/// What is asked for with a fresh root of a run that is open.
fn fresh_root(state: &AppState, run: Id, asked: &api::Renew) -> Result<OpenRun, Problem> {
    let (scheme, alias) = wrapped(state, run, asked.stream);
    Ok(OpenRun {
        server: Server { scheme, alias, command: Vec::new(), executable: None, config: None },
        key: key(&asked.key)?,
        root_request: asked.root_request.clone(),
        scope: scope(asked.scope.clone())?,
        purpose: purpose(state, run),
        trigger: None,
        join: None,
        client: Client { pid: None, start: None, exe: None },
        delegation: None,
        handoff: None,
        parent: None,
    })
}

/// `POST /v1/runs/{run}/lease`
pub(super) async fn lease(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::TakeLease>,
) -> Result<Response, Problem> {
    let run = segments.id("run")?;
    let lease = state.recorder().lease(run, asked.stream)?;
    Ok(ndjson(Body::new(LeaseBody::new(&state, lease, run))))
}

/// `POST /v1/runs/{run}/end`
pub(super) async fn end(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::EndRun>,
) -> Result<axum::Json<api::EndedRun>, Problem> {
    let (run, gaps) = (segments.id("run")?, exact("gaps", asked.gaps)?);
    let recorder = state.recorder().clone();
    check_stream(&state, run, asked.stream)?;
    let ended =
        to_the_end(async move { recorder.end_stream(run, asked.stream, &asked.reason, gaps).await }).await?;
    tracing::info!(run = id::text(&run), stream = asked.stream, index = ended.index, "run ended");
    Ok(axum::Json(api::EndedRun { index: ended.index, abandoned: ended.abandoned }))
}

/// `POST /v1/runs/{run}/observations`
pub(super) async fn observe(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::Observe>,
) -> Result<axum::Json<api::Observed>, Problem> {
    let run = segments.id("run")?;
    digest_maybe("frame_digest", asked.frame_digest.as_deref())?;
    let seen = recorder::Observation {
        subtype: asked.subtype,
        payload: asked.payload,
        count: asked.count.map(|count| exact("count", count)).transpose()?,
        act_id: asked.act_id.as_deref().map(|act| id_member("act_id", act)).transpose()?,
        frame_digest: asked.frame_digest,
        refusal: asked.refusal,
    };
    check_stream(&state, run, asked.stream)?;
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.observe(run, asked.stream, seen).await }).await?;
    Ok(axum::Json(api::Observed { index }))
}

/// `POST /v1/runs/{run}/artifacts`
pub(super) async fn artifacts(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::ArtifactsPart>,
) -> Result<axum::Json<api::Written>, Problem> {
    let run = segments.id("run")?;
    let Artifacts::List(artifacts) = extract::artifacts("artifacts", &asked.artifacts)? else {
        return Err(Problem::member("artifacts", "a list is expected"));
    };
    let part = recorder::ArtifactsPart {
        act_id: id_member("act_id", &asked.act_id)?,
        role: match asked.role {
            api::ArtifactRole::Inputs => Role::Inputs,
            api::ArtifactRole::Outputs => Role::Outputs,
        },
        part: exact("part", asked.part)?,
        artifacts,
    };
    check_stream(&state, run, asked.stream)?;
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.artifacts(run, asked.stream, part).await }).await?;
    Ok(axum::Json(api::Written { index }))
}

/// `POST /v1/runs/{run}/gaps`
pub(super) async fn gap(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::Gap>,
) -> Result<axum::Json<api::Written>, Problem> {
    let run = segments.id("run")?;
    digest_maybe("digest", asked.digest.as_deref())?;
    let gap = recorder::Gap {
        reason: asked.reason,
        from_ms: exact("from_ms", asked.from_ms)?,
        to_ms: exact("to_ms", asked.to_ms)?,
        count: exact("count", asked.count)?,
        digest: asked.digest,
        detail: asked.detail,
    };
    check_stream(&state, run, asked.stream)?;
    let recorder = state.recorder().clone();
    let index = to_the_end(async move { recorder.record_gap(run, asked.stream, gap).await }).await?;
    Ok(axum::Json(api::Written { index }))
}

/// A streamed answer of lines.
pub(super) fn ndjson(body: Body) -> Response {
    ([(CONTENT_TYPE, api::NDJSON)], body).into_response()
}

/// Tells an unknown run or stream from one that has ended, which the sequencer does not.
pub(super) fn check_stream(state: &AppState, run: Id, stream: u64) -> Result<(), Problem> {
    let control = state.recorder().control();
    let known = control.run(&run).ok_or_else(|| recorder::RecorderError::RunUnknown(id::text(&run)))?;
    if known.streams.contains_key(&stream) {
        return Ok(());
    }
    Err(recorder::RecorderError::StreamUnknown(id::text(&run), stream).into())
}

fn key(value: &Value) -> Result<Jwk, Problem> {
    Jwk::parse(value).map_err(|error| Problem::member("key", error))
}

fn presented(presented: api::Presented) -> Presented {
    match presented {
        api::Presented::Chain(tokens) => Presented::Chain(tokens),
        api::Presented::Ref(leaf) => Presented::Ref(leaf),
    }
}

fn scope(tools: Option<api::Tools>) -> Result<Option<Scope>, Problem> {
    let Some(tools) = tools else { return Ok(None) };
    let tools = Value::Object(tools.into_iter().collect());
    Scope::parse(&tools).map(Some).map_err(|error| Problem::member("scope", error))
}

fn word(trigger: api::Trigger) -> String {
    match trigger {
        api::Trigger::Human => "human",
        api::Trigger::Schedule => "schedule",
        api::Trigger::Event => "event",
        api::Trigger::Agent => "agent",
    }
    .to_owned()
}

fn scheme(scheme: api::Scheme) -> Scheme {
    match scheme {
        api::Scheme::Stdio => Scheme::Stdio,
        api::Scheme::Run => Scheme::Run,
    }
}

/// What a stream wraps: a fresh root of it is for the same server.
fn wrapped(state: &AppState, run: Id, stream: u64) -> (Scheme, String) {
    let control = state.recorder().control();
    let wrapped = control.run(&run).and_then(|run| run.servers.get(&stream));
    let named = wrapped.and_then(|wrapped| Scheme::of(&wrapped.server));
    named.map(|(scheme, alias)| (scheme, alias.to_owned())).unwrap_or_default()
}

/// What the run is for, as a root of it says: a renewal is for the same.
fn purpose(state: &AppState, run: Id) -> String {
    let control = state.recorder().control();
    let links = control.run(&run).into_iter().flat_map(|run| run.delegations.values());
    let mut roots = links.filter(|link| link.parent.is_none());
    let purpose = |link: &Link| {
        // the log issued it; its signature is checked wherever something rests on it
        let signed = Signed::parse(&link.token, jws::DELEGATION).ok()?;
        signed.unverified().get("deeds")?.get("purpose")?.as_str().map(str::to_owned)
    };
    roots.find_map(purpose).unwrap_or_default()
}
