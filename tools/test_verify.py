#!/usr/bin/env python3
"""Tests of verify.py: bundles built here with keys of their own, one case and more for every finding code.

    python3 -m unittest test_verify
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import io
import json
import random
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import verify as v

ORIGIN = "log.example/deeds"
ISSUER = "https://issuer.example"
SERVER = "mcp://files"
TOOL = SERVER + "#read"
RUN = bytes.fromhex("0190a000000070008000000000000001")
ACT = "0190a000-0000-7000-8000-0000000000aa"
TXN = "0190a000-0000-7000-8000-0000000000bb"
ASKED = "0190a000-0000-7000-8000-0000000000cc"
START = 1_700_000_000  # seconds; every time of the scenario counts from it
DROP = object()  # as a value: leave the member out


class Key:
    """A key pair made from a seed, so that bundles are the same every time."""

    def __init__(self, seed: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)

    @property
    def jwk(self) -> dict:
        return {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP", "x": b64url(self.public)}

    @property
    def kid(self) -> str:
        text = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % b64url(self.public)
        return b64url(hashlib.sha256(text.encode()).digest())

    def vkey(self, name: str = ORIGIN) -> str:
        blob = b"\x01" + self.public
        key_id = hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]
        return f"{name}+{key_id.hex()}+{base64.b64encode(blob).decode()}"


LOG, ISSUER_KEY, PERSON, HOLDER, OTHER = (Key(seed) for seed in range(1, 6))


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def cbor(value) -> bytes:
    """Deterministic CBOR of what the tests need."""
    if isinstance(value, int):
        return cbor_head(0, value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(map(cbor, value))
    pairs = sorted(value.items())
    return cbor_head(5, len(pairs)) + b"".join(cbor(key) + cbor(member) for key, member in pairs)


def cbor_head(major: int, number: int) -> bytes:
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def root_of(leaves: list) -> bytes:
    """RFC 6962 root over leaf hashes, written by its recursive definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path_to(index: int, leaves: list) -> list:
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if index < k:
        return path_to(index, leaves[:k]) + [root_of(leaves[k:])]
    return path_to(index - k, leaves[k:]) + [root_of(leaves[:k])]


