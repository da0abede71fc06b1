"""Signed objects, each read alone: §6 of docs/format.md, with the principals and holders of §5.

Whatever is not as the page says raises `Malformed`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from deeds_verify.encoding import Malformed, b64url, b64url_decode, is_uint, parse_json, same, sha256, uuid_bytes
from deeds_verify.keys import parse_jwk, signature_valid, thumbprint
from deeds_verify.scope import MAX_TEXT_BYTES, check_tools, tool_server, tools_within

MAX_TOKEN_BYTES = 16_384
MAX_IDENTIFIER_BYTES = 2_048  # §5
MAX_DEPTH = 8
MAX_LIFE_OF_A_PERSON, MAX_LIFE = 86_400, 3_600
MAX_LIFE_OF_A_MANDATE, MAX_LIFE_OF_AN_ORDER, MAX_LIFE_OF_A_PROOF = 3_024_000, 300, 60
MAX_MANDATED = 64
MAX_APPROVAL_TOOLS, MAX_APPROVERS, MAX_APPROVALS = 256, 64, 16
LEEWAY = 30
KEY_URN = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"
BREAK_GLASS = "break-glass"

DELEGATION = "deeds-delegation+jwt"
REQUEST = "deeds-root-request+jwt"
MANDATE = "deeds-mandate+jwt"
REVOCATION = "deeds-revocation+jwt"
HALT = "deeds-halt+jwt"
PROOF = "deeds-pop+jwt"


# ---------------------------------------------------------------- JWS


@dataclass(frozen=True)
class Jws:
    """A parsed JWS; `digest` is the token digest, `size` its length in bytes."""

    kid: str
    claims: dict
    signing_input: bytes
    signature: bytes
    size: int

    @property
    def digest(self) -> str:
        """The token digest."""
        return b64url(sha256(self.signing_input))

    def signed_by(self, public: bytes) -> bool:
        """`kid` is the thumbprint of this key and the signature is by it."""
        return self.kid == thumbprint(public) and signature_valid(public, self.signing_input, self.signature)


def parse_jws(token: object, typ: str) -> Jws:
    """Strict JWS compact serialization of that `typ`."""
    if not isinstance(token, str) or token.count(".") != 2 or not all(token.split(".")):
        raise Malformed("not a JWS of three segments")
    if len(token.encode()) > MAX_TOKEN_BYTES:
        raise Malformed("the JWS is too long")
    head_text, payload_text, signature_text = token.split(".")
    head, claims = parse_json(b64url_decode(head_text)), parse_json(b64url_decode(payload_text))
    if not isinstance(head, dict) or set(head) != {"alg", "kid", "typ"} or not isinstance(head["kid"], str):
        raise Malformed("JWS header members are not alg, kid and typ")
    if head["alg"] != "Ed25519" or head["typ"] != typ:
        raise Malformed(f"JWS is not an Ed25519 {typ}")
    if not isinstance(claims, dict):
        raise Malformed("JWS payload is not an object")
    signature = b64url_decode(signature_text)
    if len(signature) != 64:
        raise Malformed("JWS signature is not of 64 bytes")
    return Jws(head["kid"], claims, f"{head_text}.{payload_text}".encode(), signature, len(token))


# ---------------------------------------------------------------- claims


def is_text(value: object, longest: int = MAX_TEXT_BYTES) -> bool:
    """A string that is not empty and not too long."""
    return isinstance(value, str) and 1 <= len(value.encode()) <= longest


def is_identifier(value: object) -> bool:
    """§5: a text without control characters, as in a principal."""
    return is_text(value, MAX_IDENTIFIER_BYTES) and not any(c < " " or "\x7f" <= c <= "\x9f" for c in value)


CLAIM_KINDS = {
    "text": is_text,
    "uint": is_uint,
    "uuid": lambda value: uuid_bytes(value) is not None,
    "digest string": lambda value: isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def need(claims: dict, name: str, kind: str):
    """A member that must be there, of a kind of `CLAIM_KINDS`."""
    if name not in claims:
        raise Malformed(f"`{name}` is missing")
    if not CLAIM_KINDS[kind](claims[name]):
        raise Malformed(f"`{name}` is not a {kind} within its limits")
    return claims[name]


def may(claims: dict, name: str, kind: str):
    """A member that may be left out: None then."""
    return need(claims, name, kind) if name in claims else None


def must(rules: dict) -> None:
    """Rules of an object, each by the text that says how it is broken."""
    for text, kept in rules.items():
        if not kept:
            raise Malformed(text)


def need_life(claims: dict, longest: int | None = None) -> tuple[int, int]:
    """`iat` and `exp`, the second no earlier and no more than `longest` seconds later."""
    iat, exp = need(claims, "iat", "uint"), need(claims, "exp", "uint")
    if exp < iat or longest is not None and exp - iat > longest:
        raise Malformed(f"it ends before it begins, or lives longer than {longest} s")
    return iat, exp


def check_version(claims: dict) -> None:
    """`v` and `jti`, which every object but a proof has."""
    must({"`v` is not 1": need(claims, "v", "uint") == 1})
    need(claims, "jti", "uuid")


def check_signer(jws: Jws) -> None:
    """`iss` is the URN of the header's `kid`."""
    must({"`iss` is not the key that signed": need(jws.claims, "iss", "text") == KEY_URN + jws.kid})


