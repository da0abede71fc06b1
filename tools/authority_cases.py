"""Cases for test_verify.py about chains, mandates, orders and child runs: the code, its index, and the bundle.

Indices of a story with one child: 5 root, 6 child, 7 decided, 8 finished, 9 run-ended. With a mandate: 4 the service's
key, 5 mandate, 6 run-started, 7 root, 8 decided, 9 finished, 10 run-ended."""

from __future__ import annotations

import hashlib

from builders import (
    ACT,
    CHILD_RUN,
    DROP,
    HOLDER,
    ISSUER,
    ISSUER_KEY,
    KEY_URN,
    OTHER,
    PERSON,
    SERVER,
    SERVICE,
    START,
    SUB,
    TOOL,
    TXN,
    Scenario,
    b64url,
    jws,
    token_digest,
)

SUB_RUN, OTHER_RUN = "0190a000-0000-7000-8000-000000000002", "0190a000-0000-7000-8000-0000000000ff"
ADA = {"iss": ISSUER, "sub": "ada"}
NIGHTLY = {"iss": ISSUER, "sub": "nightly"}
APPROVED = {"tools": ["s#x"], "m": 2, "by": ["ada", "eve"], "ttl": 600}
GLASS = {"deeds.purpose": "break-glass", "deeds.why": "fire"}
SOME, ELSE = (b64url(bytes([n]) * 32) for n in (1, 2))
SHA = "sha256:" + "0" * 64
EVERYBODY = {"t": "all"}


def story(**c) -> bytes:
    """The bundle of a changed scenario."""
    return Scenario(**c).log.bundle()


def child(*, also=None, **changes) -> bytes:
    """A story with one child with these changes; `also` changes the scenario."""
    return story(children=[changes], **(also or {}))


def tools(rows: dict) -> dict:
    """A change of the scope."""
    return {"authorization_details": [{"type": "attenuating_agent_token", "tools": rows}]}


def row(kind: str, **members) -> dict:
    """A change that allows the story's tool with one constraint on its argument."""
    return tools({TOOL: {"path": {"constraint_type": kind, **members}}})


def of_both(changes: dict) -> dict:
    """The same changes of the root and of its request."""
    return {"token": changes, "request": changes}


def approvals(**changes) -> dict:
    """A root that asks for approvals."""
    return of_both({"deeds.apv": {**APPROVED, **changes}})


def forged_child() -> str:
    """The child of a story, signed by another key under the name of the right one."""
    return jws(OTHER, "deeds-delegation+jwt", Scenario(children=[{}]).chain[1][0], kid=HOLDER.kid)


def forged_mandate() -> str:
    """The mandate of a story with a signature that is none."""
    return Scenario(mandate={}).mandate.rsplit(".", 1)[0] + "." + b64url(bytes(64))


def revoked(what: str, target=None, eff: int = START, **c) -> bytes:
    """A story in which this is revoked just before the decision; without a target it is the digest of the leaf."""
    return story(before_decision=lambda s: s.revoke(what, s.digest if target is None else target, eff), **c)


def halted(on: dict, *after, **c) -> bytes:
    """A story with a halt just before the decision, and what else happens then: functions of scenario and halt."""
    def stop(s: Scenario) -> None:
        index = s.halt(on)
        for happen in after:
            happen(s, index)
    return story(before_decision=stop, **c)


def ordered(add) -> bytes:
    """A story with an order at index 9, after its end."""
    return story(after_end=add)


def announced(child_run=None, manifest=None, hide=(), **announce) -> bytes:
    """A run that announces another, and that other one."""
    def announce_it(s: Scenario) -> None:
        s.announce(**announce)
    scenario = Scenario(before_end=announce_it, manifest=manifest or {}, after_end=child_run or (lambda s: None))
    return scenario.log.bundle(hide=hide)


def begin_otherwise(s: Scenario) -> None:
    """A child run whose first entry does not start it, and that starts and ends then."""
    s.log.add(9, {}, CHILD_RUN)
    s.log.add(15, {0: s.streams(CHILD_RUN)}, CHILD_RUN)


