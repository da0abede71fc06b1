//! Every path of the API and what serves it.

mod actions;
mod answers;
mod definitions;
mod delegations;
mod holdings;
mod log;
mod orders;
mod policy;
mod principals;
mod provenance;
mod runs;
mod server;
mod withdrawals;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use capture::api::{API_HEADER, API_VERSION};

use crate::owners::owned;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The router of all paths. Requests must carry a [`recorder::Peer`] extension, as those of
/// [`crate::serve_unix`] do.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/hello", get(server::hello))
        .route("/runs", post(runs::open).get(answers::runs))
        .route("/runs/{run}", get(answers::run))
        .route("/runs/{run}/delegations", post(runs::renew))
        .route("/runs/{run}/lease", post(runs::lease))
        .route("/runs/{run}/end", post(runs::end))
        .route("/runs/{run}/actions", post(actions::begin))
        .route("/runs/{run}/actions/{act_id}/outcome", post(actions::finish))
        .route("/runs/{run}/observations", post(runs::observe))
        .route("/runs/{run}/artifacts", post(runs::artifacts))
        .route("/runs/{run}/definitions", post(definitions::tell))
        .route("/runs/{run}/gaps", post(runs::gap))
        // all routes so far: what is written about a run is written by its owner
        .route_layer(from_fn_with_state(state.clone(), owned))
        .route("/principals", post(principals::add).get(answers::principals))
        .route("/principals/{thumbprint}", delete(principals::retire))
        .route("/delegations", post(delegations::add).get(holdings::delegations))
        .route("/mandates", post(delegations::mandate))
        .route("/revocations", post(orders::revoke))
        .route("/halts", post(orders::halt).get(orders::halts))
        .route("/halts/{index}", delete(orders::resume))
        .route("/policy", get(policy::show).post(policy::activate))
        .route("/definitions", post(definitions::client_config).get(provenance::definitions))
        .route("/withdrawals", post(withdrawals::add))
        .route("/status", get(answers::status))
        .route("/did", get(answers::did))
        .route("/tasks", get(provenance::tasks))
        .route("/trace", get(provenance::trace))
        .route("/gaps", get(provenance::gaps))
        .route("/authority/{action}", get(answers::authority))
        .route("/allowed", get(holdings::allowed))
        .route("/identities", get(holdings::identities))
        .route("/doubt/{index}", get(holdings::doubt))
        .route("/entries/{index}", get(answers::entry))
        .route("/prove", post(answers::prove))
        .route("/checkpoint", get(server::checkpoint))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn(versioned));
    Router::new()
        .nest("/v1", api)
        .route("/log/checkpoint", get(log::checkpoint))
        .route("/log/tile/{*path}", get(log::tile))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        // the connection has bounded the body before it came here
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(logged))
        .with_state(state)
}

async fn nothing_here(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(Code::NotFound, format!("there is nothing at `{path}`: see the API page"))
}

async fn other_method(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    let text = format!("`{path}` does not take {}: see the API page", request.method());
    Problem::new(Code::MethodNotAllowed, text)
}

/// Client and server must speak the same version, or say so before anything else.
async fn versioned(request: Request, next: Next) -> Response {
    let asked = request.headers().get(API_HEADER).map(HeaderValue::as_bytes);
    let mut response = if asked == Some(API_VERSION.to_string().as_bytes()) {
        next.run(request).await
    } else {
        let asked = String::from_utf8_lossy(asked.unwrap_or(b"none"));
        let asked: String = asked.chars().take(20).collect();
        let text = format!(
            "the request is for version `{asked}` of the API and this server speaks {API_VERSION}: send the header \
             `Deeds-Api: {API_VERSION}`, or use the client of this server's version"
        );
        Problem::new(Code::ApiVersion, text).into_response()
    };
    response.headers_mut().insert(HeaderName::from_static(API_HEADER), HeaderValue::from(API_VERSION));
    response
}

/// One line per request; never its query or body.
async fn logged(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status: StatusCode = response.status();
    tracing::debug!(%method, path, status = status.as_u16(), "answered");
    response
}
