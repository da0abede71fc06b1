"""Builds logs and bundles for the tests of verify.py, with keys of its own and the same bytes every time."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deeds_verify import bundle as bundles

ORIGIN = "log.example/deeds"
ISSUER = "https://issuer.example"
SERVER = "mcp://files"
TOOL = SERVER + "#read"
RUN, CHILD_RUN = (bytes.fromhex(f"0190a00000007000800000000000000{n}") for n in (1, 2))
ACT = "0190a000-0000-7000-8000-0000000000aa"
TXN = "0190a000-0000-7000-8000-0000000000bb"
ASKED = "0190a000-0000-7000-8000-0000000000cc"
MANDATED = "0190a000-0000-7000-8000-0000000000dd"
ORDERED = "0190a000-0000-7000-8000-0000000000ee"
KEY_URN = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"
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


LOG, ISSUER_KEY, PERSON, HOLDER, OTHER, SUB, SUBSUB, SERVICE = (Key(seed) for seed in range(1, 9))


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
        commitments = [leaf(bundles.commitment(kind, i, (self.salt(i), values[i]))) for i in sorted(values)]
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
                kind = bundles.decode_entry(entry).kind if self.fields[index] else 0
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
        return bundles.commitment(kind, field_id, pair) if hidden else list(pair)


def sealed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def key_source(kind: str, key: Key, jti: str, token: str) -> dict:
    """How `src` names a signed object."""
    return {"t": kind, "iss": KEY_URN + key.kid, "kid": key.kid, "jti": jti, "d": token_digest(token)}


class Scenario:
    """A whole story: genesis, policy, a person's key, a run with one allowed action. Every part can be changed.

    Indices: 0 and 1 genesis, 2 policy, 3 key, 4 run-started, 5 delegated, 6 decided, 7 finished, 8 run-ended. Each of
    `children` adds an entry after 5; `mandate` adds two after 3: a service's key and the mandate."""

    def __init__(self, **c) -> None:
        self.log = Log()
        self.c = c
        self.chain: list = []  # (claims, token, the key it is bound to) of each link
        log = self.log
        log.add(1, {0: "retention-policy", 1: ORIGIN, 3: {}, 8: 0})
        log.add(1, merged({0: "trust-anchors", 1: ORIGIN, 2: LOG.vkey(), 4: ISSUER, 5: ISSUER_KEY.jwk, 6: "acme",
                           7: {"unknown": "none"}, 8: 0}, c.get("genesis", {})))
        self.add_policy()
        log.add(11, merged({0: "principal-registered", 1: self.principal(), 2: PERSON.jwk, 3: PERSON.kid},
                           c.get("register", {})))
        if "mandate" in c:
            self.add_mandate()
        self.hook("before_run")
        log.add(2, merged({0: TXN, 1: self.principal()}, c.get("started", {})), RUN)
        self.add_root()
        for number, child in enumerate(c.get("children", [])):
            self.add_child(**{"key": (SUB, SUBSUB, OTHER)[number % 3], **child})
        self.hook("before_decision")
        self.add_decision()
        if c.get("finish", True):
            self.add_finish()
        self.hook("before_end")
        if c.get("end", True):
            self.end_run()
        self.hook("after_end")

    def hook(self, name: str) -> None:
        """What a test wants to add at this point."""
        self.c.get(name, lambda scenario: None)(self)

    @staticmethod
    def principal() -> dict:
        return {"kind": "human", "iss": ISSUER, "sub": "ada", "key": PERSON.kid}

    @staticmethod
    def service() -> dict:
        return {"kind": "service", "iss": ISSUER, "sub": "nightly", "key": SERVICE.kid}

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

    def details(self) -> list:
        """The scope that the story is about."""
        tools = {TOOL: {"path": {"constraint_type": "prefix", "prefix": "/data/"}}}
        return [{"type": "attenuating_agent_token", "tools": tools}]

    def add_mandate(self) -> None:
        """A standing authority of the person for a service, and the service's key."""
        c = self.c
        self.log.add(11, merged({0: "principal-registered", 1: self.service(), 2: SERVICE.jwk, 3: SERVICE.kid},
                                c.get("register_service", {})))
        claims = merged({"v": 1, "jti": MANDATED, "iss": KEY_URN + PERSON.kid, "aud": ISSUER, "iat": START - 1000,
                         "nbf": START - 1000, "exp": START + 100_000, "del_max_depth": 2,
                         "authorization_details": self.details(),
                         "deeds": {"tenant": "acme", "prin": self.principal(), "purpose": "p",
                                   "hld": ["nightly", "other"], "root_ttl": 900}}, c["mandate"])
        self.mandate = c.get("mandate_text") or jws(c.get("mandate_key", PERSON), "deeds-mandate+jwt", claims)
        self.mandated = self.log.add(3, merged({0: self.mandate, 1: token_digest(self.mandate)},
                                               c.get("mandate_entry", {})), c.get("mandate_run", bytes(16)))

    def add_root(self) -> None:
        c = self.c
        request, claims, key = self.root_claims()
        request = merged(request, c.get("request", {}))
        self.request = c.get("request_token") or jws(c.get("request_key", key), "deeds-root-request+jwt", request)
        claims["deeds"]["src"].append(key_source("key-request", key, ASKED, self.request))
        claims = merged(claims, c.get("token", {}))
        self.token = c.get("token_text") or jws(c.get("issuer", ISSUER_KEY), "deeds-delegation+jwt", claims,
                                                **c.get("token_header", {}))
        self.chain.append((claims, self.token, HOLDER))
        self.delegated = self.log.add(3, merged({0: self.token, 1: self.digest, 2: self.request},
                                                c.get("delegated", {})), c.get("delegated_run", RUN))

    def root_claims(self) -> tuple:
        """Request and root as they are without changes, `src` still without its key-request, and who asks."""
        request = {"v": 1, "jti": ASKED, "aud": ISSUER, "iat": START, "exp": START + 300,
                   "iss": KEY_URN + PERSON.kid, "cnf": {"jwk": HOLDER.jwk}, "del_max_depth": 2,
                   "authorization_details": self.details(), "ttl": 3600,
                   "deeds": {"tenant": "acme", "purpose": "p", "txn": TXN, "hld": {"id": "h", "kind": "agent"}}}
        root = {"v": 1, "jti": "0190a000-0000-7000-8000-000000000001", "iss": ISSUER, "aud": [ISSUER],
                "iat": START, "nbf": START, "exp": START + 3600, "cnf": {"jwk": HOLDER.jwk},
                "del_depth": 0, "del_max_depth": 2, "authorization_details": self.details(),
                "deeds": {"tenant": "acme", "txn": TXN, "purpose": "p", "prin": self.principal(),
                          "hld": self.holder(), "src": []}}
        if "mandate" not in self.c:
            return request, root, PERSON
        request = merged(request, {"iss": KEY_URN + SERVICE.kid, "ttl": 900,
                                   "deeds.hld": {"id": "nightly", "kind": "service"},
                                   "deeds.mandate": token_digest(self.mandate)})
        root = merged(root, {"exp": START + 900, "deeds.hld.id": "nightly", "deeds.hld.kind": "service",
                             "deeds.src": [key_source("mandate", PERSON, MANDATED, self.mandate)]})
        return request, root, SERVICE

    def add_child(self, key: Key, *, signer=None, token_text=None, entry=None, run=RUN, **changes) -> int:
        """A link below the last one, bound to `key`; `changes` of its claims may name a path as in `merged`."""
        above, token, holder = self.chain[-1]
        signer = signer or holder
        number = len(self.chain) + 1
        claims = merged({"v": 1, "jti": f"0190a000-0000-7000-8000-00000000000{number}", "iss": KEY_URN + signer.kid,
                         "aud": above["aud"], "iat": above["iat"] + 1, "nbf": above["iat"] + 1, "exp": above["exp"],
                         "cnf": {"jwk": key.jwk}, "par_hash": token_digest(token),
                         "del_depth": above["del_depth"] + 1, "del_max_depth": above["del_max_depth"],
                         "authorization_details": above["authorization_details"],
                         "deeds": {"tenant": "acme", "txn": TXN, "purpose": above["deeds"]["purpose"],
                                   "hld": {"id": f"sub-{number}", "inst": "1", "kind": "agent",
                                           "asr": "delegator-asserted", "key": key.kid}}}, changes)
        child = token_text or jws(signer, "deeds-delegation+jwt", claims)
        self.chain.append((claims, child, key))
        return self.log.add(3, merged({0: child, 1: token_digest(child)}, entry or {}), run)

    @property
    def digest(self) -> str:
        """The token digest of the leaf."""
        return token_digest(self.chain[-1][1])

    def add_decision(self, **c) -> int:
        c = {**self.c, **c}
        args = c.get("args", b'{"path": "/data/x"}')
        self.args_digest = c.get("args_digest") or b64url(hashlib.sha256(b'{"path":"/data/x"}').digest())
        claims, _, key = self.chain[-1]
        pop = merged({"jti": "p1", "iat": START + 10, "exp": START + 70, "aud": ISSUER, "gth": self.digest,
                      "tool": TOOL, "hta_s256": self.args_digest, "act_id": ACT, "ctr": 0}, c.get("pop", {}))
        pop_token = c.get("pop_text") or jws(c.get("holder", key), "deeds-pop+jwt", pop)
        deeds = claims.get("deeds")
        holder = deeds.get("hld") if isinstance(deeds, dict) else None
        fields = merged({0: ACT, 1: TXN, 2: self.principal(), 3: holder, 5: self.digest,
                         6: pop_token, 7: (START + 10) * 1000, 9: TOOL, 12: args, 13: self.args_digest,
                         16: self.policy, 18: {"index": self.log_level()}, 22: "allow",
                         28: {"type": "local-key", "pop": "verified"}}, c.get("decision", {}))
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

    def streams(self, of: bytes = RUN) -> list:
        """What a manifest added now must list."""
        chains = sorted((stream, seq, last) for (run, stream), (seq, last) in self.log.last.items() if run == of)
        return [{"stream": stream, "count": seq + 1, "last": last.hex()} for stream, seq, last in chains]

    def end_run(self, run: bytes = RUN) -> int:
        return self.log.add(15, merged({0: self.streams(run), 3: "closed"}, self.c.get("manifest", {})), run)

    def add_child_run(self, parent=None, end: bool = True, **more) -> None:
        """A run that names RUN as its parent and ends."""
        parent = str(uuid.UUID(bytes=RUN)) if parent is None else parent
        self.log.add(2, {0: TXN, 9: parent, **more}, CHILD_RUN)
        if end:
            self.log.add(15, {0: self.streams(CHILD_RUN)}, CHILD_RUN)

    def announce(self, child=None, run: bytes = RUN) -> int:
        """The entry by which a run announces another."""
        return self.log.add(19, {0: str(uuid.UUID(bytes=CHILD_RUN)) if child is None else child}, run)

    def order(self, kind: int, fields: dict, claims: dict, *, key=PERSON, changes=None, entry=None, token=None) -> int:
        """A signed order and its entry, of kind 4 a revocation, of kind 20 a halt or resume.

        `changes` are of the signed claims, `entry` of the fields."""
        deeds = {"tenant": "acme", **claims.pop("deeds", {})}
        claims = merged({"v": 1, "jti": ORDERED, "iss": KEY_URN + key.kid, "aud": ISSUER, "iat": START,
                         "exp": START + 300, "why": "because", "deeds": deeds, **claims}, changes or {})
        typ = "deeds-revocation+jwt" if kind == 4 else "deeds-halt+jwt"
        token = jws(key, typ, claims) if token is None else token
        return self.log.add(kind, merged({**fields, 3 if kind == 4 else 2: "because", 5 if kind == 4 else 4: token},
                                         entry or {}))

    def revoke(self, what: str, target, eff: int = START, **more) -> int:
        """A revocation."""
        return self.order(4, {0: what, 1: target, 2: eff}, {"k": what, "d": target, "eff": eff}, **more)

    def halt(self, on: dict, **more) -> int:
        """A halt."""
        return self.order(20, {0: "halted", 1: on}, {"act": "halt", "on": on}, **more)

    def resume(self, on: dict, halted: int, **more) -> int:
        """The end of a halt."""
        return self.order(20, {0: "resumed", 1: on, 6: halted},
                          {"act": "resume", "on": on, "deeds": {"halt": halted}}, **more)
