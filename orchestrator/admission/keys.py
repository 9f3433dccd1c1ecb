"""Every key of the gate, by the name the scripts use for it.

All keys of one gate begin with the same hash tag, so a script's keys live in one slot of a
Redis Cluster. Times are milliseconds of the server's clock. `<...>` is appended by the script.
"""

from __future__ import annotations

from orchestrator.domain.scope import Scope

#: name in Lua -> what follows the gate's hash tag
KEYS: dict[str, str] = {
    # string: random; missing means the gate knows nothing and must be rebuilt
    "generation": ":generation",
    # string: token of the process that rebuilds the gate now
    "rebuilding": ":rebuilding",
    # string: what the server's clock said last, and how far it is ahead of the gate's
    "time": ":server_clock",
    # string: what PostgreSQL's clock, the server's and the gate's said when they were compared last
    "mark": ":compared_clocks",
    # never there: to delete it is a write that takes no memory
    "nothing": ":nothing",
    # integer: the order of arrival
    "sequence": ":sequence",
    # hash: the limits and times that all scripts read; `session:<tree>`, `tenant:<tenant>`,
    # `agent:<agent>` and `pool:<pool>` override a limit for one name, `weight:tenant:<tenant>`
    # and `weight:session:<tree>` are shares, `resources:<agent>` is what a kind calls
    "config": ":config",
    # hash: what the settings of the processes say; what operators have set instead of it
    "defaults": ":defaults",
    "operator": ":operator",
    # hash: limit -> what this shard has borrowed of others, below zero lent them; '' the version
    "credits": ":credits",
    # hash: `version` of what operators have set, `woken`: up to which the parked were woken
    "limits": ":limits",
    # hash <id>: one instance: place, attempt, session, tenant, pool, agent, priority, thread,
    # stop, paused, cost, expires, preemptible; once parked: line, class (after aging), sequence,
    # since; once handed out: held_since, charge, spent (what its calls report); not_before of one
    # that is held; the attempt that was `woken` before it slept, or is `displaced` by another
    "instance": ":instance:",
    # zset id -> expiry: the slots. A slot is held exactly as long as its lease is here.
    "leases": ":leases",
    # sets of the ids in `leases`, by <tree>, <tenant>, <agent>, <pool>; a tree is a session in
    # its tenant
    "slots_session": ":slots:session:",
    "slots_tenant": ":slots:tenant:",
    "slots_agent": ":slots:agent:",
    "slots_pool": ":slots:pool:",
    # zset <pool>, id -> class and start: those of the slots that something more urgent may take
    "candidates": ":candidates:",
    # zset id -> since: those that run and were told to stop
    "stopping": ":stopping",
    # zset id -> rank: those in line that may displace others; id -> since: those for whom one was
    # told to give way
    "urgent": ":urgent",
    "promised": ":promised",
    # zset id -> expiry: queue places promised at check-in, not yet followed
    "reserved": ":reserved",
    # zset id -> when to look at it (to raise it, or end its waiting): everything that counts
    # against a queue bound; sets of the same, by <tenant> and <tree>
    "backlog": ":backlog",
    "backlog_tenant": ":backlog:tenant:",
    "backlog_session": ":backlog:session:",
    # zset id -> rank: the waiting instances of one <line tree>; set: the flows there are.
    # A line is `pool @agent` for a kind with a limit of its own, else `pool resources`
    "flow": ":flow:",
    "flows": ":flows",
    # hash line -> number of flows in it: of all, and of <tenant>
    "lines": ":lines",
    "tenant_lines": ":lines:",
    # zset session -> score of its first: sessions of <line>:<tenant> that have room
    "sessions": ":sessions:",
    # zset tenant -> score of its first session: tenants of <line> that have room
    "tenants": ":tenants:",
    # zset line -> score of its first tenant: lines of <pool> that nothing holds up
    "ready": ":ready:",
    # zset line -> tag, '' -> virtual time. zset class+name -> tag, class -> virtual time,
    # `served`+class+name -> when, `period` -> arrival: tenants of <line>, sessions of
    # <line>:<tenant>
    "shares": ":shares",
    "shares_tenants": ":shares:tenants:",
    "shares_sessions": ":shares:sessions:",
    # hash `time:<agent>` -> milliseconds, `tokens:<agent>` -> tokens: moving averages
    "means": ":means",
    # hash <window>: tenant, or '' for all -> how many left the queue to run in ten seconds
    "drained": ":drained:",
    # set: pools that have had a queue
    "pools": ":pools",
    # zset id -> due: queued instances that may not start yet
    "delayed": ":delayed",
    # zset id -> since: instances that are paused and would be in line otherwise
    "paused": ":paused",
    # zset id -> expiry: instances that wait without a slot: on a thread of a live worker, or with
    # nobody there, for as long as it takes
    "suspended": ":suspended",
    # zset id -> since: spawns that wait for others before they start for the first time
    "held": ":held",
    # zset id -> when: the waits of those that nobody stays with end by then
    "timers": ":timers",
    # zset id -> since: instances that have ended, for which others still wait
    "ended": ":ended",
    # zset id -> when to look: places whose lease ran out, for the sweep to judge
    "expired": ":expired",
    # hash <id>: the wait of an instance: claim, kind, needs, since, the attempt that is about to
    # wait; cycle when it has failed
    "wait": ":wait:",
    # set <id>: the nodes it waits for: instances by id, locks as lock:<length of tenant> <both>
    "targets": ":targets:",
    # zset <node> -> rank: who waits for it; of a lock, in the order in which they get it
    "waiters": ":waiters:",
    # zset id -> when: waits among too many others to be searched at once, for the sweep
    "unchecked": ":unchecked",
    # zset id -> since: attempts that keep their slot while they wait
    "blocked": ":blocked",
    # hash "<scope> <name>" -> since: where all slots are held by such attempts, others in line
    "stalled": ":stalled",
    # hash <lock>: holder, claim, token, since; set <id>: the locks that an instance holds
    "holder": ":holder:",
    "locks": ":locks:",
    # integers: the newest token; until when no lock is given to anybody new
    "lock_token": ":lock:token",
    "locks_closed": ":lock:closed",
    # integer: the order in which locks were asked for
    "lock_sequence": ":lock:sequence",
    # zset worker -> expiry; hash <worker>: pool -> capacity; hash: pool -> capacity of all
    "workers": ":workers",
    "worker": ":worker:",
    "capacity": ":capacity",
    # hash <name>: a budget, its bounds and what is taken of them; set: the names there are
    "account": ":account:",
    "accounts": ":accounts",
    # set <name>: the live instances that an account counts
    "account_live": ":account_live:",
    # hash id -> the account that was charged for the spawn, a line end, the nearest account
    "account_of": ":account_of",
    # hash <call>: what is held for a call, and by which accounts
    "account_call": ":account_call:",
    # zset call -> when to look: calls for which something is held
    "account_calls": ":account_calls",
    # zset name -> when: accounts below which everything is to be ended
    "accounts_due": ":accounts_due",
    # zset JSON -> since: shares of budgets that are gone, to be told of
    "alerts": ":alerts",
    # hash: refusal code -> count
    "refusals": ":refusals",
    # string: the id after which the reconciler's walk over all live instances goes on
    "walk": ":walk_from",
    # string <job>:<period>: taken when a round of housekeeping has begun
    "rounds": ":rounds:",
    # string <resource>: what is declared of a resource, packed; `*` is for those nobody declared
    "resource": ":resource:",
    # hash <scope>: what is left in each bucket, and at which time that was so. A scope is a
    # resource, or a resource and a tenant where each tenant has limits of its own
    "bucket": ":bucket:",
    # hash <scope>: state, generation and counts of a breaker
    "breaker": ":breaker:",
    # hash scope -> what an operator has decided of a breaker: open or closed
    "forced": ":forced",
    # zset scope -> when an open breaker lets probes through
    "tripped": ":tripped",
    # zset line -> when to look again: lines that a breaker holds up
    "closed": ":closed",
    # set: scopes that have been called
    "scopes": ":scopes",
    # string <id>: one call, packed: state, what it has taken; kept a while after its end
    "call": ":call:",
    # zset <scope>, id -> expiry: the calls under way, and those of them that are probes
    "calls": ":calls:",
    "probes": ":probes:",
    # zset <scope>, ticket -> turn: who waits to call; and ticket -> expiry
    "tickets": ":tickets:",
    "ticket_ends": ":ticket_ends:",
    # hash <scope>: virtual time, and where the turns of each tenant end
    "turns": ":turns:",
    # list <pool>: the Celery queue of a pool
    "queue": ".",
    # list: messages for a relay to another broker
    "outbox": ":outbox",
    # channel <id>: the instance has ended
    "done": ":done:",
    # channel <worker>: "id attempt": a waiting thread may go on
    "granted": ":granted:",
    # channel <call>: its turn may have come
    "turn": ":turn:",
    # channel <id>: its wait may be over: a lock is its own, or the wait has failed
    "woken": ":woken:",
    # channel: milliseconds until something is due, sooner than was known
    "due": ":due",
    # channel: "id", or "id PREEMPTED attempt": whoever runs it must stop it
    "stop": ":stop",
}