def long_chain() -> bytes:
    """A chain of more bytes than are allowed, of tokens that are short enough each."""
    deep = {"del_max_depth": 8}
    return story(token={**deep, "more": "x" * 3_000}, request=deep, children=[{"more": "x" * 11_000}] * 4)


def retire(s: Scenario) -> None:
    s.log.add(11, {0: "principal-retired", 1: s.principal(), 2: PERSON.jwk})


def order_of(kind: int, **fields) -> bytes:
    """An unsigned order with these fields."""
    return ordered(lambda s: s.log.add(kind, {int(name[1:]): value for name, value in fields.items()}))


def refused_count(pop: str) -> bytes:
    """A refusal with counter 1 between two acts with 0 and 2: it counts if its proof was signed by the holder."""
    def more(s: Scenario) -> None:
        s.add_decision(pop={"ctr": 1}, decision={22: "deny", 28: {"pop": pop}})
        s.add_decision(pop={"ctr": 2})
        s.add_finish()
    return story(before_end=more)


GOOD = {
    "child": child(),
    "grandchild": story(children=[{"del_max_depth": 2}, {"deeds.purpose": "less"}]),
    "narrower child": child(**row("exact", value="/data/x")),
    "vouched for as far as may be": child(**{"deeds.hld.asr": "attested", "also": {"decision": {3: {
        "id": "sub-2", "inst": "1", "kind": "agent", "asr": "delegator-asserted", "key": SUB.kid}}}}),
    "handed over": child(**{"deeds.handoff": SHA}),
    "child with approvals": child(**{"deeds.apv": {**APPROVED, "tools": ["s#y", "s#x"], "m": 3, "by": ["eve"],
                                                   "ttl": 1}, "also": approvals()}),
    "mandate": story(mandate={}),
    "mandate with approvals": story(mandate={"deeds.apv": APPROVED}, **approvals()),
    "child under a mandate": story(mandate={}, children=[{}]),
    "reason and intent": story(**of_both({"deeds.why": "w", "deeds.intent": SHA})),
    "not revoked yet": revoked("tenant", "acme", START + 11),
    "another revoked": revoked("delegation", SOME),
    "another task revoked": revoked("lineage", ACT),
    "another person revoked": revoked("principal", {"iss": ISSUER, "sub": "eve"}),
    "root logged before": revoked("issuer-key", ISSUER_KEY.kid, START + 1),
    "another issuer key": revoked("issuer-key", OTHER.kid),
    "halt of another": halted({"t": "agent", "id": "x"}),
    "halt lifted": halted(EVERYBODY, lambda s, index: s.resume(EVERYBODY, index)),
    "halt without signature": ordered(lambda s: s.halt(EVERYBODY, entry={4: None})),
    "revocation without signature": ordered(lambda s: s.revoke("delegation", SOME, entry={5: None})),
    "child run": announced(Scenario.add_child_run),
    "child run listed": announced(Scenario.add_child_run, manifest={1: [SUB_RUN]}),
    "child run that names no parent": announced(lambda s: s.add_child_run(parent=DROP)),
    "no child run listed": story(manifest={1: []}),
    "exact numbers": story(args=b'{"path":"/data/x","n":[1.0,1e2,0.10,-5]}', args_digest=b64url(hashlib.sha256(
        b'{"n":[1,100,0.1,-5],"path":"/data/x"}').digest()), **of_both(tools({TOOL: {}}))),
    "refusals count": refused_count("signed"),
    "refusals count, verified": refused_count("verified"),
}

