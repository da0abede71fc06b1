//! Actions: `begin`, answered once the decision is durable, and `finish`, answered in two lines.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use capture::api::{self, Begun, CaptureMode, CaptureModes};
use evidence::id::{self, Id};
use evidence::{Digest, json, tool};
use recorder::{
    Answer, Batch, Carrier, Malformed, Mode, Outcome, Peer, Presented, Progress, Reason, Request,
};

use super::runs::ndjson;
use crate::extract::{
    Caller, Json, Segments, artifacts, digest_maybe, digest_member, digest_of, exact, id_member, parse,
};
use crate::problem::{Code, Problem};
use crate::state::{AppState, to_the_end};
use crate::stream::OutcomeBody;

/// `POST /v1/runs/{run}/actions`
///
/// What reaches this decision point and cannot become a decision is evidence too: it is recorded, then refused.
pub(super) async fn begin(
    State(state): State<AppState>,
    Caller(peer): Caller,
    segments: Segments,
    headers: HeaderMap,
    body: Bytes,
) -> Result<axum::Json<Begun>, Problem> {
    let run = segments.id("run");
    let known = run.as_ref().ok().filter(|run| state.recorder().control().run(run).is_some()).copied();
    let answered = match run.and_then(|run| request(&state, run, &headers, &body)) {
        Ok(request) => match taken(&state, &request, peer).await {
            Ok(()) => decide(&state, request, peer).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    match answered {
        Err(problem) if is_callers(problem.code) => {
            let source = known.map_or_else(|| format!("uid:{}", peer.uid), |run| id::text(&run));
            Err(refused(&state, problem, source, &body).await?)
        }
        other => other.map(axum::Json),
    }
}

/// Takes a chain that was registered, and that a header names, into the run.
async fn taken(state: &AppState, request: &Request, peer: Peer) -> Result<(), Problem> {
    let (run, stream, leaf) = (request.run, request.stream, request.delegation.clone());
    let knows = |state: &AppState| {
        let control = state.recorder().control();
        control.run(&run).is_some_and(|run| run.delegations.contains_key(&leaf))
    };
    if request.carrier != Carrier::Http || knows(state) {
        return Ok(());
    }
    let recorder = state.recorder().clone();
    to_the_end(async move { recorder.take_chain(run, stream, Presented::Ref(leaf), peer).await })
        .await
        .map(drop)
}

async fn decide(state: &AppState, request: Request, peer: Peer) -> Result<Begun, Problem> {
    let act_id = id::text(&request.act_id);
    let recorder = state.recorder().clone();
    let decided = to_the_end(async move {
        Ok(match recorder.begin(request, peer).await? {
            // From here on the lease of the run answers for the act: its loss sets the outcome to unknown, a hang-up
            // during this request does not. The caller may ask again, and gets this answer.
            Answer::Allowed(permit) => Ok(permit.leased()),
            Answer::Refused(refusal) => Err(refusal),
        })
    });
    match decided.await? {
        Ok(leased) => Ok(Begun::Allow(api::Allowed {
            index: leased.index,
            act_id,
            class: leased.class,
            capture: CaptureModes { args: mode(leased.capture.args), result: mode(leased.capture.result) },
            receipt: serde_json::to_value(leased.receipt).unwrap_or_default(),
        })),
        Err(refusal) => Ok(Begun::Deny(api::Denied {
            index: refusal.index,
            reason: api::Reason {
                code: refusal.reason.code,
                step: refusal.reason.step,
                text: refusal.reason.text,
            },
            receipt: refusal.receipt.and_then(|receipt| serde_json::to_value(receipt).ok()),
        })),
    }
}

fn request(state: &AppState, run: Id, headers: &HeaderMap, body: &[u8]) -> Result<Request, Problem> {
    let asked: api::Begin = parse(body)?;
    let shown = shown(&asked, headers)?;
    digest_member("frame_digest", &asked.frame_digest)?;
    digest_maybe("sent_frame_digest", asked.sent_frame_digest.as_deref())?;
    digest_maybe("definition_digest", asked.definition_digest.as_deref())?;
    let operation = tool::operation(&asked.tool);
    if asked.operation != operation {
        let why = format_args!("a `tool` like this one is for `{operation}`");
        return Err(Problem::member("operation", why));
    }
    Ok(Request {
        run,
        stream: asked.stream,
        act_id: id_member("act_id", &asked.act_id)?,
        operation: asked.operation,
        tool: asked.tool,
        args: asked.args,
        frame_digest: asked.frame_digest,
        sent_frame_digest: asked.sent_frame_digest,
        definition_digest: asked.definition_digest,
        delegation: shown.leaf,
        pop: shown.pop,
        carrier: shown.carrier,
        root_dir: asked.root_dir,
        correlators: asked.correlators,
        enforcement_point: state.point(run, asked.stream),
        inputs: artifacts("inputs", &asked.inputs)?,
        batch: asked.batch.as_ref().map(batch).transpose()?,
        retry_of: asked.retry_of,
        malformed: None,
    })
}

fn batch(asked: &api::Batch) -> Result<Batch, Problem> {
    if asked.position >= exact("batch.count", asked.count)? {
        return Err(Problem::member("batch", "the position is not below the count"));
    }
    let digest = digest_of("batch.digest", &asked.digest)?;
    Ok(Batch { digest, position: asked.position, count: asked.count })
}

fn progress(parts: &api::Parts) -> Result<Progress, Problem> {
    Ok(Progress {
        count: exact("parts.count", parts.count)?,
        digest: digest_of("parts.digest", &parts.digest)?,
    })
}

/// Which delegation an act is under, and its proof.
struct Shown {
    leaf: String,
    pop: String,
    carrier: Carrier,
}

/// Both in the head of the request or both in its body.
fn shown(asked: &api::Begin, headers: &HeaderMap) -> Result<Shown, Problem> {
    let [leaf, pop] =
        [api::DELEGATION_REF_HEADER, api::DELEGATION_POP_HEADER].map(|name| header(headers, name));
    match ((leaf?, pop?), (&asked.delegation, &asked.pop), asked.carrier) {
        ((Some(leaf), Some(pop)), (None, None), None) => Ok(Shown { leaf, pop, carrier: Carrier::Http }),
        ((None, None), (Some(leaf), Some(pop)), carrier) => {
            let carrier = match carrier {
                None | Some(api::Carrier::Wrap) => Carrier::Wrap,
                Some(api::Carrier::McpMeta) => Carrier::McpMeta,
            };
            Ok(Shown { leaf: leaf.clone(), pop: pop.clone(), carrier })
        }
        _ => Err(Problem::malformed(
            "chain and proof come either as `delegation` and `pop` of the body, or as the headers \
             `Deeds-Delegation-Ref` and `Deeds-Delegation-PoP`, without `carrier`",
        )),
    }
}

/// The one value of a header, where it is there.
fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let wrong =
        || Problem::malformed(format_args!("the header `{name}` is not given once, as printable text"));
    text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
}

/// Whether the request is what was wrong, not the server's present state.
fn is_callers(code: Code) -> bool {
    matches!(code, Code::Malformed | Code::Invalid | Code::RunUnknown | Code::RunEnded | Code::StreamUnknown)
}

/// Records a request that could not be decided; gives the problem back.
async fn refused(
    state: &AppState,
    problem: Problem,
    source: String,
    body: &[u8],
) -> Result<Problem, Problem> {
    let malformed = Malformed {
        source,
        reason: Reason::new(problem.code.row().1, "begin", &problem.detail),
        digest: Digest::of(body).to_string(),
    };
    let recorder = state.recorder().clone();
    to_the_end(async move { recorder.refuse_malformed(&malformed).await }).await?;
    Ok(problem)
}

fn mode(mode: Mode) -> CaptureMode {
    match mode {
        Mode::Sealed => CaptureMode::Sealed,
        Mode::Digest => CaptureMode::Digest,
        Mode::None => CaptureMode::None,
    }
}

/// `POST /v1/runs/{run}/actions/{act_id}/outcome`
pub(super) async fn finish(
    State(state): State<AppState>,
    segments: Segments,
    Json(asked): Json<api::Finish>,
) -> Result<Response, Problem> {
    let (run, act_id) = (segments.id("run")?, segments.id("act_id")?);
    digest_maybe("frame_digest", asked.frame_digest.as_deref())?;
    digest_maybe("sent_frame_digest", asked.sent_frame_digest.as_deref())?;
    digest_maybe("result_digest", asked.result_digest.as_deref())?;
    check_result(asked.result.as_deref(), asked.result_digest.as_deref())?;
    let outcome = Outcome {
        event_id: id_member("event_id", &asked.event_id)?,
        status: asked.status,
        // a result that is not strict JSON cannot be a field; its digest stands for it
        result: asked.result.filter(|result| json::parse(result.as_bytes()).is_ok()),
        result_digest: asked.result_digest,
        frame_digest: asked.frame_digest,
        duration_us: Some(exact("duration_us", asked.duration_us)?),
        detail: asked.detail,
        outputs: artifacts("outputs", &asked.outputs)?,
        parts: asked.parts.as_ref().map(progress).transpose()?,
        sent_frame_digest: asked.sent_frame_digest,
    };
    let durable = state.recorder().finish(run, act_id, asked.decision, outcome)?;
    Ok(ndjson(Body::new(OutcomeBody::new(durable))))
}

/// A result and a digest that is not its own would be evidence against each other.
fn check_result(result: Option<&str>, digest: Option<&str>) -> Result<(), Problem> {
    match (result, digest) {
        (Some(result), Some(digest)) if Digest::of(result.as_bytes()).to_string() != digest => {
            let text = "`result_digest` is not the digest of `result`: digest the exact text that is sent";
            Err(Problem::new(Code::Invalid, text))
        }
        (Some(_), None) => {
            Err(Problem::new(Code::Invalid, "`result` comes without its `result_digest`: send both"))
        }
        _ => Ok(()),
    }
}
