#!/usr/bin/env python3
"""Verifies evidence bundles (`.deeds`), written from docs/format.md alone.

A second opinion that shares no code with the log: every docstring names the
section of docs/format.md it implements. It needs Python 3.9.2 or later and the
`cryptography` package (see requirements.txt), no network and no clock.

    verify.py [--json] [--log-key VKEY]... [--pin-key THUMBPRINT]... [--trust FILE] FILE.deeds...
    verify.py --vectors DIR
    verify.py [trust options] --flip FILE.deeds

Exit code: 0 verified, 1 failed, 2 unreadable (of several files the worst),
3 when called wrongly, so that nothing was verified.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import json
import math
import re
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_BUNDLE_BYTES = 16 * 1024 * 1024  # §9
MAX_BUNDLE_ENTRIES = 20_000  # §9
MAX_ENTRY_BYTES = 1_024  # §2
MAX_CAUSES = 8  # §2
MAX_OPENED_BYTES = 1_048_576  # §3
MAX_JSON_NESTING = 64  # conventions
MAX_SAFE_INTEGER = 2**53  # conventions
MAX_NOTE_BYTES = 1_000_000  # §1
MAX_NOTE_SIGNATURES = 100  # §1
MAX_NAME_BYTES = 255  # §1
MAX_VKEY_BYTES = 4_096  # §1
MAX_TREE_SIZE = 2**63 - 1  # §1
MAX_TOKEN_BYTES = 16_384  # §6
MAX_TEXT_BYTES = 4_096  # §6
MAX_IDENTIFIER_BYTES = 2_048  # §5
MAX_TOOLS, MAX_CONSTRAINTS, MAX_VALUES = 256, 64, 256  # §6
MAX_TOOL_BYTES = 1_024  # §6
KEY_URN = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"  # §6
DEFINED_KINDS = {1, 2, 3, 5, 6, 9, 10, 11, 14, 15, 23}  # §4
LOG_LEVEL = bytes(16)  # §2: the run of log-level entries

# §10: every code and its severity.
ERRORS = """
bundle-malformed bundle-digest checkpoint-malformed log-key-missing checkpoint-signature entry-malformed
inclusion log-id chain-hole chain-prev fields-malformed fields-root field-json cause-order manifest-mismatch
after-manifest key-thumbprint delegation-digest delegation-malformed delegation-signature request-missing
request-malformed request-key request-signature request-binding decision-delegation decision-time
delegation-time decision-binding decision-revocations principal-retired scope pop-missing pop-malformed
pop-signature pop-binding pop-time pop-replayed decision-policy policy-digest outcome-unbound
outcome-of-refusal outcome-duplicate result-digest subject earlier internal""".split()
NOTES = """
log-key-captured unwitnessed entry-uninterpreted withheld open-run manifest-withheld open-stream
issuer-key-missing principal-inferred decision-withheld revocations-withheld policy-withheld
scope-args-withheld outcome-open""".split()
SEVERITY = {**{code: "error" for code in ERRORS}, **{code: "note" for code in NOTES}}
EXIT = {"verified": 0, "failed": 1, "unreadable": 2}
EXIT_USAGE = 3

# §5: the fields the checks read, by kind and name.
FIELD_IDS = {
    1: {"log_key": 2, "issuer": 4, "issuer_key": 5, "tenant": 6},
    3: {"token": 0, "digest": 1, "request": 2},
    5: {"act_id": 0, "txn": 1, "principal": 2, "holder": 3, "chain": 5, "pop": 6, "decided_at_ms": 7, "tool": 9,
        "args": 12, "args_digest": 13, "policy_digest": 16, "revocations": 18, "verdict": 22},
    6: {"act_id": 0, "result": 2, "result_digest": 3},
    10: {"policy_digest": 0, "files": 1},
    11: {"change": 0, "principal": 1, "key": 2, "thumbprint": 3},
    15: {"streams": 0},
}
EXACT_FIELDS = {(5, 12), (6, 2)}  # §3: `args` and `result`, which are other people's bytes


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


def numbers_safe(value: object) -> bool:
    """Conventions: no number in it is without a fraction and beyond ±2^53 (every larger double is one)."""
    if isinstance(value, dict):
        return all(map(numbers_safe, value.values()))
    if isinstance(value, list):
        return all(map(numbers_safe, value))
    return isinstance(value, (str, bool)) or value is None or abs(value) <= MAX_SAFE_INTEGER


# ---------------------------------------------------------------- Ed25519, strict (§6)

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
ORDER_EIGHT_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL_ORDER_Y = {0, 1, FIELD_PRIME - 1, ORDER_EIGHT_Y, FIELD_PRIME - ORDER_EIGHT_Y}


CURVE_D = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME


def point_acceptable(encoded: bytes) -> bool:
    """§6: canonical (y below the prime) and not one of the eight small-order points."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    return y < FIELD_PRIME and y not in SMALL_ORDER_Y


