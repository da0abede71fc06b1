//! One act under a chain (format §6, *An act under a chain*): the steps that need no counter.

use evidence::delegation::Pop;
use evidence::id::Id;
use evidence::limits::SKEW_S;
use evidence::span::Span;
use serde_json::{Map, Value};

use super::pop::{Binding, bound, parse_pop, pop_in_time, proven_by_holder};
use super::{Chain, Failure, Link, Step, failure};
use crate::orders::{Orders, Owner};

/// One act that is to be covered by a chain.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// Tool URI.
    pub tool: &'a str,
    /// The arguments, such as may be decided on (`evidence::json::parse_i_json`); none where they are withheld
    /// (absent arguments are an empty object).
    pub args: Option<&'a Map<String, Value>>,
    /// base64url SHA-256 of the JCS of the arguments.
    pub args_digest: &'a str,
    /// The act.
    pub act_id: Id,
    /// When it was decided, ms.
    pub at_ms: u64,
}

/// What is known, where an act is judged, beside the chain.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whether the key with this thumbprint is registered.
    pub registered: &'a dyn Fn(&str) -> bool,
    /// The `iss` and `sub` of the principal that a key is registered for.
    pub owner: &'a Owner<'a>,
    /// Revocations and halts.
    pub orders: &'a Orders,
    /// When the log recorded the root, s; none where it did not.
    pub root_logged_s: Option<u64>,
}

/// An act that a chain covers and its holder proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The holder's proof. That its counter is unused is for the caller to check.
    pub pop: Pop,
    /// `false` where a link constrains the arguments and they were withheld.
    pub arguments_checked: bool,
}

/// Checks an act under a chain: steps 1 to 4 and 6 to 8, in this order.
///
/// Step 5 (the arguments may be decided on) is the caller's, who has their text; the counter of step 8 too. A caller
/// that needs to know how far a refused act came calls the parts: [`signed_proof`], [`in_force`], [`covered`],
/// [`proof_for`].
pub fn act(chain: &Chain, pop: &str, act: &Act<'_>, known: &Known<'_>) -> Result<Proven, Failure> {
    let pop = signed_proof(chain, pop)?;
    in_force(chain, act.at_ms / 1_000, known)?;
    let arguments_checked = covered(chain, act.tool, act.args)?;
    proof_for(chain, &pop, act)?;
    Ok(Proven { pop, arguments_checked })
}

/// Step 1: the leaf's holder signed a proof, whatever it is about: its counter is used up then.
pub fn signed_proof(chain: &Chain, pop: &str) -> Result<Pop, Failure> {
    let (signed, pop) = parse_pop(pop)?;
    proven_by_holder(&signed, chain.leaf().claims.cnf())?;
    Ok(pop)
}

/// Steps 2 to 4: every link holds at a time, the keys behind the root are registered, nothing is revoked or halted.
pub fn in_force(chain: &Chain, at_s: u64, known: &Known<'_>) -> Result<(), Failure> {
    chain.links().try_for_each(|link| in_time(link, at_s))?;
    if let Some(retired) = chain.root().source.keys().find(|kid| !(known.registered)(kid)) {
        let text = format!(
            "the key `{retired}` that this authority rests on is not registered any more: ask the principal for a new \
             delegation"
        );
        return Err(failure(Step::PrincipalRetired, text));
    }
    if let Some((index, what)) = known.orders.revoked(chain, at_s, known.root_logged_s, known.owner) {
        let text = format!("{what} was revoked (@{index}): ask for a new delegation, if you should have one");
        return Err(failure(Step::Revoked, text));
    }
    if let Some(index) = known.orders.halted(chain) {
        let text = format!("this was halted (@{index}): a registered person can lift it with `deeds resume`");
        return Err(failure(Step::Halted, text));
    }
    Ok(())
}

/// Steps 6 and 7: every link includes the call, and none demands an approval for it. `Ok(false)`: some link
/// constrains the arguments, which are withheld.
pub fn covered(chain: &Chain, tool: &str, args: Option<&Map<String, Value>>) -> Result<bool, Failure> {
    let mut checked = true;
    for link in chain.links() {
        checked &= in_scope(link, tool, args)?;
    }
    if chain.links().any(|link| named_for_approval(link, tool)) {
        let text = format!(
            "the delegation demands an approval for `{tool}`, which this version cannot take: ask for one that does not \
             name the tool"
        );
        return Err(failure(Step::Approval, text));
    }
    Ok(checked)
}

/// Step 8 without the counter: a proof is for this act, at this time.
pub fn proof_for(chain: &Chain, pop: &Pop, act: &Act<'_>) -> Result<(), Failure> {
    let expected = Binding {
        issuer: &chain.root().issuer,
        leaf: &chain.leaf().digest,
        tool: Some(act.tool),
        act_id: Some(act.act_id),
        args_digest: Some(act.args_digest),
        args: act.args,
    };
    bound(pop, &expected)?;
    pop_in_time(pop, act.at_ms / 1_000)
}

/// Checks the holder's proof alone (steps 1 and 8): whether the chain covers the act is [`act`]'s to say.
pub fn possession(chain: &Chain, pop: &str, act: &Act<'_>) -> Result<Pop, Failure> {
    let pop = signed_proof(chain, pop)?;
    proof_for(chain, &pop, act)?;
    Ok(pop)
}

/// Whether a link holds at a time; the clocks of signer and log may differ by the skew allowed.
pub(crate) fn in_time(link: &Link, at_s: u64) -> Result<(), Failure> {
    let (iat, nbf, exp) = (link.claims.iat(), link.claims.nbf(), link.claims.exp());
    let begun = nbf.saturating_sub(SKEW_S) <= at_s && iat <= at_s.saturating_add(SKEW_S);
    if begun && at_s < exp {
        return Ok(());
    }
    let text = if at_s >= exp {
        format!(
            "the delegation ended {} before this act was decided: get a new one",
            Span::between(exp, at_s)
        )
    } else if iat > at_s.saturating_add(SKEW_S) {
        format!(
            "the delegation was made {} after this act was decided: compare the clocks",
            Span::between(iat, at_s)
        )
    } else {
        format!(
            "the delegation begins to hold {} after this act was decided: wait for it, or compare the clocks",
            Span::between(nbf, at_s)
        )
    };
    Err(failure(Step::DelegationTime, text))
}

/// Whether a link includes a call. `Ok(false)`: the tool is included, the arguments could not be checked.
pub(crate) fn in_scope(link: &Link, tool: &str, args: Option<&Map<String, Value>>) -> Result<bool, Failure> {
    let scope = link.claims.scope();
    let row = scope.row(tool).ok_or_else(|| {
        let text =
            format!("the delegation does not include the tool `{tool}`: ask its delegator for one that does");
        failure(Step::Scope, text)
    })?;
    let Some(args) = args else { return Ok(row.is_empty()) };
    scope.permits(tool, args).map_err(|denial| failure(Step::Scope, format!("{denial} (tool `{tool}`)")))?;
    Ok(true)
}

/// Whether a link demands an approval for a tool.
pub(crate) fn named_for_approval(link: &Link, tool: &str) -> bool {
    link.claims.approvals().is_some_and(|approvals| approvals.names(tool))
}
