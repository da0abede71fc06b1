"""Tests of the parts of verify.py below the steps of §10."""

from __future__ import annotations

import json
import unittest

from builders import (
    ACT, HOLDER, ISSUER, ISSUER_KEY, LOG, OTHER, PERSON, SERVICE, START, TOOL, Scenario, consistency, leaf, path_to,
    root_of,
)
from deeds_verify import bundle, chain, encoding, keys, scope


class Leaves(unittest.TestCase):
    """The parts below the steps."""

    def test_numbers_as_ecmascript_writes_them(self):
        for number, text in [(1e21, "1e+21"), (1e20, "100000000000000000000"), (5e-324, "5e-324"), (-0.0, "0"),
                             (1e-6, "0.000001"), (1e-7, "1e-7"), (-1.5, "-1.5"), (1e23, "1e+23"), (10, "10"),
                             (333333333.33333329, "333333333.3333333"), (1.7976931348623157e308,
                              "1.7976931348623157e+308"), (1.23e-18, "1.23e-18"), (2**53, "9007199254740992")]:
            self.assertEqual(encoding.ecmascript_number(number), text)

    def test_names_sort_by_utf16(self):
        names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
        self.assertEqual(encoding.jcs({name: 1 for name in names}).decode(),
                         '{"\\r":1,"1":1,"\u0080":1,"\u00f6":1,"\u20ac":1,"\U0001f600":1,"\ufb33":1}')

    def test_loose_json_is_refused(self):
        for text in [b"\xef\xbb\xbf1", b"01", b"1.", b"+1", b"Infinity", b"-Infinity", b'"\x01"', b"", b"1 2",
                     b'{"a":1,"\\u0061":1}', b'["\\udc00"]', b'{"\\ud800":1}', "\uff11".encode(), b"[1,]", b"'a'"]:
            with self.assertRaises(encoding.Malformed, msg=text):
                encoding.parse_json(text)
        self.assertTrue(encoding.parse_json(b"[" * 64 + b"]" * 64))
        self.assertEqual(encoding.parse_json(b'"\\ud83d\\ude00["'), "\U0001f600[")

    def test_base64_is_canonical(self):
        for text in ["YQ", "YR==", "YQ==\n", "Y Q==", "YQ=", "\u00e9"]:
            with self.assertRaises(encoding.Malformed, msg=text):
                encoding.b64_decode(text)
        for text in ["YR", "YQ==", "Y", "Y+8", "YQ\n"]:
            with self.assertRaises(encoding.Malformed, msg=text):
                encoding.b64url_decode(text)

    def test_cbor_is_deterministic(self):
        self.assertEqual(bundle.Reader(b"\x18\x18").uint(), 24)
        for data in [b"\x18\x17", b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
                     b"\x1c", b"\x1f", b"\x40", b"", b"\x18"]:
            with self.assertRaises(encoding.Malformed, msg=data):
                bundle.Reader(data).uint()
        readers = {0: bundle.Reader.uint, 1: bundle.Reader.uint}
        for data in [b"\xa2\x01\x00\x00\x00", b"\xa2\x00\x00\x00\x00", b"\xa1\x02\x00", b"\xbf\x00\x00\xff", b"\xa0"]:
            with self.assertRaises(encoding.Malformed, msg=data):
                bundle.Reader(data).members(readers, {0})

    def test_small_order_points_are_refused(self):
        """The y coordinates in the list are those of the points with 8·P = 0 and no others are needed."""
        p = keys.FIELD_PRIME
        d = -121665 * pow(121666, p - 2, p) % p
        for y in keys.SMALL_ORDER_Y:
            x2 = (y * y - 1) * pow(d * y * y + 1, p - 2, p) % p
            x = pow(x2, (p + 3) // 8, p)
            if (x * x - x2) % p:
                x = x * pow(2, (p - 1) // 4, p) % p
            self.assertEqual((x * x - x2) % p, 0)
            point = (x, y)
            for _ in range(3):
                point = self.double(point, d, p)
            self.assertEqual(point, (0, 1))
            self.assertFalse(keys.point_acceptable(y.to_bytes(32, "little")))
            self.assertFalse(keys.point_acceptable((y | 1 << 255).to_bytes(32, "little")))
        self.assertEqual(len(keys.SMALL_ORDER_Y), 5)

    @staticmethod
    def double(point: tuple, d: int, p: int) -> tuple:
        x, y = point
        t = d * x * x * y * y
        return (2 * x * y * pow(1 + t, p - 2, p) % p, (y * y + x * x) * pow(1 - t, p - 2, p) % p)

    def test_signatures_are_strict(self):
        good = LOG.sign(b"m")
        self.assertTrue(keys.signature_valid(LOG.public, b"m", good))
        larger_s = (int.from_bytes(good[32:], "little") + keys.GROUP_ORDER).to_bytes(32, "little")
        identity = (1).to_bytes(32, "little")
        for public, signature in [(LOG.public, good[:32] + larger_s), (LOG.public, good[:-1]), (OTHER.public, good),
                                  (identity, identity + bytes(32)), (b"\xff" * 32, good),
                                  ((keys.FIELD_PRIME + 1).to_bytes(32, "little"), identity + bytes(32))]:
            self.assertFalse(keys.signature_valid(public, b"m", signature))

    def test_merkle_proofs_of_every_size(self):
        leaves = [leaf(bytes([i])) for i in range(17)]
        for size in range(1, 18):
            tree = leaves[:size]
            for index in range(size):
                path = path_to(index, tree)
                self.assertEqual(encoding.inclusion_root(index, size, tree[index], path), root_of(tree))
                self.assertIsNone(encoding.inclusion_root(index, size, tree[index], path + [bytes(32)]))
            for old in range(1, size):
                proof = consistency(old, tree)
                self.assertTrue(encoding.consistent(old, root_of(tree[:old]), size, root_of(tree), proof))
                self.assertFalse(encoding.consistent(old, root_of(tree[:old]), size, root_of(tree), proof[:-1]))
        self.assertEqual(encoding.merkle_root([bytes([i]) for i in range(17)]), root_of(leaves))

    def test_exact_numbers(self):
        for text in ["0", "0.0", "0e5", "1.0", "1e2", "0.10", "-1.50", "1E+2", "100e-2", "9007199254740992", "1e15",
                     "123456789.123", "0.1", "5e-324", "1e-7", "[0.3,{\"a\":-7}]", "\"-0 1e99\"", "\"\\\"-0\"",
                     "0.1" + "0" * 500, "100" + "0" * 400 + "e-400"]:
            self.assertTrue(encoding.numbers_exact(text.encode()), text)
        for text in ["-0", "-0.0", "-0e9", "0.1000000000000000055", "1e-400", "1e16", "9007199254740993",
                     "9007199254740994", "1e300", "0.30000000000000001", "[1,-0]", "{\"a\":[1e22]}", "4e-324",
                     "1e-99999999999999999999999", "1e-" + "9" * 5000, "-9007199254740993"]:
            self.assertFalse(encoding.numbers_exact(text.encode()), text)


def constraint(kind: str, **members) -> dict:
    return {"constraint_type": kind, **members}


def all_of(*clauses) -> dict:
    return constraint("all", constraints=list(clauses))


def any_of(*clauses) -> dict:
    return constraint("any", constraints=list(clauses))


ANY = constraint("wildcard")
ONE, WORDS = constraint("exact", value=1), constraint("one_of", values=["ab", "ac"])
A, AB = constraint("prefix", prefix="a"), constraint("prefix", prefix="ab")
PATH, HOSTS = constraint("path_under", path="/srv/data"), constraint("host_in", hosts=["a.example", "*.b.example"])
TENS, MONEY = constraint("range", min=1, max=10), constraint("decimal_range", min="0.5", max="10.00")

# Values that a constraint allows, and values that it refuses.
ALLOWED = [
    (ONE, [1, 1.0], [True, 2, "1", None, [1]]),
    (constraint("exact", value=None), [None], [False, 0, "", {}]),
    (WORDS, ["ab", "ac"], ["a", "AB", 1, ["ab"]]),
    (constraint("not_one_of", excluded=["x", 1]), ["y", True, None, {}, [1]], ["x", 1, 1.0]),
    (TENS, [1, 10, 9.5, 1.0], [0, 11, 10.5, "5", True, None]),
    (constraint("range", min=1, min_inclusive=False, max=2, max_inclusive=False), [1.5], [1, 2, 1.0]),
    (constraint("range", max=-1), [-1, -1e15], [0]),
    (MONEY, ["0.5", "0.50", "10.000", "3", 10, 0.5, "0.50000000000000000000000000000000000000001"],
     ["0.49", "10.0000000000000000000000000000000000000001", "1e0", "+1", "01", ".5", "1.", " 1", "-1", 10.5, True,
      "1" + "0" * 64, "\u0661"]),
    (constraint("decimal_range", min="-0.000001", max="0"), ["-0", 0, 1e-7 * -1, -0.000001], [1e-7, "-0.0000011"]),
    (AB, ["ab", "abc"], ["a", "Ab", 1, None]),
    (constraint("prefix", prefix=""), ["", "x"], [0]),
    (PATH, ["/srv/data", "/srv/data/x/y"], ["/srv/data/", "/srv/data/../x", "/srv/data/./x", "/srv/datax", "/srv",
                                             "srv/data", "/srv//data", "/srv/data/a\\b", "/srv/data/\x7f", "", 1,
                                             "/srv/data/" + "x" * 4_090]),
    (constraint("path_under", path="/"), ["/", "/a", "/a/b"], ["a", "", "//", "/a/"]),
    (constraint("path_under", path="a"), ["a", "a/b"], ["/a", "ab", "b"]),
    (HOSTS, ["a.example", "A.Example", "x.b.example", "x.y.b.example", "https://a.example", "http://x.b.example:80/p",
             "https://A.example?q", "https://a.example#f"],
     ["b.example", ".b.example", "a.example.", "xb.example", "https://a.example@evil", "https://evil/@a.example",
      "https://a.example:123456/", "HTTPS://a.example", "ftp://a.example", "//a.example", "https://a.example\\x",
      "https://a.example/\n", "https://a.example/ ", "https://a.example:", "https://a.example:x", "", 7,
      "https://\u0430.example", "x" * 64 + ".b.example", ".".join(["x" * 60] * 5) + ".b.example"]),
    (constraint("contains", required=[1, "a"]), [[1, "a"], ["a", 1.0, {}]], [[1], "a", [], ["1", "a"]]),
    (constraint("subset", allowed=[1, "a"]), [[], [1], ["a", "a", 1]], [[2], "a", ["a", None]]),
    (ANY, [None, {}, [[]]], []),
    (all_of(A, WORDS), ["ab"], ["abc", 1]),
    (any_of(ONE, A), [1, "abc"], [2, "b"]),
]

MALFORMED = [
    {}, {"constraint_type": "regex"}, {"constraint_type": []}, constraint("exact"), constraint("exact", value=1.5),
    constraint("exact", value=[]), constraint("exact", value=2**53 + 1), constraint("exact", value="x" * 4_097),
    constraint("exact", value=1, more=1), constraint("one_of", values=[]), constraint("one_of", values="ab"),
    constraint("one_of", values=list(range(257))), constraint("not_one_of", excluded=[]), constraint("range"),
    constraint("range", min="1"), constraint("range", min=1.0), constraint("range", min=True),
    constraint("range", min=1, max_inclusive=True), constraint("range", min=1, min_inclusive=1),
    constraint("decimal_range", min=1), constraint("decimal_range", max="1e5"), constraint("decimal_range", max="00"),
    constraint("decimal_range", max="1" * 65), constraint("prefix", prefix=1), constraint("path_under", path=""),
    constraint("path_under", path="/a/"), constraint("path_under", path="a/../b"), constraint("host_in", hosts=[]),
    constraint("host_in", hosts=["A.example"]), constraint("host_in", hosts=["*"]),
    constraint("host_in", hosts=["*.*.a"]), constraint("host_in", hosts=["a."]), constraint("host_in", hosts=["a"] * 257), constraint("wildcard", value=1),
    constraint("contains", required=[]), constraint("subset", allowed=[{}]), all_of(), all_of(*[ANY] * 17),
    all_of({**ANY, "optional": True}), any_of("x"), constraint("any", constraints=ANY), {**ANY, "optional": 1},
    {**ANY, "optional": None}, 7, None,
]


def nested(depth: int) -> dict:
    return ANY if depth == 1 else all_of(nested(depth - 1))


class Scopes(unittest.TestCase):
    """Constraints: what they are, what they allow, and which is within which."""

    def test_what_constraints_allow(self):
        for rule, allowed, refused in ALLOWED:
            scope.check_row({"a": rule})
            for argument in allowed:
                self.assertTrue(scope.argument_allowed(rule, argument), (rule, argument))
            for argument in refused:
                self.assertFalse(scope.argument_allowed(rule, argument), (rule, argument))
        self.assertEqual({rule["constraint_type"] for rule, _, _ in ALLOWED}, set(scope.FORMS))

    def test_malformed_constraints(self):
        for rule in MALFORMED:
            with self.assertRaises(encoding.Malformed, msg=rule):
                scope.check_row({"a": rule})
        for row in [[], {"x" * 4_097: ANY}, {"a": nested(9)}, {str(n): ANY for n in range(65)},
                    {"a": any_of(*[all_of(*[ANY] * 15)] * 4)}]:
            with self.assertRaises(encoding.Malformed):
                scope.check_row(row)
        for row in [{"a": nested(8)}, {"x" * 4_096: {**ANY, "optional": True}}, {str(n): ANY for n in range(64)},
                    {"a": any_of(*[all_of(*[ANY] * 14)] * 4), "b": ANY, "c": ANY, "d": ANY}]:
            scope.check_row(row)

    def test_rows_are_closed(self):
        self.assertFalse(scope.arguments_allowed({"a": ONE}, {"a": 1, "b": 1}))
        self.assertFalse(scope.arguments_allowed({"a": ONE}, {}))
        self.assertTrue(scope.arguments_allowed({"a": {**ONE, "optional": True}}, {}))
        self.assertTrue(scope.arguments_allowed({}, {"a": 1}))

    def test_what_is_within_what(self):
        twice = constraint("one_of", values=["ab", 5])
        for inner, outer, within in [
            (ONE, ANY, True), (ANY, ONE, False), (ONE, ONE, True), (ONE, TENS, True), (ONE, MONEY, True),
            (constraint("exact", value="1.5"), MONEY, True), (constraint("exact", value="1.5"), TENS, False),
            (constraint("exact", value=11), TENS, False), (constraint("exact", value="ab"), WORDS, True),
            (constraint("exact", value="ab"), AB, True), (constraint("exact", value="/srv/data/x"), PATH, True),
            (constraint("exact", value="q.b.example"), HOSTS, True),
            (constraint("exact", value="x"), constraint("not_one_of", excluded=["y"]), False),
            (ONE, any_of(ONE), False), (ONE, all_of(ONE), False), (constraint("one_of", values=[1]), ONE, False),
            (WORDS, A, True), (A, WORDS, False), (WORDS, constraint("one_of", values=["ab"]), False),
            (constraint("one_of", values=[1, 2]), TENS, False), (constraint("one_of", values=[1, "2"]), MONEY, True),
            (twice, MONEY, False), (constraint("one_of", values=["/srv/data"]), PATH, True),
            (constraint("one_of", values=["a.example", "https://a.example"]), HOSTS, True), (WORDS, HOSTS, False),
            (constraint("not_one_of", excluded=["x", "y"]), constraint("not_one_of", excluded=["y"]), True),
            (constraint("not_one_of", excluded=["x"]), constraint("not_one_of", excluded=["x", "y"]), False),
            (TENS, TENS, True), (constraint("range", min=1), TENS, False), (TENS, constraint("range", min=1), True),
            (TENS, constraint("range", min=1, min_inclusive=False), False),
            (constraint("range", min=1, min_inclusive=False), constraint("range", min=1), True),
            (constraint("range", min=2), constraint("range", min=1, min_inclusive=False), True),
            (TENS, MONEY, True), (MONEY, TENS, False), (MONEY, MONEY, True),
            (constraint("decimal_range", max="10.0000000000000000000000000000000000001"), constraint(
                "decimal_range", max="10"), False),
            (AB, A, True), (A, AB, False), (PATH, constraint("path_under", path="/"), True),
            (constraint("path_under", path="/srv"), PATH, False), (PATH, constraint("path_under", path="srv"), False),
            (PATH, constraint("prefix", prefix="/srv"), False), (HOSTS, HOSTS, True),
            (constraint("host_in", hosts=["x.b.example", "*.y.b.example"]), HOSTS, True),
            (constraint("host_in", hosts=["b.example"]), HOSTS, False),
            (constraint("host_in", hosts=["*.a.example"]), HOSTS, False),
            (constraint("host_in", hosts=["*.example"]), HOSTS, False),
            (constraint("contains", required=[1, 2]), constraint("contains", required=[2]), True),
            (constraint("contains", required=[1]), constraint("contains", required=[1, 2]), False),
            (constraint("subset", allowed=[1]), constraint("subset", allowed=[1, 2]), True),
            (constraint("subset", allowed=[1, 3]), constraint("subset", allowed=[1, 2]), False),
            (all_of(AB, TENS), all_of(TENS, A), True), (all_of(AB), all_of(A, A), False),
            (all_of(AB, A), all_of(A, AB), True), (all_of(A), all_of(A, ANY), False), (AB, all_of(A), False),
            (any_of(AB, ONE), any_of(A, TENS), True), (any_of(AB, ONE), any_of(A), False), (any_of(AB), A, False),
        ]:
            self.assertEqual(scope.constraint_within(inner, outer), within, (inner, outer))
        self.assertFalse(scope.argument_within({**ONE, "optional": True}, ONE))
        self.assertFalse(scope.argument_within({**ONE, "optional": True}, {**ANY, "optional": False}))
        self.assertTrue(scope.argument_within(ONE, {**ANY, "optional": True}))

    def test_nothing_within_allows_more(self):
        """Of all pairs of constraints of a pool, whatever the inner allows the outer does too."""
        pool = [rule for rule, _, _ in ALLOWED] + [
            TENS, A, constraint("range", min=1, max=10, max_inclusive=False), constraint("decimal_range", min="1"),
            constraint("one_of", values=["/srv/data/x", "a.example", 1]), constraint("exact", value="a.example"),
            all_of(A), all_of(A, AB), any_of(ONE), any_of(ONE, AB), constraint("contains", required=[1]),
            constraint("subset", allowed=[1]), constraint("not_one_of", excluded=["x"])]
        values = [value for _, allowed, refused in ALLOWED for value in allowed + refused]
        pairs = [(inner, outer) for inner in pool for outer in pool if scope.constraint_within(inner, outer)]
        self.assertGreater(len(pairs), 2 * len(pool))
        for inner, outer in pairs:
            for value in values:
                if scope.argument_allowed(inner, value):
                    self.assertTrue(scope.argument_allowed(outer, value), (inner, outer, value))

    def test_tools_within(self):
        row = {"a": {"constraint_type": "wildcard"}}
        for inner, outer, within in [
            ({"s#a": row}, {"s#*": {}}, True), ({"s#*": {}}, {"s#a": {}}, False), ({"s#*": {}}, {"s#*": {}}, True),
            ({"s#a": {}}, {"s#*": {}, "s#a": row}, False), ({"s#a": row}, {"s#a": row}, True),
            ({"s#a": row}, {"t#*": {}}, False), ({}, {}, True), ({"sa": {}}, {"s#*": {}}, False),
        ]:
            self.assertEqual(scope.tools_within(inner, outer), within)


class Chains(unittest.TestCase):
    """Chains and acts without a log."""

    def setUp(self):
        self.at = START + 10
        self.anchor = chain.Anchor(ISSUER, "acme", ISSUER_KEY.jwk)

    def outcome(self, args: bytes = b'{"path": "/data/x"}', tool: str = TOOL, known=None, anchor=None, **changes):
        """What is found of a scenario's chain and act: the notes, or the code of the refusal."""
        scenario = Scenario(args=args, **changes)
        decided = scenario.log.fields[scenario.decided]
        act = chain.Act(tool, args, ACT, json.loads(decided[6]))
        known = {"registered": {PERSON.kid, SERVICE.kid}, "revocations": [], "halts": [], "root_logged_ms": START * 1000,
                 **(known or {})}
        try:
            links = chain.check_chain([token for _, token, _ in scenario.chain], anchor or self.anchor)
            chain.check_act(links, act, self.at, chain.Known(**known))
        except chain.Refused as refused:
            return refused.code
        return chain.notes(links)

    def test_what_is_allowed(self):
        self.assertEqual(self.outcome(), [])
        self.assertEqual(self.outcome(children=[{}, {}]), [])
        self.assertEqual(self.outcome(mandate={}, children=[{}]), [])
        glass = {"deeds.purpose": "break-glass", "deeds.why": "fire"}
        self.assertEqual(self.outcome(children=[{"key": HOLDER}], token=glass, request=glass),
                         ["key-reused", "break-glass"])
        later = {"revocations": [(("issuer-key", ISSUER_KEY.kid), START + 1)]}
        self.assertEqual(self.outcome(known=later), [])

    def test_every_refusal(self):
        apv = {"deeds.apv": {"tools": [TOOL], "m": 1, "by": ["ada"], "ttl": 1}}
        everything = [(("tenant", "acme"), START)]
        long = {"del_max_depth": 8}
        for step, changes in [
            ("chain-size", {"token": long, "request": long, "children": [{"more": "x" * 11_000}] * 5}),
            ("chain-size", {"token": long, "request": long, "children": [{}] * 9}),
            ("delegation-malformed", {"token": {"deeds.tenant": "other"}}),
            ("delegation-malformed", {"anchor": chain.Anchor("x", "acme", ISSUER_KEY.jwk)}),
            ("delegation-malformed", {"token": {"par_hash": "x"}}),
            ("delegation-signature", {"issuer": OTHER}), ("delegation-signature", {"anchor": chain.Anchor(
                ISSUER, "acme", None)}),
            ("delegation-malformed", {"children": [{"iss": "x"}]}), ("link-parent", {"children": [{"signer": OTHER}]}),
            ("link-parent", {"children": [{"par_hash": "x", "del_depth": 2}]}),
            ("link-depth", {"children": [{"del_depth": 2, "exp": START + 9999}]}),
            ("link-time", {"children": [{"exp": START + 9999, "deeds.txn": ACT}]}),
            ("link-binding", {"children": [{"deeds.txn": ACT}, {"del_depth": 9}]}),
            ("link-approvals", {"token": apv, "children": [{}]}),
            ("chain-repeated", {"children": [{"jti": "0190a000-0000-7000-8000-000000000001"}]}),
            ("pop-malformed", {"pop_text": "x"}), ("pop-signature", {"holder": OTHER, "token": {"nbf": START + 99}}),
            ("delegation-time", {"token": {"nbf": START + 41}, "known": {"registered": set()}}),
            ("principal-retired", {"known": {"registered": set(), "revocations": everything}}),
            ("principal-retired", {"mandate": {}, "known": {"registered": {SERVICE.kid}}}),
            ("revoked", {"known": {"revocations": everything, "halts": [{"t": "all"}]}}),
            ("revoked", {"known": {"root_logged_ms": None, "revocations": [
                (("issuer-key", ISSUER_KEY.kid), START + 1)]}}),
            ("halted", {"known": {"halts": [{"t": "all"}]}, "args": b'{"path":-0}'}),
            ("arguments", {"args": b'{"path":-0}', "tool": "x"}), ("arguments", {"args": b"[]"}),
            ("arguments", {"args": b'{"path":"/data/x","path":1}'}),
            ("scope", {"tool": "x", "token": apv}), ("scope", {"args": b"{}"}),
            ("approval", {"token": apv, "pop": {"aud": "x"}}),
            ("pop-binding", {"pop": {"aud": "x", "exp": START + 10}}), ("pop-binding", {"args_digest": "x"}),
            ("pop-time", {"pop": {"exp": START + 10}}), ("pop-time", {"pop": {"iat": START + 41}}),
        ]:
            with self.subTest(step, changes=changes):
                self.assertEqual(self.outcome(**changes), step)


if __name__ == "__main__":
    unittest.main()