@functools.lru_cache(maxsize=4096)
def key_usable(public: bytes) -> bool:
    """§6: 32 bytes that encode a point of the curve, in the one way, which is not of small order."""
    if len(public) != 32 or not point_acceptable(public):
        return False
    y2 = (int.from_bytes(public, "little") & ((1 << 255) - 1)) ** 2
    x2 = (y2 - 1) * pow(CURVE_D * y2 + 1, -1, FIELD_PRIME) % FIELD_PRIME
    return pow(x2, (FIELD_PRIME - 1) // 2, FIELD_PRIME) == 1  # y is not ±1 here, so x is not 0


@functools.lru_cache(maxsize=4096)
def signature_valid(public: bytes, message: bytes, signature: bytes) -> bool:
    """§6: Ed25519 with the strict checks that a library may leave out done first."""
    if len(public) != 32 or len(signature) != 64:
        return False
    if not point_acceptable(public) or not point_acceptable(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= GROUP_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# ---------------------------------------------------------------- deterministic CBOR (§2, §9)


class Reader:
    """Reads deterministic CBOR front to back; the caller knows which type comes next."""

    def __init__(self, data: bytes) -> None:
        self.data, self.pos = data, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.pos:
            raise Malformed("CBOR ends early")
        self.pos += count
        return self.data[self.pos - count : self.pos]

    def major(self) -> int:
        """The major type of what comes next."""
        if self.pos >= len(self.data):
            raise Malformed("CBOR ends early")
        return self.data[self.pos] >> 5

    def head(self, major: int) -> int:
        """The argument of an item of this major type, in its shortest form."""
        if self.major() != major:
            raise Malformed("CBOR item of the wrong type")
        info = self.take(1)[0] & 0x1F
        if info < 24:
            return info
        if info > 27:
            raise Malformed("CBOR with an indefinite or reserved length")
        value = int.from_bytes(self.take(1 << (info - 24)), "big")
        if value < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise Malformed("CBOR integer not in shortest form")
        return value

    def uint(self) -> int:
        """An unsigned integer."""
        return self.head(0)

    def bstr(self, length: int | None = None) -> bytes:
        """A byte string, of that length if one is given."""
        count = self.head(2)
        if length is not None and count != length:
            raise Malformed("CBOR byte string of the wrong length")
        return self.take(count)

    def tstr(self) -> str:
        """A text string."""
        try:
            return self.take(self.head(3)).decode()
        except UnicodeDecodeError as error:
            raise Malformed("CBOR text is not UTF-8") from error

    def array(self, element, least: int = 0, most: int | None = None) -> list:
        """An array of `least` to `most` elements, each read by `element(reader)`."""
        count = self.head(4)
        if count < least or (most is not None and count > most):
            raise Malformed("CBOR array of the wrong length")
        return [element(self) for _ in range(count)]

    def members(self, readers: dict, required: set) -> dict:
        """A map with ascending unsigned keys, each value read by the reader of its key."""
        found: dict = {}
        last = -1
        for _ in range(self.head(5)):
            key = self.uint()
            if key <= last or key not in readers:
                raise Malformed("CBOR map with an unknown, repeated or unordered key")
            found[key] = readers[key](self)
            last = key
        if not required <= set(found):
            raise Malformed("CBOR map without a needed key")
        return found

    def end(self) -> None:
        """Nothing may follow."""
        if self.pos != len(self.data):
            raise Malformed("bytes after the end of the CBOR")


def bstr32(reader: Reader) -> bytes:
    """A hash."""
    return reader.bstr(32)


def bstr16(reader: Reader) -> bytes:
    """An id or a salt."""
    return reader.bstr(16)


# ---------------------------------------------------------------- entries and bundles (§2, §9)


@dataclass(frozen=True)
class Entry:
    """§2: one entry of version 0. A cause is a leaf hash, or a tuple (log_id, leaf hash)."""

    kind: int
    observed_ms: int
    run: bytes
    stream: int
    seq: int
    prev: bytes
    causes: tuple
    fields: int
    fields_root: bytes


def read_cause(reader: Reader):
    """§2 key 8: one cause."""
    if reader.major() == 2:
        return reader.bstr(32)
    return tuple(reader.array(bstr32, 2, 2))


ENTRY_READERS = {
    **{key: Reader.uint for key in (0, 1, 3, 5, 6, 9, 10, 12)},
    **{key: bstr16 for key in (2, 4)},
    **{key: bstr32 for key in (7, 11)},
    8: lambda reader: tuple(reader.array(read_cause, 1, MAX_CAUSES)),
}


def decode_entry(data: bytes) -> Entry | None:
    """§2: the entry, or None for one of another version, of which only the version is read."""
    if len(data) > MAX_ENTRY_BYTES:
        raise Malformed("the entry is too long")
    peek = Reader(data)
    peek.head(5)
    if peek.uint() != 0:
        raise Malformed("the entry does not start with its version")
    if peek.uint() != 0:
        return None
    reader = Reader(data)
    m = reader.members(ENTRY_READERS, set(range(13)) - {8})
    reader.end()
    return Entry(m[1], m[3], m[4], m[5], m[6], m[7], m.get(8, ()), m[10], m[11])


@dataclass
class Item:
    """§9: an entry as the bundle shows it. `shown` is member 3.

    Step 6 fills the rest: `values` and `raw` of the fields that are present to a check, and `open_count`, how many
    are opened, decoys and unknown values included."""

    index: int
    data: bytes
    path: list
    shown: list | None
    leaf: bytes
    entry: Entry | None = None
    values: dict = field(default_factory=dict)
    raw: dict = field(default_factory=dict)
    open_count: int = 0

    def opened(self, name: str) -> bool:
        """Whether the field of this name is present to a check (§3)."""
        return FIELD_IDS[self.entry.kind][name] in self.values

    def value(self, name: str):
        """The value of a field; None when it is not present to a check (no value that is present is null)."""
        return self.values.get(FIELD_IDS[self.entry.kind][name])

    def raw_value(self, name: str) -> bytes | None:
        """The exact bytes of a field that is present to a check."""
        return self.raw.get(FIELD_IDS[self.entry.kind][name])


def read_field(reader: Reader):
    """§9 member 3: a commitment, or a tuple (salt, value)."""
    if reader.major() == 2:
        return reader.bstr(32)
    if reader.head(4) != 2:
        raise Malformed("an opened field is not a pair")
    salt, value = reader.bstr(16), reader.bstr()
    if len(value) > MAX_OPENED_BYTES:
        raise Malformed("an opened value is too long")
    return salt, value


def read_item(reader: Reader) -> Item:
    """§9: one item."""
    m = reader.members({0: Reader.uint, 1: Reader.bstr, 2: lambda r: r.array(bstr32),
                        3: lambda r: r.array(read_field)}, {0, 1, 2})
    return Item(m[0], m[1], m[2], m.get(3), leaf_hash(m[1]))


def read_subject(reader: Reader) -> tuple[str, bytes]:
    """§9 member 5."""
    m = reader.members({0: Reader.tstr, 1: bstr16}, {0, 1})
    if m[0] not in ("action", "run"):
        raise Malformed("the subject is neither an action nor a run")
    return m[0], m[1]


def read_earlier(reader: Reader) -> tuple[bytes, list]:
    """§9 member 6."""
    if reader.head(4) != 2:
        raise Malformed("the earlier checkpoint is not a pair")
    return reader.bstr(), reader.array(bstr32)


@dataclass
class Bundle:
    """§9: a bundle."""

    origin: str
    log_id: bytes
    note: bytes
    items: list
    subject: tuple | None
    earlier: tuple | None


def decode_bundle(content: bytes) -> Bundle:
    """§9 and §10 step 1: the map in front of the trailing hash."""
    reader = Reader(content)
    m = reader.members({0: Reader.uint, 1: Reader.tstr, 2: bstr32, 3: Reader.bstr,
                        4: lambda r: r.array(read_item, 0, MAX_BUNDLE_ENTRIES), 5: read_subject,
                        6: read_earlier}, {0, 1, 2, 3, 4})
    reader.end()
    if m[0] != 0:
        raise Malformed("the bundle is of another version")
    indices = [item.index for item in m[4]]
    if any(later <= earlier for earlier, later in zip(indices, indices[1:])):
        raise Malformed("the entries of the bundle do not ascend")
    return Bundle(m[1], m[2], m[3], m[4], m.get(5), m.get(6))


# ---------------------------------------------------------------- signed notes and checkpoints (§1)


@dataclass(frozen=True)
class LogKey:
    """§1: a C2SP vkey of signature type 0x01."""

    name: str
    key_id: bytes
    public: bytes


def check_key_name(name: str) -> str:
    """§1, signed-note: a key name is 1 to 255 bytes without spaces, plus signs and control characters."""
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES or any(c == "+" or c < " " or c.isspace() for c in name):
        raise Malformed("not a key name")
    return name


def parse_vkey(text: object) -> LogKey:
    """§1, signed-note: `name+id+base64(0x01 ‖ public key)`."""
    if not isinstance(text, str) or text.count("+") < 2 or len(text.encode()) > MAX_VKEY_BYTES:
        raise Malformed("not a vkey")
    name, key_id, encoded = text.split("+", 2)
    key = b64_decode(encoded)
    if len(key) != 33 or key[0] != 1 or not key_usable(key[1:]):
        raise Malformed("the vkey is not an Ed25519 log key (type 1)")
    expected = sha256(check_key_name(name).encode() + b"\n" + key)[:4]
    if key_id != expected.hex():
        raise Malformed("the vkey's id does not belong to its name and key")
    return LogKey(name, expected, key[1:])


@dataclass(frozen=True)
class Note:
    """signed-note: the signed text and its signature lines (name, key id, signature)."""

    text: str
    signatures: tuple


def parse_note(data: bytes) -> Note:
    """§1, signed-note: text, blank line, signature lines."""
    if len(data) > MAX_NOTE_BYTES:
        raise Malformed("the note is too long")
    try:
        content = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the note is not UTF-8") from error
    if any(char < " " and char != "\n" for char in content):
        raise Malformed("the note has control characters")
    split = content.rfind("\n\n")
    if split < 0 or not content.endswith("\n"):
        raise Malformed("the note has no signature block")
    lines = content[split + 2 : -1].split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        raise Malformed("the note has too many signatures")
    return Note(content[: split + 1], tuple(map(parse_signature_line, lines)))


def parse_signature_line(line: str) -> tuple[str, bytes, bytes]:
    """signed-note: `— name base64(key id ‖ signature)`."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise Malformed("the note has a malformed signature line")
    blob = b64_decode(parts[2])
    if len(blob) < 5:
        raise Malformed("the note has a signature that is too short")
    return check_key_name(parts[1]), blob[:4], blob[4:]


def note_signed(note: Note, keys: list[LogKey]) -> bool:
    """§10 step 2: signed by one of the keys, and no bad signature by any of them; others are ignored."""
    good = False
    for name, key_id, signature in note.signatures:
        for key in keys:
            if (key.name, key.key_id) == (name, key_id):
                if not signature_valid(key.public, note.text.encode(), signature):
                    return False
                good = True
    return good


@dataclass(frozen=True)
class Checkpoint:
    """§1: a tree head."""

    origin: str
    size: int
    root: bytes


def parse_checkpoint(note: Note) -> Checkpoint:
    """§1, tlog-checkpoint: origin, size, root, and no extension lines."""
    lines = note.text.split("\n")
    if len(lines) != 4:
        raise Malformed("the checkpoint has not exactly three lines")
    if not 1 <= len(lines[0].encode()) <= MAX_NAME_BYTES:
        raise Malformed("the checkpoint's origin is malformed")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]) or int(lines[1]) > MAX_TREE_SIZE:
        raise Malformed("the checkpoint's size is malformed")
    root = b64_decode(lines[2])
    if len(root) != 32:
        raise Malformed("the checkpoint's root is not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


# ---------------------------------------------------------------- signed objects (§6)


@dataclass(frozen=True)
class Jws:
    """§6: a parsed JWS; `digest` is the token digest."""

    kid: str
    claims: dict
    signing_input: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """§6: the token digest."""
        return b64url(sha256(self.signing_input))

    def signed_by(self, public: bytes) -> bool:
        """§6: `kid` is the thumbprint of this key and the signature is by it."""
        return self.kid == thumbprint(public) and signature_valid(public, self.signing_input, self.signature)


def parse_jws(token: object, typ: str) -> Jws:
    """§6: strict JWS compact serialization of that `typ`."""
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
    return Jws(head["kid"], claims, f"{head_text}.{payload_text}".encode(), signature)


def thumbprint(public: bytes) -> str:
    """§6: RFC 7638 thumbprint of an Ed25519 key."""
    return b64url(sha256(jcs({"crv": "Ed25519", "kty": "OKP", "x": b64url(public)})))


def parse_jwk(value: object) -> bytes:
    """§6: the raw public key of a JWK, which has exactly four members."""
    fixed = {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP"}
    if not isinstance(value, dict) or set(value) != {*fixed, "x"} or not isinstance(value["x"], str):
        raise Malformed("not an Ed25519 JWK")
    public = b64url_decode(value["x"])
    if any(value[name] != wanted for name, wanted in fixed.items()) or not key_usable(public):
        raise Malformed("not an Ed25519 JWK")
    return public


def is_text(value: object, longest: int = MAX_TEXT_BYTES) -> bool:
    """§6: a string that is not empty and not too long."""
    return isinstance(value, str) and 1 <= len(value.encode()) <= longest


def is_identifier(value: object) -> bool:
    """§5: a text without control characters, as in a principal."""
    return is_text(value, MAX_IDENTIFIER_BYTES) and not any(c < " " or "\x7f" <= c <= "\x9f" for c in value)


CLAIM_KINDS = {
    "text": is_text,
    "uint": is_uint,
    "uuid": lambda value: uuid_bytes(value) is not None,
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


def need_life(claims: dict, longest: int) -> tuple[int, int]:
    """§6: `iat` and `exp`, the second no earlier and no more than `longest` seconds later."""
    iat, exp = need(claims, "iat", "uint"), need(claims, "exp", "uint")
    if not 0 <= exp - iat <= longest:
        raise Malformed(f"it ends before it begins, or lives longer than {longest} s")
    return iat, exp


def parse_cnf(claims: dict) -> bytes:
    """§6: the key in `cnf.jwk`."""
    cnf = need(claims, "cnf", "object")
    if set(cnf) != {"jwk"}:
        raise Malformed("`cnf` is not one `jwk`")
    return parse_jwk(cnf["jwk"])


PRINCIPAL_KINDS = {"human", "service", "workflow", "schedule", "agent", "unknown"}


def check_principal(value: object) -> dict:
    """§5: a principal object; a key that is null is none."""
    if not isinstance(value, dict) or not {"kind", "iss", "sub"} <= set(value) <= {"kind", "iss", "sub", "key"}:
        raise Malformed("the principal has unknown or missing members")
    names = [value["iss"], value["sub"]] + ([] if value.get("key") is None else [value["key"]])
    if not isinstance(value["kind"], str) or value["kind"] not in PRINCIPAL_KINDS or not all(map(is_identifier, names)):
        raise Malformed("a member of the principal is not acceptable")
    return value


def check_holder(value: object) -> dict:
    """§5: a holder object."""
    if not isinstance(value, dict) or set(value) != {"id", "inst", "kind", "asr", "key"}:
        raise Malformed("the holder has unknown or missing members")
    if not all(isinstance(member, str) for member in value.values()) or value["kind"] not in PRINCIPAL_KINDS:
        raise Malformed("a member of the holder is not acceptable")
    return value


CONSTRAINT_MEMBERS = {"exact": {"value"}, "one_of": {"values"}, "prefix": {"prefix"}, "wildcard": set()}


def is_scalar(value: object) -> bool:
    """§6: a string within its limit, a boolean, null or an integer."""
    return value is None or isinstance(value, bool) or is_bounded(value) or is_integer(value)


def is_bounded(value: object) -> bool:
    """§6: a string in a scope, which may be empty."""
    return isinstance(value, str) and len(value.encode()) <= MAX_TEXT_BYTES


def tool_server(uri: object) -> str | None:
    """§6: the server of a tool URI; None for what is not one."""
    if isinstance(uri, str) and len(uri) <= MAX_TOOL_BYTES and re.fullmatch(r'[!-"$-~]+#[!-"$-~]+', uri):
        return uri.split("#")[0]
    return None


def check_constraint(value: object) -> None:
    """§6: one constraint; an unknown type or member refuses the token."""
    kind = value.get("constraint_type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in CONSTRAINT_MEMBERS:
        raise Malformed("a constraint of an unknown type")
    if set(value) - {"constraint_type", "optional"} != CONSTRAINT_MEMBERS[kind]:
        raise Malformed("a constraint with unknown or missing members")
    if not isinstance(value.get("optional", False), bool) or not is_scalar(value.get("value")):
        raise Malformed("a constraint member of the wrong type")
    if not is_bounded(value.get("prefix", "")):
        raise Malformed("a prefix that is not a string within its limit")
    values = value.get("values", [None])
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_VALUES or not all(map(is_scalar, values)):
        raise Malformed(f"values that are not an array of 1 to {MAX_VALUES} scalars")


def parse_tools(claims: dict) -> dict:
    """§6: the tools of `authorization_details`."""
    details = need(claims, "authorization_details", "array")
    if len(details) != 1 or not isinstance(details[0], dict):
        raise Malformed("`authorization_details` is not an array of one object")
    if set(details[0]) != {"type", "tools"} or details[0]["type"] != "attenuating_agent_token":
        raise Malformed("`authorization_details` is of an unknown type or has unknown members")
    tools = need(details[0], "tools", "object")
    if not 1 <= len(tools) <= MAX_TOOLS:
        raise Malformed(f"not 1 to {MAX_TOOLS} tools")
    for tool, row in tools.items():
        if tool_server(tool) is None:
            raise Malformed("a tool that is not a tool URI")
        if not isinstance(row, dict) or len(row) > MAX_CONSTRAINTS or not all(map(is_bounded, row)):
            raise Malformed("a tool's constraints are not an object within its limits")
        for constraint in row.values():
            check_constraint(constraint)
    return tools


def row_for(tools: dict, tool: str) -> dict | None:
    """§6: the row that governs a tool: the exact one, else that of `<server>#*`, else None."""
    server = tool_server(tool)
    if server is None:
        return None
    return tools[tool] if tool in tools else tools.get(server + "#*")


def argument_allowed(constraint: dict, argument: object) -> bool:
    """§6: whether one constraint allows one argument."""
    kind = constraint["constraint_type"]
    if kind == "exact":
        return same(argument, constraint["value"])
    if kind == "one_of":
        return jcs(argument) in set(map(jcs, constraint["values"]))
    if kind == "prefix":
        return isinstance(argument, str) and argument.startswith(constraint["prefix"])
    return True


def arguments_allowed(row: dict, arguments: dict) -> bool:
    """§6: whether a row allows these arguments; a row that is not `{}` is closed."""
    if not row:
        return True
    if any(name not in row for name in arguments):
        return False
    return all(argument_allowed(constraint, arguments[name]) if name in arguments
               else constraint.get("optional", False) for name, constraint in row.items())


def constraint_within(inner: dict, outer: dict) -> bool:
    """§6: whether a constraint is within its counterpart."""
    if inner.get("optional", False) and not outer.get("optional", False):
        return False
    kinds = inner["constraint_type"], outer["constraint_type"]
    if kinds[1] == "wildcard":
        return True
    if kinds[0] == "exact":
        return argument_allowed(outer, inner["value"])
    if kinds == ("one_of", "one_of"):
        return set(map(jcs, inner["values"])) <= set(map(jcs, outer["values"]))
    if kinds == ("one_of", "prefix"):
        return all(argument_allowed(outer, value) for value in inner["values"])
    return kinds == ("prefix", "prefix") and inner["prefix"].startswith(outer["prefix"])


def row_within(row: dict, outer: dict) -> bool:
    """§6: whether a row is within another: that is `{}`, or has the same arguments, none of them wider."""
    return not outer or (set(row) == set(outer) and all(constraint_within(row[name], outer[name]) for name in row))


def tools_within(inner: dict, outer: dict) -> bool:
    """§6: every row of `inner` is within the one that governs it in `outer`, and no row of `outer` is evaded."""
    for tool, row in inner.items():
        counterpart = row_for(outer, tool)
        if counterpart is None or not row_within(row, counterpart):
            return False
    governed = [(row_for(inner, tool), counterpart) for tool, counterpart in outer.items()]
    return all(row is None or row_within(row, counterpart) for row, counterpart in governed)


@dataclass
class Delegation:
    """§6: what the checks need of a root delegation."""

    jws: Jws
    iss: str
    iat: int
    nbf: int
    exp: int
    holder_key: bytes
    max_depth: int
    tools: dict
    tenant: str
    txn: str
    purpose: str
    principal: dict
    holder: dict
    source: dict

    @property
    def request_kid(self) -> str | None:
        """The key that signed the request it was issued on; None where there is no such request."""
        return self.source["kid"] if self.source["t"] == "key-request" else None


def parse_delegation(jws: Jws) -> Delegation:
    """§6: the members of a root delegation, and the rules that concern it alone."""
    claims = jws.claims
    deeds = need(claims, "deeds", "object")
    principal = check_principal(need(deeds, "prin", "object"))
    iat, exp = need_life(claims, 86_400 if principal["kind"] in ("human", "unknown") else 3_600)
    need(claims, "jti", "uuid")
    token = Delegation(jws, need(claims, "iss", "text"), iat, need(claims, "nbf", "uint"), exp, parse_cnf(claims),
                       need(claims, "del_max_depth", "uint"), parse_tools(claims), need(deeds, "tenant", "text"),
                       need(deeds, "txn", "uuid"), need(deeds, "purpose", "text"), principal,
                       check_holder(need(deeds, "hld", "object")), parse_source(need(deeds, "src", "array")))
    rules = {
        "`v` is not 1": need(claims, "v", "uint") == 1,
        "`aud` is not the issuer alone": claims.get("aud") == [token.iss],
        "it begins after its end": token.nbf <= exp,
        "it is not a root": need(claims, "del_depth", "uint") == 0 and "par_hash" not in claims,
        "`del_max_depth` is above 8": token.max_depth <= 8,
        "`hld.key` is not the key it is bound to": token.holder["key"] == thumbprint(token.holder_key),
    }
    for text, kept in rules.items():
        if not kept:
            raise Malformed(text)
    return token


def parse_source(sources: list) -> dict:
    """§6: `src`, an array of one."""
    if len(sources) != 1 or not isinstance(sources[0], dict):
        raise Malformed("`src` is not an array of one object")
    source = sources[0]
    if source.get("t") == "key-request":
        need(source, "d", "text")
        need(source, "jti", "uuid")
        if need(source, "iss", "text") != KEY_URN + need(source, "kid", "text"):
            raise Malformed("`src` names two keys")
    elif source.get("t") == "peer-cred":
        need(source, "uid", "uint")
    else:
        raise Malformed("`src` is of an unknown type")
    return source


@dataclass(frozen=True)
class Request:
    """§6: what the checks need of a root request. `txn` and `holder` are None where it does not name them."""

    jws: Jws
    iat: int
    exp: int
    holder_key: bytes
    max_depth: int
    tools: dict
    ttl: int
    tenant: str
    purpose: str
    txn: str | None
    holder: dict | None


def parse_request(jws: Jws, issuer: str) -> Request:
    """§6: a root request and the rules it must keep by itself."""
    claims = jws.claims
    need(claims, "jti", "uuid")
    if need(claims, "v", "uint") != 1 or need(claims, "aud", "text") != issuer:
        raise Malformed("`v` is not 1 or `aud` is not the issuer")
    if need(claims, "iss", "text") != KEY_URN + jws.kid:
        raise Malformed("`iss` is not the key that signed")
    deeds = need(claims, "deeds", "object")
    holder = need(deeds, "hld", "object") if "hld" in deeds else None
    if holder is not None and (set(holder) != {"id", "kind"} or not is_identifier(holder["id"])
                               or not isinstance(holder["kind"], str) or holder["kind"] not in PRINCIPAL_KINDS):
        raise Malformed("`hld` is not an id and a kind")
    return Request(jws, *need_life(claims, 300), parse_cnf(claims), need(claims, "del_max_depth", "uint"),
                   parse_tools(claims), need(claims, "ttl", "uint"), need(deeds, "tenant", "text"),
                   need(deeds, "purpose", "text"), need(deeds, "txn", "uuid") if "txn" in deeds else None, holder)


def root_within(token: Delegation, request: Request) -> bool:
    """§6: whether the issued root stays within the request it was issued on (whose digest has been compared)."""
    return (token.source["kid"] == request.jws.kid and token.source["jti"] == request.jws.claims["jti"]
            and token.holder_key == request.holder_key and tools_within(token.tools, request.tools)
            and token.max_depth <= request.max_depth and token.exp - token.iat <= request.ttl
            and request.iat - 30 <= token.iat <= request.exp + 30
            and (token.tenant, token.purpose) == (request.tenant, request.purpose)
            and request.txn in (None, token.txn) and holder_as_named(token.holder, request.holder))


def holder_as_named(holder: dict, named: dict | None) -> bool:
    """§6: where the request says who holds the key, the root says the same, and on whose word."""
    return named is None or (holder["id"] == named["id"] and holder["kind"] == named["kind"]
                             and holder["asr"] == "delegator-asserted")


@dataclass(frozen=True)
class Pop:
    """§6: a proof of possession."""

    jws: Jws
    iat: int
    exp: int
    aud: str
    counter: int


def parse_pop(token: object) -> Pop:
    """§6: a proof of possession."""
    jws = parse_jws(token, "deeds-pop+jwt")
    for name in ("jti", "gth", "tool", "hta_s256"):
        need(jws.claims, name, "text")
    need(jws.claims, "act_id", "uuid")
    return Pop(jws, *need_life(jws.claims, 60), need(jws.claims, "aud", "text"), need(jws.claims, "ctr", "uint"))


# ---------------------------------------------------------------- verification (§10)


@dataclass
class Trust:
    """§10: trust roots; both may be empty."""

    log_keys: list = field(default_factory=list)
    pins: set = field(default_factory=set)


@dataclass(frozen=True)
class Finding:
    """§10: one finding."""

    severity: str
    code: str
    index: int | None
    text: str

    def key(self) -> tuple[int, str]:
        """The order in which findings are reported."""
        return (-1 if self.index is None else self.index, self.code)


class Audit:
    """One bundle under verification: what the steps of §10 read and what they find."""

    def __init__(self, bundle: Bundle, trust: Trust, findings: dict) -> None:
        self.bundle, self.trust, self.findings = bundle, trust, findings
        self.by_index = {item.index: item for item in bundle.items}
        self.by_leaf: dict = {}  # leaf hash → items, in index order: an entry may stand twice in a log
        for item in bundle.items:
            self.by_leaf.setdefault(item.leaf, []).append(item)
        self.entries: list = []  # the items of version 0 that decode, in index order (step 3)
        self.keys: list = []  # the log keys that count (step 2)
        self.checkpoint: Checkpoint | None = None  # step 2
        self.register: dict = {}  # thumbprint → [(index, change, principal, public key)] (step 9)
        self.delegations: dict = {}  # token digest → [(item, Delegation)], those without errors (step 10)
        self.labels: list = []  # §7: how the key of each delegation's principal was checked

    def find(self, code: str, index: int | None, text: str) -> None:
        """Records a finding; there is one per (code, index)."""
        self.findings.setdefault((code, index), Finding(SEVERITY[code], code, index, text))

    def of_kind(self, kind: int) -> list:
        """The items of a defined kind, in index order."""
        return [item for item in self.entries if item.entry.kind == kind]

    def genesis(self, name: str):
        """A field of the second genesis entry, the item with index 1; None when it is not present."""
        item = self.by_index.get(1)
        return item.value(name) if item and item.entry and item.entry.kind == 1 else None

    def registered(self, kid: str, index: int) -> tuple | None:
        """Step 9: the register's row of a key that counts as registered at this index."""
        row = last_below(self.register.get(kid, []), index)
        return row if row and row[1] == "principal-registered" else None


def last_below(rows: list, index: int) -> tuple | None:
    """The last of rows that start with an ascending index whose index is lower than this one."""
    position = bisect_left(rows, (index,))
    return rows[position - 1] if position else None


def log_keys(audit: Audit) -> list[LogKey]:
    """§10 step 2: the pinned keys of the origin, else the one the log captured about itself."""
    origin = audit.bundle.origin
    pinned = [key for key in audit.trust.log_keys if key.name == origin]
    if pinned:
        return pinned
    captured = audit.genesis("log_key")
    if captured is None or audit.trust.log_keys:
        audit.find("log-key-missing", None, "no pinned key is of this log, and its own record is not opened or not asked")
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


def commitment(kind: int, field_id: int, shown) -> bytes:
    """§3: the commitment of a field, computed if it is opened."""
    if isinstance(shown, bytes):
        return shown
    salt, value = shown
    return sha256(b"deeds/field/v1\x00" + bytes([kind, field_id]) + salt + value)


def is_unknown(kind: int, field_id: int, value: object) -> bool:
    """§3: `{"unknown":"<why>"}`, except where the bytes are other people's."""
    return ((kind, field_id) not in EXACT_FIELDS and isinstance(value, dict) and set(value) == {"unknown"}
            and isinstance(value["unknown"], str))


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
    runs: dict = {}
    for item in audit.entries:
        if item.entry.run != LOG_LEVEL:
            runs.setdefault(item.entry.run, {}).setdefault(item.entry.stream, []).append(item)
    for streams in runs.values():
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


def step_10_delegations(audit: Audit) -> None:
    """§10 step 10."""
    for item in audit.of_kind(3):
        if item.opened("token"):
            check_delegation(audit, item)


def check_delegation(audit: Audit, item: Item) -> None:
    """§10 step 10 for one entry; a delegation without errors is kept for step 11."""
    errors: list = []

    def fail(code: str, text: str) -> None:
        errors.append(code)
        audit.find(code, item.index, text)

    try:
        jws = parse_jws(item.value("token"), "deeds-delegation+jwt")
    except Malformed as error:
        fail("delegation-malformed", str(error))
        return
    if item.opened("digest") and item.value("digest") != jws.digest:
        fail("delegation-digest", "the digest is not that of the token")
    try:
        token = parse_delegation(jws)
        for name, stated in (("issuer", token.iss), ("tenant", token.tenant)):
            if audit.genesis(name) not in (None, stated):
                raise Malformed(f"it is not of the {name} that the log states")
    except Malformed as error:
        fail("delegation-malformed", str(error))
        return
    check_issuer(audit, item, jws, fail)
    if token.source["t"] == "key-request":
        check_request(audit, item, token, fail)
    else:
        audit.find("principal-inferred", item.index, "no key vouches for the principal, only the operating system")
        audit.labels.append(f"delegation at {item.index}: principal's key not-checked (inferred from the peer)")
    if not errors:
        audit.delegations.setdefault(jws.digest, []).append((item, token))


def check_issuer(audit: Audit, item: Item, jws: Jws, fail) -> None:
    """§10 step 10: the issuer's signature."""
    jwk = audit.genesis("issuer_key")
    if jwk is None:
        audit.find("issuer-key-missing", item.index, "the issuer's key is not shown: signature not checked")
        return
    try:
        good = jws.signed_by(parse_jwk(jwk))
    except Malformed:
        good = False
    if not good:
        fail("delegation-signature", "the token is not signed by the issuer's key")


def check_request(audit: Audit, item: Item, token: Delegation, fail) -> None:
    """§10 step 10: the request of the principal on which the root was issued."""
    if not item.opened("request"):
        fail("request-missing", "the principal's signed request is not shown")
        return
    try:
        jws = parse_jws(item.value("request"), "deeds-root-request+jwt")
        request = parse_request(jws, token.iss)
        if jws.digest != token.source["d"]:
            raise Malformed("it is not the request that the token names")
    except Malformed as error:
        fail("request-malformed", str(error))
        return
    row = audit.registered(jws.kid, item.index)
    if row is None:
        fail("request-key", "the key of the request is not registered at this index")
    else:
        label = "verified-pinned" if jws.kid in audit.trust.pins else "verified-captured"
        audit.labels.append(f"delegation at {item.index}: principal's key {jws.kid} {label} (recorded at {row[0]})")
        if not jws.signed_by(row[3]):
            fail("request-signature", "the request is not signed by the registered key")
        if not same_principal(row[2], token.principal):
            fail("request-binding", "the key is registered for another principal")
    if not root_within(token, request):
        fail("request-binding", "the token goes beyond the request")


def same_principal(stated: object, of: dict) -> bool:
    """§10: equal in `iss` and `sub`."""
    return isinstance(stated, dict) and all(stated.get(name) == of[name] for name in ("iss", "sub"))


def step_11_decisions(audit: Audit) -> None:
    """§10 step 11."""
    outcomes = {cause for item in audit.of_kind(6) for cause in item.entry.causes}
    log_level = [item for item in audit.entries if item.entry.run == LOG_LEVEL]
    revocations = [(item.index,) for item in log_level]
    policies = [(item.index, item) for item in log_level if item.entry.kind == 10]
    counters: set = set()
    for item in audit.of_kind(5):
        if item.value("verdict") != "allow":
            continue
        pop = read_pop(item, counters)
        if not item.opened("chain"):
            audit.find("decision-withheld", item.index, "the delegation the decision relied on is not shown")
            continue
        second = decision_second(audit, item)
        check_revocations(audit, item, revocations)
        check_policy(audit, item, policies)
        if pop.code:
            audit.find(pop.code, item.index, pop.text)
        if item.leaf not in outcomes:
            audit.find("outcome-open", item.index, "the outcome of the action is not shown")
        token = leaf_delegation(audit, item)
        if token is None:
            continue
        check_delegation_use(audit, item, token, second)
        check_binding(audit, item, token)
        check_scope(audit, item, token)
        if pop.proof:
            check_pop(audit, item, token, pop, second)


@dataclass(frozen=True)
class ReadPop:
    """§10 step 11: a proof as far as it can be read alone, or the finding that says why it cannot."""

    proof: Pop | None = None
    replayed: bool = False
    code: str = ""
    text: str = ""


def read_pop(item: Item, counters: set) -> ReadPop:
    """§10 step 11: reads the proof of an allowed decision and takes note of its counter."""
    if not item.opened("pop"):
        return ReadPop(code="pop-missing", text="the proof of possession is not shown")
    try:
        pop = parse_pop(item.value("pop"))
    except Malformed as error:
        return ReadPop(code="pop-malformed", text=str(error))
    counter = (pop.jws.kid, pop.aud, pop.counter)
    replayed = counter in counters
    counters.add(counter)
    return ReadPop(pop, replayed)


def leaf_delegation(audit: Audit, item: Item) -> Delegation | None:
    """§10 step 11: the delegation that `chain` names."""
    chain = item.value("chain")
    for where, token in audit.delegations.get(chain, []) if isinstance(chain, str) else []:
        if where.index < item.index and where.entry.run == item.entry.run:
            return token
    audit.find("decision-delegation", item.index, "no valid delegation before it in its run has this digest")
    return None


def decision_second(audit: Audit, item: Item) -> int | None:
    """§10 step 11: T, the time of the decision in whole seconds."""
    decided = item.value("decided_at_ms")
    usable = is_uint(decided)
    if not usable or abs(decided - item.entry.observed_ms) > 60_000:
        audit.find("decision-time", item.index, "the time of the decision is not shown or far from the log's clock")
    return decided // 1000 if usable else None


def check_revocations(audit: Audit, item: Item, log_level: list) -> None:
    """§10 step 11: the decision took the last log-level entry before it into account."""
    if not item.opened("revocations"):
        audit.find("revocations-withheld", item.index, "which revocations the decision knew of is not shown")
        return
    value = item.value("revocations")
    used = value.get("index") if isinstance(value, dict) else None
    if not is_uint(used) or (used,) != last_below(log_level, item.index):
        audit.find("decision-revocations", item.index, "it did not rely on the last log-level entry before it")


def check_delegation_use(audit: Audit, item: Item, token: Delegation, second: int | None) -> None:
    """§10 step 11: the delegation was valid, and its principal's key registered, at the decision."""
    if second is not None and not token.nbf - 30 <= second < token.exp:
        audit.find("delegation-time", item.index, "the delegation was not valid at the time of the decision")
    if token.request_kid is not None and audit.registered(token.request_kid, item.index) is None:
        audit.find("principal-retired", item.index, "the principal's key was no longer registered")


def check_binding(audit: Audit, item: Item, token: Delegation) -> None:
    """§10 step 11: task, principal and holder, as far as they are shown, are those of the delegation."""
    holder = item.value("holder")
    good = item.value("txn") in (None, token.txn)
    good = good and (not item.opened("principal") or same_principal(item.value("principal"), token.principal))
    if not good or holder is not None and not (isinstance(holder, dict) and all(
            holder.get(name) == token.holder[name] for name in ("id", "key"))):
        audit.find("decision-binding", item.index, "it names another task, principal or holder than its delegation")


def args_safe(item: Item) -> bool:
    """§10 step 11: `args` are shown and an object that every reader reads alike."""
    return isinstance(item.value("args"), dict) and numbers_safe(item.value("args"))


def check_scope(audit: Audit, item: Item, token: Delegation) -> None:
    """§10 step 11: the tool and its arguments are within the delegation."""
    row = row_for(token.tools, item.value("tool"))
    if item.opened("args") and not args_safe(item):
        audit.find("scope", item.index, "the arguments are not an object with integers within 2^53")
    if row is None:
        audit.find("scope", item.index, "the tool is not shown or not in the delegation")
    elif not item.opened("args"):
        if row:
            audit.find("scope-args-withheld", item.index, "the arguments are not shown: constraints not checked")
    elif args_safe(item) and not arguments_allowed(row, item.value("args")):
        audit.find("scope", item.index, "the arguments are not allowed by the delegation")


def check_pop(audit: Audit, item: Item, token: Delegation, read: ReadPop, second: int | None) -> None:
    """§10 step 11: the proof of possession against the delegation and the decision."""
    pop = read.proof
    if not pop.jws.signed_by(token.holder_key):
        audit.find("pop-signature", item.index, "the proof is not signed by the key the delegation is bound to")
    if not pop_bound(item, pop, token.iss):
        audit.find("pop-binding", item.index, "the proof is for another issuer, delegation, tool, action or arguments")
    if second is not None and (abs(second - pop.iat) > 30 or second >= pop.exp):
        audit.find("pop-time", item.index, "the proof was not fresh at the time of the decision")
    if read.replayed:
        audit.find("pop-replayed", item.index, "the counter of the proof was used before")


def pop_bound(item: Item, pop: Pop, issuer: str) -> bool:
    """§10 step 11: the proof names this issuer, delegation, tool, action and arguments."""
    names = {"gth": "chain", "tool": "tool", "act_id": "act_id", "hta_s256": "args_digest"}
    if pop.aud != issuer or any(pop.jws.claims[claim] != item.value(name) for claim, name in names.items()):
        return False
    return not args_safe(item) or item.value("args_digest") == b64url(sha256(jcs(item.value("args"))))


def check_policy(audit: Audit, item: Item, policies: list) -> None:
    """§10 step 11: the decision was taken under the policy then active."""
    if not item.opened("policy_digest"):
        audit.find("policy-withheld", item.index, "the policy of the decision is not shown")
        return
    row = last_below(policies, item.index)
    if row is None:
        audit.find("decision-policy", item.index, "no policy was activated before it")
    elif row[1].opened("policy_digest") and not same(row[1].value("policy_digest"), item.value("policy_digest")):
        audit.find("decision-policy", item.index, "it was not taken under the policy then active")


def step_12_policies(audit: Audit) -> None:
    """§10 step 12, §5 kind 10."""
    for item in audit.of_kind(10):
        if item.opened("files") and item.opened("policy_digest"):
            if policy_digest(item.value("files")) != item.value("policy_digest"):
                audit.find("policy-digest", item.index, "the digest is not that of the policy files")


def policy_digest(files: object) -> str | None:
    """§5 kind 10: the policy digest of the files; None when a file is not what its digest says, or out of order."""
    if not isinstance(files, list):
        return None
    rows = []
    for file in files:
        if not isinstance(file, dict) or not all(isinstance(file.get(n), str) for n in ("path", "sha256", "text")):
            return None
        if file["sha256"] != sha256(file["text"].encode()).hex():
            return None
        rows.append({"path": file["path"], "sha256": file["sha256"]})
    paths = [row["path"].encode() for row in rows]
    if any(path >= following for path, following in zip(paths, paths[1:])):
        return None
    return digest_string(jcs(rows))


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


STEPS = (decode_entries, step_06_fields, step_02_checkpoint, step_03_inclusion, step_04_log_id, step_05_chains,
         step_07_causes, step_08_manifests, step_09_register, step_10_delegations, step_11_decisions,
         step_12_policies, step_13_outcomes, step_14_subject, step_15_earlier)


@dataclass
class Report:
    """§10: the verdict and the findings, in the order in which they are reported; `facts` are for a reader."""

    verdict: str
    findings: list
    facts: list


def read_bundle(data: bytes, findings: dict) -> Bundle | None:
    """§10 step 1: the bundle, or None when it is unreadable."""
    def fail(code: str, text: str) -> None:
        findings[(code, None)] = Finding("error", code, None, text)

    if not 33 <= len(data) <= MAX_BUNDLE_BYTES:
        fail("bundle-malformed", f"{len(data)} bytes are too few or too many for a bundle")
        return None
    if sha256(data[:-32]) != data[-32:]:
        fail("bundle-digest", "the hash at the end is not that of the bundle")
    try:
        return decode_bundle(data[:-32])
    except Malformed as error:
        fail("bundle-malformed", str(error))
        return None


def describe(audit: Audit) -> list[str]:
    """What a reader wants to know beside the findings."""
    head = audit.checkpoint
    decisions = [str(item.value("verdict")) for item in audit.of_kind(5)]
    runs = {item.entry.run for item in audit.entries} - {LOG_LEVEL}
    return [f"log {audit.bundle.origin}, id {audit.bundle.log_id.hex()}",
            f"checkpoint of {head.size} entries, root {head.root.hex()}" if head else "no usable checkpoint",
            f"{len(audit.bundle.items)} entries shown, {len(runs)} run(s), {len(decisions)} decision(s), "
            f"{decisions.count('allow')} of them allowed", *audit.labels]


def verify(data: bytes, trust: Trust) -> Report:
    """§10: verifies one bundle. No clock, no network, and no exception whatever the bytes are."""
    findings: dict = {}
    facts: list = []
    unreadable = True
    try:
        bundle = read_bundle(data, findings)
        if bundle is not None:
            audit = Audit(bundle, trust, findings)
            for step in STEPS:
                step(audit)
            facts = describe(audit)
            unreadable = False
    except Exception as error:  # last resort: a verifier that stops must not look like one that agrees
        findings[("internal", None)] = Finding("error", "internal", None, f"the verifier failed: {error!r}")
    failed = any(finding.severity == "error" for finding in findings.values())
    verdict = "unreadable" if unreadable else "failed" if failed else "verified"
    return Report(verdict, sorted(findings.values(), key=Finding.key), facts)


# ---------------------------------------------------------------- command line


def parse_policy(text: str) -> list[LogKey]:
    """The log keys of a C2SP tlog-policy without witnesses."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log" and len(words) in (2, 3):
            keys.append(parse_vkey(words[1]))
        elif words != ["quorum", "none"]:
            raise Malformed(f"line {number}: only `log <vkey> [url]` and `quorum none` are supported")
    return keys


def trust_from(log_keys: list, pins: list, policy: str = "") -> Trust:
    """Trust roots from their text forms."""
    for pin in pins:
        if not isinstance(pin, str) or len(b64url_decode(pin)) != 32:
            raise Malformed(f"`{pin}` is not a SHA-256 thumbprint in b64url")
    return Trust([*map(parse_vkey, log_keys), *parse_policy(policy)], set(pins))


def read_limited(path: str) -> bytes:
    """A file, or as much of it as shows that it is too long."""
    with open(path, "rb") as file:
        return file.read(MAX_BUNDLE_BYTES + 1)


def printable(text: str) -> str:
    """Text from outside, harmless to a terminal."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def print_text(name: str, report: Report) -> None:
    """A report for a person."""
    print(printable(f"{name}: {report.verdict}"))
    for fact in report.facts:
        print(printable(f"  {fact}"))
    for finding in sorted(report.findings, key=lambda f: (f.severity, f.key())):
        where = "" if finding.index is None else f" at entry {finding.index}"
        print(printable(f"  {finding.severity}: {finding.code}{where}: {finding.text}"))
    if report.verdict == "verified":
        print("  not proved: that nothing went unrecorded, that the log has no other history, that asserted or "
              "inferred labels are true")


def print_json(name: str, report: Report) -> None:
    """A report for a program, on one line."""
    findings = [{"severity": f.severity, "code": f.code, "index": f.index, "text": f.text} for f in report.findings]
    print(json.dumps({"file": name, "verdict": report.verdict, "findings": findings}))


def run_files(files: list, trust: Trust, show) -> int:
    """Verifies files one after the other; the worst exit code counts."""
    worst = 0
    for name in files:
        try:
            report = verify(read_limited(name), trust)
        except OSError as error:
            finding = Finding("error", "bundle-malformed", None, f"the file cannot be read: {error.strerror}")
            report = Report("unreadable", [finding], [])
        show(name, report)
        worst = max(worst, EXIT[report.verdict])
    return worst


def vector_difference(path: Path) -> str | None:
    """Runs the vector described by this `.json` file; None when all is as expected."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    roots, expect = vector.get("trust", {}), vector["expect"]
    report = verify(read_limited(str(path.with_suffix(".deeds"))),
                    trust_from(roots.get("log_keys", []), roots.get("pin_keys", [])))
    got = [(f.severity, f.code, f.index) for f in report.findings]
    want = [(f["severity"], f["code"], f["index"]) for f in expect["findings"]]
    if report.verdict == expect["verdict"] and sorted(got, key=repr) == sorted(want, key=repr):
        return None
    return (f"expected {expect['verdict']}, got {report.verdict}; missing {[f for f in want if f not in got]}, "
            f"unexpected {[f for f in got if f not in want]}")


def run_vectors(directory: str) -> int:
    """Runs every vector of a directory: `<name>.deeds` with `<name>.json`."""
    names = {path.stem for path in Path(directory).iterdir() if path.suffix in (".deeds", ".json")}
    failed = 0
    for name in sorted(names):
        try:
            difference = vector_difference(Path(directory) / f"{name}.json")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            difference = f"the vector cannot be run: {error!r}"
        if difference:
            failed += 1
            print(printable(f"{name}: {difference}"))
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed or not names else 0


def run_flip(name: str, trust: Trust) -> int:
    """Flips each byte in two ways, as it is and with the trailing hash made anew: nothing may verify.

    With the old trailing hash step 1 alone settles that the verdict is not `verified`."""
    data = read_limited(name)
    if verify(data, trust).verdict != "verified":
        print(printable(f"{name}: does not verify as it is, flipping shows nothing"))
        return 1
    accepted: dict = {"plain": [], "rehashed": []}
    for offset in range(len(data)):
        for mask in (0x01, 0x80):
            flipped = bytearray(data)
            flipped[offset] ^= mask
            findings: dict = {}
            read_bundle(bytes(flipped), findings)
            if not findings:
                accepted["plain"].append((offset, mask))
            content = bytes(flipped[:-32])
            if offset < len(content) and verify(content + sha256(content), trust).verdict == "verified":
                accepted["rehashed"].append((offset, mask))
    for way, total in (("plain", 2 * len(data)), ("rehashed", 2 * (len(data) - 32))):
        print(f"{way}: {total} flips, {total - len(accepted[way])} rejected, {len(accepted[way])} accepted")
        for offset, mask in accepted[way][:20]:
            print(f"  accepted: byte {offset} with {mask:#04x}")
    return 1 if any(accepted.values()) else 0


class Parser(argparse.ArgumentParser):
    """Wrong use has its own exit code: 2 means `unreadable`."""

    def error(self, message: str) -> None:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(arguments: list | None = None) -> int:
    """The command line."""
    parser = Parser(description="Verifies evidence bundles.")
    parser.add_argument("--json", action="store_true", help="one JSON object per file")
    parser.add_argument("--log-key", action="append", default=[], metavar="VKEY", help="pin a log key")
    parser.add_argument("--pin-key", action="append", default=[], metavar="THUMBPRINT", help="pin a principal's key")
    parser.add_argument("--trust", metavar="FILE", help="pin the log keys of a tlog-policy")
    parser.add_argument("--vectors", metavar="DIR", help="run the test vectors of a directory")
    parser.add_argument("--flip", metavar="FILE.deeds", help="check that no flipped byte goes unnoticed")
    parser.add_argument("files", nargs="*", metavar="FILE.deeds")
    options = parser.parse_args(arguments)
    if [bool(options.files), options.vectors is not None, options.flip is not None].count(True) != 1:
        parser.error("name bundles, or --vectors, or --flip")
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        policy = Path(options.trust).read_text(encoding="utf-8") if options.trust else ""
        trust = trust_from(options.log_key, options.pin_key, policy)
        if options.vectors is not None:
            return run_vectors(options.vectors)
        if options.flip is not None:
            return run_flip(options.flip, trust)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return run_files(options.files, trust, print_json if options.json else print_text)


if __name__ == "__main__":
    sys.exit(main())
