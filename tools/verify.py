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
MAX_JSON_NESTING = 64  # conventions
MAX_SAFE_INTEGER = 2**53  # §6
MAX_NOTE_SIGNATURES = 100  # signed-note
DEFINED_KINDS = {1, 2, 3, 5, 6, 9, 10, 11, 14, 15, 23}  # §4
LOG_LEVEL = bytes(16)  # §2: the run of log-level entries

# §10: every code and its severity.
ERRORS = """
bundle-malformed bundle-digest checkpoint-malformed log-key-missing checkpoint-signature entry-malformed
inclusion log-id chain-hole chain-prev fields-malformed fields-root field-json cause-order manifest-mismatch
after-manifest key-thumbprint delegation-digest delegation-malformed delegation-signature request-missing
request-malformed request-key request-signature request-binding decision-delegation decision-time
delegation-time principal-retired scope pop-missing pop-malformed pop-signature pop-binding pop-time
pop-replayed decision-policy policy-digest outcome-unbound outcome-of-refusal outcome-duplicate
result-digest subject earlier internal""".split()
NOTES = """
log-key-captured unwitnessed entry-uninterpreted withheld open-run manifest-withheld open-stream
issuer-key-missing principal-inferred decision-withheld scope-args-withheld outcome-open""".split()
SEVERITY = {**{code: "error" for code in ERRORS}, **{code: "note" for code in NOTES}}
EXIT = {"verified": 0, "failed": 1, "unreadable": 2}
EXIT_USAGE = 3

# §5: the fields the checks read, by kind and name.
FIELD_IDS = {
    1: {"log_key": 2, "issuer": 4, "issuer_key": 5},
    3: {"token": 0, "digest": 1, "request": 2},
    5: {"act_id": 0, "chain": 5, "pop": 6, "decided_at_ms": 7, "tool": 9, "args": 12, "args_digest": 13,
        "policy_digest": 16, "verdict": 22},
    6: {"act_id": 0, "result": 2, "result_digest": 3},
    10: {"policy_digest": 0, "files": 1},
    11: {"change": 0, "principal": 1, "key": 2, "thumbprint": 3},
    15: {"streams": 0},
}


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
    """The 16 bytes of a UUID in text form, or None."""
    if isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", value):
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


def json_integer(text: str) -> int | float:
    """An integer as it is written; one too long for any use becomes the nearest double."""
    return int(text) if len(text) <= 40 else float(text)


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
        value = json.loads(data.decode(), parse_int=json_integer, parse_float=float,
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
    """A JSON number written as an integer, within ±2^53."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER


def numbers_safe(value: object) -> bool:
    """§10 step 11: no number in it is an integer beyond ±2^53 (every larger double is one)."""
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


def point_acceptable(encoded: bytes) -> bool:
    """§6: canonical (y below the prime) and not one of the eight small-order points."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    return y < FIELD_PRIME and y not in SMALL_ORDER_Y


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
    peek = Reader(data)
    if peek.head(5) == 0 or peek.uint() != 0:
        raise Malformed("the entry does not start with its version")
    if peek.uint() != 0:
        return None
    if len(data) > MAX_ENTRY_BYTES:
        raise Malformed("the entry is too long")
    reader = Reader(data)
    m = reader.members(ENTRY_READERS, set(range(13)) - {8})
    reader.end()
    return Entry(m[1], m[3], m[4], m[5], m[6], m[7], m.get(8, ()), m[10], m[11])


@dataclass
class Item:
    """§9: an entry as the bundle shows it. `shown` is member 3; `values` and `raw` are filled by step 6."""

    index: int
    data: bytes
    path: list
    shown: list | None
    leaf: bytes
    entry: Entry | None = None
    values: dict = field(default_factory=dict)
    raw: dict = field(default_factory=dict)

    def opened(self, name: str) -> bool:
        """Whether the field of this name is opened (and stood the checks of step 6)."""
        return FIELD_IDS[self.entry.kind][name] in self.values

    def value(self, name: str):
        """The value of an opened field; None when it is not opened."""
        return self.values.get(FIELD_IDS[self.entry.kind][name])

    def raw_value(self, name: str) -> bytes | None:
        """The exact bytes of an opened field."""
        return self.raw.get(FIELD_IDS[self.entry.kind][name])


def read_field(reader: Reader):
    """§9 member 3: a commitment, or a tuple (salt, value)."""
    if reader.major() == 2:
        return reader.bstr(32)
    if reader.head(4) != 2:
        raise Malformed("an opened field is not a pair")
    return reader.bstr(16), reader.bstr()


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
    """signed-note: a key name has no spaces and no plus sign, and is not empty."""
    if not name or "+" in name or any(char.isspace() for char in name):
        raise Malformed("not a key name")
    return name


def parse_vkey(text: object) -> LogKey:
    """§1, signed-note: `name+id+base64(0x01 ‖ public key)`."""
    if not isinstance(text, str) or text.count("+") < 2:
        raise Malformed("not a vkey")
    name, key_id, encoded = text.split("+", 2)
    key = b64_decode(encoded)
    if len(key) != 33 or key[0] != 1:
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
    if not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,19}", lines[1]) or int(lines[1]) >= 1 << 64:
        raise Malformed("the checkpoint's origin or size is malformed")
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
    head_text, payload_text, signature_text = token.split(".")
    head, claims = parse_json(b64url_decode(head_text)), parse_json(b64url_decode(payload_text))
    if not isinstance(head, dict) or set(head) != {"alg", "kid", "typ"} or not isinstance(head["kid"], str):
        raise Malformed("JWS header members are not alg, kid and typ")
    if head["alg"] != "Ed25519" or head["typ"] != typ:
        raise Malformed(f"JWS is not an Ed25519 {typ}")
    if not isinstance(claims, dict):
        raise Malformed("JWS payload is not an object")
    return Jws(head["kid"], claims, f"{head_text}.{payload_text}".encode(), b64url_decode(signature_text))


