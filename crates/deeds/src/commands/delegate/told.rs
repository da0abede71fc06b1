//! What `deeds delegate` says it has done.

use evidence::Scope;
use evidence::delegation::{BREAK_GLASS, Link};
use evidence::id;
use evidence::tool::split;
use serde_json::{Value, json};

use super::replaced::Replaced;
use super::{Ask, Given};
use crate::commands::Again;
use crate::config::Config;
use crate::render::limits;
use crate::render::style::{BAD, DIM, HEAD, WARN, paint};
use crate::render::text::{add, count, item, paragraph, safe, time};

/// For `--json`.
pub(super) fn json(given: &Given, ask: &Ask<'_>) -> Value {
    let leaf = &given.leaf;
    json!({
        "file": ask.args.out, "digest": given.digest, "links": given.chain.len(), "holder": leaf.holder(),
        "key": leaf.cnf().thumbprint(), "new_key": ask.recipient.private.is_some(), "exp": leaf.exp(),
        "txn": id::text(leaf.txn()), "purpose": leaf.purpose(), "depth": leaf.depth(), "max_depth": leaf.max_depth(),
        "tools": leaf.scope().to_json(), "narrowed": given.narrowed, "from": given.from,
        "index": given.recorded.as_ref().map(|(index, _)| index), "run": given.recorded.as_ref().map(|(_, run)| run),
        "replaced": ask.replaced.as_ref().map(Replaced::json),
    })
}

/// For people: what was given, to which key, until when, in what it is narrower, and what to do next.
pub(super) fn text(given: &Given, ask: &Ask<'_>, width: usize) -> String {
    let leaf = &given.leaf;
    let mut out = String::new();
    if leaf.purpose() == BREAK_GLASS {
        let why = ask.args.why.as_deref().unwrap_or("as its root says");
        let loud = format!("{} {} (review open)", paint(BAD, "BREAK-GLASS:"), safe(why));
        out.push_str(&paragraph(&loud, 2, width));
    }
    let holder = leaf.holder();
    add(
        &mut out,
        format_args!(
            "{} ({}) may act for {} until {}:\n",
            paint(HEAD, &safe(&holder.id)),
            holder.kind.as_str(),
            safe(&given.from),
            time(leaf.exp().saturating_mul(1_000)),
        ),
    );
    out.push_str(&tools(leaf.scope(), width));
    for narrower in given.narrowed.iter().flatten() {
        out.push_str(&item(&format!("narrower: {}", safe(narrower)), 2, width));
    }
    out.push_str(&shortened(leaf, ask, width));
    let deeper = match leaf.max_depth().saturating_sub(leaf.depth()) {
        0 => "it cannot be passed on".to_owned(),
        links => format!("it can be passed on over {}", count(links, "link", "links")),
    };
    let place = match &given.recorded {
        Some((index, _)) => format!("recorded at @{index}; "),
        None => "no server was asked, it is recorded when it is first used; ".to_owned(),
    };
    add(&mut out, format_args!("{}\n", paint(DIM, &format!("{place}{deeper}"))));
    let whose =
        if ask.recipient.private.is_some() { "its new key is in the file" } else { "its holder has the key" };
    add(&mut out, format_args!("Bound to the key {}; {whose}.\n", leaf.cnf().thumbprint()));
    if let Some(replaced) = &ask.replaced {
        out.push_str(&replaced.text(&given.chain, leaf.iat(), width));
    }
    out.push_str(&next(leaf.scope(), ask));
    out
}

/// That it holds for less than was asked for: nothing outlives what it was made from, and roots have a longest life.
fn shortened(leaf: &Link, ask: &Ask<'_>, width: usize) -> String {
    let life = leaf.exp().saturating_sub(leaf.iat());
    match ask.args.ttl {
        Some(asked) if asked.0 > life => {
            let told = "shorter than `--ttl` asked for: this is the longest that was to be had";
            item(&paint(WARN, told), 2, width)
        }
        _ => String::new(),
    }
}

/// One line for each tool, with its limits.
fn tools(scope: &Scope, width: usize) -> String {
    let line = |uri: &str| {
        let limits = scope.row(uri).map(limits::row).unwrap_or_default();
        item(&format!("{} {}", safe(uri), safe(&limits)), 2, width)
    };
    scope.tools().map(line).collect()
}

fn next(scope: &Scope, ask: &Ask<'_>) -> String {
    let file = ask.args.out.display().to_string();
    let mut wrap = Again::new(&Config::default(), "wrap").word("--delegation").word(&file);
    // the tools are named by the alias of their server: under another one the wrap would find none of them
    let alias = match aliases(scope).as_slice() {
        [alias] => {
            wrap = wrap.word("--name").word(alias);
            ""
        }
        _ => " --name ALIAS",
    };
    let own = if ask.recipient.private.is_some() { "" } else { " --key KEYFILE" };
    format!(
        "Next: {}{alias}{own} -- COMMAND, or DEEDS_DELEGATION={file} in the holder's environment\n",
        wrap.0
    )
}

/// The servers that a scope names, each once.
fn aliases(scope: &Scope) -> Vec<String> {
    let server = |uri: &str| Some(split(uri)?.0.strip_prefix("stdio:")?.to_owned());
    let mut aliases: Vec<String> = scope.tools().filter_map(server).collect();
    aliases.sort_unstable();
    aliases.dedup();
    aliases
}