def parse_cnf(claims: dict) -> bytes:
    """The key in `cnf.jwk`."""
    cnf = need(claims, "cnf", "object")
    if set(cnf) != {"jwk"}:
        raise Malformed("`cnf` is not one `jwk`")
    return parse_jwk(cnf["jwk"])


PRINCIPAL_KINDS = {"human", "service", "workflow", "schedule", "agent", "unknown"}


def is_kind(value: object) -> bool:
    """§5: a kind of principal or holder."""
    return isinstance(value, str) and value in PRINCIPAL_KINDS


def check_principal(value: object) -> dict:
    """§5: a principal object; a key that is null is none."""
    if not isinstance(value, dict) or not {"kind", "iss", "sub"} <= set(value) <= {"kind", "iss", "sub", "key"}:
        raise Malformed("the principal has unknown or missing members")
    names = [value["iss"], value["sub"]] + ([] if value.get("key") is None else [value["key"]])
    if not is_kind(value["kind"]) or not all(map(is_identifier, names)):
        raise Malformed("a member of the principal is not acceptable")
    return value


def check_holder(value: object) -> dict:
    """§5: a holder object."""
    if not isinstance(value, dict) or set(value) != {"id", "inst", "kind", "asr", "key"}:
        raise Malformed("the holder has unknown or missing members")
    if not all(isinstance(member, str) for member in value.values()) or not is_kind(value["kind"]):
        raise Malformed("a member of the holder is not acceptable")
    return value


def parse_tools(claims: dict) -> dict:
    """The tools of `authorization_details`."""
    details = need(claims, "authorization_details", "array")
    if len(details) != 1 or not isinstance(details[0], dict):
        raise Malformed("`authorization_details` is not an array of one object")
    if set(details[0]) != {"type", "tools"} or details[0]["type"] != "attenuating_agent_token":
        raise Malformed("`authorization_details` is of an unknown type or has unknown members")
    return check_tools(details[0]["tools"])


# ---------------------------------------------------------------- approvals


def parse_approvals(deeds: dict) -> dict | None:
    """`apv`; None where there is none."""
    value = may(deeds, "apv", "object")
    if value is None:
        return None
    tools, approvers = need(value, "tools", "array"), need(value, "by", "array")
    need(value, "ttl", "uint")
    must({
        "`apv` has unknown members": set(value) == {"tools", "m", "by", "ttl"},
        "`apv.tools` is not 1 to 256 distinct tool URIs": 1 <= len(tools) <= MAX_APPROVAL_TOOLS
        and all(tool_server(tool) is not None for tool in tools) and len(set(tools)) == len(tools),
        "`apv.m` is not from 1 to 16": 1 <= need(value, "m", "uint") <= MAX_APPROVALS,
        "`apv.by` is not 1 to 64 strings": 1 <= len(approvers) <= MAX_APPROVERS
        and all(is_text(name, MAX_IDENTIFIER_BYTES) for name in approvers),
    })
    return value


def approvals_name(approvals: dict | None, tool: object) -> bool:
    """Whether these approvals name a tool, by its URI or its server."""
    server = tool_server(tool)
    return approvals is not None and server is not None and bool({tool, server + "#*"} & set(approvals["tools"]))


def approvals_within(inner: dict | None, outer: dict | None) -> bool:
    """§6, chain step 3: what the outer asks for, the inner asks for at least."""
    if outer is None:
        return True
    return (inner is not None and set(outer["tools"]) <= set(inner["tools"]) and inner["m"] >= outer["m"]
            and set(inner["by"]) <= set(outer["by"]) and inner["ttl"] <= outer["ttl"])


# ---------------------------------------------------------------- delegations