def thumbprint(public: bytes) -> str:
    """§6: RFC 7638 thumbprint of an Ed25519 key."""
    return b64url(sha256(jcs({"crv": "Ed25519", "kty": "OKP", "x": b64url(public)})))


def parse_jwk(value: object) -> bytes:
    """§6: the raw public key of a JWK, which has exactly four members."""
    fixed = {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP"}
    if not isinstance(value, dict) or set(value) != {*fixed, "x"} or not isinstance(value["x"], str):
        raise Malformed("not an Ed25519 JWK")
    public = b64url_decode(value["x"])
    if any(value[name] != wanted for name, wanted in fixed.items()) or len(public) != 32:
        raise Malformed("not an Ed25519 JWK")
    return public


def need(claims: dict, name: str, kind: str):
    """A member that must be there, of that kind: `str`, `uint`, `object` or `any`."""
    if name not in claims:
        raise Malformed(f"`{name}` is missing")
    value = claims[name]
    if not {"str": isinstance(value, str), "uint": is_integer(value) and value >= 0,
            "object": isinstance(value, dict), "any": True}[kind]:
        raise Malformed(f"`{name}` is of the wrong type")
    return value


def parse_cnf(claims: dict) -> bytes:
    """§6: the key in `cnf.jwk`."""
    return parse_jwk(need(need(claims, "cnf", "object"), "jwk", "object"))


CONSTRAINT_MEMBERS = {"exact": {"value"}, "one_of": {"values"}, "prefix": {"prefix"}, "wildcard": set()}


def is_scalar(value: object) -> bool:
    """§6: string, boolean, null or an integer within ±2^53."""
    return value is None or isinstance(value, (str, bool)) or is_integer(value)


def check_constraint(value: object) -> None:
    """§6: one constraint; an unknown type or member refuses the token."""
    kind = value.get("constraint_type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in CONSTRAINT_MEMBERS:
        raise Malformed("a constraint of an unknown type")
    if set(value) - {"constraint_type", "optional"} != CONSTRAINT_MEMBERS[kind]:
        raise Malformed("a constraint with unknown or missing members")
    if not isinstance(value.get("optional", False), bool) or not is_scalar(value.get("value")):
        raise Malformed("a constraint member of the wrong type")
    if not isinstance(value.get("prefix", ""), str):
        raise Malformed("a prefix that is not a string")
    values = value.get("values", [])
    if not isinstance(values, list) or not all(map(is_scalar, values)):
        raise Malformed("values that are not an array of scalars")


def parse_tools(claims: dict) -> dict:
    """§6: the tools of `authorization_details`."""
    details = need(claims, "authorization_details", "any")
    if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
        raise Malformed("`authorization_details` is not an array of one object")
    if set(details[0]) != {"type", "tools"} or details[0]["type"] != "attenuating_agent_token":
        raise Malformed("`authorization_details` is of an unknown type or has unknown members")
    tools = need(details[0], "tools", "object")
    for row in tools.values():
        if not isinstance(row, dict):
            raise Malformed("a tool's constraints are not an object")
        for constraint in row.values():
            check_constraint(constraint)
    return tools


def row_for(tools: dict, tool: str) -> dict | None:
    """§6: the exact row of a tool, else that of `<server>#*`, else None."""
    if tool in tools:
        return tools[tool]
    server, separator, _ = tool.partition("#")
    return tools.get(server + "#*") if separator else None


def argument_allowed(constraint: dict, argument: object) -> bool:
    """§6: whether one constraint allows one argument."""
    kind = constraint["constraint_type"]
    if kind == "exact":
        return jcs(argument) == jcs(constraint["value"])
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


def tools_within(inner: dict, outer: dict) -> bool:
    """§6: whether every row of `inner` is within the row of `outer` that applies to it."""
    for tool, row in inner.items():
        counterpart = row_for(outer, tool)
        if counterpart is None:
            return False
        if counterpart and (set(row) != set(counterpart)
                            or not all(constraint_within(row[name], counterpart[name]) for name in row)):
            return False
    return True


@dataclass
class Delegation:
    """§6: what the checks need of a root delegation."""

    jws: Jws
    iss: str
    aud: list
    iat: int
    nbf: int
    exp: int
    holder_key: bytes
    depth: int
    max_depth: int
    tools: dict
    principal: dict
    source: dict
    request_kid: str | None = None


def parse_delegation(jws: Jws) -> Delegation:
    """§6: the members of a root delegation."""
    claims = jws.claims
    if need(claims, "v", "uint") != 1 or uuid_bytes(need(claims, "jti", "str")) is None:
        raise Malformed("`v` is not 1 or `jti` is not a UUID")
    aud = need(claims, "aud", "any")
    if not isinstance(aud, list) or len(aud) != 1:
        raise Malformed("`aud` is not an array of one")
    deeds = need(claims, "deeds", "object")
    for name, kind in (("tenant", "any"), ("txn", "any"), ("purpose", "any"), ("hld", "object")):
        need(deeds, name, kind)
    principal = need(deeds, "prin", "object")
    if need(principal, "kind", "str") not in ("human", "service", "workflow", "schedule", "agent", "unknown"):
        raise Malformed("the principal is of an unknown kind")
    source = need(deeds, "src", "any")
    if not isinstance(source, list) or len(source) != 1 or not isinstance(source[0], dict):
        raise Malformed("`src` is not an array of one object")
    check_source(source[0])
    times = [need(claims, name, "uint") for name in ("iat", "nbf", "exp")]
    return Delegation(jws, need(claims, "iss", "str"), aud, *times, parse_cnf(claims),
                      need(claims, "del_depth", "uint"), need(claims, "del_max_depth", "uint"),
                      parse_tools(claims), principal, source[0])


def check_source(source: dict) -> None:
    """§6: one element of `src`."""
    if source.get("t") == "key-request":
        for name in ("iss", "kid", "jti", "d"):
            need(source, name, "str")
    elif source.get("t") == "peer-cred":
        need(source, "uid", "uint")
    else:
        raise Malformed("`src` is of an unknown type")


def broken_rules(token: Delegation, issuer: object) -> list[str]:
    """§6: the rules of a root delegation that this one breaks. `issuer` is None when it is not opened."""
    longest = 86_400 if token.principal["kind"] in ("human", "unknown") else 3_600
    rules = {
        "`iss` is not the log's issuer": issuer is None or token.iss == issuer,
        "`aud` is not the issuer": token.aud == [token.iss],
        "`nbf` is after `exp`": token.nbf <= token.exp,
        "it is valid for too long": token.exp - token.iat <= longest,
        "`del_depth` is not 0": token.depth == 0,
        "`par_hash` is present": "par_hash" not in token.jws.claims,
        "`del_max_depth` is above 8": token.max_depth <= 8,
    }
    return [text for text, kept in rules.items() if not kept]


@dataclass(frozen=True)
class Request:
    """§6: what the checks need of a root request."""

    iat: int
    exp: int
    holder_key: bytes
    max_depth: int
    tools: dict
    ttl: int


def parse_request(jws: Jws, issuer: str) -> Request:
    """§6: a root request and the rules it must keep by itself."""
    claims = jws.claims
    need(claims, "jti", "str")
    if need(claims, "v", "uint") != 1 or need(claims, "aud", "str") != issuer:
        raise Malformed("`v` is not 1 or `aud` is not the issuer")
    if need(claims, "iss", "str") != "urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + jws.kid:
        raise Malformed("`iss` is not the key that signed")
    iat, exp = need(claims, "iat", "uint"), need(claims, "exp", "uint")
    if exp > iat + 300:
        raise Malformed("the request is valid for too long")
    deeds = need(claims, "deeds", "object")
    for name, kind in (("tenant", "any"), ("purpose", "any"), ("hld", "object")):
        need(deeds, name, kind)
    return Request(iat, exp, parse_cnf(claims), need(claims, "del_max_depth", "uint"), parse_tools(claims),
                   need(claims, "ttl", "uint"))


def root_within(token: Delegation, request: Request) -> bool:
    """§6: whether the issued root stays within the request it was issued on."""
    return (token.holder_key == request.holder_key and tools_within(token.tools, request.tools)
            and token.max_depth <= request.max_depth and token.exp - token.iat <= request.ttl
            and request.iat - 30 <= token.iat <= request.exp + 30)


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
    for name in ("jti", "gth", "tool", "hta_s256", "act_id"):
        need(jws.claims, name, "str")
    pop = Pop(jws, need(jws.claims, "iat", "uint"), need(jws.claims, "exp", "uint"),
              need(jws.claims, "aud", "str"), need(jws.claims, "ctr", "uint"))
    if pop.exp > pop.iat + 60:
        raise Malformed("the proof of possession is valid for too long")
    return pop


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
        self.by_leaf: dict = {}
        for item in bundle.items:
            self.by_leaf.setdefault(item.leaf, item)
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
        """A field opened in the second genesis entry, the item with index 1; None when it is not opened."""
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
    if captured is None:
        audit.find("log-key-missing", None, "no pinned key for this origin, and the log's own record is not opened")
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


def step_06_fields(audit: Audit) -> None:
    """§10 step 6, §3. Only fields that stand every check become visible to the other steps."""
    for item in audit.entries:
        ids = [bit for bit in range(64) if item.entry.fields >> bit & 1]
        if item.shown is not None:
            open_fields(audit, item, ids)
        if len(item.values) < len(ids):
            audit.find("withheld", item.index, f"{len(ids) - len(item.values)} of {len(ids)} fields are not shown")


def open_fields(audit: Audit, item: Item, ids: list[int]) -> None:
    """§10 step 6 for one item."""
    if len(item.shown) != len(ids):
        audit.find("fields-malformed", item.index, "the number of fields shown is not that of the entry")
        return
    pairs = list(zip(ids, item.shown))
    raw = {field_id: shown[1] for field_id, shown in pairs if not isinstance(shown, bytes)}
    good = item.entry.kind < 256 or not raw
    if not good or merkle_root([commitment(item.entry.kind, *pair) for pair in pairs]) != item.entry.fields_root:
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
        item.values, item.raw = values, raw


def step_07_causes(audit: Audit) -> None:
    """§10 step 7."""
    for item in audit.entries:
        for cause in item.entry.causes:
            target = audit.by_leaf.get(cause)
            if target is not None and target.index >= item.index:
                audit.find("cause-order", item.index, "it names as its cause an entry that is not before it")


def step_08_manifests(audit: Audit) -> None:
    """§10 step 8."""
    runs: dict = {}
    for item in audit.entries:
        if item.entry.run != LOG_LEVEL:
            runs.setdefault(item.entry.run, {}).setdefault(item.entry.stream, []).append(item)
    for streams in runs.values():
        manifest = next((item for item in streams.get(0, []) if item.entry.kind == 15), None)
        if manifest is None:
            last = max(items[-1].index for items in streams.values())
            audit.find("open-run", streams[0][-1].index if 0 in streams else last, "the run has no manifest (yet)")
            continue
        if not manifest.opened("streams"):
            audit.find("manifest-withheld", manifest.index, "what the manifest lists is not shown")
        elif not manifest_matches(manifest, streams):
            audit.find("manifest-mismatch", manifest.index, "the entries shown are not those the manifest lists")
        for item in streams[0]:
            if item.index > manifest.index:
                audit.find("after-manifest", item.index, "it stands after the manifest of its run")
        for items in streams.values():
            if items[-1].index > manifest.index and items[-1].entry.kind != 15:
                audit.find("open-stream", items[-1].index, "the stream goes on after the manifest and is not closed")


def manifest_matches(manifest: Item, streams: dict) -> bool:
    """§10 step 8, §5 kind 15: whether `streams` says what stood in each stream before the manifest."""
    before = {stream: [item for item in items if item.index < manifest.index] for stream, items in streams.items()}
    expected = [{"stream": stream, "count": len(items), "last": items[-1].leaf.hex()}
                for stream, items in sorted(before.items()) if items]
    listed = manifest.value("streams")
    try:
        return jcs(listed) == jcs(expected)
    except Malformed:
        return False


def step_09_register(audit: Audit) -> None:
    """§10 step 9, §5 kind 11."""
    for item in audit.of_kind(11):
        if item.entry.run != LOG_LEVEL or not all(map(item.opened, ("change", "principal", "key"))):
            continue
        try:
            public = parse_jwk(item.value("key"))
            kid = thumbprint(public)
            audit.register.setdefault(kid, []).append((item.index, item.value("change"), item.value("principal"), public))
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
    check_issuer(audit, item, jws, fail)
    try:
        token = parse_delegation(jws)
    except Malformed as error:
        fail("delegation-malformed", str(error))
        return
    for rule in broken_rules(token, audit.genesis("issuer")):
        fail("delegation-malformed", rule)
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
    if item.value("request") is None:
        fail("request-missing", "the principal's signed request is not shown")
        return
    try:
        jws = parse_jws(item.value("request"), "deeds-root-request+jwt")
        request = parse_request(jws, token.iss)
    except Malformed as error:
        fail("request-malformed", str(error))
        return
    token.request_kid = jws.kid
    if jws.digest != token.source["d"]:
        fail("request-malformed", "it is not the request that the token names")
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


def same_principal(registered: object, stated: dict) -> bool:
    """§10 step 10: equal in `iss` and `sub`, both of which must be there."""
    if not isinstance(registered, dict):
        return False
    try:
        return all(name in registered and name in stated and jcs(registered[name]) == jcs(stated[name])
                   for name in ("iss", "sub"))
    except Malformed:
        return False


def step_11_decisions(audit: Audit) -> None:
    """§10 step 11."""
    outcomes = {cause for item in audit.of_kind(6) for cause in item.entry.causes}
    policies = [(item.index, item) for item in audit.of_kind(10) if item.entry.run == LOG_LEVEL]
    counters: set = set()
    for item in audit.of_kind(5):
        if item.value("verdict") != "allow":
            continue
        if not item.opened("chain"):
            audit.find("decision-withheld", item.index, "the delegation the decision relied on is not shown")
            continue
        token = leaf_delegation(audit, item)
        second = decision_second(audit, item)
        if token:
            check_delegation_use(audit, item, token, second)
        check_scope(audit, item, token)
        check_pop(audit, item, token, second, counters)
        check_policy(audit, item, policies)
        if item.leaf not in outcomes:
            audit.find("outcome-open", item.index, "the outcome of the action is not shown")


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
    usable = is_integer(decided) and decided >= 0
    if not usable or abs(decided - item.entry.observed_ms) > 60_000:
        audit.find("decision-time", item.index, "the time of the decision is not shown or far from the log's clock")
    return decided // 1000 if usable else None


def check_delegation_use(audit: Audit, item: Item, token: Delegation, second: int | None) -> None:
    """§10 step 11: the delegation was valid, and its principal's key registered, at the decision."""
    if second is not None and not token.nbf - 30 <= second < token.exp:
        audit.find("delegation-time", item.index, "the delegation was not valid at the time of the decision")
    if token.request_kid is not None and audit.registered(token.request_kid, item.index) is None:
        audit.find("principal-retired", item.index, "the principal's key was no longer registered")


def check_scope(audit: Audit, item: Item, token: Delegation | None) -> None:
    """§10 step 11: the tool and its arguments are within the delegation."""
    arguments = item.value("args")
    safe = isinstance(arguments, dict) and numbers_safe(arguments)
    if item.opened("args") and not safe:
        audit.find("scope", item.index, "the arguments are not an object with integers within 2^53")
    if token is None:
        return
    tool = item.value("tool")
    row = row_for(token.tools, tool) if isinstance(tool, str) else None
    if row is None:
        audit.find("scope", item.index, "the tool is not shown or not in the delegation")
    elif not item.opened("args"):
        if row:
            audit.find("scope-args-withheld", item.index, "the arguments are not shown: constraints not checked")
    elif safe and not arguments_allowed(row, arguments):
        audit.find("scope", item.index, "the arguments are not allowed by the delegation")


def check_pop(audit: Audit, item: Item, token: Delegation | None, second: int | None, counters: set) -> None:
    """§10 step 11: the proof of possession."""
    if not item.opened("pop"):
        audit.find("pop-missing", item.index, "the proof of possession is not shown")
        return
    try:
        pop = parse_pop(item.value("pop"))
    except Malformed as error:
        audit.find("pop-malformed", item.index, str(error))
        return
    if token and not pop.jws.signed_by(token.holder_key):
        audit.find("pop-signature", item.index, "the proof is not signed by the key the delegation is bound to")
    if not pop_bound(item, pop, token.iss if token else audit.genesis("issuer")):
        audit.find("pop-binding", item.index, "the proof is for another issuer, delegation, tool, action or arguments")
    if second is not None and (abs(second - pop.iat) > 30 or second >= pop.exp):
        audit.find("pop-time", item.index, "the proof was not fresh at the time of the decision")
    counter = (pop.jws.kid, pop.aud, pop.counter)
    if counter in counters:
        audit.find("pop-replayed", item.index, "the counter of the proof was used before")
    counters.add(counter)


def pop_bound(item: Item, pop: Pop, issuer: object) -> bool:
    """§10 step 11: the proof names this issuer, delegation, tool, action and arguments."""
    if issuer is not None and pop.aud != issuer:
        return False
    names = {"gth": "chain", "tool": "tool", "act_id": "act_id", "hta_s256": "args_digest"}
    if any(pop.jws.claims[claim] != item.value(name) for claim, name in names.items()):
        return False
    if not item.opened("args"):
        return True
    try:
        return item.value("args_digest") == b64url(sha256(jcs(item.value("args"))))
    except Malformed:
        return False


def check_policy(audit: Audit, item: Item, policies: list) -> None:
    """§10 step 11: the decision was taken under the policy then active."""
    if not item.opened("policy_digest"):
        return
    row = last_below(policies, item.index)
    if row is None:
        audit.find("decision-policy", item.index, "no policy was activated before it")
    elif row[1].opened("policy_digest") and row[1].value("policy_digest") != item.value("policy_digest"):
        audit.find("decision-policy", item.index, "it was not taken under the policy then active")


def step_12_policies(audit: Audit) -> None:
    """§10 step 12, §5 kind 10."""
    for item in audit.of_kind(10):
        if item.opened("files") and item.opened("policy_digest"):
            if policy_digest(item.value("files")) != item.value("policy_digest"):
                audit.find("policy-digest", item.index, "the digest is not that of the policy files")


def policy_digest(files: object) -> str | None:
    """§5 kind 10: the policy digest of the files; None when a file is not what its digest says."""
    if not isinstance(files, list):
        return None
    rows = []
    for file in files:
        if not isinstance(file, dict) or not all(isinstance(file.get(n), str) for n in ("path", "sha256", "text")):
            return None
        if file["sha256"] != sha256(file["text"].encode()).hex():
            return None
        rows.append({"path": file["path"], "sha256": file["sha256"]})
    return digest_string(jcs(rows))


def step_13_outcomes(audit: Audit) -> None:
    """§10 step 13, §5 kind 6."""
    finished: set = set()
    for item in audit.of_kind(6):
        causes = item.entry.causes
        check_outcome_cause(audit, item, audit.by_leaf.get(causes[0]) if len(causes) == 1 else None)
        if len(causes) == 1 and causes[0] in finished:
            audit.find("outcome-duplicate", item.index, "the action has an outcome already")
        finished.update(causes if len(causes) == 1 else ())
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
    if item.opened("act_id") and decision.opened("act_id") and item.value("act_id") != decision.value("act_id"):
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
