"""Delegations for agents: narrow your authority for somebody else, and sign what you do under it.

One file to copy into a project; it needs Python 3.9 or later on a POSIX system and the package `cryptography`,
no server and no `deeds`.

    mine = Delegation.read(os.environ["DEEDS_DELEGATION"])
    theirs = mine.child("summariser", tools={"mcp://files#read": {}}, ttl=600, handoff="Summarise the minutes.")
    theirs.write("summariser.deeds-delegation")             # mode 0600, with a fresh key

    meta = theirs.meta("mcp://files#read", {"path": "/data/x"})   # for `params._meta` of the MCP call

What a delegation is stands in docs/delegation.md of deeds, its bytes in docs/format.md §6. This file refuses to make
a child that a verifier would refuse, and says why; it does not check the issuer's signature, for which it has no key.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import tempfile
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Callable, Dict, Optional, Union

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

__all__ = ["Delegation", "DelegationError", "args_digest", "fresh_key", "jcs", "private_jwk", "public_jwk",
           "thumbprint", "token_digest"]

META_NAME = "dev.deeds/delegation"
KEY_URN = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"
BREAK_GLASS = "break-glass"
HOLDER_KINDS = ("human", "service", "workflow", "schedule", "agent", "unknown")

MAX_FILE_BYTES = 262_144
MAX_TOKEN_BYTES = 16_384
MAX_LINKS, MAX_CHAIN_BYTES = 9, 65_536
MAX_DEPTH = 8
MAX_TEXT_BYTES, MAX_NAME_BYTES, MAX_TOOL_BYTES = 4_096, 2_048, 1_024
MAX_TOOLS, MAX_CONSTRAINTS, MAX_VALUES, MAX_CLAUSES, MAX_NESTING = 256, 64, 256, 16, 8
MAX_SAFE_INTEGER = 2**53
LEEWAY_SECONDS = 30
PROOF_SECONDS = 60

JsonObject = Dict[str, Any]
Jwk = JsonObject
Tools = JsonObject


class DelegationError(Exception):
    """What cannot be done, to what, and why; the text is for a person."""


# ---------------------------------------------------------------- JSON as RFC 8785 (JCS) writes it


def _number(value: Union[int, float]) -> str:
    """A number as ECMAScript writes it; one that two readers might read as two numbers is refused."""
    if isinstance(value, float):
        if not math.isfinite(value) or math.copysign(1, value) < 0 and value == 0:
            raise DelegationError(f"`{value}` cannot be signed: JSON has no such number, or no one way to write it")
    if abs(value) > MAX_SAFE_INTEGER:
        raise DelegationError(f"`{value}` cannot be signed: numbers go up to 2^53")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    _, figures, exponent = Decimal(repr(abs(float(value)))).as_tuple()
    text = "".join(map(str, figures))
    digits = text.rstrip("0")
    point = len(text) + int(exponent)  # the number is 0.DIGITS times 10 to the power of `point`
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))  # never more than 16 digits: see the limit above
    if point > 0:
        return sign + digits[:point] + "." + digits[point:]
    if point > -6:
        return sign + "0." + "0" * -point + digits
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e-{1 - point}"


def _json(value: Any) -> str:
    """Canonical JSON as text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json, value)) + "]"
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise DelegationError(f"a {type(value).__name__} is not JSON, or an object has a name that is no text")
    # RFC 8785 sorts by UTF-16 code units; a lone surrogate fails in `jcs`
    names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(_json(name) + ":" + _json(value[name]) for name in names) + "}"


def jcs(value: Any) -> bytes:
    """RFC 8785 of an I-JSON value: None, bool, int and float within ±2^53, str, list, tuple, dict with str names."""
    try:
        return _json(value).encode()
    except UnicodeEncodeError as error:
        raise DelegationError("a text with half a surrogate pair cannot be signed") from error


