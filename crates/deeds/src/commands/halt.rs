//! `deeds halt`, `deeds halts` and `deeds resume`: stops somebody until it is lifted.

use anyhow::{Context as _, ensure};
use capture::api::{AddHalt, Halts, Resume};
use capture::client::Client;
use ed25519_dalek::SigningKey;
use evidence::delegation::{HaltAct, HaltOrder, On};
use serde_json::{Value, json};

use super::order::{Head, behind, signer};
use super::registered::Registered;
use super::{Query, answer};
use crate::Outcome;
use crate::cli::{HaltArgs, HaltRole, ResumeArgs};
use crate::config::Config;
use crate::connect::{Server, connect};
use crate::names::HaltName;
use crate::output::{Output, print_json, print_text, remark};
use crate::render::halts;
use crate::render::style::{HEAD, paint};
use crate::render::text::{add, safe};

/// The name that stands for everybody.
const ALL: &str = "all";

/// Stops.
pub(crate) async fn halt(config: &Config, args: &HaltArgs, output: Output) -> anyhow::Result<Outcome> {
    ensure!(!args.why.is_empty(), "`--why` is empty: say why, it is recorded");
    let key = signer(config)?;
    let server = connect(config).await?;
    let mut written = Vec::new();
    for on in whom(&server, args).await? {
        let token =
            key.as_ref().map(|key| order(&server, key, HaltAct::Halt, &on, &args.why, None)).transpose()?;
        let request = AddHalt { on: on.to_json(), why: args.why.clone(), token };
        written.push((server.client.halt(&request).await?.index, on));
    }
    if let [(_, On::Agent { id })] = written.as_slice()
        && !is_known(&server.client, id).await
    {
        remark(&format!(
            "note: nobody in the log acts as `{}` yet; if that is a slip, `deeds identities` names those there are",
            id.escape_default()
        ));
    }
    if output.json {
        let halts: Vec<_> = written.iter().map(|(index, on)| json!({"index": index, "on": on})).collect();
        print_json(&json!({ "halts": halts }))?;
        return Ok(Outcome::Fine);
    }
    let mut out = String::new();
    for (index, on) in &written {
        let on = safe(&halts::whom(&on.to_json())).into_owned();
        add(
            &mut out,
            format_args!("{} {on}, entry @{index}; {}.\n", paint(HEAD, "Halted"), behind(key.as_ref())),
        );
    }
    add(
        &mut out,
        format_args!("To lift it: deeds resume {} --as KEYFILE --why …\n", args.name.escape_default()),
    );
    print_text(&out)?;
    Ok(Outcome::Fine)
}

/// Lists what is halted.
pub(crate) async fn list(config: &Config, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    answer(&server.client, "/v1/halts", output, halts::table).await
}

/// Lifts a halt, or all that stop one name.
pub(crate) async fn resume(config: &Config, args: &ResumeArgs, output: Output) -> anyhow::Result<Outcome> {
    ensure!(!args.why.is_empty(), "`--why` is empty: say why, it is recorded");
    let key = signer(config)?
        .context("to go on takes a registered person's signature: name the key with `--as KEYFILE`")?;
    let server = connect(config).await?;
    let mut written = Vec::new();
    for (halt, on) in halts_meant(&server.client, &args.halt).await? {
        let token = order(&server, &key, HaltAct::Resume, &on, &args.why, Some(halt))?;
        let request = Resume { token, why: args.why.clone() };
        written.push((halt, server.client.resume(halt, &request).await?.index, on));
    }
    if output.json {
        let resumed: Vec<_> =
            written.iter().map(|(halt, index, on)| json!({"halt": halt, "index": index, "on": on})).collect();
        print_json(&json!({ "resumed": resumed }))?;
        return Ok(Outcome::Fine);
    }
    let line = |(halt, index, on): &(u64, u64, On)| {
        let on = safe(&halts::whom(&on.to_json())).into_owned();
        format!("{} {on}: the halt @{halt} is lifted, entry @{index}.\n", paint(HEAD, "Resumed"))
    };
    print_text(&written.iter().map(line).collect::<String>())?;
    Ok(Outcome::Fine)
}

/// A name stands for whoever acts under it and, where it is a registered principal's, for all who act for that one:
/// in an emergency both are meant.
async fn whom(server: &Server, args: &HaltArgs) -> anyhow::Result<Vec<On>> {
    if args.name == ALL && args.only.is_none() {
        return Ok(vec![On::All]);
    }
    let mut on = Vec::new();
    if args.only != Some(HaltRole::Agent) {
        let known = Registered::ask(server).await?;
        let principal = known.named(&args.name);
        ensure!(
            principal.is_some() || args.only.is_none(),
            "no principal `{}` is registered here; `deeds principal list` shows them",
            args.name.escape_default()
        );
        on.extend(principal.map(|found| On::Principal { iss: found.iss.clone(), sub: found.sub.clone() }));
    }
    if args.only != Some(HaltRole::Principal) {
        on.push(On::Agent { id: args.name.clone() });
    }
    // read as the server will, so that a name it cannot take stops nothing half-way
    on.iter().map(|on| On::from_json(&on.to_json()).map_err(Into::into)).collect()
}

/// Whether the log knows a name. The halt is in force in any case; where this cannot be asked nothing is said.
async fn is_known(client: &Client, name: &str) -> bool {
    let path = Query::new("/v1/delegations").with("who", name).with("limit", "1");
    let answer: Result<Value, _> = client.get_json(&path.0).await;
    answer.err().is_none_or(|error| error.code() != Some("not-found"))
}

async fn halts_meant(client: &Client, name: &HaltName) -> anyhow::Result<Vec<(u64, On)>> {
    let in_force: Halts = client.halts().await?;
    let meant = in_force.halts.into_iter().filter_map(|row| {
        let on = On::from_json(&row.on).ok()?;
        let fits = match (name, &on) {
            (HaltName::At(index), _) => row.index == *index,
            (HaltName::Name(name), On::All) => name == ALL,
            (HaltName::Name(name), On::Agent { id }) => name == id,
            (HaltName::Name(name), On::Principal { sub, .. }) => name == sub,
        };
        fits.then_some((row.index, on))
    });
    let meant: Vec<_> = meant.collect();
    let shown = match name {
        HaltName::At(index) => format!("@{index}"),
        HaltName::Name(name) => name.escape_default().to_string(),
    };
    ensure!(!meant.is_empty(), "no halt in force is `{shown}`; `deeds halts` lists them");
    Ok(meant)
}

fn order(
    server: &Server,
    key: &SigningKey,
    act: HaltAct,
    on: &On,
    why: &str,
    halt: Option<u64>,
) -> anyhow::Result<String> {
    let Head { jti, key: kid, audience, iat, exp, tenant } = Head::new(server, key)?;
    let (on, why) = (on.clone(), why.to_owned());
    Ok(HaltOrder { jti, key: kid, audience, iat, exp, act, on, why, tenant, halt }.sign(key))
}
