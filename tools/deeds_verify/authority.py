"""Who was allowed to act, and whether what was decided was: steps 10 to 12 of §10 of docs/format.md."""

from __future__ import annotations

from dataclasses import dataclass

from deeds_verify.audit import Audit, last_below
from deeds_verify.bundle import LOG_LEVEL, Item
from deeds_verify.chain import (
    args_digest,
    chain_marks,
    check_genesis,
    child_problems,
    decidable,
    halts,
    in_time,
    issued_by,
    pop_fresh,
    pop_names,
    pop_signed,
    repeat_problems,
    revoked_mark,
    rows_for,
    same_principal,
    shares_key,
    size_problems,
    takes_effect,
)
from deeds_verify.encoding import Malformed, digest_string, is_uint, jcs, same, sha256, uuid_bytes
from deeds_verify.scope import arguments_allowed
from deeds_verify.tokens import (
    BREAK_GLASS,
    DELEGATION,
    HALT,
    MANDATE,
    REQUEST,
    REVOCATION,
    Jws,
    Link,
    Pop,
    approvals_name,
    asked_by_mandated,
    is_halted,
    is_target,
    parse_jws,
    parse_link,
    parse_mandate,
    parse_order,
    parse_pop,
    parse_request,
    under_mandate,
    within_request,
)

CLOCK_TOLERANCE_MS = 60_000
LEEWAY, ORDER_LATE = 30, 90


class Sink:
    """Records findings about one entry and remembers whether one was an error."""

    def __init__(self, audit: Audit, item: Item) -> None:
        self.audit, self.item, self.sound = audit, item, True

    def fail(self, code: str, text: str) -> None:
        """An error: the entry is not sound."""
        self.sound = False
        self.audit.find(code, self.item.index, text)

    def note(self, code: str, text: str) -> None:
        """A note."""
        self.audit.find(code, self.item.index, text)


# ---------------------------------------------------------------- step 10


def step_10_delegations(audit: Audit) -> None:
    """§10 step 10."""
    shown: set = set()  # the token digests of the delegations before
    for item in audit.of_kind(3):
        if not item.opened("token"):
            continue
        sink = Sink(audit, item)
        if item.entry.run == LOG_LEVEL:
            check_mandate(audit, item, sink)
        else:
            check_delegation(audit, item, sink, shown)


def check_digest(item: Item, jws: Jws, sink: Sink) -> None:
    """§10 step 10: `digest` is the token digest."""
    if item.opened("digest") and item.value("digest") != jws.digest:
        sink.fail("delegation-digest", "the digest is not that of the token")


def check_mandate(audit: Audit, item: Item, sink: Sink) -> None:
    """§10 step 10 for an entry at log level."""
    try:
        mandate = parse_mandate(parse_jws(item.value("token"), MANDATE))
        check_genesis_of(audit, mandate.audience, mandate.tenant)
    except Malformed as error:
        sink.fail("mandate-malformed", str(error))
        return
    check_digest(item, mandate.jws, sink)
    row = audit.registered(mandate.jws.kid, item.index)
    if row is None:
        sink.fail("mandate-key", "the key of the mandate is not registered at this index")
    else:
        audit.label(item, "mandate", row, mandate.jws.kid)
        if not mandate.jws.signed_by(row[3]):
            sink.fail("mandate-signature", "the mandate is not signed by the registered key")
        if not same_principal(row[2], mandate.principal) or row[2].get("kind") != mandate.principal["kind"]:
            sink.fail("mandate-binding", "the key is registered for another principal")
    if sink.sound:
        audit.mandates.setdefault(mandate.jws.digest, (item.index, mandate))


def check_genesis_of(audit: Audit, audience: str, tenant: str) -> None:
    """§10 steps 10 and 12: `aud` and `tenant` are those of the genesis, where it is shown."""
    if audit.genesis("issuer") not in (None, audience) or audit.genesis("tenant") not in (None, tenant):
        raise Malformed("it is not for the issuer and tenant that the log states")


