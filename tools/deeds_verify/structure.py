"""What a bundle holds together by: steps 2 to 9 and 13 to 15 of §10 of docs/format.md."""

from __future__ import annotations

from deeds_verify.audit import Audit
from deeds_verify.bundle import DEFINED_KINDS, LOG_LEVEL, Item, commitment, decode_entry, is_unknown
from deeds_verify.encoding import (
    Malformed,
    consistent,
    digest_string,
    inclusion_root,
    merkle_root,
    parse_json,
    same,
    uuid_bytes,
)
from deeds_verify.keys import LogKey, note_signed, parse_checkpoint, parse_jwk, parse_note, parse_vkey, thumbprint


def log_keys(audit: Audit) -> list[LogKey]:
    """§10 step 2: the pinned keys of the origin, else the one the log captured about itself."""
    origin = audit.bundle.origin
    pinned = [key for key in audit.trust.log_keys if key.name == origin]
    if pinned:
        return pinned
    captured = audit.genesis("log_key")
    if captured is None or audit.trust.log_keys:
        audit.find("log-key-missing", None, "no pinned key is of this log, and its own record does not count")
        return []
    audit.find("log-key-captured", None, "the log key is as the log states it; nobody pinned it")
    try:
        key = parse_vkey(captured)
    except Malformed as error:
        audit.find("checkpoint-signature", None, f"the captured log key is of no use: {error}")
        return []
    if key.name != origin:
        audit.find("checkpoint-signature", None, "the captured log key has another name than the origin")
        return []
    return [key]


def step_02_checkpoint(audit: Audit) -> None:
    """§10 step 2."""
    audit.find("unwitnessed", None, "no witness cosigned the checkpoint: a fork or rollback would not show")
    audit.keys = log_keys(audit)
    try:
        note = parse_note(audit.bundle.note)
    except Malformed as error:
        audit.find("checkpoint-malformed", None, str(error))
        return
    if audit.keys and not note_signed(note, audit.keys):
        audit.find("checkpoint-signature", None, "the checkpoint is not validly signed by the log key")
    try:
        checkpoint = parse_checkpoint(note)
        if checkpoint.origin != audit.bundle.origin:
            raise Malformed("the checkpoint is of another origin than the bundle")
        audit.checkpoint = checkpoint
    except Malformed as error:
        audit.find("checkpoint-malformed", None, str(error))


def decode_entries(audit: Audit) -> None:
    """§10 step 3, first half: entries are decoded before anything reads them."""
    for item in audit.bundle.items:
        try:
            item.entry = decode_entry(item.data)
        except Malformed as error:
            audit.find("entry-malformed", item.index, str(error))
            continue
        if item.entry is None or item.entry.kind not in DEFINED_KINDS:
            audit.find("entry-uninterpreted", item.index, "the version or kind is unknown: content not interpreted")
        if item.entry is not None:
            audit.entries.append(item)
            audit.runs.setdefault(item.entry.run, {}).setdefault(item.entry.stream, []).append(item)


def step_03_inclusion(audit: Audit) -> None:
    """§10 step 3, second half."""
    if audit.checkpoint is None:
        return
    for item in audit.bundle.items:
        if inclusion_root(item.index, audit.checkpoint.size, item.leaf, item.path) != audit.checkpoint.root:
            audit.find("inclusion", item.index, "the entry is not proved to be in the tree of the checkpoint")


def step_04_log_id(audit: Audit) -> None:
    """§10 step 4."""
    first = audit.by_index.get(0)
    if first is None or first.leaf != audit.bundle.log_id:
        audit.find("log-id", None, "entry 0 is not shown or is not the one the log id names")


def step_05_chains(audit: Audit) -> None:
    """§10 step 5, §2 keys 6 and 7. After a hole the chain is taken up again where it goes on."""
    last: dict = {}
    for item in audit.entries:
        chain = (item.entry.run, item.entry.stream)
        before = last.get(chain)
        last[chain] = item
        if item.entry.seq != (before.entry.seq + 1 if before else 0):
            audit.find("chain-hole", item.index, "an entry before this one in its chain is missing")
            continue
        if before:
            expected = before.leaf
        else:
            expected = bytes(32) if item.index == 0 else audit.bundle.log_id
        if item.entry.prev != expected:
            audit.find("chain-prev", item.index, "it does not name the entry before it in its chain")


def step_06_fields(audit: Audit) -> None:
    """§10 step 6, §3. Only fields that stand every check become visible to the other steps."""
    for item in audit.entries:
        ids = [bit for bit in range(64) if item.entry.fields >> bit & 1]
        if item.shown is not None:
            open_fields(audit, item, ids)
        if item.open_count < len(ids):
            text = f"{len(ids) - item.open_count} of {len(ids)} fields are withheld or of no use"
            audit.find("withheld", item.index, text)


