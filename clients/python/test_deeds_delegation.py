"""Tests of deeds_delegation.py: what it makes holds for the second verifier (tools/), and what that refuses it refuses.

    python3 -m unittest discover clients/python
"""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import builders
import deeds_delegation as client
import test_parts
from deeds_delegation import Delegation, DelegationError
from deeds_verify import chain, encoding, scope, tokens

NOW = builders.START + 10
TOOL = builders.TOOL
ARGS = {"path": "/data/x"}
ANCHOR = chain.Anchor(builders.ISSUER, "acme", builders.ISSUER_KEY.jwk)
KNOWN = chain.Known({builders.PERSON.kid}, [], [], builders.START * 1000)
RULE = {"constraint_type": "prefix", "prefix": "/data/"}
FREE = [{"type": "attenuating_agent_token", "tools": {builders.SERVER + "#*": {}}}]
APPROVED = {"tools": ["s#x"], "m": 2, "by": ["ada", "eve"], "ttl": 600}


def root(**changes) -> Delegation:
    """A root as its holder has it; changes are of both request and root."""
    token = builders.Scenario(token=changes, request=changes).token
    return Delegation([token], builders.HOLDER.private)


def outcome(delegation: Delegation, proof: str, tool: str = TOOL, arguments: bytes = b'{"path":"/data/x"}',
            act_id: str = builders.ACT):
    """What the second verifier says: its notes, or the code of the refusal."""
    try:
        links = chain.check_chain(delegation.chain, ANCHOR)
        chain.check_act(links, chain.Act(tool, arguments, act_id, proof), NOW, KNOWN)
    except chain.Refused as refused:
        return refused.code
    return chain.notes(links)


def take_counters(path: str, count: int, queue) -> None:
    """In a process of its own: takes counters from a delegation file."""
    delegation = Delegation.read(path)
    proofs = [delegation.sign_proof(TOOL, ARGS, now=NOW) for _ in range(count)]
    queue.put([tokens.parse_pop(proof).counter for proof in proofs])


