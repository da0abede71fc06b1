//! `deeds revoke` and `deeds doubt`: takes authority away, and lists what was done in the meantime.

use anyhow::{Context as _, bail, ensure};
use capture::api::Revoke;
use ed25519_dalek::SigningKey;
use evidence::delegation::{Revocation, Target, What};
use evidence::jws::{self, Jwk, Signed};
use evidence::{base64url, id};
use serde_json::{Value, json};

use super::order::{Head, behind, signer};
use super::registered::Registered;
use super::{Query, ask};
use crate::cli::{DoubtArgs, RevokeArgs, Revoked};
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::output::{Output, print_json, print_text};
use crate::render::doubt;
use crate::render::style::{DIM, HEAD, paint};
use crate::render::text::{paragraph, safe, time};
use crate::{Outcome, clock, names};

/// Revokes, then lists the actions that this puts in doubt.
pub(crate) async fn run(config: &Config, args: &RevokeArgs, output: Output) -> anyhow::Result<Outcome> {
    ensure!(!args.why.is_empty(), "`--why` is empty: say why, it is recorded");
    let key = signer(config)?;
    let server = connect(config).await?;
    let (what, target) = target(&server, &args.target, args.what.map(word)).await?;
    let eff = args.effective.map(|at| at.ms(clock::now_ms()) / 1_000);
    let request = request(&server, what, &target, eff, &args.why, key.as_ref())?;
    let revoked = server.client.revoke(&request).await?;
    let query = Query::new(&path(revoked.index)).with("wait", &revoked.index.to_string());
    let in_doubt: Value = server.client.get_json(&query.0).await?;
    if output.json {
        print_json(&json!({"index": revoked.index, "eff": revoked.eff, "what": what.as_str(),
            "target": target.to_json(), "in_doubt": in_doubt}))?;
        return Ok(Outcome::Fine);
    }
    let told = format!(
        "{} {} {}, entry @{}, from {} on; {}.\n{}{}",
        paint(HEAD, "Revoked"),
        what.as_str(),
        safe(&shown(&target)),
        revoked.index,
        time(revoked.eff.saturating_mul(1_000)),
        behind(key.as_ref()),
        doubt::page(&in_doubt, output.width),
        same_second(&in_doubt, revoked.eff, output.width),
    );
    print_text(&told)?;
    Ok(Outcome::Fine)
}

/// Lists the actions in doubt.
pub(crate) async fn doubt(config: &Config, args: &DoubtArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    ask(&server, &path(args.revocation), output, doubt::page).await
}

/// Why actions are listed that were allowed just before somebody revoked: orders name whole seconds (format §6), and
/// one that began a second later would leave the rest of this one open.
fn same_second(in_doubt: &Value, eff: u64, width: usize) -> String {
    let actions = in_doubt.get("actions").and_then(Value::as_array).into_iter().flatten();
    let at_s = |action: &Value| action.get("at_ms").and_then(Value::as_u64).map(|at_ms| at_ms / 1_000);
    if actions.map(at_s).all(|at_s| at_s != Some(eff)) {
        return String::new();
    }
    let told = "A revocation counts from a whole second on: what was allowed earlier in that same second is in doubt too.";
    paragraph(&paint(DIM, told), 0, width)
}

fn path(revocation: u64) -> String {
    format!("/v1/doubt/{revocation}")
}

fn request(
    server: &Server,
    what: What,
    target: &Target,
    eff: Option<u64>,
    why: &str,
    key: Option<&SigningKey>,
) -> anyhow::Result<Revoke> {
    // a signature says from when on; the log's own clock says it otherwise
    let eff = eff.or_else(|| key.map(|_| clock::now_s()));
    let sign = |key: &SigningKey| -> anyhow::Result<String> {
        let Head { jti, key: kid, audience, iat, exp, tenant } = Head::new(server, key)?;
        let eff = eff.unwrap_or(iat);
        let target = target.clone();
        let why = why.to_owned();
        Ok(Revocation { jti, key: kid, audience, iat, exp, what, target, eff, why, tenant }.sign(key))
    };
    let token = key.map(sign).transpose()?;
    Ok(Revoke { what: what.as_str().to_owned(), target: target.to_json(), eff, why: why.to_owned(), token })
}

fn word(what: Revoked) -> What {
    match what {
        Revoked::Delegation => What::Delegation,
        Revoked::Lineage => What::Lineage,
        Revoked::HolderKey => What::HolderKey,
        Revoked::Principal => What::Principal,
        Revoked::IssuerKey => What::IssuerKey,
        Revoked::Tenant => What::Tenant,
    }
}

/// A target as it can be typed again.
fn shown(target: &Target) -> String {
    match target {
        Target::Text(text) => text.clone(),
        Target::Principal { sub, .. } => sub.clone(),
    }
}