AUTHORITY_CASES = [
    # links
    ("link-missing", 6, lambda: child(par_hash="x")),
    ("link-missing", 6, lambda: story(issuer=OTHER, children=[{}])),
    ("link-missing", 7, lambda: story(children=[{"del_max_depth": 3}, {}])),
    ("link-parent", 6, lambda: child(signer=OTHER)),
    ("delegation-signature", 6, lambda: child(token_text=forged_child())),
    ("link-depth", 6, lambda: child(del_depth=2)),
    ("link-depth", 6, lambda: child(del_max_depth=3)),
    ("link-time", 6, lambda: child(exp=START + 3601)),
    ("link-time", 6, lambda: child(iat=START - 1)),
    ("link-binding", 6, lambda: child(**{"deeds.tenant": "other"})),
    ("link-binding", 6, lambda: child(**{"deeds.txn": ACT})),
    ("link-binding", 6, lambda: child(aud=["https://other"])),
    ("link-binding", 6, lambda: child(**GLASS)),
    ("link-binding", 6, lambda: child(**{"deeds.purpose": "p", "also": of_both(GLASS)})),
    ("link-scope", 6, lambda: child(**row("wildcard"))),
    ("link-scope", 6, lambda: child(**row("exact", value="/date/x"))),
    ("link-scope", 6, lambda: child(**tools({SERVER + "#*": {}}))),
    ("link-approvals", 6, lambda: child(also=approvals())),
    ("link-approvals", 6, lambda: child(**{"deeds.apv": {**APPROVED, "m": 1}, "also": approvals()})),
    ("link-approvals", 6, lambda: child(**{"deeds.apv": {**APPROVED, "tools": ["s#*"]}, "also": approvals()})),
    ("link-approvals", 6, lambda: child(**{"deeds.apv": {**APPROVED, "by": ["ada", "x"]}, "also": approvals()})),
    ("link-approvals", 6, lambda: child(**{"deeds.apv": {**APPROVED, "ttl": 601}, "also": approvals()})),
    ("chain-repeated", 6, lambda: child(jti="0190a000-0000-7000-8000-000000000001")),
    ("chain-size", 9, long_chain),
    ("delegation-digest", 6, lambda: child(entry={1: "x"})),
    ("delegation-malformed", 6, lambda: child(iss=ISSUER)),
    ("delegation-malformed", 6, lambda: child(aud=[])),
    ("delegation-malformed", 6, lambda: child(nbf=START + 3601)),
    ("delegation-malformed", 6, lambda: child(del_depth=0)),
    ("delegation-malformed", 6, lambda: child(del_max_depth=0)),
    ("delegation-malformed", 6, lambda: child(del_max_depth=9)),
    ("delegation-malformed", 6, lambda: child(jti="1")),
    ("delegation-malformed", 6, lambda: child(**{"deeds.prin": Scenario.principal()})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.src": []})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.hld.key": HOLDER.kid})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.handoff": "text"})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.apv": {**APPROVED, "m": 17}})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.apv": {**APPROVED, "tools": ["s#x", "s#x"]}})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.apv": {**APPROVED, "by": []}})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.apv": None})),
    ("delegation-malformed", 6, lambda: child(**{"deeds.apv": {**APPROVED, "more": 1}})),
    # roots
    ("delegation-malformed", 5, lambda: story(**of_both({"deeds.purpose": "break-glass"}))),
    ("delegation-malformed", 5, lambda: story(token={**GLASS, "deeds.prin.kind": "service"}, request=GLASS)),
    ("delegation-malformed", 5, lambda: story(token={"deeds.src": []})),
    ("delegation-malformed", 5, lambda: story(**of_both({"deeds.intent": "x"}))),
    ("delegation-malformed", 7, lambda: story(mandate={}, token={"exp": START + 3_601}, request={"ttl": 4_000})),
    ("request-binding", 5, lambda: story(request={"deeds.why": "w"})),
    ("request-binding", 5, lambda: story(token={"deeds.why": "w"})),
    ("request-binding", 5, lambda: story(request={"deeds.intent": SHA})),
    ("request-binding", 5, lambda: story(request={"deeds.apv": APPROVED})),
    ("request-binding", 5, lambda: story(request={"deeds.mandate": "x"})),
    ("issuance-not-shown", 5, lambda: story(token={"iat": START - 61, "exp": START + 3_500}, request={
        "iat": START - 91, "exp": START})),
    # mandates
    ("mandate-malformed", 5, lambda: story(mandate={"aud": "https://other"})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.tenant": "other"})),
    ("mandate-malformed", 5, lambda: story(mandate={"iss": ISSUER})),
    ("mandate-malformed", 5, lambda: story(mandate={"exp": START + 3_023_001})),
    ("mandate-malformed", 5, lambda: story(mandate={"nbf": START + 100_001})),
    ("mandate-malformed", 5, lambda: story(mandate={"del_max_depth": 9})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.purpose": "break-glass"})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.prin.key": SERVICE.kid})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.prin.key": DROP})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.root_ttl": 0})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.root_ttl": 3_601})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.hld": []})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.hld": ["nightly"] * 65})),
    ("mandate-malformed", 5, lambda: story(mandate={"deeds.hld": ["nightly", "a\n"]})),
    ("mandate-malformed", 5, lambda: story(mandate={}, mandate_text=Scenario().token)),
    ("delegation-digest", 5, lambda: story(mandate={}, mandate_entry={1: "x"})),
    ("mandate-key", 5, lambda: story(mandate={"iss": KEY_URN + OTHER.kid, "deeds.prin.key": OTHER.kid},
                                     mandate_key=OTHER)),
    ("mandate-signature", 5, lambda: story(mandate={}, mandate_text=forged_mandate())),
    ("mandate-binding", 5, lambda: story(mandate={"deeds.prin.sub": "eve"})),
    ("mandate-binding", 5, lambda: story(mandate={"deeds.prin.kind": "agent"})),
    ("mandate-missing", 7, lambda: story(mandate={}, mandate_entry={0: None})),
    ("mandate-missing", 7, lambda: Scenario(mandate={}).log.bundle(hide=[(5, 0)])),
    ("mandate-missing", 7, lambda: story(mandate={}, mandate_run=b"\x09" * 16)),
    ("mandate-binding", 7, lambda: story(mandate={"deeds.root_ttl": 899})),
    ("mandate-binding", 7, lambda: story(mandate={"exp": START + 899})),
    ("mandate-binding", 7, lambda: story(mandate={"nbf": START + 31})),
    ("mandate-binding", 7, lambda: story(mandate={"del_max_depth": 1})),
    ("mandate-binding", 7, lambda: story(mandate={"deeds.purpose": "q"})),
    ("mandate-binding", 7, lambda: story(mandate={"deeds.hld": ["other"]})),
    ("mandate-binding", 7, lambda: story(mandate={"deeds.apv": APPROVED})),
    ("mandate-binding", 7, lambda: story(mandate=row("prefix", prefix="/data/y"))),
    ("mandate-binding", 7, lambda: story(mandate={}, token={"deeds.prin.sub": "eve"}, decision={
        2: {"iss": ISSUER, "sub": "eve"}})),
    ("mandate-binding", 7, lambda: story(mandate={}, token={"deeds.hld.id": "other"}, request={
        "deeds.hld.id": "other"})),
    ("mandate-binding", 7, lambda: story(mandate={}, register_service={1: {**NIGHTLY, "iss": "https://x"}})),
    ("mandate-binding", 8, lambda: story(mandate={}, before_run=retire)),
    ("principal-retired", 9, lambda: story(mandate={}, before_decision=retire)),
    ("request-binding", 7, lambda: story(mandate={}, request={"deeds.mandate": DROP})),
    ("request-key", 7, lambda: story(mandate={}, register_service={2: OTHER.jwk, 3: OTHER.kid})),
    # decisions
    ("decision-delegation", 7, lambda: child(run=CHILD_RUN, par_hash=token_digest(Scenario().token))),
    ("delegation-time", 7, lambda: child(nbf=START + 41)),
    ("delegation-time", 7, lambda: child(iat=START + 41)),
    ("delegation-time", 7, lambda: child(exp=START + 10)),
    ("decision-binding", 7, lambda: child(**{"deeds.hld.asr": "attested"})),
    ("decision-binding", 6, lambda: story(decision={3: {**Scenario.holder(), "asr": "attested"}})),
    ("decision-binding", 7, lambda: child(also={"decision": {3: Scenario.holder()}})),
    ("scope", 7, lambda: child(**row("exact", value="/data/y"))),
    ("scope", 6, lambda: story(args=b'{"path":0.1000000000000000055}', args_digest=b64url(
        hashlib.sha256(b'{"path":0.1}').digest()), **of_both(tools({TOOL: {}})))),
    ("scope", 6, lambda: story(args=b'{"path":-0}', args_digest=b64url(hashlib.sha256(b'{"path":0}').digest()),
                               **of_both(tools({TOOL: {}})))),
    ("scope-args-withheld", 7, lambda: Scenario(
        children=[row("exact", value=1)], **of_both(tools({TOOL: {}}))).log.bundle(hide=[(7, 12)])),
    ("approval", 6, lambda: story(**approvals(tools=[TOOL]))),
    ("approval", 7, lambda: child(**{"deeds.apv": {**APPROVED, "tools": [SERVER + "#*"]}})),
    ("key-reused", 7, lambda: child(key=HOLDER)),
    ("break-glass", 6, lambda: story(**of_both(GLASS))),
    ("break-glass", 7, lambda: child(also=of_both(GLASS))),
    ("pop-signature", 7, lambda: child(also={"holder": HOLDER})),
    ("pop-binding", 7, lambda: child(also={"pop": {"gth": token_digest(Scenario().token)}})),
    ("counter-hole", 8, lambda: story(pop={"ctr": 1})),
    ("counter-hole", 11, lambda: refused_count("not-accepted")),
    # revocations and halts
    ("revoked", 7, lambda: revoked("delegation")),
    ("revoked", 8, lambda: revoked("delegation", token_digest(Scenario().token), children=[{}])),
    ("revoked", 9, lambda: revoked("delegation", token_digest(Scenario(mandate={}).mandate), mandate={})),
    ("revoked", 7, lambda: revoked("lineage", TXN)),
    ("revoked", 7, lambda: revoked("holder-key", HOLDER.kid)),
    ("revoked", 8, lambda: revoked("holder-key", HOLDER.kid, children=[{}])),
    ("revoked", 7, lambda: revoked("principal", ADA)),
    ("revoked", 9, lambda: revoked("principal", ADA, mandate={})),
    ("revoked", 9, lambda: revoked("principal", NIGHTLY, mandate={})),
    ("revoked", 7, lambda: revoked("issuer-key", ISSUER_KEY.kid)),
    ("revoked", 7, lambda: revoked("tenant", "acme", START + 10)),
    ("in-doubt", 6, lambda: story(after_end=lambda s: s.revoke("delegation", s.digest))),
    ("halted", 7, lambda: halted(EVERYBODY)),
    ("halted", 7, lambda: halted({"t": "agent", "id": "h"})),
    ("halted", 8, lambda: halted({"t": "agent", "id": "h"}, children=[{}])),
    ("halted", 7, lambda: halted({"t": "principal", **ADA})),
    ("halted", 8, lambda: halted(EVERYBODY, lambda s, index: s.resume(EVERYBODY, index - 1))),
    ("halted", 9, lambda: halted(EVERYBODY, lambda s, _: s.halt(EVERYBODY), lambda s, _: s.resume(EVERYBODY, 7))),
    # orders
    ("order-withheld", 9, lambda: order_of(4, _1=SOME, _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="else", _1=SOME, _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="delegation", _1=SOME, _2=-1)),
    ("order-withheld", 9, lambda: order_of(4, _0="principal", _1=SOME, _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="delegation", _1=SOME[:-1], _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="delegation", _1=SOME + "AAAA", _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="issuer-key", _1=TXN, _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="lineage", _1=TXN.upper(), _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="tenant", _1="", _2=START)),
    ("order-withheld", 9, lambda: order_of(4, _0="principal", _1={**ADA, "kind": "human"}, _2=START)),
    ("order-withheld", 9, lambda: order_of(20, _0="paused", _1=EVERYBODY)),
    ("order-withheld", 9, lambda: order_of(20, _0="halted", _1={"t": "all", "id": "x"})),
    ("order-withheld", 9, lambda: order_of(20, _0="halted")),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, token="x"))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"d": "x"}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"aud": "x"}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"deeds.tenant": "x"}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"exp": START + 301}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"why": ""}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, changes={"act": "stop"}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, changes={"deeds.halt": 1}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.resume(EVERYBODY, 1, changes={"deeds.halt": DROP}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, changes={"on": {"t": "none"}}))),
    ("order-malformed", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, token=s.token))),
    ("order-key", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, key=OTHER))),
    ("order-key", 10, lambda: ordered(lambda s: (retire(s), s.halt(EVERYBODY)))),
    ("order-signature", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, token=forged_halt(s)))),
    ("order-binding", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"k": "holder-key"}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"d": ELSE}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.revoke("delegation", SOME, changes={"eff": START - 1}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, changes={"on": {"t": "agent", "id": "x"}}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, entry={0: "resumed"}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.halt(EVERYBODY, entry={6: 1}))),
    ("order-binding", 9, lambda: ordered(lambda s: s.resume(EVERYBODY, 1, changes={"deeds.halt": 2}))),
    ("order-unsigned", 9, lambda: ordered(lambda s: s.resume(EVERYBODY, 1, entry={4: None}))),
    ("order-unsigned", 9, lambda: ordered(lambda s: s.resume(EVERYBODY, 1, entry={4: DROP}))),
    # child runs
    ("child-not-shown", 8, announced),
    ("child-not-shown", 8, lambda: announced(child=7)),
    ("child-mismatch", 8, lambda: announced(lambda s: s.add_child_run(parent=OTHER_RUN))),
    ("child-mismatch", 8, lambda: announced(begin_otherwise)),
    ("child-unannounced", 9, lambda: story(after_end=Scenario.add_child_run)),
    ("child-unannounced", 10, lambda: announced(Scenario.add_child_run, child=OTHER_RUN)),
    ("manifest-mismatch", 9, lambda: announced(Scenario.add_child_run, manifest={1: []})),
    ("manifest-mismatch", 8, lambda: story(manifest={1: [OTHER_RUN]})),
    ("manifest-mismatch", 8, lambda: story(manifest={1: {}})),
]