def check_delegation(audit: Audit, item: Item, sink: Sink, shown: set) -> None:
    """§10 step 10 for an entry in a run; the chain that ends in a sound one is kept for step 11."""
    try:
        jws = parse_jws(item.value("token"), DELEGATION)
    except Malformed as error:
        sink.fail("delegation-malformed", str(error))
        return
    check_digest(item, jws, sink)
    first = jws.digest not in shown
    shown.add(jws.digest)
    try:
        link = parse_link(jws)
        if link.is_root:
            check_genesis(link, audit.genesis("issuer"), audit.genesis("tenant"))
    except Malformed as error:
        sink.fail("delegation-malformed", str(error))
        return
    if link.is_root:
        check_root(audit, item, link, sink, first)
        above: tuple = ()
    else:
        above = parent_chain(audit, item, link, sink)
        for code, text in child_findings(above, link) if above else ():
            sink.fail(code, text)
    if sink.sound:
        audit.chains.setdefault((item.entry.run, jws.digest), (item.index, (*above, link)))
        if link.is_root:
            earliest = audit.roots_logged.get(jws.digest, item.entry.observed_ms)
            audit.roots_logged[jws.digest] = min(earliest, item.entry.observed_ms)


def parent_chain(audit: Audit, item: Item, link: Link, sink: Sink) -> tuple:
    """§10 step 10: the sound chain of the same run that the child goes on from; empty where there is none."""
    found = audit.chains.get((item.entry.run, link.parent))
    if found is None:
        sink.fail("link-missing", "the delegation above it is not shown before it in its run, or is not sound")
        return ()
    return found[1]


def child_findings(above: tuple, link: Link) -> list:
    """§10 step 10: everything that is wrong with a child below this chain."""
    sizes = [entry.jws.size for entry in (*above, link)]
    return [*size_problems(sizes), *child_problems(above, link), *repeat_problems(above, link)]


def check_root(audit: Audit, item: Item, root: Link, sink: Sink, first: bool) -> None:
    """§10 step 10: the issuer's signature, and what the root rests on."""
    if audit.genesis("issuer_key") is None:
        sink.note("issuer-key-missing", "the issuer's key is not shown: signature not checked")
    elif not issued_by(root, audit.genesis("issuer_key")):
        sink.fail("delegation-signature", "the token is not signed by the issuer's key")
    if "key-request" in root.sources:
        check_request(audit, item, root, sink)
    else:
        sink.note("principal-inferred", "no key vouches for the principal, only the operating system")
        audit.labels.append(f"delegation at {item.index}: principal's key not-checked (inferred from the peer)")
    if "mandate" in root.sources:
        check_root_under_mandate(audit, item, root, sink)
    if first and abs(item.entry.observed_ms - root.iat * 1000) > CLOCK_TOLERANCE_MS:
        sink.note("issuance-not-shown", "it was not recorded when it was issued, as far as the bundle shows")


def check_request(audit: Audit, item: Item, root: Link, sink: Sink) -> None:
    """§10 step 10: the signed request on which the root was issued."""
    if not item.opened("request"):
        sink.fail("request-missing", "the signed request behind it is not shown")
        return
    try:
        request = parse_request(parse_jws(item.value("request"), REQUEST))
        if request.audience != root.iss or request.jws.digest != root.sources["key-request"]["d"]:
            raise Malformed("it is not the request that the token names, or for another issuer")
    except Malformed as error:
        sink.fail("request-malformed", str(error))
        return
    row = audit.registered(request.jws.kid, item.index)
    if row is None:
        sink.fail("request-key", "the key of the request is not registered at this index")
    else:
        audit.label(item, "delegation", row, request.jws.kid)
        if not request.jws.signed_by(row[3]):
            sink.fail("request-signature", "the request is not signed by the registered key")
        if "mandate" not in root.sources and not same_principal(row[2], root.principal):
            sink.fail("request-binding", "the key is registered for another principal")
    if not within_request(root, request):
        sink.fail("request-binding", "the token goes beyond the request")


def check_root_under_mandate(audit: Audit, item: Item, root: Link, sink: Sink) -> None:
    """§10 step 10: the mandate under which the root was issued."""
    named = root.sources["mandate"]
    index, mandate = audit.mandates.get(named["d"], (item.index, None))
    if index >= item.index:
        sink.fail("mandate-missing", "the mandate behind it is not shown before it, or is not sound")
        return
    row = audit.registered(root.sources["key-request"]["kid"], item.index)
    good = audit.registered(named["kid"], item.index) is not None and under_mandate(root, mandate)
    if not good or row is not None and not asked_by_mandated(root, mandate, row[2]):
        sink.fail("mandate-binding", "the token goes beyond the mandate, or somebody else asked for it")


# ---------------------------------------------------------------- step 11


@dataclass(frozen=True)
class Orders:
    """The revocations and halts that the log shows.

    `revocations`: mark → [(index, second from which on)]; `halts`: [(index, on, index of the resume or None)]."""

    revocations: dict
    halts: list


