//! What is acted under: a delegation file, or roots that a principal's key asks for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};
use capture::run::{DelegationSource, Given, RootAsk, RootRequest};
use evidence::delegation;
use evidence::jws::Jwk;
use evidence::limits::REQUEST_MAX_S;
use evidence::principal::PrincipalKind;
use evidence::{Scope, id};

use crate::cli::ActingArgs;
use crate::commands::delegate::link;
use crate::config::Config;
use crate::delegation_file::{Counter, DelegationFile, counter_path};
use crate::render::text::time_s;
use crate::{clock, entropy, keys};

/// Life asked for a root, seconds: what any kind of principal may have. It is renewed as long as the run lives.
const TTL_S: u64 = 3_600;

/// The delegation file to act under, if there is one. It is read at the start and again when the chain in it is about
/// to end, so that whoever gave it can put a newer one in its place.
pub(super) fn delegation(config: &Config, args: &ActingArgs) -> anyhow::Result<Option<DelegationSource>> {
    let Some(path) = config.delegation.clone() else {
        ensure!(
            args.key.is_none() && args.parent.is_none(),
            "`--key` and `--parent` go with a delegation: name its file with `--delegation FILE`"
        );
        return Ok(None);
    };
    let stated = args.agent.is_some() || args.scope.is_some() || args.purpose.is_some() || args.why.is_some();
    ensure!(
        !stated,
        "the delegation in `{}` says who acts, with which tools and what for: leave out `--agent`, `--scope`, \
         `--purpose` and `--why`, or name a principal with `--principal`",
        path.display()
    );
    let key_file = args.key.as_deref().map(std::path::absolute).transpose()?;
    // a file that cannot be used is found out now, with what to do about it
    not_ended(&path, &given(&path, key_file.as_deref())?.chain)?;
    let counter = Counter::new(counter_path(&path));
    Ok(Some(DelegationSource {
        read: Arc::new(move || given(&path, key_file.as_deref()).map_err(|error| format!("{error:#}"))),
        next_counter: Arc::new(move |thumbprint, at_least| {
            counter.next(thumbprint, at_least).map_err(|error| format!("{error:#}"))
        }),
    }))
}

/// What has ended is told before anything is started; everything else about a chain is for the log to judge.
fn not_ended(path: &Path, chain: &[String]) -> anyhow::Result<()> {
    let leaf = chain.last().and_then(|token| link(token).ok());
    // no link outlives the one above it
    let ended = leaf.map(|(leaf, _)| leaf.exp()).filter(|exp| *exp <= clock::now_s());
    if let Some(exp) = ended {
        bail!(
            "the delegation in `{}` ended at {}: ask whoever gave it for a new one",
            path.display(),
            time_s(exp)
        );
    }
    Ok(())
}

fn given(path: &Path, key_file: Option<&Path>) -> anyhow::Result<Given> {
    let file = DelegationFile::read(path)?;
    let key = file.signing_key(path, key_file)?;
    // beside a root lies an instruction, which is not handed over from one run to another
    let handoff = file.handoff.filter(|_| file.chain.len() > 1);
    Ok(Given { chain: file.chain, key, handoff })
}

/// Signs root requests with the principal's key, if there is one. The key is read once, at the start.
pub(super) fn root_request(config: &Config, args: &ActingArgs) -> anyhow::Result<Option<RootRequest>> {
    let Some(path) = &config.principal else {
        ensure!(
            args.agent.is_none() && args.why.is_none(),
            "`--agent` and `--why` are what a principal says; name one with `--principal`"
        );
        return Ok(None);
    };
    let key = keys::read(path)?.signing;
    let purpose = args.purpose_or_unstated();
    let why = args.why.clone().filter(|text| !text.is_empty());
    let holder = args.agent.clone().map(|id| (id, PrincipalKind::Agent));
    Ok(Some(Arc::new(move |ask: &RootAsk<'_>| {
        let jti = entropy::id().map_err(|error| error.to_string())?;
        let iat = clock::now_s();
        let request = delegation::RootRequest {
            jti: id::text(&jti),
            key: Jwk::of(&key).thumbprint(),
            audience: ask.hello.issuer.clone(),
            iat,
            exp: iat + REQUEST_MAX_S,
            cnf: Jwk::parse(ask.jwk).map_err(|error| error.to_string())?,
            // what acts here hands nothing on
            max_depth: 0,
            scope: scope_of(ask)?,
            ttl: TTL_S,
            tenant: ask.hello.tenant.clone(),
            txn: ask
                .txn
                .map(|txn| id::parse(txn).ok_or("the task has no id that can be read"))
                .transpose()?,
            purpose: purpose.clone(),
            holder: holder.clone(),
            why: why.clone(),
            intent: None,
            approvals: None,
            mandate: None,
        };
        Ok(request.sign(&key))
    })))
}

fn scope_of(ask: &RootAsk<'_>) -> Result<Scope, String> {
    match ask.scope {
        Some(tools) => {
            let tools = tools.iter().map(|(uri, row)| (uri.clone(), row.clone())).collect();
            Scope::parse(&serde_json::Value::Object(tools)).map_err(|error| error.to_string())
        }
        None => Ok(Scope::server(&format!("{}:{}", ask.scheme.as_str(), ask.alias))),
    }
}
