#!/usr/bin/env python3
"""Tests of verify.py: bundles built here with keys of their own, one case and more for every finding code.

    python3 -m unittest discover tools
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import random
import tempfile
import unittest
import uuid
from pathlib import Path

import verify as command
from authority_cases import AUTHORITY_ALSO, AUTHORITY_CASES, GOOD
from builders import (
    ACT, DROP, HOLDER, ISSUER, ISSUER_KEY, KEY_URN, LOG, ORIGIN, OTHER, PERSON, RUN, SERVER, START, TOOL, TXN, Key, Log,
    Scenario, b64url, cbor, consistency, head_text, leaf, sealed, signed_note, token_digest,
)
from deeds_verify import audit, bundle, encoding, keys, steps, tokens


def check(data: bytes, trust: audit.Trust | None = None) -> steps.Report:
    return steps.verify(data, trust or audit.Trust([keys.parse_vkey(LOG.vkey())]))


def found(report: steps.Report) -> set:
    """The findings, without the note that every bundle gets."""
    return {(f.code, f.index) for f in report.findings} - {("unwitnessed", None)}


def flip(data: bytes, offset: int, mask: int = 1) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1:]


def story(**c) -> bytes:
    """The bundle of a changed scenario."""
    return Scenario(**c).log.bundle()


def remove_member(number: int, member: int):
    return lambda items: items[number].pop(member)


def set_member(number: int, member: int, value):
    return lambda items: items[number].__setitem__(member, value)


def retire(scenario: Scenario) -> None:
    scenario.log.add(11, {0: "principal-retired", 1: scenario.principal(), 2: PERSON.jwk})


def two_actions(**second) -> bytes:
    """The same action decided twice; the second time with these changes."""
    def again(s: Scenario) -> None:
        s.add_decision(**second)
        s.add_finish()
    return story(before_end=again)


def counter_used_unseen() -> bytes:
    """A counter used twice, where the delegation of the first of the two decisions is withheld."""
    scenario = Scenario(end=False)
    scenario.add_decision()
    scenario.add_finish()
    scenario.end_run()
    return scenario.log.bundle(hide=[(6, 5)])


def cause_after() -> bytes:
    """An entry of one run that names as cause the first entry of another run, which comes after it."""
    log = Scenario().log
    other = (b"\x01" * 16, 0)
    later, values = log.make(2, {}, other[0])
    log.add(9, {}, b"\x02" * 16, causes=[leaf(later)])
    log.append(later, values, *other)
    return log.bundle()


def side_stream(s: Scenario, listed=None, more: int = 0) -> None:
    """A stream 1 with a manifest of its own (which lists what is given), and so many entries after that."""
    s.log.add(9, {}, RUN, 1)
    own = [stream for stream in s.streams() if stream["stream"] == 1]
    s.log.add(15, {0: own if listed is None else listed}, RUN, 1)
    for _ in range(more):
        s.log.add(9, {}, RUN, 1)


def late_stream(closed: bool) -> bytes:
    """A stream opened after the manifest, with or without a manifest of its own."""
    return story(after_end=side_stream if closed else lambda s: s.log.add(9, {}, RUN, 1))


def same_entry_twice() -> bytes:
    """An entry of another run that is there twice, the second time after an entry that names it as its cause."""
    log = Scenario().log
    entry, values = log.make(9, {}, b"\x01" * 16)
    log.append(entry, values)
    log.add(9, {}, b"\x02" * 16, causes=[leaf(entry)])
    log.append(entry, values)
    return log.bundle()


def granted(tools) -> dict:
    """Changes that ask for these tools and give them."""
    changes = {"authorization_details": [{"type": "attenuating_agent_token", "tools": tools}]}
    return {"token": changes, "request": changes}


def long_entry(version: int) -> bytes:
    log = Scenario().log
    log.append(cbor({0: version, 1: bytes(1_100)}), {}, b"\x09" * 16)
    return log.bundle()


def unknown(field: int) -> dict:
    return {field: {"unknown": "not seen"}}


ROW = {"constraint_type": "wildcard"}
FILES = [{"path": path, "sha256": hashlib.sha256(b"").hexdigest(), "text": ""} for path in ("a", "b")]


def policy_of(files: list) -> dict:
    """A policy activation with these files and the digest over them as they stand."""
    rows = json.dumps([{"path": f["path"], "sha256": f["sha256"]} for f in files], separators=(",", ":"))
    digest = "sha256:" + hashlib.sha256(rows.encode()).hexdigest()
    return {"policy": {0: digest, 1: files}, "decision": {16: digest}}


def with_checkpoint(text=None, signers=(LOG,), **override) -> bytes:
    log = Scenario().log
    return log.bundle(note=signed_note(text or head_text(log.leaves()), *signers), **override)


def with_earlier(size: int = 3, signer: Key = LOG, change=None) -> bytes:
    log = Scenario().log
    leaves = log.leaves()
    proof = consistency(size, leaves)
    if change:
        proof = change(proof)
    return log.bundle(_6=[signed_note(head_text(leaves[:size]), signer), proof])


def uninterpreted(kind: int, version: int = 0) -> bytes:
    log = Scenario().log
    log.add(kind, {}, _0=version)
    return log.bundle()


def bad_line(log_key: Key = LOG) -> str:
    key_id = bytes.fromhex(log_key.vkey().split("+")[1])
    return f"\u2014 {ORIGIN} {base64.b64encode(key_id + bytes(64)).decode()}"


UNKNOWN_LINE = "\u2014 witness.example " + base64.b64encode(bytes(68)).decode()
CONSTRAINED = {"authorization_details": [{"type": "attenuating_agent_token", "tools": {
    TOOL: {"path": {"constraint_type": "prefix", "prefix": "/data/", "because": 1}}}}]}
PEER = {"deeds.src": [{"t": "peer-cred", "uid": 1000}]}

# Every case: the code that must be found, its index, and the bundle. Each bundle's other findings are listed
# in ALSO where there are any, so that a case shows exactly what it means to show.
CASES = [
    ("bundle-malformed", None, lambda: bytes(32)),
    ("bundle-malformed", None, lambda: bytes(bundle.MAX_BUNDLE_BYTES + 1)),
    ("bundle-malformed", None, lambda: sealed(story()[:-32] + b"\x00")),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_0=1)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_3=DROP)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_7=0)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_5={0: "log", 1: RUN})),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(items=lambda items: items.reverse())),
    ("bundle-malformed", None, lambda: story(finished={11: b" " * bundle.MAX_OPENED_BYTES + b"1"})),
    ("bundle-digest", None, lambda: flip(story(), -1 % len(story()))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(head_text(Scenario().log.leaves()) + "extension\n")),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[UNKNOWN_LINE] * 100 + [LOG])),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[LOG, "- nobody AAAA"])),
    ("checkpoint-malformed", None, lambda: with_checkpoint(head_text(Scenario().log.leaves(), "other.example"))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(
        head_text(Scenario().log.leaves()).replace("\n9\n", f"\n{2**63}\n"))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[UNKNOWN_LINE, LOG, "x" * keys.MAX_NOTE_BYTES])),
    ("log-key-missing", None, lambda: (Scenario().log.bundle(hide=[(1, 2)]), audit.Trust())),
    ("log-key-captured", None, lambda: (story(), audit.Trust())),
    ("checkpoint-signature", None, lambda: with_checkpoint(signers=[OTHER])),
    ("checkpoint-signature", None, lambda: with_checkpoint(signers=[LOG, bad_line()])),
    ("checkpoint-signature", None, lambda: (story(), audit.Trust([keys.parse_vkey(OTHER.vkey())]))),
    ("checkpoint-signature", None, lambda: (story(genesis={2: LOG.vkey("another")}), audit.Trust())),
    ("checkpoint-signature", None, lambda: (story(genesis={2: 7}), audit.Trust())),
    ("log-key-missing", None, lambda: (story(genesis=unknown(2)), audit.Trust())),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.add(14, {}, b"\x09" * 16, _12=b""))),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.add(14, {}, b"\x09" * 16, _8=[]))),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.append(b"", {}, b"\x09" * 16))),
    ("entry-malformed", 9, lambda: long_entry(0)),
    ("entry-malformed", 9, lambda: long_entry(1)),
    ("entry-uninterpreted", 9, lambda: uninterpreted(7)),
    ("entry-uninterpreted", 9, lambda: uninterpreted(1000)),
    ("entry-uninterpreted", 9, lambda: uninterpreted(5, version=1)),
    ("inclusion", 5, lambda: Scenario().log.bundle(items=lambda items: items[5][2].pop())),
    ("inclusion", 8, lambda: with_checkpoint(head_text(Scenario().log.leaves()[:8]))),
    ("log-id", None, lambda: Scenario().log.bundle(_2=bytes(32))),
    ("log-id", None, lambda: Scenario().log.bundle(leave_out=[0])),
    ("chain-hole", 7, lambda: Scenario().log.bundle(leave_out=[6])),
    ("chain-hole", 9, lambda: story(after_end=lambda s: s.log.add(9, {}, _6=7))),
    ("chain-prev", 9, lambda: story(after_end=lambda s: s.log.add(9, {}, _7=bytes(32)))),
    ("fields-malformed", 8, lambda: Scenario().log.bundle(items=lambda items: items[8][3].pop())),
    ("fields-root", 7, lambda: Scenario().log.bundle(items=lambda i: i[7][3][1].__setitem__(1, b'"no"'))),
    ("field-json", 7, lambda: story(finished={11: b'{"a":1,"a":2}'})),
    ("field-json", 7, lambda: story(finished={11: b'"\\ud800"'})),
    ("field-json", 7, lambda: story(finished={11: b"NaN"})),
    ("field-json", 7, lambda: story(finished={11: b"[" * 65 + b"]" * 65})),
    ("field-json", 7, lambda: story(finished={11: b'"\xff"'})),
    ("field-json", 7, lambda: story(finished={11: b"1e999"})),
    ("field-json", 7, lambda: story(finished={11: b"9" * 400})),
    ("withheld", 7, lambda: Scenario().log.bundle(hide=[(7, 1)])),
    ("withheld", 4, lambda: Scenario().log.bundle(hide_all=[4])),
    ("withheld", 4, lambda: Scenario().log.bundle(items=remove_member(4, 3))),
    ("cause-order", 9, cause_after),
    ("cause-order", 10, same_entry_twice),
    ("open-run", 7, lambda: story(end=False)),
    ("manifest-mismatch", 8, lambda: story(manifest={0: []})),
    ("manifest-mismatch", 8, lambda: story(manifest={0: "all"})),
    ("manifest-mismatch", 9, lambda: story(before_end=lambda s: s.log.add(9, {}, RUN, 1),
                                           manifest={0: Scenario(end=False).streams()})),
    ("manifest-withheld", 8, lambda: Scenario().log.bundle(hide=[(8, 0)])),
    ("manifest-mismatch", 10, lambda: story(after_end=lambda s: side_stream(s, listed=[]))),
    ("manifest-mismatch", 9, lambda: story(before_end=lambda s: side_stream(s, listed=[]))),
    ("manifest-withheld", 8, lambda: story(manifest=unknown(0))),
    ("after-manifest", 9, lambda: story(after_end=lambda s: s.log.add(9, {}, RUN))),
    ("after-manifest", 11, lambda: story(after_end=lambda s: side_stream(s, more=1))),
    ("after-manifest", 10, lambda: story(before_end=lambda s: side_stream(s, more=1))),
    ("after-manifest", 10, lambda: story(before_end=lambda s: side_stream(s, more=1), end=False)),
    ("open-stream", 9, lambda: late_stream(closed=False)),
    ("key-thumbprint", 3, lambda: story(register={3: OTHER.kid})),
    ("key-thumbprint", 4, lambda: story(before_run=lambda s: s.log.add(11, {0: "x", 1: {}, 2: {}, 3: "x"}))),
    ("delegation-digest", 5, lambda: story(delegated={1: "x"})),
    ("delegation-malformed", 5, lambda: story(token_text="a.b")),
    ("delegation-malformed", 5, lambda: story(token_header={"jku": "x"})),
    ("delegation-malformed", 5, lambda: story(token_header={"alg": "EdDSA"})),
    ("delegation-malformed", 5, lambda: story(token={"iss": "https://other", "aud": ["https://other"]},
                                              request={"aud": "https://other"})),
    ("delegation-malformed", 5, lambda: story(token={"aud": [ISSUER, ISSUER]})),
    ("delegation-malformed", 5, lambda: story(token={"nbf": START + 3601})),
    ("delegation-malformed", 5, lambda: story(token={"exp": START + 86_401}, request={"ttl": 90_000})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.prin.kind": "service", "exp": START + 3_601},
                                              request={"ttl": 90_000})),
    ("delegation-malformed", 5, lambda: story(token={"del_depth": 1})),
    ("delegation-malformed", 5, lambda: story(token={"par_hash": "x"})),
    ("delegation-malformed", 5, lambda: story(token={"del_max_depth": 9}, request={"del_max_depth": 9})),
    ("delegation-malformed", 5, lambda: story(token=CONSTRAINED)),
    ("delegation-malformed", 5, lambda: story(token={"exp": START + 3600.5})),
    ("delegation-malformed", 5, lambda: story(token={"exp": START - 1, "nbf": START - 2})),
    ("delegation-malformed", 5, lambda: story(token={"jti": ACT.upper()})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.txn": "txn-1"}, request={"deeds.txn": DROP})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.tenant": "other"}, request={"deeds.tenant": "other"})),
    ("delegation-malformed", 5, lambda: story(genesis={6: 7})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.purpose": ""}, request={"deeds.purpose": ""})),
    ("delegation-malformed", 5, lambda: story(token={"more": "x" * tokens.MAX_TOKEN_BYTES})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.purpose": "x" * 4_097})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.hld.key": PERSON.kid})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.hld.more": ""})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.prin.more": ""})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.prin": ["human", ISSUER, "ada"]})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.hld.kind": {"agent": None}})),
    ("delegation-malformed", 5, lambda: story(token={"deeds.prin.sub": "a\x85"})),
    ("delegation-malformed", 5, lambda: story(token={"cnf": {"jwk": HOLDER.jwk, "kid": ""}})),
    ("delegation-malformed", 5, lambda: story(token={"cnf": {"jwk": {**HOLDER.jwk, "x": b64url(bytes(32))}}})),
    ("delegation-malformed", 5, lambda: story(**granted({}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL + "#": {}}))),
    ("delegation-malformed", 5, lambda: story(**granted({"a b#c": {}}))),
    ("delegation-malformed", 5, lambda: story(**granted({SERVER + "#" + "x" * 1_024: {}}))),
    ("delegation-malformed", 5, lambda: story(**granted({f"s#{n}": {} for n in range(257)}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL: {str(n): ROW for n in range(65)}}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL: {"x" * 4_097: ROW}}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL: {"a": {"constraint_type": "one_of", "values": []}}}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL: {"a": {
        "constraint_type": "one_of", "values": list(range(257))}}}))),
    ("delegation-malformed", 5, lambda: story(**granted({TOOL: {"a": {"constraint_type": "exact", "value": 1.5}}}))),
    ("issuer-key-missing", 5, lambda: Scenario().log.bundle(hide=[(1, 5)])),
    ("issuer-key-missing", 5, lambda: story(genesis=unknown(5))),
    ("delegation-signature", 5, lambda: story(issuer=OTHER)),
    ("delegation-signature", 5, lambda: story(token_header={"kid": OTHER.kid})),
    ("request-missing", 5, lambda: story(delegated={2: None})),
    ("request-missing", 5, lambda: Scenario().log.bundle(hide=[(5, 2)])),
    ("request-malformed", 5, lambda: story(request_token="x.y.z")),
    ("request-malformed", 5, lambda: story(request={"exp": START + 301})),
    ("request-malformed", 5, lambda: story(request={"exp": START - 1})),
    ("request-malformed", 5, lambda: story(request={"deeds.hld.more": 1})),
    ("request-malformed", 5, lambda: story(request={"deeds.hld.kind": {"agent": None}})),
    ("request-malformed", 5, lambda: story(request={"deeds.txn": 1})),
    ("request-malformed", 5, lambda: story(request={"more": "x" * tokens.MAX_TOKEN_BYTES})),
    ("request-malformed", 5, lambda: story(request={"aud": "https://other"})),
    ("request-malformed", 5, lambda: story(delegated={2: Scenario(request={"jti": "r2"}).request})),
    ("request-key", 5, lambda: story(register={2: OTHER.jwk, 3: OTHER.kid})),
    ("request-key", 6, lambda: story(before_run=retire)),
    ("request-signature", 5, lambda: story(
        request_token=Scenario().request.rsplit(".", 1)[0] + "." + b64url(bytes(64)))),
    ("request-binding", 5, lambda: story(token={"deeds.prin.sub": "eve"})),
    ("request-binding", 5, lambda: story(request={"ttl": 3599})),
    ("request-binding", 5, lambda: story(request={"deeds.tenant": "other"})),
    ("request-binding", 5, lambda: story(request={"deeds.purpose": "other"})),
    ("request-binding", 5, lambda: story(request={"deeds.txn": ACT})),
    ("request-binding", 5, lambda: story(request={"deeds.hld": {"id": "other", "kind": "agent"}})),
    ("request-binding", 5, lambda: story(request={"deeds.hld": {"id": "h", "kind": "service"}})),
    ("request-binding", 5, lambda: story(token={"deeds.hld.asr": "inferred"})),
    ("request-binding", 5, lambda: story(token={"deeds.src": [
        {"t": "key-request", "iss": KEY_URN + PERSON.kid, "kid": PERSON.kid, "jti": ACT,
         "d": token_digest(Scenario().request)}]})),
    ("request-binding", 5, lambda: story(request={"del_max_depth": 1})),
    ("request-binding", 5, lambda: story(request={"iat": START + 31, "exp": START + 40})),
    ("request-binding", 5, lambda: story(request={"cnf": {"jwk": OTHER.jwk}})),
    ("principal-inferred", 5, lambda: story(token=PEER, delegated={2: DROP})),
    ("decision-delegation", 6, lambda: story(decision={5: "x"})),
    ("decision-delegation", 6, lambda: story(delegated_run=b"\x07" * 16)),
    ("decision-withheld", 6, lambda: Scenario().log.bundle(hide=[(6, 5)])),
    ("decision-withheld", 6, lambda: story(decision=unknown(5))),
    ("decision-binding", 6, lambda: story(decision={1: ACT})),
    ("decision-binding", 6, lambda: story(decision={2: {"iss": ISSUER, "sub": "eve"}})),
    ("decision-binding", 6, lambda: story(decision={3: {"id": "h"}})),
    ("decision-binding", 6, lambda: story(decision={3: "h"})),
    ("decision-revocations", 6, lambda: story(decision={18: {"index": 2}})),
    ("decision-revocations", 6, lambda: story(decision={18: {"index": 4}})),
    ("decision-revocations", 6, lambda: story(decision={18: 3})),
    ("decision-revocations", 6, lambda: story(decision={18: b'{"index":3.0}'})),
    ("revocations-withheld", 6, lambda: Scenario().log.bundle(hide=[(6, 18)])),
    ("policy-withheld", 6, lambda: Scenario().log.bundle(hide=[(6, 16)])),
    ("policy-withheld", 6, lambda: story(decision=unknown(16))),
    ("decision-time", 6, lambda: Scenario().log.bundle(hide=[(6, 7)])),
    ("decision-time", 6, lambda: story(decision={7: (START + 11) * 1000 + 60_001},
                                       pop={"iat": START + 60, "exp": START + 100})),
    ("delegation-time", 6, lambda: story(token={"nbf": START + 41})),
    ("delegation-time", 6, lambda: story(token={"exp": START + 10})),
    ("principal-retired", 7, lambda: story(before_decision=retire)),
    ("scope", 6, lambda: story(args=b'{"path": "/etc/x"}', args_digest=b64url(
        hashlib.sha256(b'{"path":"/etc/x"}').digest()))),
    ("scope", 6, lambda: story(decision={9: SERVER + "#write"}, pop={"tool": SERVER + "#write"})),
    ("scope", 6, lambda: story(args=b"[]", args_digest=b64url(hashlib.sha256(b"[]").digest()))),
    ("scope", 6, lambda: story(args=b'{"path":9007199254740994}', args_digest=b64url(
        hashlib.sha256(b'{"path":9007199254740994}').digest()))),
    ("scope", 6, lambda: story(args=b'{"unknown":"not seen"}', args_digest=b64url(
        hashlib.sha256(b'{"unknown":"not seen"}').digest()))),
    ("scope", 6, lambda: story(decision={9: SERVER + "#a#b"}, pop={"tool": SERVER + "#a#b"},
                               **granted({SERVER + "#*": {}}))),
    ("scope-args-withheld", 6, lambda: Scenario().log.bundle(hide=[(6, 12)])),
    ("pop-missing", 6, lambda: Scenario().log.bundle(hide=[(6, 6)])),
    ("pop-malformed", 6, lambda: story(pop={"exp": START + 71})),
    ("pop-malformed", 6, lambda: story(pop={"ctr": "1"})),
    ("pop-malformed", 6, lambda: story(pop={"ctr": -1})),
    ("pop-signature", 6, lambda: story(holder=OTHER)),
    ("pop-binding", 6, lambda: story(pop={"aud": "x"})),
    ("pop-binding", 6, lambda: story(pop={"gth": "x"})),
    ("pop-binding", 6, lambda: story(pop={"tool": "x"})),
    ("pop-malformed", 6, lambda: story(pop={"act_id": ACT.upper()})),
    ("pop-malformed", 6, lambda: story(pop={"exp": START + 9})),
    ("pop-malformed", 6, lambda: story(pop={"jti": ""})),
    ("pop-binding", 6, lambda: story(pop={"act_id": TXN})),
    ("pop-binding", 6, lambda: story(pop={"hta_s256": "x"})),
    ("pop-binding", 6, lambda: story(args=b'{"path":"/data/y"}')),
    ("pop-time", 6, lambda: story(pop={"iat": START + 41, "exp": START + 70})),
    ("pop-time", 6, lambda: story(pop={"exp": START + 10})),
    ("pop-replayed", 8, two_actions),
    ("pop-replayed", 8, lambda: counter_used_unseen()),
    ("decision-policy", 6, lambda: story(decision={16: "sha256:00"})),
    ("decision-policy", 5, lambda: story(policy=DROP)),
    ("outcome-open", 6, lambda: story(finish=False)),
    ("policy-digest", 2, lambda: story(policy={0: "sha256:00"}, decision={16: "sha256:00"})),
    ("policy-digest", 2, lambda: story(policy={1: [{"path": "a", "sha256": "00", "text": ""}]})),
    ("policy-digest", 2, lambda: story(**policy_of(FILES[::-1]))),
    ("policy-digest", 2, lambda: story(**policy_of(FILES[:1] * 2))),
    ("outcome-unbound", 7, lambda: story(causes=lambda s: [])),
    ("outcome-unbound", 7, lambda: story(causes=lambda s: s.log.leaves()[5:7])),
    ("outcome-unbound", 7, lambda: story(finished={0: "another"})),
    ("outcome-of-refusal", 7, lambda: story(decision={22: "deny"})),
    ("outcome-duplicate", 8, lambda: story(before_end=Scenario.add_finish)),
    ("result-digest", 7, lambda: story(finished={2: b'{"content": []}'})),
    ("result-digest", 7, lambda: story(finished={2: b'{"unknown":"not seen"}'})),
    ("subject", None, lambda: Scenario().log.bundle(_5={0: "action", 1: bytes(16)})),
    ("subject", None, lambda: Scenario().log.bundle(_5={0: "run", 1: b"\x05" * 16})),
    ("earlier", None, lambda: with_earlier(change=lambda proof: proof[:-1])),
    ("earlier", None, lambda: with_earlier(signer=OTHER)),
    ("earlier", None, lambda: Scenario().log.bundle(_6=[b"note", []])),
]

# What follows from a finding, where it is not alone: code → codes that may come with it.
ALSO = {
    "bundle-malformed": {"bundle-digest"},
    "log-key-missing": {"withheld"},
    "checkpoint-malformed": {"checkpoint-signature"},
    "checkpoint-signature": {"log-key-captured"},
    "chain-hole": {"manifest-mismatch", "outcome-unbound"},
    "log-id": {"chain-hole", "chain-prev"},
    "fields-malformed": {"withheld", "manifest-withheld"},
    "fields-root": {"withheld"},
    "field-json": {"withheld"},
    "cause-order": {"open-run", "chain-hole"},
    "pop-replayed": {"decision-withheld", "withheld"},
    "manifest-withheld": {"withheld"},
    "after-manifest": {"open-run"},
    "revocations-withheld": {"withheld"},
    "policy-withheld": {"withheld"},
    "delegation-digest": {"decision-delegation"},
    "delegation-malformed": {"decision-delegation", "delegation-time", "delegation-signature"},
    "issuer-key-missing": {"withheld"},
    "delegation-signature": {"decision-delegation"},
    "request-missing": {"withheld", "decision-delegation"},
    "request-malformed": {"decision-delegation"},
    "request-key": {"decision-delegation"},
    "request-signature": {"decision-delegation"},
    "request-binding": {"decision-delegation"},
    "decision-delegation": {"pop-binding", "open-run"},
    "decision-withheld": {"withheld"},
    "decision-time": {"withheld"},
    "scope-args-withheld": {"withheld"},
    "pop-missing": {"withheld"},
    "outcome-unbound": {"outcome-open"},
}


class Findings(unittest.TestCase):
    """One bundle for every way in which one can be wrong."""

    def test_good_bundles_verify(self):
        subject = {0: "action", 1: bytes.fromhex(ACT.replace("-", ""))}
        for name, data in {
            "plain": story(), "subject": Scenario().log.bundle(_5=subject),
            "run": Scenario().log.bundle(_5={0: "run", 1: RUN}),
            "unknown signature": with_checkpoint(signers=[UNKNOWN_LINE] * 99 + [LOG]),
            "closed late stream": late_stream(closed=True),
            "closed stream": story(before_end=side_stream),
            "second action": two_actions(pop={"ctr": 1}),
            "files in order": story(**policy_of(FILES)),
            "unknown and decoys": story(decision={1: None, **unknown(2), **unknown(3)}),
            "as large as can be": story(finished={11: b" " * (bundle.MAX_OPENED_BYTES - 1) + b"1"}),
            "limits": story(**granted({TOOL: {"path": {"constraint_type": "one_of", "values": [
                "/data/x", *range(255)]}}, **{f"s#{n}": {} for n in range(255)}})),
            "server row": story(token={"authorization_details": [{
                "type": "attenuating_agent_token", "tools": {SERVER + "#*": {}}}]}, request={
                    "authorization_details": [{"type": "attenuating_agent_token", "tools": {SERVER + "#*": {}}}]}),
            **GOOD,
            **{f"earlier {size}": with_earlier(size) for size in range(1, 10)},
        }.items():
            with self.subTest(name):
                report = check(data)
                self.assertEqual((found(report), report.verdict), (set(), "verified"))

    def test_every_case(self):
        for number, (code, index, make) in enumerate(CASES + AUTHORITY_CASES):
            with self.subTest(f"{number}: {code} at {index}"):
                made = make()
                report = check(*made) if isinstance(made, tuple) else check(made)
                codes = {name for name, _ in found(report)}
                self.assertIn((code, index), found(report))
                self.assertLessEqual(codes - {code}, ALSO.get(code, set()) | AUTHORITY_ALSO.get(code, set()))
                self.assertEqual(report.verdict, self.expected_verdict(codes))

    @staticmethod
    def expected_verdict(codes: set) -> str:
        if "bundle-malformed" in codes:
            return "unreadable"
        return "failed" if any(audit.SEVERITY[code] == "error" for code in codes) else "verified"

    def test_every_code_has_a_case(self):
        codes = {code for code, _, _ in CASES + AUTHORITY_CASES}
        self.assertEqual(codes | {"unwitnessed", "internal"}, set(audit.SEVERITY))

    def test_what_is_withheld_is_no_error(self):
        """Announcements that are not shown, and runs that are not over."""
        def announced(s: Scenario) -> None:
            s.announce(child=str(uuid.UUID(int=7)))

        hidden = Scenario(before_end=announced, after_end=Scenario.add_child_run, manifest={1: []})
        self.assertEqual(found(check(hidden.log.bundle(hide=[(8, 0)]))), {("withheld", 8)})
        still_open = Scenario(end=False, before_end=lambda s: s.add_child_run())
        self.assertEqual(found(check(still_open.log.bundle())), {("open-run", 7)})
        halted = Scenario(after_end=lambda s: s.resume({"t": "all"}, 1)).log.bundle(hide=[(9, 0), (9, 4)])
        self.assertEqual(found(check(halted)), {("withheld", 9), ("order-withheld", 9)})

    def test_unwitnessed_always_and_findings_sorted(self):
        report = check(Scenario(end=False).log.bundle(hide_all=[1, 4], leave_out=[0]))
        self.assertIn(("unwitnessed", None), {(f.code, f.index) for f in report.findings})
        self.assertEqual(report.findings, sorted(report.findings, key=audit.Finding.key))
        self.assertEqual(len(report.findings), len({(f.code, f.index) for f in report.findings}))


class Hostile(unittest.TestCase):
    """Whatever the bytes, there is a verdict, and never by the last resort."""

    def assert_survives(self, data: bytes) -> None:
        codes = {f.code for f in check(data, audit.Trust()).findings}
        self.assertNotIn("internal", codes)

    def test_mutated_bundles(self):
        chance = random.Random(7)
        base = story()[:-32]
        for _ in range(600):
            data = bytearray(base)
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(data))
                way = chance.randrange(3)
                if way == 0:
                    data[at] = chance.randrange(256)
                elif way == 1:
                    del data[at : at + chance.randint(1, 9)]
                else:
                    data[at:at] = chance.randbytes(chance.randint(1, 9))
            self.assert_survives(sealed(bytes(data)))

    def test_hostile_fields(self):
        """Values of every shape, committed to properly, in every field that a check reads."""
        values = [None, True, 0, -1, 1.5, "", "x", [], {}, [[]], [{}], {"unknown": "x"}, 2**60, ["a", 1], b"1e999",
                  b"9" * 300, {"a": {"b": []}}]
        parts = {"genesis": 1, "started": 2, "register": 11, "delegated": 3, "decision": 5, "finished": 6,
                 "manifest": 15, "policy": 10}
        for part, kind in parts.items():
            for field_id in bundle.FIELD_IDS[kind].values():
                for value in values:
                    self.assert_survives(story(**{part: {field_id: value}}))
        for value in values:
            for field_id in bundle.FIELD_IDS[3].values():
                self.assert_survives(story(mandate={}, mandate_entry={field_id: value}))
            self.assert_survives(story(before_decision=lambda s: self.hostile_orders(s, value)))

    @staticmethod
    def hostile_orders(s: Scenario, value) -> None:
        """Orders and announcements with this value in each field."""
        s.log.add(19, {0: value}, RUN)
        for field_id in bundle.FIELD_IDS[4].values():
            s.revoke("principal", {"iss": ISSUER, "sub": "ada"}, entry={field_id: value})
        for field_id in bundle.FIELD_IDS[20].values():
            s.halt({"t": "agent", "id": "h"}, entry={field_id: value})
            s.resume({"t": "all"}, 1, entry={field_id: value})

    def test_hostile_claims(self):
        values = [DROP, None, True, 0, -1, 1.5, "", [], {}, [[]], [{}], {"jwk": {}}, {"jwk": 1}, 2**60, [{"t": []}]]
        for part, names in {
            "token": ["v", "jti", "iss", "aud", "iat", "nbf", "exp", "cnf", "del_depth", "del_max_depth", "deeds",
                      "authorization_details", "deeds.prin", "deeds.src", "deeds.hld", "deeds.prin.kind",
                      "deeds.prin.sub", "deeds.apv", "deeds.why", "deeds.intent"],
            "request": ["v", "iss", "aud", "iat", "exp", "cnf", "del_max_depth", "authorization_details", "ttl",
                        "deeds", "deeds.mandate", "deeds.apv"],
            "mandate": ["v", "jti", "iss", "aud", "iat", "exp", "nbf", "del_max_depth", "deeds", "deeds.prin",
                        "deeds.hld", "deeds.root_ttl", "deeds.apv"],
            "child": ["v", "jti", "iss", "aud", "iat", "exp", "nbf", "cnf", "par_hash", "del_depth", "deeds",
                      "del_max_depth", "authorization_details", "deeds.hld", "deeds.apv", "deeds.handoff"],
            "order": ["jti", "iat", "k", "d", "eff", "act", "on", "deeds", "deeds.halt"],
            "pop": ["jti", "iat", "exp", "aud", "gth", "tool", "hta_s256", "act_id", "ctr"],
        }.items():
            for name in names:
                for value in values:
                    self.assert_survives(self.changed(part, {name: value}))

    @staticmethod
    def changed(part: str, changes: dict) -> bytes:
        """A story with these changes in one of its signed objects."""
        if part == "child":
            return story(children=[changes])
        if part != "order":
            return story(**{part: changes})

        def give(s: Scenario) -> None:
            s.revoke("delegation", s.digest, changes=changes)
            s.halt({"t": "all"}, changes=changes)
        return story(after_end=give)

    def test_hostile_scopes(self):
        """Constraints with members of every shape, where a chain compares and applies them."""
        values = [None, True, -1, 1.5, "", "x", [], {}, [[]], [{}], 2**60, ["a", 1], {"constraint_type": "all"}]
        names = ["value", "values", "excluded", "min", "max", "min_inclusive", "prefix", "path", "hosts", "required",
                 "allowed", "constraints", "optional", "constraint_type"]
        for name in names:
            for value in values:
                row = {"path": {"constraint_type": "all", "constraints": [{"constraint_type": "exact", name: value}]}}
                self.assert_survives(story(**granted({TOOL: row}), children=[{}]))
                self.assert_survives(story(**granted({TOOL: {"path": {"constraint_type": "exact", name: value}}})))

    def test_flips_do_not_verify(self):
        """A few offsets here; `verify.py --flip` does all."""
        base = Scenario().log.bundle(hide=[(1, 7), (6, 12)], _5={0: "run", 1: RUN})
        self.assertEqual(check(base).verdict, "verified")
        for offset in range(0, len(base) - 32, 7):
            content = flip(base, offset, 0x80 if offset % 2 else 1)[:-32]
            self.assertNotEqual(check(sealed(content)).verdict, "verified", offset)


class CommandLine(unittest.TestCase):
    """The command line, run in this process."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, data) -> str:
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    def run_main(self, *arguments) -> tuple:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            try:
                code = command.main(list(arguments))
            except SystemExit as stop:
                code = stop.code
        out.seek(0)
        return code, out.read()

    def test_exit_codes_and_json(self):
        good, bad = self.write("good.deeds", story()), self.write("bad.deeds", story(end=False, holder=OTHER))
        unreadable = self.write("none.deeds", b"")
        key = ("--log-key", LOG.vkey())
        self.assertEqual(self.run_main(*key, good)[0], 0)
        self.assertEqual(self.run_main(*key, good, bad)[0], 1)
        self.assertEqual(self.run_main(*key, unreadable, bad, good)[0], 2)
        self.assertEqual(self.run_main(str(self.folder / "absent"))[0], 2)
        code, out = self.run_main("--json", *key, bad, good)
        first, second = map(json.loads, out.splitlines())
        self.assertEqual([(f["severity"], f["code"], f["index"]) for f in first["findings"]], [
            ("note", "unwitnessed", None), ("error", "pop-signature", 6), ("note", "open-run", 7)])
        self.assertEqual((code, first["file"], first["verdict"], second["verdict"]), (1, bad, "failed", "verified"))

    def test_trust_file_and_wrong_use(self):
        good = self.write("good.deeds", story())
        trust = self.write("trust", f"log {LOG.vkey()}\nquorum none\n")
        code, out = self.run_main("--trust", trust, "--pin-key", PERSON.kid, good)
        self.assertEqual(code, 0)
        self.assertIn("verified-pinned", out)
        self.assertNotIn("log-key-captured", out)
        self.assertIn("verified-captured", self.run_main(good)[1])
        self.assertEqual(self.run_main("--trust", self.write("bad", "witness x\n"), good)[0], command.EXIT_USAGE)
        for arguments in [(), ("--no-such",), ("--log-key", "x", good), ("--pin-key", "x", good)]:
            self.assertEqual(self.run_main(*arguments)[0], command.EXIT_USAGE, arguments)

    def test_entries_of_a_policy(self):
        keys = command.parse_policy(f"# who\n\nlog {LOG.vkey()} https://log.example/\nquorum none\n")
        self.assertEqual([key.public for key in keys], [LOG.public])
        for text in ["witness w key", "quorum 2", f"log {LOG.vkey()[:-1]}A", "log", f"log {LOG.vkey()} a b"]:
            with self.assertRaises(encoding.Malformed, msg=text):
                command.parse_policy(text)

    def test_text_is_harmless_to_a_terminal(self):
        self.assertEqual(command.printable("a\x1b[2J\u202e\udc80"), "a\\u{1b}[2J\\u{202e}\\u{dc80}")

    def test_vectors(self):
        expect = {"verdict": "verified", "findings": [{"severity": "note", "code": "unwitnessed", "index": None}]}
        vector = {"description": "good", "trust": {"log_keys": [LOG.vkey()], "pin_keys": []}, "expect": expect}
        self.write("good.deeds", story())
        self.write("good.json", json.dumps(vector))
        self.assertEqual(self.run_main("--vectors", str(self.folder)), (0, "1 passed, 0 failed\n"))
        self.write("other.json", json.dumps(vector))
        self.write("other.deeds", story(end=False))
        self.write("alone.json", json.dumps(vector))
        code, out = self.run_main("--vectors", str(self.folder))
        self.assertEqual((code, out.splitlines()[-1]), (1, "1 passed, 2 failed"))

    def test_vectors_of_acts(self):
        scenario = Scenario(children=[{}])
        act = {"tool": TOOL, "args": '{"path": "/data/x"}', "act_id": ACT,
               "pop": json.loads(scenario.log.fields[scenario.decided][6])}
        vector = {"description": "good", "issuer": ISSUER, "tenant": "acme", "issuer_key": ISSUER_KEY.jwk,
                  "registered": [PERSON.kid], "at": START + 10, "chain": [token for _, token, _ in scenario.chain],
                  "revocations": [], "halts": [], "root_logged_at": START, "act": act,
                  "expect": {"allowed": True, "notes": []}}
        refused = {**vector, "revocations": [{"what": "lineage", "target": TXN, "eff": START + 10}],
                   "expect": {"allowed": False, "step": "revoked"}}
        (self.folder / "delegation").mkdir()
        self.write("delegation/good.json", json.dumps(vector))
        self.write("delegation/refused.json", json.dumps(refused))
        self.assertEqual(self.run_main("--vectors", str(self.folder)), (0, "2 passed, 0 failed\n"))
        self.write("delegation/wrong.json", json.dumps({**refused, "expect": vector["expect"]}))
        self.write("delegation/broken.json", "{}")
        code, out = self.run_main("--vectors", str(self.folder))
        self.assertEqual((code, out.splitlines()[-1]), (1, "2 passed, 2 failed"))

    def test_flip(self):
        log = Log()
        log.add(1, {})
        log.add(1, {2: LOG.vkey()})
        code, out = self.run_main("--flip", self.write("small.deeds", log.bundle()))
        self.assertEqual(code, 0, out)
        self.assertIn(" 0 accepted", out)
        self.assertEqual(self.run_main("--flip", self.write("bad.deeds", story(holder=OTHER)))[0], 1)


if __name__ == "__main__":
    unittest.main()
