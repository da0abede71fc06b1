//! Child runs: work that a holder handed over, announced in the run that it came from (format §5, kind 19).

use evidence::id::{self, Id};
use evidence::limits::VALUE_SEALED_MAX_BYTES;
use evidence::{Digest, Kind};
use serde_json::json;
use verify::chain::{Chain, Link};

use crate::chains::Authority;
use crate::control::Run;
use crate::draft::{CauseRef, Fields, Item, Place};
use crate::runs::OpenRun;
use crate::{Recorder, RecorderError};

impl Recorder {
    /// The run that a new run is a child of: the one whose holder signed the leaf, where it is open here. It is the one
    /// that is named; else, of several, one that has not passed the authority on to itself, and the latest.
    pub(crate) fn parent(&self, chain: &Chain, named: Option<Id>) -> Result<Option<Id>, RecorderError> {
        let delegator = chain.links().rev().nth(1);
        let control = self.control();
        if let Some(named) = named {
            let name = id::text(&named);
            let run = control.run(&named).ok_or_else(|| RecorderError::RunUnknown(name.clone()))?;
            if run.ended.is_some() {
                return Err(RecorderError::RunEnded(name));
            }
            if !delegator.is_some_and(|link| is_held_in(run, link)) {
                let text =
                    "the run that is named as the parent does not act under the delegation above this one";
                return Err(RecorderError::DelegationRefused { step: "parent-run", text: text.to_owned() });
            }
            return Ok(Some(named));
        }
        let Some(link) = delegator else { return Ok(None) };
        let open = control.runs.iter().filter(|(_, run)| run.ended.is_none() && is_held_in(run, link));
        let since = |run: &Run| run.delegations.get(&link.digest).map(|link| link.index);
        let latest = open.max_by_key(|(_, run)| (run.ends_in(&link.digest), since(run)));
        Ok(latest.and_then(|(name, _)| id::parse(name)))
    }

    /// The entry in the parent's chain that announces a child.
    pub(crate) fn child_item(
        &self,
        parent: Id,
        child: &Id,
        under: &Authority,
        handoff: Option<&str>,
    ) -> Result<Item, RecorderError> {
        let leaf = under.chain.leaf();
        let claims = leaf.claims.as_child();
        let digest = claims.and_then(|claims| claims.handoff.as_deref());
        // a long text is known by its digest, which the leaf has
        let handoff = handoff.filter(|text| text.len() <= VALUE_SEALED_MAX_BYTES);
        let fields = Fields::new()
            .text("child", &id::text(child))
            .text("delegation", &leaf.digest)
            .json("holder", &json!(under.chain.holder()))
            .maybe("handoff_digest", digest.map(|digest| json!(digest)).as_ref())
            .maybe("handoff", handoff.map(|text| json!(text)).as_ref())
            .maybe("by", claims.map(|claims| json!(claims.parent)).as_ref());
        let item = self.0.sealer.item(Kind::ChildStarted, Place::log(parent, 0), fields)?;
        Ok(item.caused_by(CauseRef::Previous))
    }
}

/// Whether the holder of a link acts in a run under it. Its digest alone does not say so: the runs of those that it was
/// passed on to have it too. Nor does the name of its holder: whom it was passed on to can give that to others.
fn is_held_in(run: &Run, link: &Link) -> bool {
    let mut below = run.delegations.values().filter(|below| below.parent.as_ref() == Some(&link.digest));
    run.delegations.contains_key(&link.digest)
        && run.holder.id == link.claims.holder().id
        && below.all(|below| below.holder == run.holder.id)
}

/// The text that is handed over must be the one that the delegator signed for; a root is no handing over.
pub(crate) fn check_handoff(open: &OpenRun, chain: &Chain) -> Result<(), RecorderError> {
    let Some(text) = &open.handoff else { return Ok(()) };
    let signed = chain.leaf().claims.as_child().and_then(|child| child.handoff.as_deref());
    if signed == Some(Digest::of(text.as_bytes()).to_string().as_str()) {
        return Ok(());
    }
    let text = "the text handed over is not the one that the delegation names: hand over the text that its maker \
                signed for, byte for byte";
    Err(RecorderError::DelegationRefused { step: "handoff", text: text.to_owned() })
}
