//! Steps 2 and 15: the checkpoint, its signature, and the earlier checkpoint that it extends.

use evidence::label::Check;
use tlog::checkpoint::Checkpoint;
use tlog::note::{self, Note, VerifierKey};
use tlog::proof;

use crate::bundle::{Bundle, Earlier};
use crate::finding::{Code, Findings};
use crate::genesis::Genesis;
use crate::trust::TrustRoots;

/// The tree head that everything is proven against.
pub(crate) struct Head {
    /// None where it is malformed.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The keys that its signature may be of.
    keys: Vec<VerifierKey>,
    /// What its signature is worth.
    pub(crate) check: Check,
}

/// Step 2.
pub(crate) fn check(bundle: &Bundle, genesis: &Genesis, trust: &TrustRoots, findings: &mut Findings) -> Head {
    findings.whole(
        Code::Unwitnessed,
        "no witness cosigned the checkpoint: that the log was never rolled back or shown to others in another form \
         rests on its operator",
    );
    let parsed = parse(&bundle.checkpoint, &bundle.origin);
    if let Err(why) = &parsed {
        findings.whole(Code::CheckpointMalformed, format!("the checkpoint is not acceptable: {why}"));
    }
    let checkpoint = parsed.ok();
    let (keys, worth) = select_keys(&bundle.origin, genesis, trust, findings);
    let signed = !keys.is_empty() && is_signed(&bundle.checkpoint, &keys, findings);
    let check = if signed && checkpoint.is_some() { worth } else { Check::NotChecked };
    Head { checkpoint, keys, check }
}

/// Step 15.
pub(crate) fn check_earlier(earlier: Option<&Earlier>, origin: &str, head: &Head, findings: &mut Findings) {
    let Some(earlier) = earlier else { return };
    if let Err(why) = extends(earlier, origin, head) {
        findings.whole(
            Code::Earlier,
            format!("the log is not shown to extend its earlier checkpoint: {why}; do not rely on the earlier date"),
        );
    }
}

fn extends(earlier: &Earlier, origin: &str, head: &Head) -> Result<(), String> {
    let now = head.checkpoint.as_ref().ok_or("the bundle's checkpoint is malformed")?;
    let then = parse(&earlier.checkpoint, origin)?;
    note::open(&earlier.checkpoint, &head.keys).map_err(|error| error.to_string())?;
    proof::verify_consistency(then.size, &then.root, now.size, &now.root, &earlier.proof)
        .map_err(|error| error.to_string())
}

/// A checkpoint of the log `origin`, its signature not checked.
fn parse(note: &[u8], origin: &str) -> Result<Checkpoint, String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    let parsed = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?;
    if parsed.extension_lines > 0 {
        return Err("it has extension lines, which this format does not allow".into());
    }
    if parsed.checkpoint.origin != origin {
        return Err(format!(
            "it is of the log `{}`, the bundle says `{origin}`",
            parsed.checkpoint.origin.escape_debug()
        ));
    }
    Ok(parsed.checkpoint)
}

fn select_keys(
    origin: &str,
    genesis: &Genesis,
    trust: &TrustRoots,
    findings: &mut Findings,
) -> (Vec<VerifierKey>, Check) {
    let pinned: Vec<VerifierKey> =
        trust.log_keys.iter().filter(|key| key.name() == origin).cloned().collect();
    if !pinned.is_empty() {
        return (pinned, Check::VerifiedPinned);
    }
    // who pins a key says whose log it must be: the log's own word is no answer to that
    if genesis.has_log_key && trust.log_keys.is_empty() {
        findings.whole(
            Code::LogKeyCaptured,
            "the log's key is taken from the log itself: this proves that the bundle fits together, not whose log it \
             is; pin the key that the operator publishes elsewhere",
        );
        if genesis.log_key.is_none() {
            let text = "the key that the log recorded for its checkpoints is not one of this log: no signature holds";
            findings.whole(Code::CheckpointSignature, text);
        }
        return (genesis.log_key.iter().cloned().collect(), Check::VerifiedCaptured);
    }
    findings.whole(
        Code::LogKeyMissing,
        format!(
            "no key of the log `{}` is pinned or may be taken from it, so nothing here can be verified: it is another log \
             than the one you pinned, or pin the key that its operator publishes",
            origin.escape_debug()
        ),
    );
    (Vec::new(), Check::NotChecked)
}

fn is_signed(checkpoint: &[u8], keys: &[VerifierKey], findings: &mut Findings) -> bool {
    // what is no note at all is already a malformed checkpoint
    if Note::parse(checkpoint).is_err() {
        return false;
    }
    match note::open(checkpoint, keys) {
        Ok(_) => true,
        Err(error) => {
            findings.whole(
                Code::CheckpointSignature,
                format!("the checkpoint is not signed by the log: {error}"),
            );
            false
        }
    }
}
