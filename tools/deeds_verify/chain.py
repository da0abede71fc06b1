"""Chains of delegations and acts under them, without a log: *Chain*, *An act under a chain*, *Revocation* and *Halt*
in §6 of docs/format.md.

A chain is a tuple of links, root first. Problems come as pairs (code, text), in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deeds_verify.encoding import Malformed, b64url, jcs, numbers_exact, parse_json, sha256
from deeds_verify.keys import parse_jwk, thumbprint
from deeds_verify.scope import arguments_allowed, row_for, tools_within
from deeds_verify.tokens import (
    BREAK_GLASS,
    DELEGATION,
    LEEWAY,
    Link,
    Pop,
    approvals_name,
    approvals_within,
    is_target,
    parse_jws,
    parse_link,
    parse_pop,
)

MAX_LINKS = 9
MAX_CHAIN_BYTES = 65_536


class Refused(Exception):
    """The first check that failed, by its code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


# ---------------------------------------------------------------- the chain


@dataclass(frozen=True)
class Anchor:
    """What a root rests on: the issuer and tenant of the log, and the issuer's key (any JSON value, read when used)."""

    issuer: str
    tenant: str
    issuer_key: object


def size_problems(sizes: list[int]) -> Iterator[tuple[str, str]]:
    """Step 1: count and size."""
    if not 1 <= len(sizes) <= MAX_LINKS or sum(sizes) > MAX_CHAIN_BYTES:
        yield "chain-size", f"a chain of {len(sizes)} tokens with {sum(sizes)} bytes"


def child_problems(chain: tuple, link: Link) -> Iterator[tuple[str, str]]:
    """Step 3: a child against its parent, the last link of `chain`."""
    parent = chain[-1]
    bound = link.jws.kid == thumbprint(parent.key)
    if link.parent != parent.jws.digest or not bound:
        yield "link-parent", "it is not signed by the holder of the link above"
    elif not link.jws.signed_by(parent.key):
        yield "delegation-signature", "the signature is not by the key of the link above"
    if link.depth != parent.depth + 1 or link.max_depth > parent.max_depth:
        yield "link-depth", "its depth is not one more, or it may go deeper than the link above"
    if link.exp > parent.exp or link.iat < parent.iat:
        yield "link-time", "it ends after the link above, or was made before it"
    glass = {link.purpose == BREAK_GLASS, parent.purpose == BREAK_GLASS}
    if (link.tenant, link.txn, link.audience) != (parent.tenant, parent.txn, parent.audience) or len(glass) > 1:
        yield "link-binding", "it is of another tenant, task, audience or kind of purpose"
    if not tools_within(link.tools, parent.tools):
        yield "link-scope", "its tools are not within those of the link above"
    if not approvals_within(link.approvals, parent.approvals):
        yield "link-approvals", "it asks for fewer approvals than the link above"


def repeat_problems(chain: tuple, link: Link) -> Iterator[tuple[str, str]]:
    """Step 4: no link stands twice."""
    if any(link.jti == above.jti or link.jws.digest == above.jws.digest for above in chain):
        yield "chain-repeated", "its id or digest is that of a link above"


def check_genesis(link: Link, issuer: object, tenant: object) -> None:
    """Step 2, the root's rules with the genesis; what is None is not known."""
    for name, stated, known in (("issuer", link.iss, issuer), ("tenant", link.tenant, tenant)):
        if known not in (None, stated):
            raise Malformed(f"it is not of the {name} that the log states")


def issued_by(link: Link, issuer_key: object) -> bool:
    """Step 2: the issuer's signature; an unusable key has signed nothing."""
    try:
        return link.jws.signed_by(parse_jwk(issuer_key))
    except Malformed:
        return False


def check_chain(tokens: list, anchor: Anchor) -> tuple:
    """§6 *Chain*: the links, or `Refused` with the first code that applies to the first link that fails."""
    sizes = [len(token.encode()) for token in tokens]
    for code, text in size_problems(sizes):
        raise Refused(code, text)
    chain: tuple = ()
    for token in tokens:
        try:
            link = parse_link(parse_jws(token, DELEGATION))
            if link.is_root != (not chain):
                raise Malformed("the first link alone is a root")
            if link.is_root:
                check_genesis(link, anchor.issuer, anchor.tenant)
        except Malformed as error:
            raise Refused("delegation-malformed", str(error)) from error
        if link.is_root and not issued_by(link, anchor.issuer_key):
            raise Refused("delegation-signature", "the root is not signed by the issuer's key")
        problems = [] if link.is_root else [*child_problems(chain, link), *repeat_problems(chain, link)]
        for code, text in problems:
            raise Refused(code, text)
        chain = (*chain, link)
    return chain


def shares_key(chain: tuple) -> bool:
    """Whether two links are bound to one key."""
    return len({link.key for link in chain}) < len(chain)


# ---------------------------------------------------------------- revocations and halts


def revoked_mark(what: object, target: object) -> tuple | None:
    """What a revocation is looked up by: see `chain_marks`. None for what is not of the form that §6 gives."""
    if not is_target(what, target):
        return None
    return (what, target["iss"], target["sub"]) if what == "principal" else (what, target)