def open_fields(audit: Audit, item: Item, ids: list[int]) -> None:
    """§10 step 6 for one item."""
    if len(item.shown) != len(ids):
        audit.find("fields-malformed", item.index, "the number of fields shown is not that of the entry")
        return
    kind, pairs = item.entry.kind, list(zip(ids, item.shown))
    raw = {field_id: shown[1] for field_id, shown in pairs if not isinstance(shown, bytes)}
    good = kind < 256 or not raw
    if not good or merkle_root([commitment(kind, *pair) for pair in pairs]) != item.entry.fields_root:
        audit.find("fields-root", item.index, "the fields shown are not those the entry commits to")
        good = False
    values = {}
    for field_id, text in raw.items():
        try:
            values[field_id] = parse_json(text)
        except Malformed as error:
            audit.find("field-json", item.index, f"field {field_id}: {error}")
            good = False
    if good:
        item.open_count, item.raw = len(raw), raw
        item.decoys = {field_id for field_id, value in values.items() if value is None}
        item.values = {field_id: value for field_id, value in values.items()
                       if value is not None and not is_unknown(kind, field_id, value)}


def step_07_causes(audit: Audit) -> None:
    """§10 step 7."""
    for item in audit.entries:
        for cause in item.entry.causes:
            if any(target.index >= item.index for target in audit.by_leaf.get(cause, [])[-1:]):
                audit.find("cause-order", item.index, "it names as its cause an entry that is not before it")


def step_08_manifests(audit: Audit) -> None:
    """§10 step 8."""
    for run, streams in audit.runs.items():
        if run == LOG_LEVEL:
            continue
        for stream, items in streams.items():
            check_stream(audit, stream, items)
        manifest = manifest_of(streams.get(0, []))
        if manifest is None:
            last = max(items[-1].index for items in streams.values())
            audit.find("open-run", streams[0][-1].index if 0 in streams else last, "the run has no manifest (yet)")
            continue
        if not manifest.opened("streams"):
            audit.find("manifest-withheld", manifest.index, "what the manifest lists is not shown")
        elif not manifest_matches(manifest, streams):
            audit.find("manifest-mismatch", manifest.index, "the entries shown are not those the manifest lists")
        for items in streams.values():
            if items[-1].index > manifest.index and manifest_of(items) is None:
                audit.find("open-stream", items[-1].index, "the stream goes on after the run's end and has none itself")


def manifest_of(items: list) -> Item | None:
    """§10 step 8: the manifest of a stream, its first entry of kind 15."""
    return next((item for item in items if item.entry.kind == 15), None)


def check_stream(audit: Audit, stream: int, items: list) -> None:
    """§10 step 8: nothing follows a stream's manifest, which in streams other than 0 lists that stream alone."""
    manifest = manifest_of(items)
    if manifest is None:
        return
    for item in items:
        if item.index > manifest.index:
            audit.find("after-manifest", item.index, "it stands after the manifest of its stream")
    own = [{"stream": stream, "count": manifest.entry.seq, "last": manifest.entry.prev.hex()}]
    if stream != 0 and manifest.opened("streams") and not same(manifest.value("streams"), own):
        audit.find("manifest-mismatch", manifest.index, "the manifest of this stream does not list it as it stands")


def manifest_matches(manifest: Item, streams: dict) -> bool:
    """§10 step 8, §5 kind 15: whether `streams` says what stood in each stream before the manifest."""
    before = {stream: [item for item in items if item.index < manifest.index] for stream, items in streams.items()}
    expected = [{"stream": stream, "count": len(items), "last": items[-1].leaf.hex()}
                for stream, items in sorted(before.items()) if items]
    return same(manifest.value("streams"), expected)


def step_09_children(audit: Audit) -> None:
    """§10 step 9, §5 kinds 2, 15 and 19: parents announce their child runs, and children name their parents."""
    announced: dict = {}  # run → its kind 19 entries
    for item in audit.of_kind(19):
        announced.setdefault(item.entry.run, []).append(item)
        if item.opened("handoff") and item.opened("handoff_digest"):
            text = item.value("handoff")
            if not isinstance(text, str) or item.value("handoff_digest") != digest_string(text.encode()):
                audit.find("child-mismatch", item.index, "the text handed over is not the one of the digest")
        if item.opened("child"):
            check_child(audit, item)
    for item in audit.of_kind(2):
        if item.opened("parent"):
            check_parent(audit, item, announced.get(uuid_bytes(item.value("parent")), []))
    for run, streams in audit.runs.items():
        manifest = manifest_of(streams.get(0, []))
        if run != LOG_LEVEL and manifest is not None and manifest.opened("children"):
            check_children(audit, manifest, announced.get(run, []))