/// What is meant, and what it is, as far as its spelling and the log tell.
async fn target(server: &Server, typed: &str, what: Option<What>) -> anyhow::Result<(What, Target)> {
    let shown = typed.escape_default();
    let hello = &server.hello;
    if typed == "issuer-key" && matches!(what, None | Some(What::IssuerKey)) {
        let key = Jwk::parse(&hello.issuer_key).context("the server's issuer key cannot be read")?;
        return Ok((What::IssuerKey, Target::Text(key.thumbprint())));
    }
    if typed == "tenant" && matches!(what, None | Some(What::Tenant)) {
        return Ok((What::Tenant, Target::Text(hello.tenant.clone())));
    }
    if typed.starts_with('@') {
        ensure!(
            matches!(what, None | Some(What::Delegation)),
            "`{shown}` can only name a delegation or a mandate"
        );
        return Ok((What::Delegation, Target::Text(digest_at(server, typed).await?)));
    }
    if let Some(digest) = digest_of_token(typed) {
        ensure!(matches!(what, None | Some(What::Delegation)), "a token can only be revoked as a delegation");
        return Ok((What::Delegation, Target::Text(digest)));
    }
    if let Some(what) = what {
        let value = match what {
            What::Principal => json!({"iss": hello.issuer, "sub": typed}),
            _ => typed.into(),
        };
        return Ok((what, Target::from_json(&value, what)?));
    }
    if id::parse(typed).is_some() {
        return Ok((What::Lineage, Target::Text(typed.to_owned())));
    }
    if base64url::decode_32(typed).is_some() {
        return Ok((digest_or_key(server, typed).await?, Target::Text(typed.to_owned())));
    }
    match Registered::ask(server).await?.named(typed) {
        Some(principal) => Ok((
            What::Principal,
            Target::Principal { iss: principal.iss.clone(), sub: principal.sub.clone() },
        )),
        None => bail!(
            "no principal `{shown}` is registered here; a holder loses its authority with its delegation or its key \
             (`deeds delegations {shown}` lists them), or is stopped with `deeds halt {shown}`"
        ),
    }
}

/// Token digest of the delegation or mandate that an entry records.
async fn digest_at(server: &Server, typed: &str) -> anyhow::Result<String> {
    let index = names::position(typed).map_err(anyhow::Error::msg)?;
    let entry: Value = server.client.get_json(&format!("/v1/entries/{index}")).await?;
    let is_delegation = entry.get("kind").and_then(Value::as_str) == Some("delegated");
    let digest = super::delegate::field(&entry, "digest").and_then(Value::as_str).filter(|_| is_delegation);
    digest.map(str::to_owned).with_context(|| {
        format!("@{index} records no delegation; `deeds delegations` lists them with their entries")
    })
}

/// The digest of a compact token of either kind.
fn digest_of_token(typed: &str) -> Option<String> {
    let parsed = [jws::DELEGATION, jws::MANDATE].into_iter().find_map(|typ| Signed::parse(typed, typ).ok());
    parsed.map(|signed| signed.digest())
}

/// Digests and thumbprints have one spelling; the log knows which it is.
async fn digest_or_key(server: &Server, typed: &str) -> anyhow::Result<What> {
    let path = Query::new("/v1/delegations").with("who", typed).with("limit", "100");
    let found = match server.client.get_json(&path.0).await {
        // the log has never seen it as anything
        Err(error) if error.code() == Some("not-found") => Value::Null,
        other => other?,
    };
    let tree = found.get("tree").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if tree.iter().any(|node| names_digest(node, typed)) {
        return Ok(What::Delegation);
    }
    ensure!(
        !Registered::ask(server).await?.knows_key(typed),
        "{typed} is the key of a registered principal: revoke the principal by its name, end the use of the key with \
         `deeds principal retire {typed}`, or say `--what holder-key` for what is bound to it"
    );
    ensure!(
        !tree.is_empty(),
        "the log knows no delegation and no holder's key {typed}; say which it is with `--what delegation` or `--what \
         holder-key`, to revoke it all the same"
    );
    Ok(What::HolderKey)
}

fn names_digest(node: &Value, digest: &str) -> bool {
    let children = node.get("children").and_then(Value::as_array);
    node.get("digest").and_then(Value::as_str) == Some(digest)
        || children.is_some_and(|children| children.iter().any(|child| names_digest(child, digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_doubt_for_the_second_alone_is_explained() {
        let doubt = |times: &[u64]| {
            let actions: Vec<_> = times.iter().map(|at_ms| json!({ "at_ms": at_ms })).collect();
            same_second(&json!({ "actions": actions }), 7, 200)
        };
        assert!(doubt(&[9_000, 7_999]).contains("whole second"));
        assert!(doubt(&[7_000]).contains("whole second"));
        assert_eq!((doubt(&[8_000]), doubt(&[]), doubt(&[6_999])), Default::default());
    }
}