def hash_tag(gate: str) -> str:
    """The common beginning of all keys of a gate."""
    return "{" + gate + "}"


def key(gate: str, name: str, suffix: str = "") -> str:
    """The full key, as `key("orchestrator", "done", id)`."""
    return hash_tag(gate) + KEYS[name] + suffix


def queue_name(gate: str, pool: str) -> str:
    """What the Celery queue of a pool is called."""
    return key(gate, "queue", pool)


def tree_of(tenant: str, session: str) -> str:
    """A session in its tenant, as the scripts write it (`lua/lib/entry.lua`)."""
    return f"{len(tenant.encode())} {tenant}{session}"


def limit_field(scope: Scope) -> str:
    """The field of `config` that holds a limit or a weight."""
    if not scope.name:
        return scope.kind
    name = tree_of(scope.tenant, scope.name) if scope.tenant else scope.name
    return f"{scope.kind}:{name}"


def lua_table() -> str:
    """Lua source of the table `key`, for the beginning of every script."""
    rows = ", ".join(f"{name} = KEYS[1] .. '{suffix}'" for name, suffix in KEYS.items())
    return f"local key = {{{rows}}}"


def literal(gate: str, name: str) -> str:
    """A key, or the beginning of one, as a Lua string."""
    return f"'{key(gate, name)}'"


def literal_table(gate: str) -> str:
    """Lua source of the table `key` for one gate."""
    rows = ", ".join(f"{name} = {literal(gate, name)}" for name in KEYS)
    return f"local key = {{{rows}}}"