def check_child(audit: Audit, item: Item) -> None:
    """§10 step 9: the run that this entry announces."""
    streams = audit.runs.get(uuid_bytes(item.value("child")))
    if streams is None:
        audit.find("child-not-shown", item.index, "the run that it announces is not in the bundle")
        return
    first = min((items[0] for items in streams.values()), key=lambda entry: entry.index)
    if first.entry.kind != 2 or first.opened("parent") and uuid_bytes(first.value("parent")) != item.entry.run:
        audit.find("child-mismatch", item.index, "the run that it announces does not begin as a child of this run")


def check_parent(audit: Audit, item: Item, announcing: list) -> None:
    """§10 step 9: the run that this run names as its parent has announced it, if it is over.

    An announcement whose `child` is not present might be the one that is looked for."""
    streams = audit.runs.get(uuid_bytes(item.value("parent")), {})
    if manifest_of(streams.get(0, [])) is None or not all(entry.opened("child") for entry in announcing):
        return
    if not any(uuid_bytes(entry.value("child")) == item.entry.run for entry in announcing):
        audit.find("child-unannounced", item.index, "the run that it names as its parent has not announced it")


def check_children(audit: Audit, manifest: Item, announcing: list) -> None:
    """§10 step 9: the manifest lists the runs that were announced before it."""
    before = [entry for entry in announcing if entry.index < manifest.index]
    if all(entry.opened("child") for entry in before):
        if not same(manifest.value("children"), [entry.value("child") for entry in before]):
            audit.find("manifest-mismatch", manifest.index, "the runs announced are not those the manifest lists")


def step_09_register(audit: Audit) -> None:
    """§10 step 9, §5 kind 11."""
    for item in audit.of_kind(11):
        if item.entry.run != LOG_LEVEL or not all(map(item.opened, ("change", "principal", "key"))):
            continue
        try:
            public = parse_jwk(item.value("key"))
            kid = thumbprint(public)
            change = (item.index, item.value("change"), item.value("principal"), public)
            audit.register.setdefault(kid, []).append(change)
        except Malformed:
            kid = None
        if item.opened("thumbprint") and item.value("thumbprint") != kid:
            audit.find("key-thumbprint", item.index, "the thumbprint is not that of the key")


def step_13_outcomes(audit: Audit) -> None:
    """§10 step 13, §5 kind 6."""
    finished: set = set()
    for item in audit.of_kind(6):
        causes = item.entry.causes
        only = causes[0] if len(causes) == 1 and isinstance(causes[0], bytes) else None
        check_outcome_cause(audit, item, audit.by_leaf.get(only, [None])[0])
        if only in finished:
            audit.find("outcome-duplicate", item.index, "the action has an outcome already")
        if only is not None:
            finished.add(only)
        if item.opened("result") and item.opened("result_digest"):
            if item.value("result_digest") != digest_string(item.raw_value("result")):
                audit.find("result-digest", item.index, "the digest is not that of the result")


def check_outcome_cause(audit: Audit, item: Item, decision: Item | None) -> None:
    """§10 step 13: an outcome belongs to one allowed decision of its run."""
    if (decision is None or decision.entry is None or decision.entry.kind != 5
            or decision.entry.run != item.entry.run):
        audit.find("outcome-unbound", item.index, "its cause is not a decision of its run")
        return
    if decision.opened("verdict") and decision.value("verdict") != "allow":
        audit.find("outcome-of-refusal", item.index, "it is the outcome of something that was not allowed")
    acts = item.value("act_id"), decision.value("act_id")
    if None not in acts and not same(*acts):
        audit.find("outcome-unbound", item.index, "it is of another action than the decision it names")


def step_14_subject(audit: Audit) -> None:
    """§10 step 14."""
    if audit.bundle.subject is None:
        return
    kind, wanted = audit.bundle.subject
    if kind == "action":
        found = any(uuid_bytes(item.value("act_id")) == wanted for item in audit.of_kind(5))
    else:
        found = any(item.entry.run == wanted for item in audit.entries)
    if not found:
        audit.find("subject", None, f"the {kind} that the bundle is about is not in it")


def step_15_earlier(audit: Audit) -> None:
    """§10 step 15."""
    if audit.bundle.earlier is None:
        return
    data, proof = audit.bundle.earlier
    try:
        note = parse_note(data)
        old, new = parse_checkpoint(note), audit.checkpoint
    except Malformed as error:
        audit.find("earlier", None, f"the earlier checkpoint: {error}")
        return
    if old.origin != audit.bundle.origin or not note_signed(note, audit.keys):
        audit.find("earlier", None, "the earlier checkpoint is not validly signed by the log key")
    elif new is None or not consistent(old.size, old.root, new.size, new.root, proof):
        audit.find("earlier", None, "the checkpoint is not proved to continue the earlier one")