def read_orders(audit: Audit) -> Orders:
    """§6: kind 4 and kind 20 entries at log level whose fields are present and of the form that it gives."""
    revocations: dict = {}
    for item in at_log_level(audit, 4):
        mark, eff = revoked_mark(item.value("what"), item.value("target")), item.value("eff")
        if mark and is_uint(eff):
            revocations.setdefault(mark, []).append((item.index, eff))
    changes = at_log_level(audit, 20)
    lifted: dict = {}  # index of a halt → that of the first resume after it that names it
    for item in changes:
        halt = item.value("halt")
        if item.value("change") == "resumed" and is_uint(halt) and halt < item.index:
            lifted.setdefault(halt, item.index)
    return Orders(revocations, [(item.index, item.value("on"), lifted.get(item.index)) for item in changes
                                if item.value("change") == "halted" and is_halted(item.value("on"))])


def at_log_level(audit: Audit, kind: int) -> list:
    """The log-level items of a kind, in index order."""
    return [item for item in audit.of_kind(kind) if item.entry.run == LOG_LEVEL]


def step_11_decisions(audit: Audit) -> None:
    """§10 step 11, the allowed decisions."""
    outcomes = {cause for item in audit.of_kind(6) for cause in item.entry.causes}
    log_level = [(item.index,) for item in audit.entries if item.entry.run == LOG_LEVEL]
    policies = [(item.index, item) for item in at_log_level(audit, 10)]
    orders = read_orders(audit)
    counters: set = set()
    for item in audit.of_kind(5):
        if item.value("verdict") != "allow":
            continue
        pop = read_pop(item, counters)
        if not item.opened("chain"):
            audit.find("decision-withheld", item.index, "the delegation the decision relied on is not shown")
            continue
        second = decision_second(audit, item)
        check_revocations(audit, item, log_level)
        check_policy(audit, item, policies)
        if pop.code:
            audit.find(pop.code, item.index, pop.text)
        if item.leaf not in outcomes:
            audit.find("outcome-open", item.index, "the outcome of the action is not shown")
        chain = decision_chain(audit, item)
        if chain:
            check_authority(audit, item, chain, second, orders)
            check_binding(audit, item, chain)
            check_scope(audit, item, chain)
            if pop.proof:
                check_pop(audit, item, chain, pop, second)


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
    counter = (pop.user, pop.counter)
    replayed = counter in counters
    counters.add(counter)
    return ReadPop(pop, replayed)


def decision_chain(audit: Audit, item: Item) -> tuple:
    """§10 step 11: the chain whose leaf `chain` names; empty where there is none."""
    leaf = item.value("chain")
    index, chain = audit.chains.get((item.entry.run, leaf), (item.index, ())) if isinstance(leaf, str) else (0, ())
    if index < item.index and chain:
        return chain
    audit.find("decision-delegation", item.index, "no sound delegation before it in its run has this digest")
    return ()


def decision_second(audit: Audit, item: Item) -> int | None:
    """§10 step 11: T, the time of the decision in whole seconds."""
    decided = item.value("decided_at_ms")
    usable = is_uint(decided)
    if not usable or abs(decided - item.entry.observed_ms) > CLOCK_TOLERANCE_MS:
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


def check_authority(audit: Audit, item: Item, chain: tuple, second: int | None, orders: Orders) -> None:
    """§10 step 11: the chain was alive, not revoked and not halted; what else is to be known of it."""
    root = chain[0]
    if second is not None and not in_time(chain, second):
        audit.find("delegation-time", item.index, "a link of the chain was not valid at the time of the decision")
    if any(audit.registered(kid, item.index) is None for kid in root.kids):
        audit.find("principal-retired", item.index, "a key that the root rests on was no longer registered")
    if second is not None:
        check_revoked(audit, item, chain, second, orders)
    if any(index < item.index and (until is None or until > item.index) and halts(on, chain)
           for index, on, until in orders.halts):
        audit.find("halted", item.index, "a halt was in force that stops this chain")
    if shares_key(chain):
        audit.find("key-reused", item.index, "two links are bound to one key: their holders cannot be told apart")
    if root.purpose == BREAK_GLASS:
        audit.find("break-glass", item.index, "somebody broke the glass for this")


def check_revoked(audit: Audit, item: Item, chain: tuple, second: int, orders: Orders) -> None:
    """§10 step 11, §6: whether a revocation fits the chain at the time of the decision."""
    owners = [row[2] for row in (audit.registered(kid, item.index) for kid in chain[0].kids) if row]
    logged = audit.roots_logged.get(chain[0].jws.digest)
    fitting = [index for mark in chain_marks(chain, owners) for index, eff in orders.revocations.get(mark, [])
               if takes_effect(mark, eff, second, logged)]
    if any(index < item.index for index in fitting):
        audit.find("revoked", item.index, "its chain was revoked before the decision")
    elif fitting:
        audit.find("in-doubt", item.index, "its chain was revoked later, with effect from before the decision")