def forged_halt(s: Scenario) -> str:
    """A halt signed by another key under the name of the person's."""
    claims = {"v": 1, "jti": ACT, "iss": KEY_URN + PERSON.kid, "aud": ISSUER, "iat": START, "exp": START + 300,
              "why": "because", "act": "halt", "on": EVERYBODY, "deeds": {"tenant": "acme"}}
    return jws(OTHER, "deeds-halt+jwt", claims, kid=PERSON.kid)


# What follows from a finding, where it is not alone: code → codes that may come with it.
NOT_SOUND = {"decision-delegation"}
AUTHORITY_ALSO = {
    "link-missing": NOT_SOUND | {"delegation-signature", "link-depth"},
    **{code: NOT_SOUND for code in ("link-parent", "delegation-signature", "link-depth", "link-time", "link-binding",
                                    "link-scope", "link-approvals", "chain-repeated", "chain-size")},
    "delegation-digest": {"mandate-missing", "link-missing"},
    "delegation-malformed": {"link-missing"},
    **{code: NOT_SOUND | {"mandate-missing"} for code in ("mandate-malformed", "mandate-key", "mandate-signature")},
    "mandate-binding": NOT_SOUND | {"mandate-missing"},
    "mandate-missing": NOT_SOUND | {"withheld", "delegation-malformed", "open-run"},
    "decision-delegation": {"link-missing", "open-run"},
    "order-binding": {"halted"},
    "child-not-shown": set(),
    "child-unannounced": {"child-not-shown"},
}