@dataclass(frozen=True)
class Link:
    """A delegation. Of a child `principal`, `why` and `intent` are None and `sources` empty; of a root `parent` is.

    `sources` are the objects of `src` by their `t`; `parent` is `par_hash`; `holder` is as the token names it."""

    jws: Jws
    iss: str
    audience: list
    iat: int
    nbf: int
    exp: int
    key: bytes
    depth: int
    max_depth: int
    tools: dict
    tenant: str
    txn: str
    purpose: str
    holder: dict
    approvals: dict | None
    parent: str | None
    principal: dict | None = None
    sources: dict = field(default_factory=dict)
    why: str | None = None
    intent: str | None = None

    @property
    def jti(self) -> str:
        """The id of the token."""
        return self.jws.claims["jti"]

    @property
    def is_root(self) -> bool:
        """Whether it has no parent."""
        return self.parent is None

    @property
    def kids(self) -> list[str]:
        """The keys that `src` of a root names."""
        return [source["kid"] for source in self.sources.values() if "kid" in source]

    @property
    def effective_holder(self) -> dict:
        """The *effective holder*: a parent can vouch for no more than a name."""
        if self.is_root or self.holder["asr"] not in ("attested", "issuer-asserted"):
            return self.holder
        return {**self.holder, "asr": "delegator-asserted"}


def parse_link(jws: Jws) -> Link:
    """A root or child delegation, and the rules that concern it alone."""
    claims = jws.claims
    check_version(claims)
    deeds = need(claims, "deeds", "object")
    child = "par_hash" in claims
    iat, exp = need_life(claims)
    audience = need(claims, "aud", "array")
    common = (jws, need(claims, "iss", "text"), audience, iat, need(claims, "nbf", "uint"), exp, parse_cnf(claims),
              need(claims, "del_depth", "uint"), need(claims, "del_max_depth", "uint"), parse_tools(claims),
              need(deeds, "tenant", "text"), need(deeds, "txn", "uuid"), need(deeds, "purpose", "text"),
              check_holder(need(deeds, "hld", "object")), parse_approvals(deeds))
    link = finish_child(jws, deeds, common) if child else finish_root(deeds, common)
    must({
        "`aud` is not one text": len(audience) == 1 and is_text(audience[0]),
        "it begins after its end": link.nbf <= link.exp,
        "`del_max_depth` is above 8": link.max_depth <= MAX_DEPTH,
        "`hld.key` is not the key it is bound to": link.holder["key"] == thumbprint(link.key),
    })
    return link


def finish_root(deeds: dict, common: tuple) -> Link:
    """What a root has besides, and its own rules (those with the genesis apart)."""
    link = Link(*common, None, check_principal(need(deeds, "prin", "object")),
                parse_sources(need(deeds, "src", "array")), may(deeds, "why", "text"),
                may(deeds, "intent", "digest string"))
    personal = link.principal["kind"] in ("human", "unknown") and "mandate" not in link.sources
    must({
        "`aud` is not the issuer alone": link.audience == [link.iss],
        "it is not a root": link.depth == 0,
        "it lives too long": link.exp - link.iat <= (MAX_LIFE_OF_A_PERSON if personal else MAX_LIFE),
        "it breaks the glass without a person's reason and request": link.purpose != BREAK_GLASS or (
            link.why is not None and set(link.sources) == {"key-request"} and link.principal["kind"] == "human"),
    })
    return link


def finish_child(jws: Jws, deeds: dict, common: tuple) -> Link:
    """What a child has besides, and its own rules."""
    link = Link(*common, need(jws.claims, "par_hash", "text"))
    check_signer(jws)
    may(deeds, "handoff", "digest string")
    must({
        "its depth is not from 1 to `del_max_depth`": 1 <= link.depth <= link.max_depth,
        "a child has neither `prin` nor `src`": not {"prin", "src"} & set(deeds),
    })
    return link


SOURCES = ([], ["key-request"], ["mandate", "key-request"], ["peer-cred"])


def parse_sources(sources: list) -> dict:
    """`src`: the objects by their `t`."""
    if not all(isinstance(source, dict) for source in sources):
        raise Malformed("`src` is not an array of objects")
    if not sources or [source.get("t") for source in sources] not in SOURCES:
        raise Malformed("`src` is of an unknown form")
    for source in sources:
        if source["t"] == "peer-cred":
            need(source, "uid", "uint")
            continue
        need(source, "d", "text")
        need(source, "jti", "uuid")
        must({"`src` names two keys": need(source, "iss", "text") == KEY_URN + need(source, "kid", "text")})
    return {source["t"]: source for source in sources}


# ---------------------------------------------------------------- what a root rests on