def check_binding(audit: Audit, item: Item, chain: tuple) -> None:
    """§10 step 11: task, principal and holder, as far as they are shown, are those of the chain."""
    root, holder, stated = chain[0], chain[-1].effective_holder, item.value("holder")
    good = item.value("txn") in (None, root.txn)
    good = good and (not item.opened("principal") or same_principal(item.value("principal"), root.principal))
    if not good or stated is not None and not (isinstance(stated, dict) and all(
            stated.get(name) == holder[name] for name in ("id", "key", "asr"))):
        audit.find("decision-binding", item.index, "it names another task, principal or holder than its chain")


def decidable_args(item: Item) -> dict | None:
    """§10 step 11: `args`, if they are present and may be decided on."""
    return decidable(item.raw_value("args")) if item.opened("args") else None


def check_scope(audit: Audit, item: Item, chain: tuple) -> None:
    """§10 step 11: the tool and its arguments are within every link, and need no approval."""
    rows, arguments = rows_for(chain, item.value("tool")), decidable_args(item)
    if None in rows:
        audit.find("scope", item.index, "the tool is not shown or not in every link of the chain")
    if not item.opened("args"):
        if any(rows):
            audit.find("scope-args-withheld", item.index, "the arguments are not shown: constraints not checked")
    elif arguments is None:
        audit.find("scope", item.index, "the arguments are not an object with exact numbers")
    elif not all(arguments_allowed(row, arguments) for row in rows if row is not None):
        audit.find("scope", item.index, "the arguments are not allowed by every link of the chain")
    if any(approvals_name(link.approvals, item.value("tool")) for link in chain):
        audit.find("approval", item.index, "a link asks for approvals, of which there are none")


def check_pop(audit: Audit, item: Item, chain: tuple, read: ReadPop, second: int | None) -> None:
    """§10 step 11: the proof of possession against the chain and the decision."""
    pop, arguments = read.proof, decidable_args(item)
    if not pop_signed(chain, pop):
        audit.find("pop-signature", item.index, "the proof is not signed by the key the leaf is bound to")
    bound = pop_names(pop, aud=chain[0].iss, gth=item.value("chain"), tool=item.value("tool"),
                      act_id=item.value("act_id"), hta_s256=item.value("args_digest"))
    if not bound or arguments is not None and item.value("args_digest") != args_digest(arguments):
        audit.find("pop-binding", item.index, "the proof is for another issuer, delegation, tool, action or arguments")
    if second is not None and not pop_fresh(pop, second):
        audit.find("pop-time", item.index, "the proof was not fresh at the time of the decision")
    if read.replayed:
        audit.find("pop-replayed", item.index, "the counter of the proof was used before")


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


def step_11_counters(audit: Audit) -> None:
    """§10 step 11: what a holder counted, the log of a run that is over has."""
    used: dict = {}  # run → (kid, aud) → counters
    withheld = {item.entry.run for item in audit.of_kind(5) for name in ("pop", "credential")
                if not item.opened(name) and not item.lacks(name)}
    for item in audit.of_kind(5):
        credential = item.value("credential")
        if not isinstance(credential, dict) or credential.get("pop") not in ("verified", "signed"):
            continue
        try:
            pop = parse_pop(item.value("pop"))
        except Malformed:
            continue
        used.setdefault(item.entry.run, {}).setdefault(pop.user, set()).add(pop.counter)
    for run, users in used.items():
        manifest = next((item for item in audit.runs[run].get(0, []) if item.entry.kind == 15), None)
        if run != LOG_LEVEL and manifest and run not in withheld and any(len(seen) <= max(seen) for seen in users.values()):
            audit.find("counter-hole", manifest.index, "a holder counted a proof that the run does not show")


def step_09_handed_over(audit: Audit) -> None:
    """§10 step 9, after step 10: what an announcement says of the delegation is what the child's run shows."""
    withheld = {item.entry.run for item in audit.of_kind(3) if not item.opened("token")}
    for item in audit.of_kind(19):
        if not (item.opened("child") and item.opened("delegation")):
            continue
        run = uuid_bytes(item.value("child"))
        if run not in audit.runs or run in withheld:
            continue
        digest = item.value("delegation")
        found = audit.chains.get((run, digest)) if isinstance(digest, str) else None
        if found is None or not says_of_leaf(item, found[1][-1]):
            audit.find("child-mismatch", item.index, "its run does not show what is said to be handed over")