def consistency(m: int, leaves: list, whole: bool = True) -> list:
    """RFC 6962 §2.1.2."""
    if m == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return consistency(m, leaves[:k], whole) + [root_of(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [root_of(leaves[:k])]


def signed_note(text: str, *signers) -> bytes:
    """A signed note; a signer is a key or a ready line."""
    lines = []
    for signer in signers:
        if isinstance(signer, Key):
            key_id = bytes.fromhex(signer.vkey().split("+")[1])
            blob = base64.b64encode(key_id + signer.sign(text.encode())).decode()
            signer = f"\u2014 {ORIGIN} {blob}"
        lines.append(signer + "\n")
    return (text + "\n" + "".join(lines)).encode()


def head_text(leaves: list, origin: str = ORIGIN) -> str:
    return f"{origin}\n{len(leaves)}\n{base64.b64encode(root_of(leaves)).decode()}\n"


def jws(key: Key, typ: str, claims, **header) -> str:
    head = {"alg": "Ed25519", "kid": key.kid, "typ": typ, **header}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signing_input = b64url(json.dumps(head).encode()) + "." + b64url(body)
    return signing_input + "." + b64url(key.sign(signing_input.encode()))


def token_digest(token: str) -> str:
    return b64url(hashlib.sha256(token.rsplit(".", 1)[0].encode()).digest())


def merged(base: dict, changes: dict) -> dict:
    """A copy with changes; a name may be a path like `deeds.prin`, and DROP removes."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, name = path.split(".") if isinstance(path, str) else [path]
        target = result
        for parent in parents:
            target = target[parent]
        if value is DROP:
            target.pop(name, None)
        else:
            target[name] = value
    return result


class Log:
    """A log in memory: appends entries with chains and commitments as §2 and §3 say."""

    def __init__(self) -> None:
        self.entries: list = []
        self.fields: list = []  # per entry: {id: value bytes}
        self.last: dict = {}  # (run, stream) → (seq, leaf)

    def make(self, kind, fields, run=bytes(16), stream=0, causes=(), observed_ms=START * 1000, **override):
        """One entry and its field values, not appended."""
        values = {i: x if isinstance(x, bytes) else json.dumps(x).encode()
                  for i, x in fields.items() if x is not DROP}
        seq, prev = self.last.get((run, stream), (-1, None))
        if prev is None:
            prev = leaf(self.entries[0]) if self.entries else bytes(32)
        commitments = [leaf(v.commitment(kind, i, (self.salt(i), values[i]))) for i in sorted(values)]
        number = len(self.entries)
        members = {0: 0, 1: kind, 2: number.to_bytes(16, "big"), 3: observed_ms, 4: run, 5: stream, 6: seq + 1,
                   7: prev, 9: 1, 10: sum(1 << i for i in values), 11: root_of(commitments), 12: 0}
        if causes:
            members[8] = list(causes)
        members.update({int(name[1:]): value for name, value in override.items()})
        return cbor(members), values

    @staticmethod
    def salt(field_id: int) -> bytes:
        return bytes([field_id]) * 16

    def append(self, entry: bytes, values: dict, run=bytes(16), stream=0, seq=None) -> int:
        before = self.last.get((run, stream), (-1, None))[0]
        self.last[(run, stream)] = (before + 1 if seq is None else seq, leaf(entry))
        self.entries.append(entry)
        self.fields.append(values)
        return len(self.entries) - 1

    def add(self, kind, fields, run=bytes(16), stream=0, **more) -> int:
        entry, values = self.make(kind, fields, run, stream, **more)
        return self.append(entry, values, run, stream, more.get("_6"))

    def leaves(self) -> list:
        return [leaf(entry) for entry in self.entries]

    def bundle(self, hide=(), hide_all=(), leave_out=(), note=None, items=None, **override) -> bytes:
        """A bundle of the whole log. `hide`: (index, field id) shown as commitments; `items`: changes items."""
        leaves = self.leaves()
        shown = []
        for index, entry in enumerate(self.entries):
            if index in leave_out:
                continue
            item = {0: index, 1: entry, 2: path_to(index, leaves)}
            if index not in hide_all:
                kind = v.decode_entry(entry).kind if self.fields[index] else 0
                item[3] = [self.show(kind, i, value, (index, i) in hide)
                           for i, value in sorted(self.fields[index].items())]
            shown.append(item)
        if items:
            items(shown)
        note = signed_note(head_text(leaves), LOG) if note is None else note
        members = {0: 0, 1: ORIGIN, 2: leaves[0], 3: note, 4: shown}
        members.update({int(name[1:]): value for name, value in override.items()})
        return sealed(cbor({key: value for key, value in members.items() if value is not DROP}))

    def show(self, kind: int, field_id: int, value: bytes, hidden: bool):
        pair = (self.salt(field_id), value)
        return v.commitment(kind, field_id, pair) if hidden else list(pair)


def sealed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


class Scenario:
    """A whole story: genesis, policy, a person's key, a run with one allowed action. Every part can be changed.

    Indices: 0 and 1 genesis, 2 policy, 3 key, 4 run-started, 5 delegated, 6 decided, 7 finished, 8 run-ended."""

    def __init__(self, **c) -> None:
        self.log = Log()
        self.c = c
        log = self.log
        log.add(1, {0: "retention-policy", 1: ORIGIN, 3: {}, 8: 0})
        log.add(1, merged({0: "trust-anchors", 1: ORIGIN, 2: LOG.vkey(), 4: ISSUER, 5: ISSUER_KEY.jwk, 6: "acme",
                           7: {"unknown": "none"}, 8: 0}, c.get("genesis", {})))
        self.add_policy()
        log.add(11, merged({0: "principal-registered", 1: self.principal(), 2: PERSON.jwk, 3: PERSON.kid},
                           c.get("register", {})))
        if "before_run" in c:
            c["before_run"](self)
        log.add(2, {0: TXN, 1: self.principal()}, RUN)
        self.add_delegation()
        if "before_decision" in c:
            c["before_decision"](self)
        self.add_decision()
        if c.get("finish", True):
            self.add_finish()
        if "before_end" in c:
            c["before_end"](self)
        if c.get("end", True):
            self.end_run()
        if "after_end" in c:
            c["after_end"](self)

    @staticmethod
    def principal() -> dict:
        return {"kind": "human", "iss": ISSUER, "sub": "ada", "key": PERSON.kid}

    @staticmethod
    def holder() -> dict:
        return {"id": "h", "inst": "1", "kind": "agent", "asr": "delegator-asserted", "key": HOLDER.kid}

    def add_policy(self) -> None:
        text = "permit(principal, action, resource);"
        files = [{"path": "a.cedar", "sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}]
        rows = '[{"path":"a.cedar","sha256":"%s"}]' % files[0]["sha256"]
        self.policy = "sha256:" + hashlib.sha256(rows.encode()).hexdigest()
        if self.c.get("policy") is not DROP:
            self.log.add(10, merged({0: self.policy, 1: files}, self.c.get("policy", {})))

    def add_delegation(self) -> None:
        c = self.c
        tools = {TOOL: {"path": {"constraint_type": "prefix", "prefix": "/data/"}}}
        details = [{"type": "attenuating_agent_token", "tools": tools}]
        request = merged({"v": 1, "jti": ASKED, "aud": ISSUER, "iat": START, "exp": START + 300,
                          "iss": "urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + PERSON.kid,
                          "cnf": {"jwk": HOLDER.jwk}, "del_max_depth": 2, "authorization_details": details,
                          "ttl": 3600, "deeds": {"tenant": "acme", "purpose": "p", "txn": TXN,
                                                 "hld": {"id": "h", "kind": "agent"}}},
                         c.get("request", {}))
        self.request = c.get("request_token") or jws(c.get("request_key", PERSON), "deeds-root-request+jwt", request)
        source = {"t": "key-request", "iss": "urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + PERSON.kid,
                  "kid": PERSON.kid, "jti": ASKED, "d": token_digest(self.request)}
        claims = merged({"v": 1, "jti": "0190a000-0000-7000-8000-000000000001", "iss": ISSUER, "aud": [ISSUER],
                         "iat": START, "nbf": START, "exp": START + 3600, "cnf": {"jwk": HOLDER.jwk},
                         "del_depth": 0, "del_max_depth": 2, "authorization_details": details,
                         "deeds": {"tenant": "acme", "txn": TXN, "purpose": "p", "prin": self.principal(),
                                   "hld": self.holder(), "src": [source]}}, c.get("token", {}))
        self.token = c.get("token_text") or jws(c.get("issuer", ISSUER_KEY), "deeds-delegation+jwt", claims,
                                                **c.get("token_header", {}))
        self.digest = token_digest(self.token)
        self.delegated = self.log.add(3, merged({0: self.token, 1: self.digest, 2: self.request},
                                                c.get("delegated", {})), c.get("delegated_run", RUN))

    def add_decision(self, **c) -> int:
        c = {**self.c, **c}
        args = c.get("args", b'{"path": "/data/x"}')
        self.args_digest = c.get("args_digest") or b64url(hashlib.sha256(b'{"path":"/data/x"}').digest())
        pop = merged({"jti": "p1", "iat": START + 10, "exp": START + 70, "aud": ISSUER, "gth": self.digest,
                      "tool": TOOL, "hta_s256": self.args_digest, "act_id": ACT, "ctr": 1}, c.get("pop", {}))
        pop_token = c.get("pop_text") or jws(c.get("holder", HOLDER), "deeds-pop+jwt", pop)
        fields = merged({0: ACT, 1: TXN, 2: self.principal(), 3: self.holder(), 5: self.digest, 6: pop_token,
                         7: (START + 10) * 1000, 9: TOOL, 12: args, 13: self.args_digest, 16: self.policy,
                         18: {"index": self.log_level()}, 22: "allow"}, c.get("decision", {}))
        self.decided = self.log.add(5, fields, RUN, observed_ms=(START + 11) * 1000)
        return self.decided

    def log_level(self) -> int:
        """The index of the last log-level entry."""
        last = self.log.last[(bytes(16), 0)][1]
        return self.log.leaves().index(last)

    def add_finish(self, **c) -> int:
        c = {**self.c, **c}
        result = b'{"content":[]}'
        fields = merged({0: ACT, 1: "ok", 2: result, 3: "sha256:" + hashlib.sha256(result).hexdigest()},
                        c.get("finished", {}))
        causes = c.get("causes", lambda s: [leaf(s.log.entries[s.decided])])(self)
        return self.log.add(6, fields, c.get("finish_run", RUN), causes=causes)

    def streams(self) -> list:
        """What a manifest added now must list."""
        chains = sorted((stream, seq, last) for (run, stream), (seq, last) in self.log.last.items() if run == RUN)
        return [{"stream": stream, "count": seq + 1, "last": last.hex()} for stream, seq, last in chains]

    def end_run(self) -> int:
        return self.log.add(15, merged({0: self.streams(), 3: "closed"}, self.c.get("manifest", {})), RUN)


def check(data: bytes, trust: v.Trust | None = None) -> v.Report:
    return v.verify(data, trust or v.Trust([v.parse_vkey(LOG.vkey())]))


def found(report: v.Report) -> set:
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
    ("bundle-malformed", None, lambda: bytes(v.MAX_BUNDLE_BYTES + 1)),
    ("bundle-malformed", None, lambda: sealed(story()[:-32] + b"\x00")),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_0=1)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_3=DROP)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_7=0)),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(_5={0: "log", 1: RUN})),
    ("bundle-malformed", None, lambda: Scenario().log.bundle(items=lambda items: items.reverse())),
    ("bundle-malformed", None, lambda: story(finished={11: b" " * v.MAX_OPENED_BYTES + b"1"})),
    ("bundle-digest", None, lambda: flip(story(), -1 % len(story()))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(head_text(Scenario().log.leaves()) + "extension\n")),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[UNKNOWN_LINE] * 100 + [LOG])),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[LOG, "- nobody AAAA"])),
    ("checkpoint-malformed", None, lambda: with_checkpoint(head_text(Scenario().log.leaves(), "other.example"))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(
        head_text(Scenario().log.leaves()).replace("\n9\n", f"\n{2**63}\n"))),
    ("checkpoint-malformed", None, lambda: with_checkpoint(signers=[UNKNOWN_LINE, LOG, "x" * v.MAX_NOTE_BYTES])),
    ("log-key-missing", None, lambda: (Scenario().log.bundle(hide=[(1, 2)]), v.Trust())),
    ("log-key-captured", None, lambda: (story(), v.Trust())),
    ("checkpoint-signature", None, lambda: with_checkpoint(signers=[OTHER])),
    ("checkpoint-signature", None, lambda: with_checkpoint(signers=[LOG, bad_line()])),
    ("checkpoint-signature", None, lambda: (story(), v.Trust([v.parse_vkey(OTHER.vkey())]))),
    ("checkpoint-signature", None, lambda: (story(genesis={2: LOG.vkey("another")}), v.Trust())),
    ("checkpoint-signature", None, lambda: (story(genesis={2: 7}), v.Trust())),
    ("log-key-missing", None, lambda: (story(genesis=unknown(2)), v.Trust())),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.add(14, {}, b"\x09" * 16, _12=b""))),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.add(14, {}, b"\x09" * 16, _8=[]))),
    ("entry-malformed", 9, lambda: story(after_end=lambda s: s.log.append(b"", {}, b"\x09" * 16))),
    ("entry-malformed", 9, lambda: long_entry(0)),
    ("entry-malformed", 9, lambda: long_entry(1)),
    ("entry-uninterpreted", 9, lambda: uninterpreted(4)),
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
    ("delegation-malformed", 5, lambda: story(token={"more": "x" * v.MAX_TOKEN_BYTES})),
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
    ("request-malformed", 5, lambda: story(request={"more": "x" * v.MAX_TOKEN_BYTES})),
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
        {"t": "key-request", "iss": v.KEY_URN + PERSON.kid, "kid": PERSON.kid, "jti": ACT,
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
            "second action": two_actions(pop={"ctr": 2}),
            "files in order": story(**policy_of(FILES)),
            "unknown and decoys": story(decision={1: None, **unknown(2), **unknown(3)}),
            "as large as can be": story(finished={11: b" " * (v.MAX_OPENED_BYTES - 1) + b"1"}),
            "limits": story(**granted({TOOL: {"path": {"constraint_type": "one_of", "values": [
                "/data/x", *range(255)]}}, **{f"s#{n}": {} for n in range(255)}})),
            "server row": story(token={"authorization_details": [{
                "type": "attenuating_agent_token", "tools": {SERVER + "#*": {}}}]}, request={
                    "authorization_details": [{"type": "attenuating_agent_token", "tools": {SERVER + "#*": {}}}]}),
            **{f"earlier {size}": with_earlier(size) for size in range(1, 10)},
        }.items():
            with self.subTest(name):
                report = check(data)
                self.assertEqual((found(report), report.verdict), (set(), "verified"))

    def test_every_case(self):
        for number, (code, index, make) in enumerate(CASES):
            with self.subTest(f"{number}: {code} at {index}"):
                made = make()
                report = check(*made) if isinstance(made, tuple) else check(made)
                codes = {name for name, _ in found(report)}
                self.assertIn((code, index), found(report))
                self.assertLessEqual(codes - {code}, ALSO.get(code, set()))
                self.assertEqual(report.verdict, self.expected_verdict(codes))

    @staticmethod
    def expected_verdict(codes: set) -> str:
        if "bundle-malformed" in codes:
            return "unreadable"
        return "failed" if any(v.SEVERITY[code] == "error" for code in codes) else "verified"

    def test_every_code_has_a_case(self):
        self.assertEqual({code for code, _, _ in CASES} | {"unwitnessed", "internal"}, set(v.SEVERITY))

    def test_unwitnessed_always_and_findings_sorted(self):
        report = check(Scenario(end=False).log.bundle(hide_all=[1, 4], leave_out=[0]))
        self.assertIn(("unwitnessed", None), {(f.code, f.index) for f in report.findings})
        self.assertEqual(report.findings, sorted(report.findings, key=v.Finding.key))
        self.assertEqual(len(report.findings), len({(f.code, f.index) for f in report.findings}))


class Leaves(unittest.TestCase):
    """The parts below the steps."""

    def test_numbers_as_ecmascript_writes_them(self):
        for number, text in [(1e21, "1e+21"), (1e20, "100000000000000000000"), (5e-324, "5e-324"), (-0.0, "0"),
                             (1e-6, "0.000001"), (1e-7, "1e-7"), (-1.5, "-1.5"), (1e23, "1e+23"), (10, "10"),
                             (333333333.33333329, "333333333.3333333"), (1.7976931348623157e308,
                              "1.7976931348623157e+308"), (1.23e-18, "1.23e-18"), (2**53, "9007199254740992")]:
            self.assertEqual(v.ecmascript_number(number), text)

    def test_names_sort_by_utf16(self):
        names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
        self.assertEqual(v.jcs({name: 1 for name in names}).decode(),
                         '{"\\r":1,"1":1,"\u0080":1,"\u00f6":1,"\u20ac":1,"\U0001f600":1,"\ufb33":1}')

    def test_loose_json_is_refused(self):
        for text in [b"\xef\xbb\xbf1", b"01", b"1.", b"+1", b"Infinity", b"-Infinity", b'"\x01"', b"", b"1 2",
                     b'{"a":1,"\\u0061":1}', b'["\\udc00"]', b'{"\\ud800":1}', "\uff11".encode(), b"[1,]", b"'a'"]:
            with self.assertRaises(v.Malformed, msg=text):
                v.parse_json(text)
        self.assertEqual(v.parse_json(b"[" * 64 + b"]" * 64) and v.parse_json(b'"\\ud83d\\ude00["'), "\U0001f600[")

    def test_base64_is_canonical(self):
        for text in ["YQ", "YR==", "YQ==\n", "Y Q==", "YQ=", "\u00e9"]:
            with self.assertRaises(v.Malformed, msg=text):
                v.b64_decode(text)
        for text in ["YR", "YQ==", "Y", "Y+8", "YQ\n"]:
            with self.assertRaises(v.Malformed, msg=text):
                v.b64url_decode(text)

    def test_cbor_is_deterministic(self):
        self.assertEqual(v.Reader(b"\x18\x18").uint(), 24)
        for data in [b"\x18\x17", b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
                     b"\x1c", b"\x1f", b"\x40", b"", b"\x18"]:
            with self.assertRaises(v.Malformed, msg=data):
                v.Reader(data).uint()
        readers = {0: v.Reader.uint, 1: v.Reader.uint}
        for data in [b"\xa2\x01\x00\x00\x00", b"\xa2\x00\x00\x00\x00", b"\xa1\x02\x00", b"\xbf\x00\x00\xff", b"\xa0"]:
            with self.assertRaises(v.Malformed, msg=data):
                v.Reader(data).members(readers, {0})

    def test_small_order_points_are_refused(self):
        """The y coordinates in the list are those of the points with 8·P = 0 and no others are needed."""
        p = v.FIELD_PRIME
        d = -121665 * pow(121666, p - 2, p) % p
        for y in v.SMALL_ORDER_Y:
            x2 = (y * y - 1) * pow(d * y * y + 1, p - 2, p) % p
            x = pow(x2, (p + 3) // 8, p)
            if (x * x - x2) % p:
                x = x * pow(2, (p - 1) // 4, p) % p
            self.assertEqual((x * x - x2) % p, 0)
            point = (x, y)
            for _ in range(3):
                point = self.double(point, d, p)
            self.assertEqual(point, (0, 1))
            self.assertFalse(v.point_acceptable(y.to_bytes(32, "little")))
            self.assertFalse(v.point_acceptable((y | 1 << 255).to_bytes(32, "little")))
        self.assertEqual(len(v.SMALL_ORDER_Y), 5)

    @staticmethod
    def double(point: tuple, d: int, p: int) -> tuple:
        x, y = point
        t = d * x * x * y * y
        return (2 * x * y * pow(1 + t, p - 2, p) % p, (y * y + x * x) * pow(1 - t, p - 2, p) % p)

    def test_signatures_are_strict(self):
        good = LOG.sign(b"m")
        self.assertTrue(v.signature_valid(LOG.public, b"m", good))
        larger_s = (int.from_bytes(good[32:], "little") + v.GROUP_ORDER).to_bytes(32, "little")
        identity = (1).to_bytes(32, "little")
        for public, signature in [(LOG.public, good[:32] + larger_s), (LOG.public, good[:-1]), (OTHER.public, good),
                                  (identity, identity + bytes(32)), (b"\xff" * 32, good),
                                  ((v.FIELD_PRIME + 1).to_bytes(32, "little"), identity + bytes(32))]:
            self.assertFalse(v.signature_valid(public, b"m", signature))

    def test_constraints(self):
        exact = {"constraint_type": "exact", "value": 1}
        words = {"constraint_type": "one_of", "values": ["ab", "ac"]}
        prefix = {"constraint_type": "prefix", "prefix": "a"}
        anything = {"constraint_type": "wildcard"}
        self.assertTrue(v.argument_allowed(exact, 1.0))
        self.assertFalse(v.argument_allowed(exact, True))
        self.assertFalse(v.arguments_allowed({"a": exact}, {"a": 1, "b": 1}))
        self.assertFalse(v.arguments_allowed({"a": exact}, {}))
        self.assertTrue(v.arguments_allowed({"a": {**exact, "optional": True}}, {}))
        for inner, outer, within in [
            (exact, anything, True), (anything, exact, False), (exact, exact, True), (words, prefix, True),
            (prefix, words, False), (prefix, {**prefix, "prefix": "ab"}, False),
            ({**prefix, "prefix": "ab"}, prefix, True), (words, {**words, "values": ["ab"]}, False),
            ({**exact, "value": "ab"}, words, True), ({**exact, "optional": True}, exact, False),
        ]:
            self.assertEqual(v.constraint_within(inner, outer), within)

    def test_tools_within(self):
        row = {"a": {"constraint_type": "wildcard"}}
        for inner, outer, within in [
            ({"s#a": row}, {"s#*": {}}, True), ({"s#*": {}}, {"s#a": {}}, False), ({"s#*": {}}, {"s#*": {}}, True),
            ({"s#a": {}}, {"s#*": {}, "s#a": row}, False), ({"s#a": row}, {"s#a": row}, True),
            ({"s#a": row}, {"t#*": {}}, False), ({}, {}, True), ({"sa": {}}, {"s#*": {}}, False),
        ]:
            self.assertEqual(v.tools_within(inner, outer), within)

    def test_entries_of_a_policy(self):
        keys = v.parse_policy(f"# who\n\nlog {LOG.vkey()} https://log.example/\nquorum none\n")
        self.assertEqual([key.public for key in keys], [LOG.public])
        for text in ["witness w key", "quorum 2", f"log {LOG.vkey()[:-1]}A", "log", f"log {LOG.vkey()} a b"]:
            with self.assertRaises(v.Malformed, msg=text):
                v.parse_policy(text)

    def test_merkle_proofs_of_every_size(self):
        leaves = [leaf(bytes([i])) for i in range(17)]
        for size in range(1, 18):
            tree = leaves[:size]
            for index in range(size):
                path = path_to(index, tree)
                self.assertEqual(v.inclusion_root(index, size, tree[index], path), root_of(tree))
                self.assertIsNone(v.inclusion_root(index, size, tree[index], path + [bytes(32)]))
            for old in range(1, size):
                proof = consistency(old, tree)
                self.assertTrue(v.consistent(old, root_of(tree[:old]), size, root_of(tree), proof))
                self.assertFalse(v.consistent(old, root_of(tree[:old]), size, root_of(tree), proof[:-1]))
        self.assertEqual(v.merkle_root([bytes([i]) for i in range(17)]), root_of(leaves))


class Hostile(unittest.TestCase):
    """Whatever the bytes, there is a verdict, and never by the last resort."""

    def assert_survives(self, data: bytes) -> None:
        codes = {f.code for f in check(data, v.Trust()).findings}
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
        parts = {"genesis": 1, "register": 11, "delegated": 3, "decision": 5, "finished": 6, "manifest": 15,
                 "policy": 10}
        for part, kind in parts.items():
            for field_id in v.FIELD_IDS[kind].values():
                for value in values:
                    self.assert_survives(story(**{part: {field_id: value}}))

    def test_hostile_claims(self):
        values = [DROP, None, True, 0, -1, 1.5, "", [], {}, [[]], [{}], {"jwk": {}}, {"jwk": 1}, 2**60, [{"t": []}]]
        for part, names in {
            "token": ["v", "jti", "iss", "aud", "iat", "nbf", "exp", "cnf", "del_depth", "del_max_depth", "deeds",
                      "authorization_details", "deeds.prin", "deeds.src", "deeds.hld", "deeds.prin.kind",
                      "deeds.prin.sub"],
            "request": ["v", "iss", "aud", "iat", "exp", "cnf", "del_max_depth", "authorization_details", "ttl",
                        "deeds"],
            "pop": ["jti", "iat", "exp", "aud", "gth", "tool", "hta_s256", "act_id", "ctr"],
        }.items():
            for name in names:
                for value in values:
                    self.assert_survives(story(**{part: {name: value}}))

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
                code = v.main(list(arguments))
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
        self.assertEqual(self.run_main("--trust", self.write("bad", "witness x\n"), good)[0], v.EXIT_USAGE)
        for arguments in [(), ("--no-such",), ("--log-key", "x", good), ("--pin-key", "x", good)]:
            self.assertEqual(self.run_main(*arguments)[0], v.EXIT_USAGE, arguments)

    def test_text_is_harmless_to_a_terminal(self):
        self.assertEqual(v.printable("a\x1b[2J\u202e\udc80"), "a\\u{1b}[2J\\u{202e}\\u{dc80}")

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
