//! The checks behind the labels: the same functions that the recorder and the offline audit call.

use evidence::delegation::Source;
use evidence::jws::Jwk;
use evidence::label::Check;
use evidence::{Entry, Principal, json};
use rusqlite::{OptionalExtension as _, params};
use serde_json::{Map, Value};
use verify::chain::{self, Act, Delegation, Proven, Request};

use super::super::At;
use super::super::run::at;
use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::sql;
use crate::index::Index;
use crate::record::Record;

/// What the checks of one action found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The entry of the delegation.
    pub(super) link: Option<Record>,
    /// The delegation, once the issuer's signature was found to hold.
    pub(super) delegation: Option<Delegation>,
    /// The principal's key, where a key signed the request.
    pub(super) registered: Option<Registered>,
    /// The principal's signed request, where it holds and the delegation is within it.
    request: Option<Request>,
    /// The holder's proof, where it is about this act and the delegation covers the act.
    proof: Option<Proven>,
}

/// A principal's key as the log had it registered.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) thumbprint: String,
    /// Position of its registration.
    pub(super) index: u64,
    principal: Principal,
    key: Jwk,
}

impl Checked {
    /// Of what the principal's signature covers.
    pub(super) fn requested(&self) -> Check {
        captured(self.request.is_some())
    }

    /// Whether the principal named the holder in what she signed.
    pub(super) fn holder_named(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.request.holder.is_some())
    }

    /// Of what the holder's proof covers.
    pub(super) fn proven(&self) -> Check {
        captured(self.proof.is_some())
    }

    /// Whether the arguments were there to be checked against the scope.
    pub(super) fn within_scope(&self) -> bool {
        self.proof.as_ref().is_some_and(|proof| proof.arguments_checked)
    }
}

fn captured(holds: bool) -> Check {
    if holds { Check::VerifiedCaptured } else { Check::NotChecked }
}

impl Index {
    /// Checks the chain behind a decision. What fails of an allowed act is a finding; a refusal is expected to fail.
    pub(super) fn check_authority(
        &self,
        decision: &Record,
        entry: &Entry,
        margin: &mut Margin,
    ) -> Result<Checked, LineageError> {
        let mut checked = Checked::default();
        let refused = decision.text("verdict").as_deref() == Some("deny");
        let Some(chain) = decision.text("chain") else { return Ok(checked) };
        let Some(link) = self.link(&chain, decision.index, margin)? else {
            if !refused {
                margin.finding(
                    "decision-delegation",
                    Some(decision.index),
                    "its delegation is not in the log",
                );
            }
            return Ok(checked);
        };
        if link.entry.as_ref().is_none_or(|linked| linked.run != entry.run) && !refused {
            let text = format!("its delegation @{} is one of another run", link.index);
            margin.finding("decision-delegation", Some(decision.index), text);
        }
        checked.delegation = self.check_delegation(&link, &chain, margin)?;
        if let Some(delegation) = &checked.delegation {
            let delegation = delegation.clone();
            self.check_request(&link, &delegation, decision, &mut checked, margin)?;
            check_act(decision, &delegation, refused, &mut checked, margin);
        }
        checked.link = Some(link);
        Ok(checked)
    }

    /// The entry of a delegation below a position, by token digest.
    fn link(&self, digest: &str, below: u64, margin: &mut Margin) -> Result<Option<Record>, LineageError> {
        let found: Option<At> = self.read(|db, _| {
            db.prepare_cached(
                "SELECT idx, leaf FROM delegations WHERE digest = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT 1",
            )?
            .query_row(params![digest, sql(below)], at)
            .optional()
        })?;
        found.map_or(Ok(None), |at| self.expect(at, margin))
    }

    fn check_delegation(
        &self,
        link: &Record,
        digest: &str,
        margin: &mut Margin,
    ) -> Result<Option<Delegation>, LineageError> {
        let genesis = self.record(1)?;
        let issuer_key = genesis.value("issuer_key").and_then(|key| Jwk::parse(&key).ok());
        let (Some(issuer), Some(key), Some(token)) = (genesis.text("issuer"), issuer_key, link.text("token"))
        else {
            margin
                .left_out
                .push("the check of the delegation: its token or the issuer's key is closed".into());
            return Ok(None);
        };
        let of_tenant = |delegation: &Delegation| match genesis.text("tenant") {
            Some(tenant) => chain::of_tenant(&delegation.root, &tenant),
            None => Ok(()),
        };
        let checked = chain::delegation(&token, &issuer, &key)
            .and_then(|delegation| of_tenant(&delegation).map(|()| delegation));
        match checked {
            Ok(delegation) if delegation.digest == digest => Ok(Some(delegation)),
            Ok(_) => {
                margin.finding("delegation-digest", Some(link.index), "its token has another digest");
                Ok(None)
            }
            Err(failure) => {
                margin.finding(failure.step.name(), Some(link.index), failure.text);
                Ok(None)
            }
        }
    }

