"""Tools, constraints and what is within what: *Tools and constraints* in §6 of docs/format.md."""

from __future__ import annotations

import re
from decimal import Decimal

from deeds_verify.encoding import Malformed, ecmascript_number, is_integer, jcs, same

MAX_TEXT_BYTES = 4_096
MAX_TOOLS, MAX_CONSTRAINTS, MAX_VALUES, MAX_HOSTS, MAX_CLAUSES = 256, 64, 256, 256, 16
MAX_NESTING = 8
MAX_TOOL_BYTES = 1_024
MAX_DECIMAL_BYTES = 64
MAX_HOST_BYTES = 253

HOST = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"
URL = re.compile(rf"https?://({HOST})(?::[0-9]{{1,5}})?(?:[/?#].*)?", re.DOTALL)


# ---------------------------------------------------------------- values


def is_bounded(value: object) -> bool:
    """A string in a scope, which may be empty."""
    return isinstance(value, str) and len(value.encode()) <= MAX_TEXT_BYTES


def is_scalar(value: object) -> bool:
    """A string within its limit, a boolean, null or an integer."""
    return value is None or isinstance(value, bool) or is_bounded(value) or is_integer(value)


def is_scalars(value: object) -> bool:
    """A list of scalars."""
    return isinstance(value, list) and 1 <= len(value) <= MAX_VALUES and all(map(is_scalar, value))