class Json(unittest.TestCase):
    """JCS and the digests of known answers."""

    def test_known_answers(self):
        self.assertEqual(client.args_digest({"ticket": "T-1", "body": "hello"}),
                         "n27PSDikVSDJK4WYXwGwjZv9No47BMp9HPSrjZYlTBw")
        jwk = {"alg": "Ed25519", "crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        self.assertEqual(client.thumbprint(jwk), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        self.assertEqual(client.args_digest(None), client.args_digest({}))

    def test_numbers(self):
        for number, text in [(0, "0"), (0.0, "0"), (1.0, "1"), (-5, "-5"), (0.1, "0.1"), (1e-6, "0.000001"),
                             (1e-7, "1e-7"), (1.5e-10, "1.5e-10"), (5e-324, "5e-324"), (1e15, "1000000000000000"),
                             (2**53, "9007199254740992"),
                             (333333333.33333329, "333333333.3333333"), (-1234.5, "-1234.5"), (123e-20, "1.23e-18"),
                             (100, "100"), (0.001, "0.001"), (4503599627370495.5, "4503599627370495.5")]:
            self.assertEqual(client.jcs(number).decode(), text)
            self.assertEqual(encoding.jcs(number).decode(), text)
        for number in [-0.0, float("nan"), float("inf"), 2**53 + 1, -(2**53) - 1, 1e16, 1e300]:
            with self.assertRaises(DelegationError, msg=number):
                client.jcs(number)

    def test_values(self):
        for value in [None, True, False, "", "\u20ac\"\\\n\x01\x7f\U0001f600", [1, [2]], {}, {"b": 1, "a": {"c": None}},
                      {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}]:
            self.assertEqual(client.jcs(value), encoding.jcs(value))
        self.assertEqual(client.jcs((1, 2)), b"[1,2]")
        for value in [b"x", {1: 2}, {"a": {None: 1}}, {1, 2}, "\ud800", {"\udc00": 1}, object()]:
            with self.assertRaises(DelegationError, msg=repr(value)):
                client.jcs(value)
        for value in [[], "x", 1]:
            with self.assertRaises(DelegationError):
                client.args_digest(value)


class Scopes(unittest.TestCase):
    """The same constraints as the second verifier's, and the same answers."""

    def test_constraints_as_the_verifier_has_them(self):
        rules = [rule for rule, _, _ in test_parts.ALLOWED]
        for rule, allowed, refused in test_parts.ALLOWED:
            client._check_tools({"s#t": {"a": rule}})
            for value in allowed:
                self.assertTrue(client._passes(value, rule), (rule, value))
            for value in refused:
                self.assertFalse(client._passes(value, rule), (rule, value))
        for inner in rules:
            for outer in rules:
                self.assertEqual(client._within(inner, outer), scope.constraint_within(inner, outer), (inner, outer))
        for rule in test_parts.MALFORMED:
            with self.assertRaises(DelegationError, msg=rule):
                client._check_tools({"s#t": {"a": rule}})

    def test_tools_as_the_verifier_has_them(self):
        for tools in [{}, [], {"a": {}}, {"a#b#c": {}}, {"a#": {}}, {"a b#c": {}}, {"s#t": []},
                      {"s#t": {str(n): RULE for n in range(65)}}, {f"s#{n}": {} for n in range(257)}]:
            with self.assertRaises(DelegationError, msg=tools):
                client._check_tools(tools)
        rule = {"a": RULE}
        rows = [{"s#a": rule}, {"s#*": {}}, {"s#a": {}}, {"s#*": {}, "s#a": rule}, {"t#*": {}},
                {"s#a": rule, "s#b": {}}, {"s#*": rule}, {"s#a": {"a": RULE, "b": RULE}}, {"s#a": {"a": {**RULE, "optional": True}}}]
        for inner in rows:
            for outer in rows:
                self.assertEqual(client._tools_excess(inner, outer) is None, scope.tools_within(inner, outer))


class Children(unittest.TestCase):
    """What `child` makes and what it refuses to make."""

    def test_a_child_holds(self):
        mine = root()
        theirs = mine.child("sub", ttl=600, purpose="less", max_depth=1, now=NOW, instance="7", kind="service",
                            tools={TOOL: {"path": {"constraint_type": "exact", "value": "/data/x"}}})
        link = chain.check_chain(theirs.chain, ANCHOR)[-1]
        self.assertEqual((link.iat, link.exp, link.depth, link.max_depth, link.purpose),
                         (NOW, NOW + 600, 1, 1, "less"))
        self.assertEqual(link.holder, {"id": "sub", "inst": "7", "kind": "service", "asr": "delegator-asserted",
                                       "key": client.thumbprint(client.public_jwk(theirs.key))})
        proof = theirs.sign_proof(TOOL, ARGS, act_id=builders.ACT, counter=0, now=NOW)
        self.assertEqual(outcome(theirs, proof), [])
        self.assertEqual(outcome(theirs, mine.sign_proof(TOOL, ARGS, act_id=builders.ACT, counter=0, now=NOW)),
                         "pop-signature")

    def test_what_is_left_out_is_the_parents(self):
        mine = root(**{"deeds.apv": APPROVED})
        child = mine.child("sub", now=NOW)
        grandchild = child.child("subsub", ttl=999_999, now=NOW, handoff="text \u20ac")
        links = chain.check_chain(grandchild.chain, ANCHOR)
        self.assertEqual((links[2].exp, links[2].tools, links[2].approvals), (links[0].exp, links[0].tools, APPROVED))
        self.assertEqual(links[2].jws.claims["deeds"]["handoff"], client._digest_string("text \u20ac"))
        self.assertEqual(grandchild.handoff, "text \u20ac")
        self.assertEqual(chain.check_chain(mine.child("s", now=1).chain, ANCHOR)[-1].iat, builders.START)

    def test_for_a_key_of_somebody_else(self):
        theirs = root().child("sub", to=builders.SUB.jwk, now=NOW)
        self.assertIsNone(theirs.key)
        for attempt in [lambda: theirs.child("x", now=NOW), lambda: theirs.sign_proof(TOOL, ARGS, counter=0)]:
            with self.assertRaises(DelegationError):
                attempt()
        held = Delegation(theirs.chain, builders.SUB.private)
        self.assertEqual(outcome(held, held.sign_proof(TOOL, ARGS, act_id=builders.ACT, counter=0, now=NOW)), [])
        shared = root().child("sub", to=builders.HOLDER.jwk, now=NOW)
        held = Delegation(shared.chain, builders.HOLDER.private)
        proof = held.sign_proof(TOOL, ARGS, act_id=builders.ACT, counter=0, now=NOW)
        self.assertEqual(outcome(held, proof), ["key-reused"])

    def test_what_is_refused(self):
        plain, glass = root(), root(**{"deeds.purpose": "break-glass", "deeds.why": "fire"})
        needs = root(**{"deeds.apv": APPROVED})
        weak = {**builders.SUB.jwk, "x": client._b64url((1).to_bytes(32, "little"))}
        for text, mine, changes in [
            ("wider", plain, {"tools": {TOOL: {"path": {"constraint_type": "wildcard"}}}}),
            ("same arguments", plain, {"tools": {TOOL: {"other": RULE}}}),
            ("any arguments", plain, {"tools": {TOOL: {}}}),
            ("optional", plain, {"tools": {TOOL: {"path": {**RULE, "optional": True}}}}),
            ("not among your tools", plain, {"tools": {builders.SERVER + "#write": {}}}),
            ("constraint type", plain, {"tools": {TOOL: {"path": {"constraint_type": "regex"}}}}),
            ("no time", plain, {"ttl": 0}), ("has ended", plain, {"now": builders.START + 3600}),
            ("2 deep", plain, {"max_depth": 3}), ("handed on", plain, {"max_depth": 0}),
            ("break-glass", plain, {"purpose": "break-glass"}), ("break-glass", glass, {"purpose": "p"}),
            ("kind of a holder", plain, {"kind": "robot"}), ("purpose", plain, {"purpose": ""}),
            ("fewer tools", needs, {"approvals": {**APPROVED, "tools": ["s#y"]}}),
            ("easier", needs, {"approvals": {**APPROVED, "m": 1}}),
            ("easier", needs, {"approvals": {**APPROVED, "by": ["x"]}}),
            ("easier", needs, {"approvals": {**APPROVED, "ttl": 601}}),
            ("from 1 to 16", needs, {"approvals": {**APPROVED, "m": 17}}),
            ("public key", plain, {"to": {"kty": "OKP"}}), ("public key", plain, {"to": weak}),
            ("holder's name", plain, {"holder": ""}), ("more than 16384", plain, {"tools": {TOOL: {"path": {
                "constraint_type": "one_of", "values": ["/data/" + "x" * 3_000 + str(n) for n in range(4)]}}}}),
        ]:
            with self.subTest(text, changes=changes), self.assertRaisesRegex(DelegationError, text):
                mine.child(**{"holder": "sub", "now": NOW, **changes})

    def test_the_verifier_refuses_what_is_refused(self):
        """Children as above, made without asking: the second verifier refuses each."""
        for changes in [{"del_max_depth": 3}, {"deeds.purpose": "break-glass"}, {"del_max_depth": 0},
                        {"authorization_details": FREE}, {"exp": builders.START + 3_601}]:
            scenario = builders.Scenario(children=[changes])
            with self.assertRaises(chain.Refused):
                chain.check_chain([token for _, token, _ in scenario.chain], ANCHOR)

    def test_depth_and_length(self):
        deepest = root(del_max_depth=8)
        for _ in range(8):
            deepest = deepest.child("sub", now=NOW)
        self.assertEqual(len(chain.check_chain(deepest.chain, ANCHOR)), 9)
        with self.assertRaisesRegex(DelegationError, "handed on"):
            deepest.child("sub", now=NOW)
        large = root(del_max_depth=8, authorization_details=FREE)
        values = ["x" * 3_500 + str(n) for n in range(3)]
        tools = {builders.SERVER + "#a": {"a": {"constraint_type": "one_of", "values": values}}}
        with self.assertRaisesRegex(DelegationError, "longer than"):
            for _ in range(6):
                large = large.child("sub", tools=tools, now=NOW)

    def test_mutated_tokens_do_not_hold(self):
        theirs = root().child("sub", now=NOW)
        token = theirs.chain[1]
        for at in range(0, len(token), 5):
            other = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
            with self.assertRaises(DelegationError):
                Delegation([theirs.chain[0], other], theirs.key)
            with self.assertRaises(chain.Refused):
                chain.check_chain([theirs.chain[0], other], ANCHOR)


class Proofs(unittest.TestCase):
    """What is signed for a call."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "mine")

    def test_claims(self):
        proof = root().sign_proof(TOOL, ARGS, counter=3, now=NOW)
        pop = tokens.parse_pop(proof)
        self.assertEqual((pop.iat, pop.exp, pop.aud, pop.counter), (NOW, NOW + 60, builders.ISSUER, 3))
        act_id = pop.jws.claims["act_id"]
        self.assertEqual((int(act_id[:13].replace("-", ""), 16), act_id[14]), (NOW * 1000, "7"))
        again = tokens.parse_pop(root().sign_proof(TOOL, ARGS, counter=3, now=NOW))
        self.assertNotEqual(pop.jws.claims["jti"], again.jws.claims["jti"])

    def test_what_cannot_be_signed(self):
        for changes in [{"tool": "read"}, {"arguments": {"n": 2**60}}, {"arguments": {"n": -0.0}}, {"arguments": []},
                        {"act_id": builders.ACT.upper()}, {"counter": -1}, {"counter": None}]:
            with self.assertRaises(DelegationError, msg=changes):
                root().sign_proof(**{"tool": TOOL, "arguments": ARGS, "counter": 0, "now": NOW, **changes})

    def test_refusals_known_beforehand(self):
        mine = root(**{"deeds.apv": {**APPROVED, "tools": [builders.SERVER + "#write"]}, "authorization_details": [{
            "type": "attenuating_agent_token", "tools": {TOOL: {"path": RULE, "n": {
                "constraint_type": "range", "max": 5, "optional": True}}, builders.SERVER + "#write": {}}}]})
        self.assertIsNone(mine.refusal(TOOL, ARGS, NOW))
        for tool, arguments, at in [(TOOL, {}, NOW), (TOOL, {"path": "/etc"}, NOW), (TOOL, {**ARGS, "x": 1}, NOW),
                                    (TOOL, {**ARGS, "n": 6}, NOW), ("s#t", {}, NOW),
                                    (builders.SERVER + "#write", {}, NOW), (TOOL, ARGS, NOW + 3_600), (TOOL, ARGS, builders.START - 31)]:
            self.assertIsNotNone(mine.refusal(tool, arguments, at), (tool, arguments, at))
            if at == NOW:
                proof = mine.sign_proof(tool, arguments, act_id=builders.ACT, counter=0, now=NOW)
                self.assertIn(outcome(mine, proof, tool, json.dumps(arguments).encode()), ("scope", "approval"))

    def test_meta(self):
        theirs = root().child("sub", handoff="text", now=NOW)
        theirs.write(self.path)
        value = theirs.meta(TOOL, ARGS, act_id=builders.ACT, now=NOW)["dev.deeds/delegation"]
        self.assertEqual(set(value), {"chain", "pop", "handoff"})
        self.assertEqual((value["chain"], value["handoff"]), (theirs.chain, "text"))
        self.assertEqual(outcome(theirs, value["pop"]), [])
        value = theirs.meta(TOOL, ARGS, by_reference=True, act_id=builders.ACT, now=NOW)["dev.deeds/delegation"]
        self.assertEqual(set(value), {"ref", "pop"})
        self.assertEqual(value["ref"], chain.check_chain(theirs.chain, ANCHOR)[-1].jws.digest)
        self.assertEqual(tokens.parse_pop(value["pop"]).counter, 1)

    def test_the_counter_is_shared(self):
        mine = root()
        mine.write(self.path)
        counters = multiprocessing.Queue()
        workers = [multiprocessing.Process(target=take_counters, args=(self.path, 40, counters)) for _ in range(4)]
        for worker in workers:
            worker.start()
        taken = [counter for _ in workers for counter in counters.get(timeout=60)]
        for worker in workers:
            worker.join()
        self.assertEqual(sorted(taken), list(range(160)))
        with open(self.path + ".ctr", "rb") as file:
            self.assertEqual(file.read(), b"160\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.path + ".ctr").st_mode), 0o600)

    def test_counter_files(self):
        root().write(self.path)
        mine = Delegation.read(self.path)
        for content, counter, after in [(b"", 0, b"1\n"), (b"9\n", 9, b"10\n"), (b"99\n", 99, b"100\n")]:
            Path(self.path + ".ctr").write_bytes(content)
            self.assertEqual(tokens.parse_pop(mine.sign_proof(TOOL, ARGS, now=NOW)).counter, counter)
            self.assertEqual(Path(self.path + ".ctr").read_bytes(), after)
        for content in [b"x\n", b"1", b"-1\n", b"01\n", b"1\n\n", b"9" * 17 + b"\n", b"%d\n" % 2**53]:
            Path(self.path + ".ctr").write_bytes(content)
            with self.assertRaises(DelegationError, msg=content):
                mine.sign_proof(TOOL, ARGS, now=NOW)
            self.assertEqual(Path(self.path + ".ctr").read_bytes(), content)


class Files(unittest.TestCase):
    """Delegation files."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "mine")

    def test_what_is_written_is_read(self):
        theirs = root().child("sub", handoff="text", now=NOW)
        before = os.umask(0)
        try:
            theirs.write(self.path)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["mine"])
        again = Delegation.read(self.path)
        self.assertEqual((again.chain, again.handoff, again.path, again.digest, again.exp),
                         (theirs.chain, "text", self.path, theirs.digest, theirs.exp))
        content = json.loads(Path(self.path).read_text())
        self.assertEqual((set(content), content["v"]), ({"v", "chain", "key", "handoff"}, 1))
        self.assertEqual(set(content["key"]), {"kty", "crv", "alg", "x", "d"})
        self.assertEqual(client.private_jwk(again.key), client.private_jwk(theirs.key))

    def test_nothing_is_replaced(self):
        Path(self.path).write_text("other")
        with self.assertRaisesRegex(DelegationError, "cannot write"):
            root().write(self.path)
        self.assertEqual(Path(self.path).read_text(), "other")
        Path(self.path + "2.ctr").write_text("7\n")
        with self.assertRaisesRegex(DelegationError, "counter file"):
            root().write(self.path + "2")
        mine = root()
        mine.write(self.path + "3")
        with self.assertRaisesRegex(DelegationError, "has a file already"):
            mine.write(self.path + "4")
        with self.assertRaises(DelegationError):
            root().write(os.path.join(self.folder, "no", "such"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["mine", "mine2.ctr", "mine3"])

    def test_without_a_key(self):
        Path(self.path).write_text(json.dumps({"v": 1, "chain": root().chain}))
        self.assertIsNone(Delegation.read(self.path).key)
        self.assertIsNotNone(Delegation.read(self.path, builders.HOLDER.private).key)
        with self.assertRaisesRegex(DelegationError, "not the one"):
            Delegation.read(self.path, builders.OTHER.private)

    def test_files_that_are_none(self):
        chain_of_two = root().child("sub", handoff="text", now=NOW)
        good = {"v": 1, "chain": chain_of_two.chain, "key": client.private_jwk(chain_of_two.key), "handoff": "text"}
        for changes in [{"v": 2}, {"chain": []}, {"chain": "x"}, {"chain": ["a.b.c"]}, {"chain": [1]}, {"key": {}},
                        {"key": 1}, {"chain": good["chain"][1:]}, {"chain": good["chain"][:1]}, {"chain": good["chain"] * 5},
                        {"handoff": "other"}, {"handoff": 1}, {"key": {**good["key"], "x": builders.SUB.jwk["x"]}},
                        {"key": {**good["key"], "d": "AA"}}, {"chain": good["chain"][::-1]}]:
            Path(self.path).write_text(json.dumps({**good, **changes}))
            with self.assertRaises(DelegationError, msg=changes):
                Delegation.read(self.path)
        for content in [b"", b"{", b"[]", b"\xff", b" " * 300_000]:
            Path(self.path).write_bytes(content)
            with self.assertRaises(DelegationError):
                Delegation.read(self.path)
        with self.assertRaisesRegex(DelegationError, "cannot read"):
            Delegation.read(self.path + "-absent")


if __name__ == "__main__":
    unittest.main()
