#!/usr/bin/env python3
"""Verifies evidence bundles (`.deeds`), written from docs/format.md alone.

A second opinion that shares no code with the log: every docstring names the
section of docs/format.md it implements. It needs Python 3.9.2 or later, the
directory deeds_verify/ beside it and the `cryptography` package (see
requirements.txt), no network and no clock.

    verify.py [--json] [--log-key VKEY]... [--pin-key THUMBPRINT]... [--trust FILE] FILE.deeds...
    verify.py --vectors DIR
    verify.py [trust options] --flip FILE.deeds

Exit code: 0 verified, 1 failed, 2 unreadable (of several files the worst),
3 when called wrongly, so that nothing was verified.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deeds_verify import chain
from deeds_verify.audit import Finding, Trust
from deeds_verify.bundle import MAX_BUNDLE_BYTES
from deeds_verify.encoding import Malformed, b64url_decode, sha256
from deeds_verify.keys import LogKey, parse_vkey
from deeds_verify.steps import Report, read_bundle, verify

EXIT = {"verified": 0, "failed": 1, "unreadable": 2}
EXIT_USAGE = 3



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


# ---------------------------------------------------------------- vectors (§11)


def bundle_difference(path: Path) -> str | None:
    """Runs the vector of a bundle that this `.json` file describes; None when all is as expected."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    roots, expect = vector.get("trust", {}), vector["expect"]
    report = verify(read_limited(str(path.with_suffix(".deeds"))),
                    trust_from(roots.get("log_keys", []), roots.get("pin_keys", [])))
    got = [(f.severity, f.code, f.index) for f in report.findings]
    want = [(f["severity"], f["code"], f["index"]) for f in expect["findings"]]
    if report.verdict == expect["verdict"] and got == want:
        return None
    return (f"expected {expect['verdict']}, got {report.verdict}; missing {[f for f in want if f not in got]}, "
            f"unexpected {[f for f in got if f not in want]}")


def act_difference(path: Path) -> str | None:
    """Runs the vector of a chain and an act in this `.json` file; None when all is as expected."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    want, got = vector["expect"], act_outcome(vector)
    return None if got == want else f"expected {want}, got {got}"


def act_outcome(vector: dict) -> dict:
    """What §6 says of the chain and the act of a vector."""
    act = vector["act"]
    logged = vector["root_logged_at"]
    known = chain.Known(set(vector["registered"]),
                        [(chain.revoked_mark(r["what"], r["target"]), r["eff"]) for r in vector["revocations"]],
                        vector["halts"], None if logged is None else logged * 1000)
    try:
        links = chain.check_chain(vector["chain"],
                                  chain.Anchor(vector["issuer"], vector["tenant"], vector["issuer_key"]))
        chain.check_act(links, chain.Act(act["tool"], act["args"].encode(), act["act_id"], act["pop"]),
                        vector["at"], known)
    except chain.Refused as refused:
        return {"allowed": False, "step": refused.code}
    return {"allowed": True, "notes": chain.notes(links)}


def vectors_of(directory: Path) -> list:
    """Every vector of a directory: its name, its `.json` file and what runs it.

    A bundle is `NAME.deeds` with `NAME.json`, a chain and an act is `delegation/NAME.json`."""
    bundles = sorted({path.stem for path in directory.iterdir() if path.suffix in (".deeds", ".json")})
    acts = sorted(path.stem for path in directory.glob("delegation/*.json"))
    return [*((name, directory / f"{name}.json", bundle_difference) for name in bundles),
            *((f"delegation/{name}", directory / f"delegation/{name}.json", act_difference) for name in acts)]


def run_vectors(directory: str) -> int:
    """Runs every vector of a directory and of its `delegation/`."""
    found = vectors_of(Path(directory))
    failed = 0
    for name, path, difference_of in found:
        try:
            difference = difference_of(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            difference = f"the vector cannot be run: {error!r}"
        if difference:
            failed += 1
            print(printable(f"{name}: {difference}"))
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed or not found else 0


# ---------------------------------------------------------------- flipped bytes


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


# ---------------------------------------------------------------- the command line


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