def args_digest(arguments: Optional[JsonObject]) -> str:
    """What a proof says of the arguments of a call (format §5, `args_digest`); absent arguments are `{}`."""
    if arguments is not None and not isinstance(arguments, dict):
        raise DelegationError("the arguments of a call are an object")
    return _b64url(hashlib.sha256(jcs(arguments or {})).digest())


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _b64url_decode(text: Any) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise DelegationError("a value is not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _b64url(data) != text:
        raise DelegationError("a base64url value has bits at its end that mean nothing")
    return data


def _digest_string(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- keys

_PRIME = 2**255 - 19
_CURVE_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ORDER_EIGHT_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = (0, 1, _PRIME - 1, _ORDER_EIGHT_Y, _PRIME - _ORDER_EIGHT_Y)


def fresh_key() -> Ed25519PrivateKey:
    """A new private key from the operating system's randomness."""
    return Ed25519PrivateKey.generate()


def public_jwk(key: Union[Ed25519PrivateKey, Ed25519PublicKey]) -> Jwk:
    """The public JWK of a key, as `Delegation.child` takes it."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP", "x": _b64url(raw)}


def private_jwk(key: Ed25519PrivateKey) -> Jwk:
    """The private JWK of a key, as a delegation file holds it."""
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return {**public_jwk(key), "d": _b64url(raw)}


def thumbprint(jwk: Jwk) -> str:
    """The RFC 7638 SHA-256 thumbprint of an Ed25519 JWK."""
    return _b64url(hashlib.sha256(jcs({name: jwk[name] for name in ("crv", "kty", "x")})).digest())


def _public_key(jwk: Any) -> Ed25519PublicKey:
    """The key of a public JWK of exactly four members; a weak or malformed one is refused."""
    fixed = {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP"}
    if not isinstance(jwk, dict) or set(jwk) != {*fixed, "x"} or any(jwk[name] != fixed[name] for name in fixed):
        raise DelegationError("a public key is {alg: Ed25519, crv: Ed25519, kty: OKP, x} and nothing else")
    raw = _b64url_decode(jwk["x"])
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    if len(raw) != 32 or y >= _PRIME or y in _SMALL_ORDER_Y:
        raise DelegationError("a public key is not a usable point of the curve")
    x2 = (y * y - 1) * pow(_CURVE_D * y * y + 1, -1, _PRIME) % _PRIME
    if pow(x2, (_PRIME - 1) // 2, _PRIME) != 1:
        raise DelegationError("a public key is not a point of the curve")
    return Ed25519PublicKey.from_public_bytes(raw)


def _private_key(jwk: Any) -> Ed25519PrivateKey:
    """The key of a private JWK, whose `x` must be that of its `d`."""
    if not isinstance(jwk, dict) or len(raw := _b64url_decode(jwk.get("d"))) != 32:
        raise DelegationError("the private key has no `d` of 32 bytes")
    key = Ed25519PrivateKey.from_private_bytes(raw)
    if public_jwk(key) != {name: member for name, member in jwk.items() if name != "d"}:
        raise DelegationError("the private key does not belong to its public one")
    return key


# ---------------------------------------------------------------- tokens


def token_digest(token: str) -> str:
    """The token digest of a signed object, by which it is named (format §6)."""
    return _b64url(hashlib.sha256(token.rpartition(".")[0].encode()).digest())


def _sign(key: Ed25519PrivateKey, typ: str, claims: JsonObject) -> str:
    header = {"alg": "Ed25519", "kid": thumbprint(public_jwk(key)), "typ": typ}
    signing_input = _b64url(jcs(header)) + "." + _b64url(jcs(claims))
    token = signing_input + "." + _b64url(key.sign(signing_input.encode()))
    if len(token) > MAX_TOKEN_BYTES:
        raise DelegationError(f"the token would have {len(token)} bytes, more than {MAX_TOKEN_BYTES}: name fewer tools")
    return token


class _Link:
    """One token of a chain, as far as its holder needs it."""

    def __init__(self, token: Any) -> None:
        try:
            head, payload, self.signature = token.split(".")
            self.kid = json.loads(_b64url_decode(head))["kid"]
            claims = json.loads(_b64url_decode(payload))
            self.token, self.claims, self.deeds = token, claims, claims["deeds"]
            self.tools = _check_tools(claims["authorization_details"][0]["tools"])
            self.jwk, self.iss, self.aud = claims["cnf"]["jwk"], claims["iss"], claims["aud"]
            self.iat, self.nbf, self.exp = (_uint(claims[name]) for name in ("iat", "nbf", "exp"))
            self.depth, self.max_depth = (_uint(claims[name]) for name in ("del_depth", "del_max_depth"))
            self.tenant, self.txn, self.purpose = (self.deeds[name] for name in ("tenant", "txn", "purpose"))
            self.approvals, self.parent = self.deeds.get("apv"), claims.get("par_hash")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DelegationError("a token of the chain is not a delegation") from error
        self.public = _public_key(self.jwk)

    @property
    def digest(self) -> str:
        return token_digest(self.token)

    def signed_by(self, parent: "_Link") -> bool:
        try:
            parent.public.verify(_b64url_decode(self.signature), self.token.rpartition(".")[0].encode())
        except InvalidSignature:
            return False
        return bool(self.kid == thumbprint(parent.jwk))


def _uint(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SAFE_INTEGER:
        raise DelegationError(f"`{value}` is not a whole number from 0 to 2^53")
    return value


def _text(value: Any, what: str, longest: int = MAX_TEXT_BYTES) -> str:
    if not isinstance(value, str) or not 1 <= len(value.encode("utf-8", "surrogatepass")) <= longest:
        raise DelegationError(f"{what} is a text of 1 to {longest} bytes")
    return value


# ---------------------------------------------------------------- tools and constraints (format §6)

_HOST = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"
_URL = re.compile(rf"https?://({_HOST})(?::[0-9]{{1,5}})?(?:[/?#].*)?", re.DOTALL)


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= MAX_TEXT_BYTES


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool) or _is_short(value) or _is_integer(value)


def _is_list(value: Any, longest: int, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= longest and all(map(good, value))


def _is_scalars(value: Any) -> bool:
    return _is_list(value, MAX_VALUES, _is_scalar)


def _is_decimal(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 64 and bool(
        re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value))


def _is_host(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 253 and bool(re.fullmatch(_HOST, value))


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) and value == value.lower() and _is_host(
        value[2:] if value.startswith("*.") else value)


def _segments(value: Any) -> Optional[list[Any]]:
    """The segments of a plain path, the first empty where it begins with `/`; None for what is not one."""
    if not _is_short(value) or not value or re.search(r"[\\\x00-\x1f\x7f]", value):
        return None
    if value == "/":
        return [""]
    segments = value.split("/")
    return None if any(one in ("", ".", "..") for one in segments[value.startswith("/"):]) else segments


def _is_bounds(value: JsonObject, good: Callable[[Any], bool]) -> bool:
    if not {"min", "max"} & set(value) or not set(value) <= {"min", "max", "min_inclusive", "max_inclusive"}:
        return False
    return all((good(value[name]) if name in value else f"{name}_inclusive" not in value)
               and isinstance(value.get(f"{name}_inclusive", True), bool) for name in ("min", "max"))


def _member(name: str, good: Callable[[Any], bool]) -> Callable[[JsonObject], bool]:
    return lambda value: set(value) == {name} and good(value[name])


_FORMS: "dict[str, Callable[[JsonObject], bool]]" = {
    "exact": _member("value", _is_scalar),
    "one_of": _member("values", _is_scalars),
    "not_one_of": _member("excluded", _is_scalars),
    "range": lambda value: _is_bounds(value, _is_integer),
    "decimal_range": lambda value: _is_bounds(value, _is_decimal),
    "prefix": _member("prefix", _is_short),
    "path_under": _member("path", lambda path: _segments(path) is not None),
    "host_in": _member("hosts", lambda hosts: _is_list(hosts, MAX_VALUES, _is_pattern)),
    "contains": _member("required", _is_scalars),
    "subset": _member("allowed", _is_scalars),
    "wildcard": lambda value: not value,
    "all": _member("constraints", lambda clauses: _is_list(clauses, MAX_CLAUSES, lambda clause: True)),
    "any": _member("constraints", lambda clauses: _is_list(clauses, MAX_CLAUSES, lambda clause: True)),
}


def _check_constraint(value: Any, depth: int = 1) -> int:
    """One constraint without its `optional`; how many constraints it is."""
    kind = value.get("constraint_type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _FORMS:
        raise DelegationError(f"`{kind}` is not a constraint type")
    if depth > MAX_NESTING:
        raise DelegationError(f"constraints nest more than {MAX_NESTING} deep")
    if not _FORMS[kind]({name: member for name, member in value.items() if name != "constraint_type"}):
        raise DelegationError(f"a constraint `{kind}` has members that are unknown, missing or not acceptable")
    return 1 + sum(_check_constraint(clause, depth + 1) for clause in value.get("constraints", []))


def _server(tool: Any) -> Optional[str]:
    """The server of a tool URI; None for what is not one."""
    if isinstance(tool, str) and len(tool) <= MAX_TOOL_BYTES and re.fullmatch(r'[!-"$-~]+#[!-"$-~]+', tool):
        return tool.split("#")[0]
    return None


def _check_tools(tools: Any) -> Tools:
    """The tools of a delegation, as format §6 wants them."""
    if not isinstance(tools, dict) or not 1 <= len(tools) <= MAX_TOOLS:
        raise DelegationError(f"a delegation has 1 to {MAX_TOOLS} tools")
    for tool, row in tools.items():
        if _server(tool) is None:
            raise DelegationError(f"`{tool}` is not a tool URI (`<server>#<tool>`)")
        if not isinstance(row, dict) or not all(map(_is_short, row)):
            raise DelegationError(f"the constraints of `{tool}` are not an object by argument name")
        count = 0
        for name, rule in row.items():
            if not isinstance(rule, dict) or not isinstance(rule.get("optional", False), bool):
                raise DelegationError(f"the constraint on `{name}` of `{tool}` is not an object, or oddly optional")
            count += _check_constraint({key: member for key, member in rule.items() if key != "optional"})
        if count > MAX_CONSTRAINTS:
            raise DelegationError(f"`{tool}` has more than {MAX_CONSTRAINTS} constraints")
    return tools


def _row(tools: Tools, tool: Any) -> Optional[JsonObject]:
    """The row that governs a tool."""
    server = _server(tool)
    if server is None:
        return None
    return tools[tool] if tool in tools else tools.get(server + "#*")


def _among(some: list[Any], values: list[Any]) -> bool:
    return set(map(jcs, some)) <= set(map(jcs, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_bounds(value: Any, rule: JsonObject, kinds: tuple[str, ...]) -> bool:
    if "decimal" in kinds and _is_decimal(value):
        number = Decimal(value)
    elif _is_number(value):
        number = Decimal(_number(value))
    else:
        return False
    if "min" in rule and (number < Decimal(rule["min"]) or number == Decimal(rule["min"])
                          and not rule.get("min_inclusive", True)):
        return False
    return "max" not in rule or number < Decimal(rule["max"]) or number == Decimal(
        rule["max"]) and rule.get("max_inclusive", True)


def _under(value: Any, path: str) -> bool:
    inner, outer = _segments(value), _segments(path) or []
    return inner is not None and inner[: len(outer)] == outer


def _fits(host: str, pattern: str) -> bool:
    return len(host) >= len(pattern) and host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _host_allowed(value: Any, hosts: list[Any]) -> bool:
    host = value if _is_host(value) else None
    if host is None and isinstance(value, str) and not re.search(r'[^!-~]|[\\"<>^`{|}]', value):
        match = _URL.fullmatch(value)
        host = match.group(1) if match and _is_host(match.group(1)) else None
    return host is not None and any(_fits(host.lower(), pattern) for pattern in hosts)


_PASSES: "dict[str, Callable[[Any, JsonObject], bool]]" = {
    "exact": lambda value, rule: _among([value], [rule["value"]]),
    "one_of": lambda value, rule: _among([value], rule["values"]),
    "not_one_of": lambda value, rule: not _among([value], rule["excluded"]),
    "range": lambda value, rule: _in_bounds(value, rule, ("number",)),
    "decimal_range": lambda value, rule: _in_bounds(value, rule, ("number", "decimal")),
    "prefix": lambda value, rule: isinstance(value, str) and value.startswith(rule["prefix"]),
    "path_under": lambda value, rule: _under(value, rule["path"]),
    "host_in": lambda value, rule: _host_allowed(value, rule["hosts"]),
    "contains": lambda value, rule: isinstance(value, list) and _among(rule["required"], value),
    "subset": lambda value, rule: isinstance(value, list) and _among(value, rule["allowed"]),
    "wildcard": lambda value, rule: True,
    "all": lambda value, rule: all(_passes(value, clause) for clause in rule["constraints"]),
    "any": lambda value, rule: any(_passes(value, clause) for clause in rule["constraints"]),
}


def _passes(value: Any, rule: JsonObject) -> bool:
    """Whether an argument passes a constraint."""
    return _PASSES[rule["constraint_type"]](value, rule)


def _bounds_within(inner: JsonObject, outer: JsonObject) -> bool:
    for name in ("min", "max"):
        if name not in outer:
            continue
        if name not in inner:
            return False
        ours, theirs = Decimal(inner[name]), Decimal(outer[name])
        if ours == theirs:
            if inner.get(f"{name}_inclusive", True) and not outer.get(f"{name}_inclusive", True):
                return False
        elif (ours < theirs) == (name == "min"):
            return False
    return True


def _pattern_within(pattern: str, outer: str) -> bool:
    return pattern == outer or outer.startswith("*.") and _fits(
        pattern[2:] if pattern.startswith("*.") else pattern, outer)


def _assigned(outer: list[Any], inner: list[Any]) -> bool:
    """Each outer clause gets a distinct inner clause that is within it (a matching, by augmenting paths)."""
    fitting = [[n for n, clause in enumerate(inner) if _within(clause, wanted)] for wanted in outer]
    taken: "dict[int, int]" = {}

    def assign(wanted: int, tried: set[int]) -> bool:
        for clause in fitting[wanted]:
            if clause not in tried:
                tried.add(clause)
                if clause not in taken or assign(taken[clause], tried):
                    taken[clause] = wanted
                    return True
        return False

    return all(assign(wanted, set()) for wanted in range(len(outer)))


_WITHIN: "dict[tuple[str, str], Callable[[JsonObject, JsonObject], bool]]" = {
    **{("exact", kind): lambda inner, outer: _passes(inner["value"], outer)
       for kind in ("exact", "one_of", "range", "decimal_range", "prefix", "path_under", "host_in")},
    **{("one_of", kind): lambda inner, outer: all(_passes(value, outer) for value in inner["values"])
       for kind in ("one_of", "decimal_range", "prefix", "path_under", "host_in")},
    ("not_one_of", "not_one_of"): lambda inner, outer: _among(outer["excluded"], inner["excluded"]),
    ("range", "range"): _bounds_within,
    ("range", "decimal_range"): _bounds_within,
    ("decimal_range", "decimal_range"): _bounds_within,
    ("prefix", "prefix"): lambda inner, outer: inner["prefix"].startswith(outer["prefix"]),
    ("path_under", "path_under"): lambda inner, outer: _under(inner["path"], outer["path"]),
    ("host_in", "host_in"): lambda inner, outer: all(
        any(_pattern_within(pattern, wider) for wider in outer["hosts"]) for pattern in inner["hosts"]),
    ("contains", "contains"): lambda inner, outer: _among(outer["required"], inner["required"]),
    ("subset", "subset"): lambda inner, outer: _among(inner["allowed"], outer["allowed"]),
    ("all", "all"): lambda inner, outer: _assigned(outer["constraints"], inner["constraints"]),
    ("any", "any"): lambda inner, outer: all(
        any(_within(clause, wider) for wider in outer["constraints"]) for clause in inner["constraints"]),
}


def _within(inner: JsonObject, outer: JsonObject) -> bool:
    """Whether a constraint is within another, `optional` aside; pairs the table does not list never are."""
    if outer["constraint_type"] == "wildcard":
        return True
    rule = _WITHIN.get((inner["constraint_type"], outer["constraint_type"]))
    return rule is not None and rule(inner, outer)


def _row_excess(tool: str, row: JsonObject, outer: JsonObject) -> Optional[str]:
    """Why a row is not within another; None if it is."""
    if not outer:
        return None
    if not row:
        return f"`{tool}` would have any arguments, where yours are limited"
    if set(row) != set(outer):
        names = ", ".join(f"`{name}`" for name in sorted(set(row) ^ set(outer)))
        return f"`{tool}` must list the same arguments as yours: {names}"
    for name, rule in row.items():
        if rule.get("optional", False) and not outer[name].get("optional", False):
            return f"`{name}` of `{tool}` would be optional, and is not in yours"
        if not _within(rule, outer[name]):
            return (f"`{name}` of `{tool}` would be wider than yours, or cannot be compared with it "
                    f"(`{rule['constraint_type']}` under `{outer[name]['constraint_type']}`)")
    return None


def _tools_excess(tools: Tools, outer: Tools) -> Optional[str]:
    """Why tools are not within others; None if they are."""
    for tool, row in tools.items():
        counterpart = _row(outer, tool)
        if counterpart is None:
            return f"`{tool}` is not among your tools"
        excess = _row_excess(tool, row, counterpart)
        if excess:
            return excess
    for tool, counterpart in outer.items():  # a row for a whole server may not slip by one of its tools
        governing = _row(tools, tool)
        excess = _row_excess(tool, governing, counterpart) if governing is not None else None
        if excess:
            return excess
    return None


def _check_approvals(value: Any) -> JsonObject:
    """`apv` of a delegation: {tools, m, by, ttl}."""
    if not isinstance(value, dict) or set(value) != {"tools", "m", "by", "ttl"}:
        raise DelegationError("approvals are {tools, m, by, ttl}")
    if not _is_list(value["tools"], MAX_TOOLS, lambda tool: _server(tool) is not None) or len(
            set(value["tools"])) != len(value["tools"]):
        raise DelegationError("`tools` of approvals are 1 to 256 distinct tool URIs")
    if not _is_list(value["by"], 64, lambda name: isinstance(name, str)):
        raise DelegationError("`by` of approvals are 1 to 64 names")
    for name in value["by"]:
        _text(name, "a name in `by` of approvals", MAX_NAME_BYTES)
    if not 1 <= _uint(value["m"]) <= 16:
        raise DelegationError("`m` of approvals is from 1 to 16")
    _uint(value["ttl"])
    return value


def _approvals_excess(approvals: Optional[JsonObject], outer: Optional[JsonObject]) -> Optional[str]:
    """Why approvals ask for less than others; None if they do not."""
    if outer is None:
        return None
    if approvals is None or not set(outer["tools"]) <= set(approvals["tools"]):
        return "approvals would be asked for fewer tools than in yours"
    if approvals["m"] < outer["m"] or not set(approvals["by"]) <= set(outer["by"]) or approvals["ttl"] > outer["ttl"]:
        return "approvals would be easier to get, or last longer, than in yours"
    return None


# ---------------------------------------------------------------- the counter

MAX_COUNTER_BYTES = 17  # 2^53 has 16 digits; and the newline


@contextlib.contextmanager
def _locked(path: str) -> Iterator[int]:
    """The open counter file, held against every other process and thread that uses it.

    Both kinds of lock are taken, always in this order: whoever takes one of them is kept out. Closing releases them.
    The file may have been replaced while we waited: then the lock is that of a file nobody will look at again."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            held = os.fstat(descriptor)
            try:
                there = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _next_counter(path: str) -> int:
    """Takes the next counter from a counter file; a file that is not there, or empty, stands for 0.

    The file has the new value before the old one is used: a crash in between leaves a hole, never a counter that is
    used twice. The text never gets shorter, so that one write changes it whole."""
    try:
        with _locked(path) as descriptor:
            text = os.pread(descriptor, MAX_COUNTER_BYTES + 1, 0)
            if text and not re.fullmatch(rb"(0|[1-9][0-9]{0,15})\n", text):
                raise DelegationError(f"`{path}` does not hold a counter: get a delegation for a new key")
            counter = int(text or b"0")
            if counter >= MAX_SAFE_INTEGER:
                raise DelegationError(f"the counter in `{path}` is used up: get a delegation for a new key")
            os.pwrite(descriptor, b"%d\n" % (counter + 1), 0)
            return counter
    except OSError as error:
        raise DelegationError(f"cannot use the counter file `{path}`: {error.strerror}") from error


# ---------------------------------------------------------------- delegations


class Delegation:
    """A chain of delegations, and, where you hold it, the private key of its leaf.

    `chain` are the tokens, root first; `key` may be None; `handoff` is the text that goes with the work; `path` is
    the file that it was read from or written to, beside which its counter is kept."""

    def __init__(self, chain: list[Any], key: Optional[Ed25519PrivateKey] = None, handoff: Optional[str] = None,
                 path: Optional[str] = None) -> None:
        if not isinstance(chain, list) or not 1 <= len(chain) <= MAX_LINKS or not all(
                isinstance(token, str) for token in chain):
            raise DelegationError(f"a chain is a list of 1 to {MAX_LINKS} tokens")
        self.chain, self.key, self.handoff, self.path = list(chain), key, handoff, path
        self._links = [_Link(token) for token in chain]
        for link, parent in zip(self._links[1:], self._links):
            if link.parent != parent.digest or not link.signed_by(parent):
                raise DelegationError("a token of the chain is not signed by the holder of the one before it")
        if self._links[0].parent is not None:
            raise DelegationError("the chain does not begin with a root")
        if key is not None and public_jwk(key) != self._leaf.jwk:
            raise DelegationError("the key is not the one that the delegation is bound to")
        if handoff is not None and self._leaf.deeds.get("handoff") != _digest_string(handoff):
            raise DelegationError("the hand-over text is not the one that the delegation was made with")

    @property
    def _leaf(self) -> _Link:
        return self._links[-1]

    @property
    def digest(self) -> str:
        """The token digest of the leaf, by which the chain is named."""
        return self._leaf.digest

    @property
    def tools(self) -> Tools:
        """The tools of the leaf and the constraints on their arguments; every link above has to allow a call too."""
        return self._leaf.tools

    @property
    def exp(self) -> int:
        """When it ends, in seconds since 1970."""
        return min(link.exp for link in self._links)

    # ------------------------------------------------------------ files

    @classmethod
    def read(cls, path: Union[str, "os.PathLike[str]"], key: Optional[Ed25519PrivateKey] = None) -> "Delegation":
        """Reads a delegation file; `key` for a file that holds none."""
        path = os.fspath(path)
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise DelegationError(f"cannot read `{path}`: {error.strerror}") from error
        try:
            content = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
        except ValueError as error:
            raise DelegationError(f"`{path}` is not a delegation file: not JSON") from error
        if not isinstance(content, dict) or content.get("v") != 1:
            raise DelegationError(f"`{path}` is not a delegation file of version 1")
        if content.get("key") is not None:
            key = _private_key(content["key"])
        handoff = content.get("handoff")
        if handoff is not None and not isinstance(handoff, str):
            raise DelegationError(f"the hand-over text in `{path}` is not a text")
        return cls(content.get("chain", []), key, handoff, path)

    def write(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes a new delegation file of mode 0600; it appears whole or not at all, and never replaces another.

        A delegation has one file, as its key has one counter. A counter file that is there already belongs to
        another key: proofs that went on from it would be refused."""
        path = os.fspath(path)
        if self.path is not None:
            raise DelegationError(f"this delegation has a file already, `{self.path}`: its proofs are counted there")
        content: JsonObject = {"v": 1, "chain": self.chain}
        if self.key is not None:
            content["key"] = private_jwk(self.key)
        if self.handoff is not None:
            content["handoff"] = self.handoff
        folder = os.path.dirname(path) or "."
        try:
            if os.path.lexists(path + ".ctr"):
                raise FileExistsError(errno.EEXIST, "its counter file `.ctr` is there already: choose another name")
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".deeds-") as file:  # made with mode 0600
                file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                os.link(file.name, path)  # fails where the name is taken; a crash here leaves the file whole
            _sync_directory(folder)
        except OSError as error:
            raise DelegationError(f"cannot write `{path}`: {error.strerror}") from error
        self.path = path

    # ------------------------------------------------------------ narrowing

    def child(self, holder: str, *, to: Optional[Jwk] = None, tools: Optional[Tools] = None,
              ttl: Optional[int] = None, purpose: Optional[str] = None, kind: str = "agent", instance: str = "",
              max_depth: Optional[int] = None, handoff: Optional[str] = None, approvals: Optional[JsonObject] = None,
              now: Optional[int] = None) -> "Delegation":
        """Makes a child: what you may do, or less, for somebody else's key.

        `holder` is who gets it, as you name them (`kind` and `instance` likewise: you vouch for the name, no more);
        `to` their public JWK, or None for a fresh key that the result then holds. `tools`, `purpose`, `max_depth`
        and `approvals` are those of this delegation where not given. `ttl` in seconds is cut at the end of this one.
        `handoff` is the text that goes with the work. `now` in seconds is for tests."""
        leaf, key = self._leaf, self._own_key()
        iat = max(int(time.time()) if now is None else _uint(now), leaf.iat)
        new_key = fresh_key() if to is None else None
        jwk = public_jwk(_public_key(to) if new_key is None else new_key)
        deeds = {"tenant": leaf.tenant, "txn": leaf.txn, "purpose": leaf.purpose if purpose is None else purpose,
                 "hld": {"id": _text(holder, "the holder's name", MAX_NAME_BYTES), "inst": instance, "kind": kind,
                         "asr": "delegator-asserted", "key": thumbprint(jwk)}}
        if handoff is not None:
            deeds["handoff"] = _digest_string(handoff)
        approvals = leaf.approvals if approvals is None else _check_approvals(approvals)
        if approvals is not None:
            deeds["apv"] = approvals
        claims = {"v": 1, "jti": str(uuid.uuid4()), "iss": KEY_URN + thumbprint(leaf.jwk), "aud": leaf.aud,
                  "iat": iat, "nbf": iat, "exp": leaf.exp if ttl is None else min(leaf.exp, iat + _uint(ttl)),
                  "cnf": {"jwk": jwk}, "par_hash": leaf.digest, "del_depth": leaf.depth + 1,
                  "del_max_depth": leaf.max_depth if max_depth is None else _uint(max_depth),
                  "authorization_details": [{"type": "attenuating_agent_token",
                                             "tools": leaf.tools if tools is None else _check_tools(tools)}],
                  "deeds": deeds}
        refusal = self._child_refusal(claims)
        if refusal:
            raise DelegationError(f"no such child can be made: {refusal}")
        chain = [*self.chain, _sign(key, "deeds-delegation+jwt", claims)]
        if len(chain) > MAX_LINKS or sum(map(len, chain)) > MAX_CHAIN_BYTES:
            raise DelegationError(f"the chain would be longer than {MAX_LINKS} links or {MAX_CHAIN_BYTES} bytes")
        return Delegation(chain, new_key, handoff)

    def _child_refusal(self, claims: JsonObject) -> Optional[str]:
        """Why a verifier would refuse a child with these claims; None if it would not."""
        leaf, deeds = self._leaf, claims["deeds"]
        _text(deeds["purpose"], "the purpose")
        if (deeds["purpose"] == BREAK_GLASS) != (leaf.purpose == BREAK_GLASS):
            return "the purpose `break-glass` cannot be taken up or given up on the way"
        if deeds["hld"]["kind"] not in HOLDER_KINDS or not isinstance(deeds["hld"]["inst"], str):
            return f"the kind of a holder is one of {', '.join(HOLDER_KINDS)}, its instance a text"
        if claims["iat"] >= claims["exp"]:
            return "yours has ended, or no time is left for it"
        if claims["del_max_depth"] > leaf.max_depth:
            return f"it may go {leaf.max_depth} deep at most, as yours"
        if not claims["del_depth"] <= claims["del_max_depth"] <= MAX_DEPTH:
            return "yours may not be handed on any further"
        excess = _tools_excess(claims["authorization_details"][0]["tools"], leaf.tools)
        return excess or _approvals_excess(deeds.get("apv"), leaf.approvals)

    def _own_key(self) -> Ed25519PrivateKey:
        if self.key is None:
            raise DelegationError("the private key of this delegation is not here: only its holder can sign with it")
        return self.key

    # ------------------------------------------------------------ acting

    def refusal(self, tool: str, arguments: Optional[JsonObject] = None, now: Optional[int] = None) -> Optional[str]:
        """Why a call would be refused by the chain itself; None if the chain allows it.

        Revocations, halts and the policy are known to the server alone."""
        args_digest(arguments)
        at = int(time.time()) if now is None else now
        for link in self._links:
            if not link.nbf - LEEWAY_SECONDS <= at < link.exp:
                return "the delegation has ended or not begun"
            row = _row(link.tools, tool)
            if row is None:
                return f"`{tool}` is not among the tools"
            refused = _argument_refusal(row, arguments or {})
            if refused:
                return refused
            if link.approvals and {tool, f"{_server(tool)}#*"} & set(link.approvals["tools"]):
                return f"`{tool}` needs an approval"
        return None

    def sign_proof(self, tool: str, arguments: Optional[JsonObject] = None, *, act_id: Optional[str] = None,
                   counter: Optional[int] = None, now: Optional[int] = None) -> str:
        """Signs the proof of possession for one call; it is good for half a minute, and once.

        `arguments` must be those of the call, exactly. `act_id` is a fresh one where not given; give it again only
        to repeat the same call. Without `counter` the next one is taken from the counter file: sign only what you
        send, for after 64 counters that never arrive every further proof is refused."""
        key, digest = self._own_key(), args_digest(arguments)
        if _server(tool) is None:
            raise DelegationError(f"`{tool}` is not a tool URI (`<server>#<tool>`)")
        if act_id is not None and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", act_id):
            raise DelegationError("an act id is a UUID in lower case")
        if counter is None:
            if self.path is None:
                raise DelegationError("write the delegation to a file first: the counter of its proofs is kept there")
            counter = _next_counter(self.path + ".ctr")
        iat = int(time.time()) if now is None else _uint(now)
        return _sign(key, "deeds-pop+jwt", {
            "jti": _b64url(secrets.token_bytes(16)), "iat": iat, "exp": iat + PROOF_SECONDS, "aud": self._links[0].iss,
            "gth": self.digest, "tool": tool, "hta_s256": digest, "act_id": act_id or _uuid7(iat),
            "ctr": _uint(counter)})

    def meta(self, tool: str, arguments: Optional[JsonObject] = None, *, by_reference: bool = False,
             **proof: Any) -> JsonObject:
        """What goes into `params._meta` of an MCP call: the chain, and a proof signed for this call.

        `by_reference` once the run knows the chain; `proof` are the options of `sign_proof`."""
        carried: JsonObject = {"ref": self.digest} if by_reference else {"chain": list(self.chain)}
        if self.handoff is not None and not by_reference:
            carried["handoff"] = self.handoff
        return {META_NAME: {**carried, "pop": self.sign_proof(tool, arguments, **proof)}}


def _argument_refusal(row: JsonObject, arguments: JsonObject) -> Optional[str]:
    """Why a row does not allow these arguments; None if it does."""
    if not row:
        return None
    for name in arguments:
        if name not in row:
            return f"the argument `{name}` is not among those allowed"
    for name, rule in row.items():
        if name in arguments:
            if not _passes(arguments[name], rule):
                return f"the argument `{name}` is outside what is allowed"
        elif not rule.get("optional", False):
            return f"the argument `{name}` is missing"
    return None


def _sync_directory(folder: str) -> None:
    """Makes a new name in a directory outlive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _uuid7(seconds: int) -> str:
    """A UUIDv7 of this second."""
    number = (seconds * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))
