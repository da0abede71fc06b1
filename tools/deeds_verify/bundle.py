"""Deterministic CBOR, entries, fields and bundles: §2, §3, §5 and §9 of docs/format.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from deeds_verify.encoding import Malformed, leaf_hash, sha256

MAX_BUNDLE_BYTES = 16 * 1024 * 1024  # §9
MAX_BUNDLE_ENTRIES = 20_000  # §9
MAX_ENTRY_BYTES = 1_024  # §2
MAX_CAUSES = 8  # §2
MAX_OPENED_BYTES = 1_048_576  # §3
DEFINED_KINDS = {1, 2, 3, 4, 5, 6, 9, 10, 11, 14, 15, 18, 19, 20, 21, 23}  # §4
LOG_LEVEL = bytes(16)  # §2: the run of log-level entries

# §5: the fields the checks read, by kind and name.
FIELD_IDS = {
    1: {"log_key": 2, "issuer": 4, "issuer_key": 5, "tenant": 6},
    2: {"parent": 9},
    3: {"token": 0, "digest": 1, "request": 2},
    4: {"what": 0, "target": 1, "eff": 2, "why": 3, "by": 4, "token": 5, "assurance": 6},
    5: {"act_id": 0, "txn": 1, "principal": 2, "holder": 3, "chain": 5, "pop": 6, "decided_at_ms": 7, "tool": 9,
        "args": 12, "args_digest": 13, "policy_digest": 16, "revocations": 18, "verdict": 22, "credential": 28},
    6: {"act_id": 0, "result": 2, "result_digest": 3},
    10: {"policy_digest": 0, "files": 1},
    11: {"change": 0, "principal": 1, "key": 2, "thumbprint": 3},
    15: {"streams": 0, "children": 1},
    19: {"child": 0, "delegation": 1, "holder": 2, "handoff_digest": 3, "handoff": 4, "by": 5},
    20: {"change": 0, "on": 1, "why": 2, "by": 3, "token": 4, "assurance": 5, "halt": 6},
}
EXACT_FIELDS = {(5, 12), (6, 2)}  # §3: `args` and `result`, which are other people's bytes


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
    are opened, decoys and unknown values included; `decoys` are the ids of fields that are opened and null."""

    index: int
    data: bytes
    path: list
    shown: list | None
    leaf: bytes
    entry: Entry | None = None
    values: dict = field(default_factory=dict)
    raw: dict = field(default_factory=dict)
    decoys: set = field(default_factory=set)
    open_count: int = 0

    def opened(self, name: str) -> bool:
        """Whether the field of this name is present to a check (§3)."""
        return FIELD_IDS[self.entry.kind][name] in self.values

    def value(self, name: str):
        """The value of a field; None when it is not present to a check (no value that is present is null)."""
        return self.values.get(FIELD_IDS[self.entry.kind][name])

    def lacks(self, name: str) -> bool:
        """Whether the entry is shown to say nothing in this field: there is none, or it is opened and null."""
        field_id = FIELD_IDS[self.entry.kind][name]
        return not self.entry.fields >> field_id & 1 or field_id in self.decoys

    def says_nothing(self, name: str) -> bool:
        """Whether the entry is shown to give no usable value for this field: it lacks it, or says that it is unknown."""
        field_id = FIELD_IDS[self.entry.kind][name]
        return self.lacks(name) or field_id in self.raw and field_id not in self.values

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


# ---------------------------------------------------------------- fields (§3)


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
