"""What the steps of §10 of docs/format.md share: codes, findings, trust roots, and one bundle under verification."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from deeds_verify.bundle import Bundle, Item
from deeds_verify.keys import Checkpoint

# §10: every code and its severity.
ERRORS = """
bundle-malformed bundle-digest checkpoint-malformed log-key-missing checkpoint-signature entry-malformed
inclusion log-id chain-hole chain-prev fields-malformed fields-root field-json cause-order after-manifest
manifest-mismatch child-mismatch child-unannounced key-thumbprint mandate-malformed mandate-key mandate-signature
mandate-binding mandate-missing delegation-malformed delegation-digest delegation-signature request-missing
request-malformed request-key request-signature request-binding link-missing chain-size link-parent link-depth
link-time link-binding link-scope link-approvals chain-repeated decision-delegation decision-time delegation-time
decision-binding decision-revocations principal-retired revoked halted scope approval pop-missing pop-malformed
pop-signature pop-binding pop-time pop-replayed decision-policy order-malformed order-key order-signature
order-binding order-unsigned policy-digest outcome-unbound outcome-of-refusal outcome-duplicate result-digest
subject earlier internal""".split()
NOTES = """
log-key-captured unwitnessed entry-uninterpreted withheld open-run manifest-withheld open-stream child-not-shown
issuer-key-missing issuance-not-shown principal-inferred decision-withheld revocations-withheld in-doubt key-reused
break-glass scope-args-withheld policy-withheld outcome-open counter-hole order-withheld""".split()
SEVERITY = {**{code: "error" for code in ERRORS}, **{code: "note" for code in NOTES}}


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
        self.runs: dict = {}  # run → stream → its items, in index order (step 3)
        self.keys: list = []  # the log keys that count (step 2)
        self.checkpoint: Checkpoint | None = None  # step 2
        self.register: dict = {}  # thumbprint → [(index, change, principal, public key)] (step 9)
        self.mandates: dict = {}  # token digest → the first sound log-level entry: (index, Mandate) (step 10)
        self.chains: dict = {}  # (run, token digest) → the first sound entry: (index, chain) (step 10)
        self.roots_logged: dict = {}  # token digest → the lowest `observed_ms` of a sound entry of the root (step 10)
        self.labels: list = []  # §7: how keys were checked

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

    def last_change(self, kid: str, index: int) -> tuple | None:
        """Step 9: the last row of a key in the register below this index."""
        return last_below(self.register.get(kid, []), index)

    def registered(self, kid: str, index: int) -> tuple | None:
        """Step 9: the register's row of a key that counts as registered at this index."""
        row = self.last_change(kid, index)
        return row if row and row[1] == "principal-registered" else None

    def label(self, item: Item, what: str, row: tuple, kid: str) -> None:
        """§7: states how far a signer's key was checked."""
        check = "verified-pinned" if kid in self.trust.pins else "verified-captured"
        self.labels.append(f"{what} at {item.index}: key {kid} {check} (recorded at {row[0]})")


def last_below(rows: list, index: int) -> tuple | None:
    """The last of rows that start with an ascending index whose index is lower than this one."""
    position = bisect_left(rows, (index,))
    return rows[position - 1] if position else None
