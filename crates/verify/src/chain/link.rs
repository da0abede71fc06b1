//! A child under its parent (format §6, *Chain*, steps 3 and 4): signed by the parent's key, and nowhere wider.

use evidence::delegation::{Child, Misfit};
use evidence::jws::Signed;

use super::{Chain, Failure, Step, failure};

/// A child that parsed, and the chain that it stands below.
pub(crate) struct Below<'a> {
    pub(crate) signed: &'a Signed,
    pub(crate) child: &'a Child,
    /// Token digest of the child.
    pub(crate) digest: &'a str,
    /// The links above it, checked.
    pub(crate) above: &'a Chain,
}

/// All that is wrong with a child, one failure for each code, in the order of the format.
///
/// The signature is not checked where the key is not the parent's: there is none to check it with then.
pub(crate) fn faults(below: &Below<'_>) -> Vec<Failure> {
    let parent = below.above.leaf();
    let misfits = below.child.misfits(&parent.claims, &parent.digest);
    let mut misfits = misfits.iter().map(misfit).peekable();
    let strayed = misfits.next_if(|failure| failure.step == Step::LinkParent);
    let forged = if strayed.is_none() { signature(below).err() } else { None };
    strayed.into_iter().chain(forged).chain(misfits).chain(repeated(below).err()).collect()
}

fn misfit(misfit: &Misfit) -> Failure {
    let step = Step::ALL.iter().copied().find(|step| step.name() == misfit.code);
    // INVARIANT (misfit): every code of a misfit is one of the format; another one would be no reason to let it pass
    failure(
        step.unwrap_or(Step::LinkParent),
        format!("the delegation does not fit the one above it: {}", misfit.text),
    )
}

fn signature(below: &Below<'_>) -> Result<(), Failure> {
    below.signed.verify(below.above.leaf().claims.cnf()).map(|_| ()).map_err(|error| {
        let text = format!(
            "the delegator's signature on the delegation is wrong: {error}; it was altered or forged"
        );
        failure(Step::DelegationSignature, text)
    })
}

fn repeated(below: &Below<'_>) -> Result<(), Failure> {
    let again =
        below.above.links().any(|link| link.digest == below.digest || link.claims.jti() == below.child.jti);
    if again {
        let text = "the delegation stands twice in the chain, or has the id of one above it: make another";
        return Err(failure(Step::ChainRepeated, text));
    }
    Ok(())
}
