//! What the wrap itself acts under: roots issued for keys that it draws, or a chain that somebody made for it.

use std::sync::Arc;

use super::holder::{Bound, Holder, blocking, fresh_key, jwk, leaf_digest};
use super::{DelegationSource, Given, OpenError, RootAsk, RootRequest, RunOptions};
use super::{Run, Setting};
use crate::api::{OpenRun, OpenedRun, Presented, Renew, Tools};
use crate::client::{Client, ClientError};

/// The wrap's own authority in its run.
pub(crate) struct Own {
    pub(crate) holder: Holder,
    txn: String,
    scope: Option<Tools>,
    root_request: Option<RootRequest>,
    delegation: Option<DelegationSource>,
}

/// Why no question could be put.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The way to the server, or the server.
    Server(ClientError),
    /// Something on this side of it.
    Here(String),
}

impl From<ClientError> for Cause {
    fn from(error: ClientError) -> Self {
        Self::Server(error)
    }
}

impl Own {
    /// Opens (or joins) the wrap's run under the delegation given, or under a root issued for the key drawn.
    pub(crate) async fn open(options: &RunOptions) -> Result<Arc<Run>, OpenError> {
        let setting = Arc::new(Setting::of(options));
        let socket = setting.server().await.map_err(OpenError::Connect)?;
        let shown = socket.display().to_string();
        let client = Client::connect(socket).await?;
        let bare = OpenRun { join: options.join.clone(), ..setting.opening(jwk(&options.key)) };
        match &options.delegation {
            Some(source) => {
                let given = read(source).await.map_err(OpenError::Delegation)?;
                let request = OpenRun {
                    key: jwk(&given.key),
                    delegation: Some(Presented::Chain(given.chain.clone())),
                    handoff: given.handoff.clone(),
                    parent: options.parent.clone(),
                    ..bare
                };
                let own = |opened: &OpenedRun| Self::given(options, source, given, opened).map(Some);
                Ok(Run::open(setting, client, shown, &request, own).await?)
            }
            None => {
                let root_request = match &options.root_request {
                    Some(sign) => {
                        let ask = RootAsk {
                            hello: &client.hello().await?,
                            jwk: &bare.key,
                            scope: options.scope.as_ref(),
                            scheme: options.scheme,
                            alias: &options.alias,
                            txn: None,
                        };
                        Some(sign(&ask).map_err(OpenError::RootRequest)?)
                    }
                    None => None,
                };
                let request = OpenRun { root_request, scope: options.scope.clone(), ..bare };
                let own = |opened: &OpenedRun| Self::issued(options, opened).map(Some);
                Ok(Run::open(setting, client, shown, &request, own).await?)
            }
        }
    }

    fn issued(options: &RunOptions, opened: &OpenedRun) -> Result<Self, ClientError> {
        let bound = Bound::own(options.key.clone(), &opened.delegation, opened.exp)?;
        Ok(Self::new(options, bound, opened))
    }

    fn given(
        options: &RunOptions,
        source: &DelegationSource,
        given: Given,
        opened: &OpenedRun,
    ) -> Result<Self, ClientError> {
        let draw = Arc::clone(&source.next_counter);
        let counters = (opened.next_counter, Vec::new());
        let bound = Bound::given(given.key, &opened.delegation, opened.exp, counters, draw)?;
        Ok(Self::new(options, bound, opened))
    }

    fn new(options: &RunOptions, bound: Bound, opened: &OpenedRun) -> Self {
        Self {
            holder: Holder::new(bound, opened.issuer.clone()),
            txn: opened.txn.clone(),
            scope: options.scope.clone(),
            root_request: options.root_request.clone(),
            delegation: options.delegation.clone(),
        }
    }

    /// Renews the delegation when it is due. A renewal that fails is an error only once the old one has ended.
    pub(crate) async fn renew_if_due(&self, run: &Run, client: &Client) -> Result<(), Cause> {
        let ambient = &run.setting.ambient;
        if !self.holder.is_due(ambient) {
            return Ok(());
        }
        let _one_at_a_time = self.holder.renewal.lock().await;
        if !self.holder.is_due(ambient) {
            return Ok(());
        }
        let renewed = match &self.delegation {
            Some(source) => self.given_anew(run, client, source).await,
            None => self.issued_anew(run, client).await.map(Some),
        };
        match renewed {
            Ok(Some(bound)) => self.holder.replace(bound),
            // The file holds no newer chain. The server says so once the old one has ended, and records it.
            Ok(None) => {}
            Err(cause) if self.holder.is_over(ambient) => return Err(cause),
            Err(cause) => tracing::warn!(?cause, "the delegation could not be renewed yet"),
        }
        Ok(())
    }

    async fn issued_anew(&self, run: &Run, client: &Client) -> Result<Bound, Cause> {
        let key = fresh_key(&run.setting.ambient);
        let public = jwk(&key);
        let root_request = match &self.root_request {
            Some(sign) => {
                let ask = RootAsk {
                    hello: &client.hello().await?,
                    jwk: &public,
                    scope: self.scope.as_ref(),
                    scheme: run.setting.scheme,
                    alias: &run.setting.alias,
                    txn: Some(&self.txn),
                };
                let unsigned = |why| Cause::Here(format!("no root request could be signed: {why}"));
                Some(sign(&ask).map_err(unsigned)?)
            }
            None => None,
        };
        let request = Renew {
            stream: run.stream,
            key: public,
            root_request,
            scope: self.scope.clone(),
            delegation: None,
        };
        let renewed = client.renew(&run.id, &request).await?;
        Ok(Bound::own(key, &renewed.delegation, renewed.exp)?)
    }

    /// Reads the delegation again; nothing where it is the one that is held already.
    async fn given_anew(
        &self,
        run: &Run,
        client: &Client,
        source: &DelegationSource,
    ) -> Result<Option<Bound>, Cause> {
        let unread = |why| Cause::Here(format!("the delegation could not be read again: {why}"));
        let given = read(source).await.map_err(unread)?;
        let leaf = given.chain.last().map(|leaf| leaf_digest(leaf));
        if matches!(&leaf, Some(Ok(leaf)) if !self.holder.is_news(leaf)) {
            return Ok(None);
        }
        let request = Renew {
            stream: run.stream,
            key: jwk(&given.key),
            root_request: None,
            scope: None,
            delegation: Some(Presented::Chain(given.chain)),
        };
        let renewed = client.renew(&run.id, &request).await?;
        let draw = Arc::clone(&source.next_counter);
        let counters = (renewed.next_counter, renewed.missing);
        Ok(Some(Bound::given(given.key, &renewed.delegation, renewed.exp, counters, draw)?))
    }

    /// What the holder of the delegation file can do about a refusal at this step.
    pub(crate) fn hint(&self, step: &str) -> Option<&'static str> {
        match (&self.delegation, step) {
            (None, _) => None,
            (_, "delegation-time") => {
                Some("The delegation file holds no newer chain: put one there, then call again")
            }
            (_, "pop-replayed") => Some(
                "Another process may use the same key: give each one a delegation of its own, then call again",
            ),
            _ => None,
        }
    }
}

async fn read(source: &DelegationSource) -> Result<Given, String> {
    let read = Arc::clone(&source.read);
    blocking(move || read()).await
}
