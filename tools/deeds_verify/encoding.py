"""Hashes, the Merkle tree, base64, UUIDs, strict JSON and JCS: the conventions and §1 of docs/format.md."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from decimal import Decimal

MAX_JSON_NESTING = 64  # conventions
MAX_SAFE_INTEGER = 2**53  # conventions
MAX_EXPONENT_DIGITS = 20  # more of them than any number could make up for with the digits before them


class Malformed(ValueError):
    """Bytes that are not what the format says; the text says in which way."""


# ---------------------------------------------------------------- hashes and the Merkle tree (§1)


def sha256(data: bytes) -> bytes:
    """`H` of the conventions."""
    return hashlib.sha256(data).digest()


def digest_string(data: bytes) -> str:
    """Conventions: a digest string."""
    return "sha256:" + sha256(data).hex()


def leaf_hash(entry: bytes) -> bytes:
    """§1: leaf hash of the RFC 6962 tree."""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    """§1: inner node of the RFC 6962 tree."""
    return sha256(b"\x01" + left + right)


EMPTY_ROOT = sha256(b"")


def merkle_root(entries: list[bytes]) -> bytes:
    """§1: RFC 6962 §2.1 root over a short list (the fields of one entry)."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    return node_hash(merkle_root(entries[:split]), merkle_root(entries[split:]))


def inclusion_root(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes | None:
    """§10 step 3: the root an inclusion path leads to; None when the path has the wrong length."""
    if index >= size:
        return None
    low, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if low & 1 or low == last:
            root = node_hash(sibling, root)
            while low and not low & 1:
                low, last = low >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        low, last = low >> 1, last >> 1
    return root if last == 0 else None


def consistent(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: list[bytes]) -> bool:
    """§10 step 15: RFC 6962 consistency proof between two tree heads."""
    if old_size > new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    if not proof:
        return False
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    low, last = old_size - 1, new_size - 1
    while low & 1:
        low, last = low >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if low & 1 or low == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while low and not low & 1:
                low, last = low >> 1, last >> 1
        else:
            new = node_hash(new, node)
        low, last = low >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


# ---------------------------------------------------------------- encodings (conventions)


def b64_decode(text: str) -> bytes:
    """Standard base64 with padding, as in signed notes; only the canonical spelling passes."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise Malformed("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Malformed("base64 is not canonical")
    return data


def b64url(data: bytes) -> str:
    """Conventions: b64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text: str) -> bytes:
    """Conventions: b64url without padding and with zero trailing bits."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Malformed("not b64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise Malformed("b64url has trailing bits")
    return data


def uuid_bytes(value: object) -> bytes | None:
    """Conventions: the 16 bytes of a UUID as text in lower case, or None."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        return bytes.fromhex(value.replace("-", ""))
    return None


# ---------------------------------------------------------------- strict JSON and JCS (conventions)


def check_nesting(data: bytes) -> None:
    """Conventions: arrays and objects nest at most 64 deep."""
    depth, in_string = 0, False
    for token in re.finditer(rb'\\.|["\[\]{}]', data, re.DOTALL):
        char = token.group()
        if char == b'"':
            in_string = not in_string
        elif not in_string and char in (b"[", b"{"):
            depth += 1
            if depth > MAX_JSON_NESTING:
                raise Malformed("JSON nests too deep")
        elif not in_string and char in (b"]", b"}"):
            depth -= 1


def json_double(text: str) -> float:
    """Conventions: the double nearest to a number; one beyond all doubles is refused."""
    double = float(text)
    if not math.isfinite(double):
        raise Malformed("JSON number beyond a double")
    return double


def json_integer(text: str) -> int | float:
    """Conventions: an integer as it is written; `-0` and one too long for any use become doubles."""
    return int(text) if len(text) <= 40 and text != "-0" else json_double(text)


def json_object(pairs: list[tuple[str, object]]) -> dict:
    """Conventions: no duplicate object names."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("JSON object with a duplicate name")
    return members


def json_constant(text: str) -> None:
    """NaN and the infinities are not JSON."""
    raise Malformed(f"{text} is not JSON")


def check_surrogates(value: object) -> None:
    """Conventions: no lone surrogates, in names or in strings."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for element in value:
            check_surrogates(element)
    elif isinstance(value, dict):
        for name, member in value.items():
            name.encode()
            check_surrogates(member)


def parse_json(data: bytes) -> object:
    """Conventions: strict JSON. Integers stay exact, other numbers become doubles."""
    check_nesting(data)
    try:
        value = json.loads(data.decode(), parse_int=json_integer, parse_float=json_double,
                           parse_constant=json_constant, object_pairs_hook=json_object)
        check_surrogates(value)
    except (ValueError, RecursionError) as error:
        raise Malformed("not strict JSON") from error
    return value


def ecmascript_number(number: int | float) -> str:
    """RFC 8785 §3.2.2.3: a number as ECMAScript writes the double nearest to it."""
    try:
        double = float(number)
    except OverflowError as error:
        raise Malformed("number beyond a double") from error
    if not math.isfinite(double):
        raise Malformed("number beyond a double")
    if double == 0:
        return "0"
    sign = "-" if double < 0 else ""
    _, digit_tuple, exponent = Decimal(repr(abs(double))).as_tuple()
    all_digits = "".join(map(str, digit_tuple))
    digits = all_digits.rstrip("0")
    point = len(all_digits) + int(exponent)  # the value is 0.DIGITS times 10 to the power of `point`
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def jcs_text(value: object) -> str:
    """RFC 8785: canonical JSON as text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return ecmascript_number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(jcs_text, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(jcs_text(name) + ":" + jcs_text(value[name]) for name in names) + "}"


def jcs(value: object) -> bytes:
    """RFC 8785: canonical JSON as UTF-8."""
    return jcs_text(value).encode()


def is_integer(value: object) -> bool:
    """Conventions: an *integer*, written with digits alone and within ±2^53."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER


def is_uint(value: object) -> bool:
    """Conventions: a *uint* in JSON."""
    return is_integer(value) and value >= 0


def same(one: object, other: object) -> bool:
    """Conventions: JSON values are equal if their JCS bytes are."""
    return jcs(one) == jcs(other)


NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
STRING_OR_NUMBER = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)


def decimal_parts(text: str) -> tuple | None:
    """The decimal number that a JSON number writes, as sign, digits without outer zeros and power of ten.

    None for one whose exponent is beyond all use."""
    minus, whole, fraction, exponent = NUMBER.fullmatch(text).groups("")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return minus, "", 0
    if len(exponent.lstrip("+-0")) > MAX_EXPONENT_DIGITS:
        return None
    return minus, digits.rstrip("0"), int(exponent or 0) - len(fraction) + len(digits) - len(digits.rstrip("0"))


def number_exact(text: str) -> bool:
    """§6, *Arguments*: JCS writes the same decimal number; no minus zero; within ±2^53 where it has no fraction."""
    parts = decimal_parts(text)
    if parts is None:
        return False
    if not parts[1]:
        return not parts[0]
    double = float(text)
    if parts[2] >= 0 and abs(double) > MAX_SAFE_INTEGER:
        return False
    return parts == decimal_parts(ecmascript_number(double))


def numbers_exact(data: bytes) -> bool:
    """§6, *Arguments*: every number of a strict JSON text is exact."""
    tokens = (match.group() for match in STRING_OR_NUMBER.finditer(data))
    return all(number_exact(token.decode()) for token in tokens if not token.startswith(b'"'))