    /// Checks the principal's own signature, where there is one.
    fn check_request(
        &self,
        link: &Record,
        delegation: &Delegation,
        decision: &Record,
        checked: &mut Checked,
        margin: &mut Margin,
    ) -> Result<(), LineageError> {
        let Source::KeyRequest { kid, digest, .. } = &delegation.root.source else { return Ok(()) };
        let Some(token) = link.text("request") else {
            margin.finding(
                "request-missing",
                Some(link.index),
                "the principal's signed request is not there",
            );
            return Ok(());
        };
        let registered = self.registered(kid, link.index, margin)?;
        let look_up = |thumbprint: &str| {
            let known = registered.as_ref().filter(|known| known.thumbprint == thumbprint)?;
            Some((known.principal.clone(), known.key.clone()))
        };
        let request = chain::root_request(&token, &delegation.root.issuer, look_up)
            .and_then(|request| chain::within_request(delegation, &request).map(|()| request));
        match request {
            Ok(request) if request.digest == *digest => checked.request = Some(request),
            Ok(_) => margin.finding(
                "request-malformed",
                Some(link.index),
                "the delegation names another request than the one recorded with it",
            ),
            Err(failure) => margin.finding(failure.step.name(), Some(link.index), failure.text),
        }
        let still = self.registered(kid, decision.index, margin)?.is_some();
        if !still && decision.text("verdict").as_deref() == Some("allow") {
            margin.finding(
                "principal-retired",
                Some(decision.index),
                "the principal's key was not registered any more when this was decided",
            );
        }
        checked.registered = registered;
        Ok(())
    }

    /// The key with this thumbprint, if it is registered at a position.
    fn registered(
        &self,
        thumbprint: &str,
        below: u64,
        margin: &mut Margin,
    ) -> Result<Option<Registered>, LineageError> {
        let found: Option<At> = self.read(|db, _| {
            db.prepare_cached(
                "SELECT idx, leaf FROM keys WHERE thumbprint = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT 1",
            )?
            .query_row(params![thumbprint, sql(below)], at)
            .optional()
        })?;
        let Some(at) = found else { return Ok(None) };
        let Some(record) = self.expect(at, margin)? else { return Ok(None) };
        if record.text("change").as_deref() != Some("principal-registered") {
            return Ok(None);
        }
        let key = record.value("key").and_then(|key| Jwk::parse(&key).ok());
        let Some((principal, key)) = record.typed::<Principal>("principal").zip(key) else { return Ok(None) };
        if key.thumbprint() != thumbprint {
            margin.finding("key-thumbprint", Some(record.index), "its thumbprint is not that of its key");
            return Ok(None);
        }
        Ok(Some(Registered { thumbprint: thumbprint.to_owned(), index: record.index, principal, key }))
    }
}

fn check_act(
    decision: &Record,
    delegation: &Delegation,
    refused: bool,
    checked: &mut Checked,
    margin: &mut Margin,
) {
    let parts = (
        decision.text("tool"),
        decision.text("args_digest"),
        decision.id("act_id"),
        decision.number("decided_at_ms"),
        decision.text("pop"),
    );
    let (Some(tool), Some(args_digest), Some(act_id), Some(at_ms), Some(pop)) = parts else {
        if !refused {
            margin.left_out.push("the check of the proof of possession: what it is about is closed".into());
        }
        return;
    };
    let args: Option<Map<String, Value>> = decision
        .exact("args")
        .and_then(|exact| json::parse_i_json(exact.as_bytes()).ok())
        .and_then(|args| args.as_object().cloned());
    let act = Act { tool: &tool, args: args.as_ref(), args_digest: &args_digest, act_id, at_ms };
    match chain::act(delegation, &pop, &act) {
        Ok(proof) => checked.proof = Some(proof),
        Err(_) if refused => {}
        Err(failure) => margin.finding(failure.step.name(), Some(decision.index), failure.text),
    }
}