@dataclass(frozen=True)
class Request:
    """A root request. `txn`, `holder`, `why`, `intent`, `approvals`, `mandate` are None where it does not name them."""

    jws: Jws
    audience: str
    iat: int
    exp: int
    key: bytes
    max_depth: int
    tools: dict
    ttl: int
    tenant: str
    purpose: str
    txn: str | None
    holder: dict | None
    why: str | None
    intent: str | None
    approvals: dict | None
    mandate: str | None


def parse_request(jws: Jws) -> Request:
    """A root request and the rules it must keep by itself."""
    claims = jws.claims
    check_version(claims)
    check_signer(jws)
    deeds = need(claims, "deeds", "object")
    holder = may(deeds, "hld", "object")
    if holder is not None and (set(holder) != {"id", "kind"} or not is_identifier(holder["id"])
                               or not is_kind(holder["kind"])):
        raise Malformed("`hld` is not an id and a kind")
    return Request(jws, need(claims, "aud", "text"), *need_life(claims, MAX_LIFE_OF_AN_ORDER), parse_cnf(claims),
                   need(claims, "del_max_depth", "uint"), parse_tools(claims), need(claims, "ttl", "uint"),
                   need(deeds, "tenant", "text"), need(deeds, "purpose", "text"), may(deeds, "txn", "uuid"), holder,
                   may(deeds, "why", "text"), may(deeds, "intent", "digest string"), parse_approvals(deeds),
                   may(deeds, "mandate", "text"))


def within_request(root: Link, request: Request) -> bool:
    """Whether a root is *within* the request it was issued on (whose digest has been compared)."""
    named, mandate = root.sources["key-request"], root.sources.get("mandate")
    return (named["kid"] == request.jws.kid and named["jti"] == request.jws.claims["jti"]
            and root.key == request.key and tools_within(root.tools, request.tools)
            and root.max_depth <= request.max_depth and root.exp - root.iat <= request.ttl
            and request.iat - LEEWAY <= root.iat <= request.exp + LEEWAY
            and (root.tenant, root.purpose) == (request.tenant, request.purpose)
            and request.txn in (None, root.txn) and holder_as_named(root.holder, request.holder)
            and (root.why, root.intent) == (request.why, request.intent) and same(root.approvals, request.approvals)
            and (mandate["d"] if mandate else None) == request.mandate)


def holder_as_named(holder: dict, named: dict | None) -> bool:
    """Where the request says who holds the key, the root says the same, and on whose word."""
    return named is None or (holder["id"] == named["id"] and holder["kind"] == named["kind"]
                             and holder["asr"] == "delegator-asserted")


@dataclass(frozen=True)
class Mandate:
    """A standing authority; `holders` are the principals that may get roots under it."""

    jws: Jws
    audience: str
    iat: int
    nbf: int
    exp: int
    max_depth: int
    tools: dict
    tenant: str
    principal: dict
    purpose: str
    holders: list
    root_ttl: int
    approvals: dict | None


def parse_mandate(jws: Jws) -> Mandate:
    """A mandate and its rules."""
    claims = jws.claims
    check_version(claims)
    check_signer(jws)
    deeds = need(claims, "deeds", "object")
    iat, exp = need_life(claims, MAX_LIFE_OF_A_MANDATE)
    mandate = Mandate(jws, need(claims, "aud", "text"), iat, need(claims, "nbf", "uint"), exp,
                      need(claims, "del_max_depth", "uint"), parse_tools(claims), need(deeds, "tenant", "text"),
                      check_principal(need(deeds, "prin", "object")), need(deeds, "purpose", "text"),
                      need(deeds, "hld", "array"), need(deeds, "root_ttl", "uint"), parse_approvals(deeds))
    must({
        "it begins after its end": mandate.nbf <= exp,
        "`del_max_depth` is above 8": mandate.max_depth <= MAX_DEPTH,
        "`prin.key` is not the key that signed": mandate.principal.get("key") == jws.kid,
        "a mandate cannot break the glass": mandate.purpose != BREAK_GLASS,
        "`hld` is not 1 to 64 names": 1 <= len(mandate.holders) <= MAX_MANDATED
        and all(map(is_identifier, mandate.holders)),
        "`root_ttl` is not from 1 to 3,600": 1 <= mandate.root_ttl <= MAX_LIFE,
    })
    return mandate


