"""The whole of §10 of docs/format.md: every step in its order, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from deeds_verify import authority, structure
from deeds_verify.audit import Audit, Finding, Trust
from deeds_verify.bundle import LOG_LEVEL, MAX_BUNDLE_BYTES, Bundle, decode_bundle
from deeds_verify.encoding import Malformed, sha256

STEPS = (structure.decode_entries, structure.step_06_fields, structure.step_02_checkpoint,
         structure.step_03_inclusion, structure.step_04_log_id, structure.step_05_chains, structure.step_07_causes,
         structure.step_08_manifests, structure.step_09_children, structure.step_09_register,
         authority.step_10_delegations, authority.step_09_handed_over, authority.step_11_decisions,
         authority.step_11_counters,
         authority.step_12_orders, authority.step_12_policies, structure.step_13_outcomes,
         structure.step_14_subject, structure.step_15_earlier)


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