def chain_marks(chain: tuple, owners: list) -> set:
    """The marks of all the revocations that fit a chain (of the issuer's key: if the log had not recorded the root).

    `owners` are the principals whose keys signed what the root rests on."""
    root = chain[0]
    mandate = root.sources.get("mandate")
    return {("lineage", root.txn), ("issuer-key", root.jws.kid), ("tenant", root.tenant),
            *(("delegation", link.jws.digest) for link in chain),
            *([("delegation", mandate["d"])] if mandate else []),
            *(("holder-key", thumbprint(link.key)) for link in chain),
            *(revoked_mark("principal", {name: owner.get(name) for name in ("iss", "sub")})
              for owner in [root.principal, *owners] if isinstance(owner, dict))}


def takes_effect(mark: tuple, eff: int, at: int, root_logged_ms: int | None) -> bool:
    """Whether a revocation that fits is in effect: its time has come, and the log did not have the root before."""
    logged_before = root_logged_ms is not None and root_logged_ms < eff * 1000
    return eff <= at and not (mark[0] == "issuer-key" and logged_before)


def same_principal(stated: object, of: dict) -> bool:
    """Equal in `iss` and `sub`."""
    return isinstance(stated, dict) and all(stated.get(name) == of[name] for name in ("iss", "sub"))


def halts(on: dict, chain: tuple) -> bool:
    """Whether a halt of these (of the form that §6 gives) stops a chain."""
    if on["t"] == "agent":
        return any(link.holder["id"] == on["id"] for link in chain)
    return on["t"] == "all" or same_principal(chain[0].principal, on)


# ---------------------------------------------------------------- the act


def decidable(data: bytes) -> dict | None:
    """The arguments of this text, if they may be decided on: an object in which every number is exact."""
    try:
        value = parse_json(data)
    except Malformed:
        return None
    return value if isinstance(value, dict) and numbers_exact(data) else None


def args_digest(arguments: object) -> str:
    """§5 kind 5, `args_digest`."""
    return b64url(sha256(jcs(arguments)))


def in_time(chain: tuple, at: int) -> bool:
    """Every link is alive at this second."""
    return all(link.nbf - LEEWAY <= at < link.exp and link.iat <= at + LEEWAY for link in chain)


def rows_for(chain: tuple, tool: object) -> list:
    """The row of each link that governs a tool; None for a link where none does."""
    return [row_for(link.tools, tool) for link in chain]


def pop_signed(chain: tuple, pop: Pop) -> bool:
    """The proof is signed by the key of the leaf."""
    return pop.jws.signed_by(chain[-1].key)


def pop_fresh(pop: Pop, at: int) -> bool:
    """The proof is for this time."""
    return abs(at - pop.iat) <= LEEWAY and at < pop.exp


def pop_names(pop: Pop, **values) -> bool:
    """The proof names these values in these claims."""
    return all(pop.jws.claims[name] == value for name, value in values.items())


@dataclass(frozen=True)
class Act:
    """An act that somebody wants; `args` is the exact text of the arguments."""

    tool: str
    args: bytes
    act_id: str
    pop: object


@dataclass(frozen=True)
class Known:
    """What is known when an act is decided: keys and halts in force, and when the log recorded the root, in ms.

    `revocations` are pairs of a mark (`revoked_mark`) and the second from which on."""

    registered: set
    revocations: list
    halts: list
    root_logged_ms: int | None


def check_act(chain: tuple, act: Act, at: int, known: Known) -> None:
    """§6 *An act under a chain*, without the counter: `Refused` with the first code that applies."""
    try:
        pop = parse_pop(act.pop)
    except Malformed as error:
        raise Refused("pop-malformed", str(error)) from error
    arguments = decidable(act.args)
    for code, refused in act_checks(chain, act, at, known, pop, arguments):
        if refused():
            raise Refused(code, "the act may not happen")


def act_checks(chain: tuple, act: Act, at: int, known: Known, pop: Pop, arguments: dict | None) -> list:
    """The checks in their order, each by its code and whether it refuses."""
    marks = chain_marks(chain, [])

    def row_allows(row: dict | None) -> bool:
        return row is not None and arguments_allowed(row, arguments)

    return [
        ("pop-signature", lambda: not pop_signed(chain, pop)),
        ("delegation-time", lambda: not in_time(chain, at)),
        ("principal-retired", lambda: not set(chain[0].kids) <= known.registered),
        ("revoked", lambda: any(mark in marks and takes_effect(mark, eff, at, known.root_logged_ms)
                                for mark, eff in known.revocations)),
        ("halted", lambda: any(halts(on, chain) for on in known.halts)),
        ("arguments", lambda: arguments is None),
        ("scope", lambda: not all(map(row_allows, rows_for(chain, act.tool)))),
        ("approval", lambda: any(approvals_name(link.approvals, act.tool) for link in chain)),
        ("pop-binding", lambda: not pop_names(pop, aud=chain[0].iss, gth=chain[-1].jws.digest, tool=act.tool,
                                              act_id=act.act_id, hta_s256=args_digest(arguments))),
        ("pop-time", lambda: not pop_fresh(pop, at)),
    ]


def notes(chain: tuple) -> list[str]:
    """§11: the notes on an act that is allowed, in the order of the vectors."""
    return [*(["key-reused"] if shares_key(chain) else []),
            *(["break-glass"] if chain[0].purpose == BREAK_GLASS else [])]