def under_mandate(root: Link, mandate: Mandate) -> bool:
    """Whether a root is *under* a mandate, apart from who signed its request."""
    named = root.sources["mandate"]
    return (named["kid"] == mandate.jws.kid and named["jti"] == mandate.jws.claims["jti"]
            and same(root.principal, mandate.principal) and tools_within(root.tools, mandate.tools)
            and root.max_depth <= mandate.max_depth
            and (root.tenant, root.purpose) == (mandate.tenant, mandate.purpose)
            and approvals_within(root.approvals, mandate.approvals)
            and root.exp - root.iat <= mandate.root_ttl and root.exp <= mandate.exp
            and mandate.nbf - LEEWAY <= root.iat < mandate.exp)


def asked_by_mandated(root: Link, mandate: Mandate, asker: object) -> bool:
    """Whether the principal who signed the root's request may get roots under the mandate, and holds this one."""
    return (isinstance(asker, dict) and asker.get("iss") == root.iss and asker.get("sub") in mandate.holders
            and root.holder["id"] == asker.get("sub"))


# ---------------------------------------------------------------- orders


CHANGES = {"halt": "halted", "resume": "resumed"}


def is_named_principal(value: object, **more) -> bool:
    """An object of `iss` and `sub`, and these members."""
    return (isinstance(value, dict) and set(value) == {"iss", "sub", *more}
            and all(value[name] == wanted for name, wanted in more.items())
            and is_identifier(value["iss"]) and is_identifier(value["sub"]))


def is_digest(value: object) -> bool:
    """A token digest or thumbprint: the b64url of 32 bytes."""
    try:
        return isinstance(value, str) and len(b64url_decode(value)) == 32
    except Malformed:
        return False


TARGETS = {
    "delegation": is_digest,
    "lineage": lambda target: uuid_bytes(target) is not None,
    "holder-key": is_digest,
    "principal": is_named_principal,
    "issuer-key": is_digest,
    "tenant": is_text,
}


def is_target(what: object, target: object) -> bool:
    """The target of a revocation: `what` is a word of kind 4, the target of the form that its row gives."""
    return isinstance(what, str) and what in TARGETS and TARGETS[what](target)


def is_halted(on: object) -> bool:
    """Whom a halt stops."""
    if not isinstance(on, dict):
        return False
    if on.get("t") == "agent":
        return set(on) == {"t", "id"} and is_text(on["id"])
    return on == {"t": "all"} or is_named_principal(on, t="principal")


@dataclass(frozen=True)
class Order:
    """A signed revocation or halt; `says` are its claims by the names of the entry's fields, None where it has none."""

    jws: Jws
    audience: str
    tenant: str
    iat: int
    exp: int
    says: dict


def parse_order(token: object, typ: str) -> Order:
    """A signed revocation or halt."""
    jws = parse_jws(token, typ)
    claims = jws.claims
    check_version(claims)
    check_signer(jws)
    need_life(claims, MAX_LIFE_OF_AN_ORDER)
    deeds = need(claims, "deeds", "object")
    says = revocation_says(claims) if typ == REVOCATION else halt_says(claims, deeds)
    says["why"] = need(claims, "why", "text")
    return Order(jws, need(claims, "aud", "text"), need(deeds, "tenant", "text"), claims["iat"], claims["exp"], says)


def revocation_says(claims: dict) -> dict:
    """What a revocation takes away and from when."""
    must({"`k` or `d` is not a thing that can be revoked": is_target(claims.get("k"), claims.get("d"))})
    return {"what": claims["k"], "target": claims["d"], "eff": need(claims, "eff", "uint")}


def halt_says(claims: dict, deeds: dict) -> dict:
    """Whom a halt stops, or a resume lets go on."""
    act = need(claims, "act", "text")
    must({
        "`act` is neither halt nor resume": act in CHANGES,
        "`on` is nobody": is_halted(claims.get("on")),
        "`halt` is not there for a resume alone": ("halt" in deeds) == (act == "resume"),
    })
    return {"change": CHANGES[act], "on": claims["on"], "halt": may(deeds, "halt", "uint")}


# ---------------------------------------------------------------- proofs of possession


@dataclass(frozen=True)
class Pop:
    """A proof of possession."""

    jws: Jws
    iat: int
    exp: int
    aud: str
    counter: int

    @property
    def user(self) -> tuple[str, str]:
        """Whose counter it counts: `kid` and `aud`."""
        return self.jws.kid, self.aud


def parse_pop(token: object) -> Pop:
    """A proof of possession."""
    jws = parse_jws(token, PROOF)
    for name in ("jti", "gth", "tool", "hta_s256"):
        need(jws.claims, name, "text")
    need(jws.claims, "act_id", "uuid")
    iat, exp = need_life(jws.claims, MAX_LIFE_OF_A_PROOF)
    return Pop(jws, iat, exp, need(jws.claims, "aud", "text"), need(jws.claims, "ctr", "uint"))
