//! A child: a part of what one holds, for another key. No server is asked.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use evidence::delegation::{NarrowError, Narrowing, delegate};
use evidence::id;
use evidence::jws::Jwk;

use super::{Ask, Given, link};
use crate::delegation_file::DelegationFile;
use crate::render::text::time_s;
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
        bail!(
            "the delegation in `{name}` ended at {}: ask whoever gave it for a new one",
            time_s(parent.exp())
        );
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
    let token = delegate(&file.chain, &key, &narrowing).map_err(advised)?;
    let (leaf, digest) = link(&token)?;
    let narrowed = leaf.scope().difference(parent.scope());
    let from = parent.holder().id.clone();
    let mut chain = file.chain;
    chain.push(token);
    Ok(Given { chain, leaf, digest, narrowed: Some(narrowed), from, recorded: None })
}

/// With what to do about it, where the command line can do it.
fn advised(error: NarrowError) -> anyhow::Error {
    match error {
        NarrowError::Wider(text) => {
            anyhow!(
                "the child does not fit its parent: {text}; leave that out, or ask whoever gave the parent for more"
            )
        }
        NarrowError::Terminal { max_depth: 0 } => {
            anyhow!("this delegation cannot be passed on: ask whoever gave it for one with `--max-depth`")
        }
        NarrowError::Terminal { max_depth } => anyhow!(
            "this delegation cannot be passed on, its chain is as deep as it may be ({max_depth}): ask for one with a \
             higher `--max-depth`"
        ),
        other => other.into(),
    }
}