def is_number(value: object) -> bool:
    """A JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_decimal(value: object) -> bool:
    """A *decimal*."""
    return (isinstance(value, str) and len(value) <= MAX_DECIMAL_BYTES
            and re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value) is not None)


def exact_number(value: object) -> Decimal:
    """The number that a JSON number counts as: the decimal that JCS writes."""
    return Decimal(ecmascript_number(value))


def path_segments(value: object) -> list | None:
    """The segments of a *plain path*, the first empty where it begins with `/`; None for what is not one."""
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= MAX_TEXT_BYTES:
        return None
    if re.search(r"[\\\x00-\x1f\x7f]", value):
        return None
    if value == "/":
        return [""]
    segments = value.split("/")
    named = segments[1:] if value.startswith("/") else segments
    return None if any(segment in ("", ".", "..") for segment in named) else segments


def is_host(value: object) -> bool:
    """A *host*."""
    return isinstance(value, str) and len(value) <= MAX_HOST_BYTES and re.fullmatch(HOST, value) is not None


def is_host_pattern(value: object) -> bool:
    """A *host pattern*."""
    if not isinstance(value, str) or value != value.lower():
        return False
    return is_host(value[2:] if value.startswith("*.") else value)


def named_host(value: object) -> str | None:
    """The host that an argument is, or whose URL it is, in lower case; None where it is neither."""
    if is_host(value):
        return value.lower()
    if not isinstance(value, str) or re.search(r'[^!-~]|[\\"<>^`{|}]', value):
        return None
    match = URL.fullmatch(value)
    return match.group(1).lower() if match and is_host(match.group(1)) else None


def host_fits(host: str, pattern: str) -> bool:
    """Whether a host in lower case fits a pattern."""
    return host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*.") else host == pattern


# ---------------------------------------------------------------- the form of a constraint


def is_bounds(value: dict, is_bound) -> bool:
    """The members of `range` and `decimal_range`."""
    if not {"min", "max"} & set(value) or not set(value) <= {"min", "max", "min_inclusive", "max_inclusive"}:
        return False
    return all(is_bound(value[name]) if name in value else f"{name}_inclusive" not in value
               for name in ("min", "max")) and all(
                   isinstance(value.get(f"{name}_inclusive", True), bool) for name in ("min", "max"))


def one_member(name: str, good):
    """A check for exactly one member of this name."""
    return lambda value: set(value) == {name} and good(value[name])


FORMS = {
    "exact": one_member("value", is_scalar),
    "one_of": one_member("values", is_scalars),
    "not_one_of": one_member("excluded", is_scalars),
    "range": lambda value: is_bounds(value, is_integer),
    "decimal_range": lambda value: is_bounds(value, is_decimal),
    "prefix": one_member("prefix", is_bounded),
    "path_under": one_member("path", lambda path: path_segments(path) is not None),
    "host_in": one_member("hosts", lambda hosts: isinstance(hosts, list) and 1 <= len(hosts) <= MAX_HOSTS
                          and all(map(is_host_pattern, hosts))),
    "contains": one_member("required", is_scalars),
    "subset": one_member("allowed", is_scalars),
    "wildcard": lambda value: not value,
    "all": one_member("constraints", lambda clauses: isinstance(clauses, list) and 1 <= len(clauses) <= MAX_CLAUSES),
    "any": one_member("constraints", lambda clauses: isinstance(clauses, list) and 1 <= len(clauses) <= MAX_CLAUSES),
}


def check_constraint(value: object, depth: int = 1) -> int:
    """One constraint without its `optional`: how many it is, those within it counted too."""
    kind = value.get("constraint_type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in FORMS:
        raise Malformed("a constraint of an unknown type")
    if depth > MAX_NESTING:
        raise Malformed("constraints nest too deep")
    if not FORMS[kind]({name: member for name, member in value.items() if name != "constraint_type"}):
        raise Malformed(f"a constraint `{kind}` with unknown, missing or unacceptable members")
    return 1 + sum(check_constraint(clause, depth + 1) for clause in value.get("constraints", []))


def check_row(row: object) -> None:
    """The constraints of one tool."""
    if not isinstance(row, dict) or not all(map(is_bounded, row)):
        raise Malformed("a tool's constraints are not an object within its limits")
    count = 0
    for constraint in row.values():
        if not isinstance(constraint, dict) or not isinstance(constraint.get("optional", False), bool):
            raise Malformed("a constraint that is no object, or optional in an unknown way")
        count += check_constraint({name: member for name, member in constraint.items() if name != "optional"})
    if count > MAX_CONSTRAINTS:
        raise Malformed("too many constraints for one tool")


def tool_server(uri: object) -> str | None:
    """The server of a tool URI; None for what is not one."""
    if isinstance(uri, str) and len(uri) <= MAX_TOOL_BYTES and re.fullmatch(r'[!-"$-~]+#[!-"$-~]+', uri):
        return uri.split("#")[0]
    return None


def check_tools(tools: object) -> dict:
    """The `tools` of an authorization detail."""
    if not isinstance(tools, dict) or not 1 <= len(tools) <= MAX_TOOLS:
        raise Malformed(f"not 1 to {MAX_TOOLS} tools")
    for tool, row in tools.items():
        if tool_server(tool) is None:
            raise Malformed("a tool that is not a tool URI")
        check_row(row)
    return tools


# ---------------------------------------------------------------- what a scope allows


def row_for(tools: dict, tool: object) -> dict | None:
    """The row that governs a tool: the exact one, else that of `<server>#*`, else None."""
    server = tool_server(tool)
    if server is None:
        return None
    return tools[tool] if tool in tools else tools.get(server + "#*")


def within_bounds(number: Decimal, bounds: dict) -> bool:
    """Whether a number is within the bounds of a `range` or `decimal_range`."""
    if "min" in bounds:
        low = Decimal(bounds["min"])
        if number < low or number == low and not bounds.get("min_inclusive", True):
            return False
    if "max" in bounds:
        high = Decimal(bounds["max"])
        if number > high or number == high and not bounds.get("max_inclusive", True):
            return False
    return True


def path_fits(argument: object, path: str) -> bool:
    """`path_under`."""
    inner, outer = path_segments(argument), path_segments(path)
    return inner is not None and inner[: len(outer)] == outer


def host_allowed(argument: object, hosts: list) -> bool:
    """`host_in`."""
    host = named_host(argument)
    return host is not None and any(host_fits(host, pattern) for pattern in hosts)


def all_among(some: list, values: list) -> bool:
    """Whether each of some JSON values is equal to one of others."""
    return set(map(jcs, some)) <= set(map(jcs, values))


PASSES = {
    "exact": lambda argument, c: same(argument, c["value"]),
    "one_of": lambda argument, c: all_among([argument], c["values"]),
    "not_one_of": lambda argument, c: not all_among([argument], c["excluded"]),
    "range": lambda argument, c: is_number(argument) and within_bounds(exact_number(argument), c),
    "decimal_range": lambda argument, c: within_bounds(Decimal(argument), c) if is_decimal(argument)
    else is_number(argument) and within_bounds(exact_number(argument), c),
    "prefix": lambda argument, c: isinstance(argument, str) and argument.startswith(c["prefix"]),
    "path_under": lambda argument, c: path_fits(argument, c["path"]),
    "host_in": lambda argument, c: host_allowed(argument, c["hosts"]),
    "contains": lambda argument, c: isinstance(argument, list) and all_among(c["required"], argument),
    "subset": lambda argument, c: isinstance(argument, list) and all_among(argument, c["allowed"]),
    "wildcard": lambda argument, c: True,
    "all": lambda argument, c: all(argument_allowed(clause, argument) for clause in c["constraints"]),
    "any": lambda argument, c: any(argument_allowed(clause, argument) for clause in c["constraints"]),
}


def argument_allowed(constraint: dict, argument: object) -> bool:
    """Whether one constraint allows one argument."""
    return PASSES[constraint["constraint_type"]](argument, constraint)


def arguments_allowed(row: dict, arguments: dict) -> bool:
    """Whether a row allows these arguments; a row that is not `{}` is closed."""
    if not row:
        return True
    if any(name not in row for name in arguments):
        return False
    return all(argument_allowed(constraint, arguments[name]) if name in arguments
               else constraint.get("optional", False) for name, constraint in row.items())


# ---------------------------------------------------------------- what is within what


def bounds_within(inner: dict, outer: dict) -> bool:
    """Each bound of the outer has one in the inner that is no looser."""
    for name in ("min", "max"):
        if name not in outer:
            continue
        if name not in inner:
            return False
        ours, theirs = Decimal(inner[name]), Decimal(outer[name])  # compared only: arithmetic would round
        if ours == theirs:
            if inner.get(f"{name}_inclusive", True) and not outer.get(f"{name}_inclusive", True):
                return False
        elif (ours < theirs) == (name == "min"):
            return False
    return True


def pattern_within(pattern: str, outer: str) -> bool:
    """Whether every host that fits a pattern fits the outer one."""
    if pattern == outer:
        return True
    return outer.startswith("*.") and host_fits(pattern[2:] if pattern.startswith("*.") else pattern, outer)


def clauses_assigned(outer: list, inner: list) -> bool:
    """`all`: each outer clause has a distinct inner clause that is within it (a matching, by augmenting paths)."""
    fitting = [[n for n, clause in enumerate(inner) if constraint_within(clause, wanted)] for wanted in outer]
    taken: dict = {}  # inner clause → outer clause

    def assign(wanted: int, tried: set) -> bool:
        for clause in fitting[wanted]:
            if clause not in tried:
                tried.add(clause)
                if clause not in taken or assign(taken[clause], tried):
                    taken[clause] = wanted
                    return True
        return False

    return all(assign(wanted, set()) for wanted in range(len(outer)))


def value_passes(inner: dict, outer: dict) -> bool:
    """The one value of the inner passes the outer."""
    return argument_allowed(outer, inner["value"])


def values_pass(inner: dict, outer: dict) -> bool:
    """Every value of the inner passes the outer."""
    return all(argument_allowed(outer, value) for value in inner["values"])


WITHIN = {
    **{("exact", kind): value_passes
       for kind in ("exact", "one_of", "range", "decimal_range", "prefix", "path_under", "host_in")},
    **{("one_of", kind): values_pass for kind in ("one_of", "decimal_range", "prefix", "path_under", "host_in")},
    ("not_one_of", "not_one_of"): lambda inner, outer: all_among(outer["excluded"], inner["excluded"]),
    ("range", "range"): bounds_within,
    ("range", "decimal_range"): bounds_within,
    ("decimal_range", "decimal_range"): bounds_within,
    ("prefix", "prefix"): lambda inner, outer: inner["prefix"].startswith(outer["prefix"]),
    ("path_under", "path_under"): lambda inner, outer: path_fits(inner["path"], outer["path"]),
    ("host_in", "host_in"): lambda inner, outer: all(
        any(pattern_within(pattern, wider) for wider in outer["hosts"]) for pattern in inner["hosts"]),
    ("contains", "contains"): lambda inner, outer: all_among(outer["required"], inner["required"]),
    ("subset", "subset"): lambda inner, outer: all_among(inner["allowed"], outer["allowed"]),
    ("all", "all"): lambda inner, outer: clauses_assigned(outer["constraints"], inner["constraints"]),
    ("any", "any"): lambda inner, outer: all(
        any(constraint_within(clause, wider) for wider in outer["constraints"]) for clause in inner["constraints"]),
}


def constraint_within(inner: dict, outer: dict) -> bool:
    """Whether a constraint is within another, `optional` aside."""
    if outer["constraint_type"] == "wildcard":
        return True
    rule = WITHIN.get((inner["constraint_type"], outer["constraint_type"]))
    return rule is not None and rule(inner, outer)


def argument_within(inner: dict, outer: dict) -> bool:
    """Whether a constraint is within its counterpart under the same argument name."""
    if inner.get("optional", False) and not outer.get("optional", False):
        return False
    return constraint_within(inner, outer)


def row_within(row: dict, outer: dict) -> bool:
    """Whether a row is within another: that is `{}`, or has the same arguments, none of them wider."""
    return not outer or (set(row) == set(outer) and all(argument_within(row[name], outer[name]) for name in row))


def tools_within(inner: dict, outer: dict) -> bool:
    """Every row of `inner` is within the one that governs it in `outer`, and no row of `outer` is evaded."""
    for tool, row in inner.items():
        counterpart = row_for(outer, tool)
        if counterpart is None or not row_within(row, counterpart):
            return False
    governed = [(row_for(inner, tool), counterpart) for tool, counterpart in outer.items()]
    return all(row is None or row_within(row, counterpart) for row, counterpart in governed)
