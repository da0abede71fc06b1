//! A root: the principal signs a request, the server issues.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use evidence::delegation::{self, Mandate, RootRequest};
use evidence::jws::{self, Jwk, Signed};
use evidence::limits::REQUEST_MAX_S;
use evidence::{Digest, Scope, id};
use serde_json::Value;

use super::{Ask, Given, field, link};
use crate::commands::registered::Registered;
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::names::MandateName;
use crate::{clock, entropy, keys};

/// Life asked for where none is named, seconds: what any kind of principal may have.
const TTL_S: u64 = 3_600;

/// What a request takes over from the mandate it is made under, where nothing narrower was asked for.
struct Under {
    digest: String,
    mandate: Mandate,
}

/// Asks for a root on the authority of the principal whose key file it is, or of the mandate that it may use.
pub(super) async fn ask(config: &Config, key_file: &Path, ask: &Ask<'_>) -> anyhow::Result<Given> {
    let key = keys::read(key_file)?.signing;
    let server = connect(config).await?;
    let under = match &ask.args.mandate {
        Some(name) => Some(under(&server, name).await?),
        None => None,
    };
    if let Some(under) = &under {
        let known = Registered::ask(&server).await?;
        let who = &known.of_key(&Jwk::of(&key).thumbprint())?.sub;
        fits(&under.mandate.holders, under.mandate.max_depth, who, ask.args.max_depth)?;
    }
    let request = request(&server, Jwk::of(&key).thumbprint(), ask, under.as_ref())?;
    let issued = server.client.issue(request.sign(&key)).await?;
    let (leaf, digest) =
        link(&issued.delegation).context("the server issued something that cannot be read")?;
    let narrowed = under.as_ref().map(|under| leaf.scope().difference(&under.mandate.scope));
    let from = match &under {
        Some(under) => format!("{} (mandate {})", under.mandate.principal.sub, under.digest),
        None => issued.principal.sub,
    };
    Ok(Given {
        chain: vec![issued.delegation],
        leaf,
        digest,
        narrowed,
        from,
        recorded: Some((issued.index, issued.run)),
    })
}

/// What the server would refuse of a request under a mandate for these holders, of this depth, in words about the
/// command line.
pub(super) fn fits(holders: &[String], most: u64, who: &str, max_depth: Option<u8>) -> anyhow::Result<()> {
    ensure!(
        holders.iter().any(|holder| holder == who),
        "the mandate is for {}, not for `{who}`: name the key file of one of them with `--as`",
        holders.join(", ")
    );
    ensure!(
        max_depth.is_none_or(|asked| u64::from(asked) <= most),
        "`--max-depth` is at most {most} under this mandate: ask for less, or for another mandate"
    );
    Ok(())
}

fn request(
    server: &Server,
    key: String,
    ask: &Ask<'_>,
    under: Option<&Under>,
) -> anyhow::Result<RootRequest> {
    let mandate = under.map(|under| &under.mandate);
    let iat = clock::now_s();
    let text = |typed: &Option<String>| typed.clone().filter(|text| !text.is_empty());
    let purpose = text(&ask.args.purpose).or_else(|| mandate.map(|mandate| mandate.purpose.clone()));
    let txn = ask.args.task.as_ref().map(|task| id::parse(&task.0).context("the task is not an id"));
    Ok(RootRequest {
        jti: id::text(&entropy::id()?),
        key,
        audience: server.hello.issuer.clone(),
        iat,
        exp: iat + REQUEST_MAX_S,
        cnf: ask.recipient.public.clone(),
        max_depth: ask
            .args
            .max_depth
            .map_or_else(|| mandate.map_or(0, |mandate| mandate.max_depth), u64::from),
        scope: scope(ask, mandate)?,
        ttl: ask.args.ttl.map_or_else(|| mandate.map_or(TTL_S, |mandate| mandate.root_ttl), |ttl| ttl.0),
        tenant: server.hello.tenant.clone(),
        txn: txn.transpose()?,
        // a delegation always states a purpose, if only that there is none
        purpose: purpose.unwrap_or_else(|| "not stated".to_owned()),
        holder: ask.holder.clone(),
        why: text(&ask.args.why),
        intent: ask.handoff.as_ref().map(|text| Digest::of(text.as_bytes()).to_string()),
        approvals: mandate.and_then(|mandate| mandate.approvals.clone()),
        mandate: under.map(|under| under.digest.clone()),
    })
}

fn scope(ask: &Ask<'_>, mandate: Option<&Mandate>) -> anyhow::Result<Scope> {
    match (&ask.scope, mandate) {
        (Some(scope), Some(mandate)) if !scope.within(&mandate.scope) => {
            let wider = scope.difference(&mandate.scope).join("; ");
            bail!("the tools are not within those of the mandate: {wider}")
        }
        (Some(scope), _) => Ok(scope.clone()),
        (None, Some(mandate)) => Ok(mandate.scope.clone()),
        (None, None) => {
            bail!("which tools? Name each with `--tool URI`, or all in a file with `--scope FILE`")
        }
    }
}

/// The mandate of this name, as the log has it. The server checks it; here it says what to ask for.
async fn under(server: &Server, name: &MandateName) -> anyhow::Result<Under> {
    let index = match name {
        MandateName::At(index) => *index,
        MandateName::Digest(digest) => entry_of(server, digest).await?,
    };
    let entry: Value = server.client.get_json(&format!("/v1/entries/{index}")).await?;
    let token = field(&entry, "token").and_then(Value::as_str).with_context(|| {
        format!("@{index} records no mandate; `deeds delegations` lists mandates with their entries")
    })?;
    let signed = Signed::parse(token, jws::MANDATE)
        .with_context(|| format!("@{index} records no mandate; `deeds delegations` lists mandates"))?;
    let mandate = delegation::Mandate::parse(signed.unverified())?;
    if let MandateName::Digest(digest) = name {
        ensure!(signed.digest() == *digest, "@{index} records another mandate than {digest}");
    }
    Ok(Under { digest: signed.digest(), mandate })
}

/// The entry that records a mandate.
async fn entry_of(server: &Server, digest: &str) -> anyhow::Result<u64> {
    let answer: Value = server.client.get_json(&format!("/v1/delegations?who={digest}&limit=1")).await?;
    let tree = answer.get("tree").and_then(Value::as_array).into_iter().flatten();
    let mut named = tree.filter(|node| node.get("digest").and_then(Value::as_str) == Some(digest));
    let index = named.next().and_then(|node| node.get("index").and_then(Value::as_u64));
    index.with_context(|| format!("no mandate {digest} is registered here; `deeds delegations` lists them"))
}
