//! A child: a part of what one holds, for another key. No server is asked.

use std::path::Path;

use anyhow::{Context as _, bail};
use evidence::delegation::{Narrowing, delegate};
use evidence::id;
use evidence::jws::Jwk;

use super::{Ask, Given, link};
use crate::delegation_file::DelegationFile;
use crate::{clock, entropy};

/// Signs a child below the leaf of a delegation file.
pub(super) fn make(path: &Path, ask: &Ask<'_>) -> anyhow::Result<Given> {
    let file = DelegationFile::read(path)?;
    let name = path.display();
    let key = file.signing_key(path, ask.args.key.as_deref())?;
    let parent = file.chain.last().context("a chain has at least one link")?;
    let (parent, _) = link(parent).with_context(|| format!("the delegation in `{name}` cannot be read"))?;
    if parent.cnf() != &Jwk::of(&key) {
        bail!(
            "the delegation in `{name}` is bound to the key {}, not to this one",
            parent.cnf().thumbprint()
        );
    }
    let now_s = clock::now_s();
    if parent.exp() <= now_s {
        bail!("the delegation in `{name}` has ended: ask whoever gave it for a new one");
    }
    let Some((holder, kind)) = ask.holder.clone() else {
        bail!("who will hold it? Name the holder with `--agent ID`")
    };
    let narrowing = Narrowing {
        jti: entropy::id()?,
        iat: now_s,
        ttl: ask.args.ttl.map_or(parent.exp() - now_s, |ttl| ttl.0),
        cnf: ask.recipient.public.clone(),
        max_depth: ask.args.max_depth.map(u64::from),
        scope: ask.scope.clone(),
        purpose: ask.args.purpose.clone().filter(|text| !text.is_empty()),
        holder: (holder, kind, id::text(&entropy::id()?)),
        handoff: ask.handoff.as_deref(),
        approvals: None,
    };
    let token = delegate(&file.chain, &key, &narrowing)?;
    let (leaf, digest) = link(&token)?;
    let narrowed = leaf.scope().difference(parent.scope());
    let from = parent.holder().id.clone();
    let mut chain = file.chain;
    chain.push(token);
    Ok(Given { chain, leaf, digest, narrowed: Some(narrowed), from, recorded: None })
}
