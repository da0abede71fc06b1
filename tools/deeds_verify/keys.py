"""Ed25519 keys, signed notes and checkpoints: §1 and the strictness of §6 of docs/format.md."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deeds_verify.encoding import Malformed, b64_decode, b64url, b64url_decode, jcs, sha256

MAX_NOTE_BYTES = 1_000_000  # §1
MAX_NOTE_SIGNATURES = 100  # §1
MAX_NAME_BYTES = 255  # §1
MAX_VKEY_BYTES = 4_096  # §1
MAX_TREE_SIZE = 2**63 - 1  # §1

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
