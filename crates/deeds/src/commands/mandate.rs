//! `deeds mandate`: signs a standing authority and registers it.

use anyhow::{Context as _, ensure};
use evidence::delegation::Mandate;
use evidence::id;
use evidence::jws::Jwk;
use evidence::limits::{MANDATE_MAX_S, ROOT_SERVICE_MAX_S};
use serde_json::json;

use super::order::signer;
use super::registered::Registered;
use crate::cli::MandateArgs;
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::output::{Output, print_json, print_text};
use crate::render::limits;
use crate::render::style::{HEAD, paint};
use crate::render::text::{add, age, item, paragraph, safe, time};
use crate::{Outcome, arguments, clock, entropy};

/// Signs and registers.
pub(crate) async fn run(config: &Config, args: &MandateArgs, output: Output) -> anyhow::Result<Outcome> {
    check(args)?;
    let key = signer(config)?
        .context("whose authority? Name the key of the registered principal with `--as KEYFILE`")?;
    let scope = arguments::scope(&args.tools)?
        .context("which tools? Name each with `--tool URI`, or all in a file with `--scope FILE`")?;
    let server = connect(config).await?;
    let known = Registered::ask(&server).await?;
    for name in &args.holders {
        let registered = known.named(name);
        ensure!(
            registered.is_some(),
            "`{}` is not registered here; register it with `deeds principal add NAME --kind service`",
            name.escape_default()
        );
    }
    let thumbprint = Jwk::of(&key).thumbprint();
    let principal = known.of_key(&thumbprint)?.clone();
    let mandate = mandate(&server, args, thumbprint, principal, scope)?;
    let added = server.client.add_mandate(mandate.sign(&key)).await?;
    if output.json {
        print_json(&json!({"digest": added.digest, "index": added.index, "exp": added.exp,
            "principal": mandate.principal, "holders": mandate.holders, "tools": mandate.scope.to_json(),
            "purpose": mandate.purpose, "root_ttl": mandate.root_ttl}))?;
    } else {
        print_text(&told(&mandate, added.index, &added.digest, output.width))?;
    }
    Ok(Outcome::Fine)
}

fn check(args: &MandateArgs) -> anyhow::Result<()> {
    ensure!(
        args.ttl.0 <= MANDATE_MAX_S,
        "`--ttl`: a mandate ends after {} days at most",
        MANDATE_MAX_S / 86_400
    );
    ensure!(
        args.root_ttl.0 <= ROOT_SERVICE_MAX_S,
        "`--root-ttl`: a root under a mandate holds for {} minutes at most",
        ROOT_SERVICE_MAX_S / 60
    );
    ensure!(!args.purpose.is_empty(), "`--purpose` is empty: say what the mandate is for");
    Ok(())
}

fn mandate(
    server: &Server,
    args: &MandateArgs,
    key: String,
    principal: evidence::Principal,
    scope: evidence::Scope,
) -> anyhow::Result<Mandate> {
    let iat = clock::now_s();
    Ok(Mandate {
        jti: id::text(&entropy::id()?),
        key,
        audience: server.hello.issuer.clone(),
        iat,
        nbf: iat,
        exp: iat.saturating_add(args.ttl.0),
        max_depth: args.max_depth.into(),
        scope,
        tenant: server.hello.tenant.clone(),
        principal,
        purpose: args.purpose.clone(),
        holders: args.holders.clone(),
        root_ttl: args.root_ttl.0,
        approvals: None,
    })
}

fn told(mandate: &Mandate, index: u64, digest: &str, width: usize) -> String {
    let mut out = paragraph(
        &format!(
            "{} may act for {} until {}, each time for {}, for this purpose: {}",
            paint(HEAD, &safe(&mandate.holders.join(", "))),
            safe(&mandate.principal.sub),
            time(mandate.exp.saturating_mul(1_000)),
            age(mandate.root_ttl.saturating_mul(1_000)),
            safe(&mandate.purpose),
        ),
        2,
        width,
    );
    for uri in mandate.scope.tools() {
        let limits = mandate.scope.row(uri).map(limits::row).unwrap_or_default();
        out.push_str(&item(&format!("{} {}", safe(uri), safe(&limits)), 2, width));
    }
    add(
        &mut out,
        format_args!(
            "Mandate {digest}, entry @{index}.\nNext, as the service: deeds delegate --as KEYFILE --mandate @{index} \
             --new-key -o FILE\nTo take it back: deeds revoke @{index} --why …\n"
        ),
    );
    out
}