def says_of_leaf(item: Item, leaf: Link) -> bool:
    """Whether an announcement says of a delegation what that says."""
    holder = item.value("holder")
    if item.opened("holder") and not (isinstance(holder, dict) and all(
            holder.get(name) == leaf.effective_holder[name] for name in ("id", "key", "asr"))):
        return False
    deeds = leaf.jws.claims["deeds"]
    said = {"handoff_digest": deeds.get("handoff"), "by": leaf.jws.claims.get("par_hash")}
    return all(not item.opened(name) or value is not None and item.value(name) == value for name, value in said.items())


# ---------------------------------------------------------------- step 12


def step_12_orders(audit: Audit) -> None:
    """§10 step 12: revocations and halts at log level."""
    for item in at_log_level(audit, 4):
        if not (is_target(item.value("what"), item.value("target")) and is_uint(item.value("eff"))):
            audit.find("order-withheld", item.index, "what is revoked, and from when, is not shown")
        check_order(audit, item, REVOCATION)
    for item in at_log_level(audit, 20):
        hidden = item.value("change") == "resumed" and not (item.opened("token") or item.says_nothing("token"))
        if item.value("change") not in ("halted", "resumed") or not is_halted(item.value("on")) or hidden:
            audit.find("order-withheld", item.index, "who is halted or goes on is not shown")
        check_order(audit, item, HALT)
        if item.value("change") == "resumed" and item.says_nothing("token"):
            audit.find("order-unsigned", item.index, "nobody signed that they go on")


def check_order(audit: Audit, item: Item, typ: str) -> None:
    """§10 step 12: the signed order behind an entry."""
    if not item.opened("token"):
        check_unsigned(audit, item)
        return
    try:
        order = parse_order(item.value("token"), typ)
        check_genesis_of(audit, order.audience, order.tenant)
    except Malformed as error:
        audit.find("order-malformed", item.index, str(error))
        return
    row = audit.registered(order.jws.kid, item.index)
    if row is None or is_revoked_signer(audit, item, row) or not may_lift(audit, item, order.jws.kid, row):
        audit.find("order-key", item.index, "the key of the order is not one that may give it at this index")
    else:
        audit.label(item, "order", row, order.jws.kid)
        if not order.jws.signed_by(row[3]):
            audit.find("order-signature", item.index, "the order is not signed by the registered key")
    says_else = any(item.opened(name) and not same(item.value(name), said) for name, said in order.says.items())
    one_sided = order.says.get("halt") is not None and item.lacks("halt")
    by = item.value("by")
    by_other = row is not None and item.opened("by") and not (isinstance(by, dict) and same_names(by, row[2]))
    late = not order.iat - LEEWAY <= item.entry.observed_ms // 1000 <= order.exp + ORDER_LATE
    if says_else or one_sided or by_other or late:
        audit.find("order-binding", item.index, "the order says something else")


def check_unsigned(audit: Audit, item: Item) -> None:
    """§10 step 12: where nobody signed, nobody is named as if they had."""
    by = item.value("by")
    named = item.opened("by") and not (isinstance(by, dict) and by.get("kind") == "unknown")
    assured = item.opened("assurance") and item.value("assurance") != "inferred"
    if item.says_nothing("token") and (named or assured):
        audit.find("order-binding", item.index, "nobody signed the order, and it names somebody")


def same_names(by: dict, principal: object) -> bool:
    """Whether both are the same principal by texts."""
    return isinstance(principal, dict) and all(
        isinstance(by.get(name), str) and by.get(name) == principal.get(name) for name in ("iss", "sub"))


def may_lift(audit: Audit, item: Item, kid: str, row: tuple) -> bool:
    """§10 step 12: a person lifts a halt, and not one who came after it, unless there was nobody."""
    if item.entry.kind != 20 or item.value("change") != "resumed":
        return True
    halt = item.value("halt")
    is_person = lambda other: other is not None and isinstance(other[2], dict) and other[2].get("kind") == "human"
    if not is_uint(halt) or audit.registered(kid, halt):
        return is_person(row)
    return is_person(row) and not any(is_person(audit.registered(other, halt)) for other in audit.register)


def is_revoked_signer(audit: Audit, item: Item, row: tuple) -> bool:
    """Whether the principal of a key was revoked, as a principal, before an order."""
    mark = revoked_mark("principal", {name: row[2].get(name) for name in ("iss", "sub")}) if isinstance(row[2], dict) else None
    return any(index < item.index and eff * 1000 <= item.entry.observed_ms
               for index, eff in read_orders(audit).revocations.get(mark, []))


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
