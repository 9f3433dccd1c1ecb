"""Every command: `--help` explains it, `--json` is one value, plain output tells the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.config.settings import Settings
from orchestrator.domain.budget import Budget
from orchestrator.domain.instance import SpawnRequest
from orchestrator.domain.lifecycle import State
from orchestrator.domain.progress import Progress
from orchestrator.domain.resource import Resource
from orchestrator.engine import budgets
from orchestrator.engine.deps import Deps
from orchestrator.engine.spawn import spawn
from orchestrator.store import migrate
from orchestrator.store.store import Ending
from tests.cli.commands import every_command
from tests.cli.conftest import Command
from tests.support.make import parent_of, spawn_of
from tests.support.waiting import wait_until

COMMANDS = dict(every_command())
NAMES = sorted(COMMANDS)


def value(command: Command, *arguments: str) -> Any:
    """What a command answers with `--json`."""
    ran = command(*arguments, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def text(command: Command, *arguments: str) -> str:
    """What a command tells a person."""
    ran = command(*arguments)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(command: Command, name: str, option: str) -> None:
    ran = command(*name.split(), option)
    assert (ran.code, ran.err) == (0, "")
    assert f"orchestrator {name}" in ran.out


def test_help_of_all(command: Command) -> None:
    ran = command("--help")
    assert ran.code == 0
    assert all(name in ran.out for name in NAMES if " " not in name)
    assert command().code == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_command_speaks_json(name: str) -> None:
    options = {option for param in COMMANDS[name].params for option in param.opts}
    assert "--json" in options


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for param in command.params:
        assert getattr(param, "help", None) or param.name == "instance_id", param.name


@pytest.fixture
def one(deps: Deps) -> str:
    """A root with an odd name that has completed; its child was cancelled."""
    root = spawn(deps, SpawnRequest("echo", {"[b]": "[/x]"}, session="[/s]", tenant="t 漢"))
    parent = deps.store.begin(root, 1, "worker-1")
    assert parent is not None
    child = spawn_of(parent_of(parent), agent="add", args='{"a": 1}')
    deps.store.record(child)
    deps.store.settle(root, 1, Ending(State.COMPLETED, result='{"[b]": ["[/x]", 1]}'))
    return root


def test_spawn_answers_the_id(command: Command, deps: Deps) -> None:
    answer = value(command, "spawn", "add", '{"a": 1}', "--tenant", "t", "--priority", "high")
    row = deps.store.get(answer["id"])
    assert row is not None
    assert (row.tenant, row.priority.label, row.args) == ("t", "high", {"a": 1})
    shown = text(command, "spawn", "add", '{"a": 1}')
    assert deps.store.get(shown.strip()) is not None


def test_spawn_hands_every_option_on(command: Command, deps: Deps) -> None:
    options = {
        "--session": "s",
        "--tenant": "t",
        "--priority": "low",
        "--timeout": "5.5",
        "--idempotency-key": "k",
        "--pool": "gpu",
    }
    flat = [part for pair in options.items() for part in pair]
    first = value(command, "spawn", "add", '{"a": 1}', *flat)["id"]
    row = deps.store.get(first)
    assert row is not None
    assert (row.session, row.pool, row.timeout_seconds) == ("s", "gpu", 5.5)
    assert value(command, "spawn", "add", '{"a": 1}', *flat)["id"] == first


def test_spawn_waits_for_the_result(command: Command, deps: Deps, one: str) -> None:
    """The instance has ended already: its key leads to it."""
    first = spawn(deps, SpawnRequest("add", {"a": 1}, idempotency_key="k"))
    deps.store.begin(first, 1, "w")
    deps.store.settle(first, 1, Ending(State.COMPLETED, result='{"sum": [2, "漢"]}'))
    arguments = ("spawn", "add", '{"a": 1}', "--idempotency-key", "k", "--wait", "5")
    assert value(command, *arguments) == {"id": first, "result": {"sum": [2, "漢"]}}
    assert json.loads(text(command, *arguments)) == {"sum": [2, "漢"]}


@pytest.mark.parametrize(
    ("state", "code"), [(State.FAILED, "AGENT_ERROR"), (State.CANCELLED, "CANCELLED")]
)
def test_an_instance_that_ended_otherwise_is_exit_code_1(
    command: Command, deps: Deps, state: State, code: str
) -> None:
    first = spawn(deps, SpawnRequest("add", {"a": 1}, idempotency_key="k"))
    deps.store.begin(first, 1, "w")
    deps.store.settle(first, 1, Ending(state, code))
    ran = command("spawn", "add", '{"a": 1}', "--idempotency-key", "k", "--wait", "5", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert json.loads(ran.err)["error"]["code"] == code


def test_impatience_is_exit_code_1_and_names_the_instance(command: Command, deps: Deps) -> None:
    ran = command("spawn", "add", '{"a": 1}', "--wait", "0.01", "--json")
    assert (ran.code, ran.out) == (1, "")
    error = json.loads(ran.err)["error"]
    assert (error["code"], error["retryable"]) == ("RESULT_PENDING", True)
    [row] = deps.store.list()
    assert row.id in error["message"]


def test_show(command: Command, one: str) -> None:
    shown = value(command, "show", one)
    assert (shown["id"], shown["state"], shown["result"]) == (
        one,
        "completed",
        {"[b]": ["[/x]", 1]},
    )
    plain = text(command, "show", one)
    for word in (one, "completed", "[/s]", "t 漢", '{"[b]": ["[/x]", 1]}', "worker-1"):
        assert word in plain


def test_list(command: Command, one: str) -> None:
    everything = value(command, "list")
    assert [row["agent"] for row in everything] == ["add", "echo"]
    assert value(command, "list", "--state", "completed")[0]["id"] == one
    assert value(command, "list", "--limit", "1") == everything[:1]
    assert value(command, "list", "--agent", "nobody") == []
    assert value(command, "list", "--session", "[/s]", "--tenant", "t 漢") == everything
    plain = text(command, "list")
    assert len(plain.splitlines()) == 3
    for word in (one, "echo", "completed", "PARENT_ENDED", "[/s]"):
        assert word in plain


def test_tree(command: Command, one: str) -> None:
    for name in (one, "[/s]"):
        [tree] = value(command, "tree", name)
        assert tree["id"] == one
        assert [child["state"] for child in tree["children"]] == ["cancelled"]
        plain = text(command, "tree", name)
        assert one in plain
        assert "PARENT_ENDED" in plain


def test_events(command: Command, one: str) -> None:
    trail = value(command, "events", one)
    assert [event["to_state"] for event in trail] == ["queued", "running", "completed"]
    assert trail[1]["worker"] == "worker-1"
    assert "worker-1" in text(command, "events", one)


def test_cancel(command: Command, deps: Deps) -> None:
    live = spawn(deps, SpawnRequest("add", {"a": 1}))
    other = spawn(deps, SpawnRequest("add", {"a": 1}))
    report = value(command, "cancel", live, "--wait", "5")
    assert report["cancelled"] == [live]
    assert [(node["id"], node["outcome"]) for node in report["nodes"]] == [(live, "ended")]
    assert value(command, "cancel", live)["cancelled"] == []
    shown = text(command, "cancel", other)
    assert "add was queued: ended" in shown
    assert "1 cancelled" in shown
    assert "had ended" in text(command, "cancel", other)


def test_a_cancelled_tree_is_shown_as_one(command: Command, deps: Deps, one: str) -> None:
    shown = text(command, "cancel", one)
    assert "echo was completed: had ended" in shown
    assert "── add was cancelled: had ended" in shown


def test_pause_and_resume(command: Command, deps: Deps) -> None:
    live = spawn(deps, SpawnRequest("add", {"a": 1}))
    paused = value(command, "pause", f"instance:{live}")
    assert (paused["is_paused"], paused["changed"], paused["in_force"]) == (True, True, True)
    assert "was paused before" in text(command, "pause", f"instance:{live}")
    assert "PAUSED" in text(command, "list")
    assert "PAUSED" in text(command, "tree", live)
    assert "is paused since" in text(command, "explain", live)
    assert "is resumed" in text(command, "resume", f"instance:{live}")
    assert "was not paused" in text(command, "resume", f"instance:{live}")
    assert "agent:add is paused." in text(command, "pause", "agent:add", "--now")
    [row] = [row for row in value(command, "limits") if row["scope"] == "agent:add"]
    assert (row["paused"], row["in_force"], row["operator"]) == (True, 0, None)
    assert "paused" in text(command, "limits")
    assert value(command, "resume", "agent:add")["is_paused"] is False


def test_the_dead_are_listed_and_run_again(command: Command, deps: Deps) -> None:
    failed = spawn(deps, SpawnRequest("add", {"a": 1}))
    deps.store.begin(failed, 1, "w")
    error = {"type": "ValueError", "message": "[no] luck"}
    deps.store.settle(failed, 1, Ending(State.FAILED, "AGENT_ERROR", error=error, failed=True))
    assert [row["id"] for row in value(command, "dead", "--agent", "add")] == [failed]
    assert "ValueError: [no] luck" in text(command, "dead")
    again = value(command, "retry", failed)["id"]
    assert text(command, "retry", failed).strip() == again
    assert value(command, "show", again)["retry_of"] == failed
    assert value(command, "dead") == []


def test_progress_is_shown(command: Command, deps: Deps) -> None:
    live = spawn(deps, SpawnRequest("add", {"a": 1}))
    deps.store.begin(live, 1, "w")
    told = Progress(0.4, "[b]reading", deps.store.clock(), 1)
    deps.store.control.write_progress([(live, told)])
    assert value(command, "show", live)["progress"] == told.to_dict()
    for words in (("list",), ("tree", live)):
        assert "40% [b]reading" in text(command, *words)


def test_migrate(command: Command, settings: Settings) -> None:
    assert value(command, "migrate") == {"revision": migrate.head()}
    assert value(command, "migrate", "base", "--down") == {"revision": "base"}
    assert settings.database_url is not None
    assert migrate.current(settings.database_url) is None
    assert migrate.head() in text(command, "migrate")


def test_a_dispatched_instance_is_shown_as_queued(command: Command, deps: Deps) -> None:
    """PostgreSQL knows no `dispatched`; the reference says so."""
    deps.gate.heartbeat("w", "default", 1, [])
    one = spawn(deps, SpawnRequest("add", {"a": 1}))
    wait_until(lambda: deps.gate.glance(one).place == "dispatched", "it was handed out")
    assert value(command, "show", one)["state"] == "queued"


def test_limits(command: Command, deps: Deps) -> None:
    assert value(command, "limits", "set", "tenant:[b]", "5")["in_force"] is True
    changed = value(command, "limits", "set", "tenant:[b]", "6")
    assert (changed["before"], changed["value"]) == (5, 6)
    [row] = [row for row in value(command, "limits") if row["scope"] == "tenant:[b]"]
    assert (row["operator"], row["in_force"], row["used"]) == (6, 6, 0)
    assert row["set_by"]
    plain = text(command, "limits")
    assert "tenant:[b]" in plain
    assert "max_depth" in plain
    assert "tenant:[b]: 6 -> as in the settings" in text(command, "limits", "unset", "tenant:[b]")
    assert "was not set" in text(command, "limits", "unset", "tenant:[b]")


def test_queue(command: Command, deps: Deps) -> None:
    for session in ("[/s]", "s", "u"):
        spawn(deps, SpawnRequest("add", {"a": 1}, session=session, tenant=f"t{session}"))
    state = value(command, "queue")
    assert (state["total"]["queued"], state["lines"][0]["name"]) == (3, "default/add")
    assert {row["name"] for row in state["tenants"]} == {"t[/s]", "ts", "tu"}
    plain = text(command, "queue", "--limit", "2")
    assert "t[/s]" in plain
    assert "1 more" in plain


def test_breakers(command: Command, deps: Deps) -> None:
    deps.store.resources.save([Resource("b/x")])
    assert [one["state"] for one in value(command, "breakers")] == ["closed"]
    held = value(command, "breakers", "open", "llm", "--tenant", "t 漢")
    assert held == {"resource": "llm", "tenant": "t 漢", "mode": "open"}
    assert "llm: closed" in text(command, "breakers", "close", "llm")
    assert {(one["tenant"], one["forced"]) for one in value(command, "breakers")} == {
        (None, None),
        (None, "closed"),
        ("t 漢", "open"),
    }
    shown = text(command, "breakers")
    for word in ("open (held)", "closed (held)", "t 漢", "b/x"):
        assert word in shown
    assert "llm: auto" in text(command, "breakers", "auto", "llm")


def test_budget(command: Command, deps: Deps) -> None:
    assert "No budget holds here" in text(command, "budget", "s")
    budgets.set_budget(deps, "s", "t", Budget(usd=2.5, live=3, depth=1, deadline=60))
    share = Budget(usd=0.75, on_exhausted="warn")
    one = spawn(deps, SpawnRequest("add", {"a": 1}, session="s", tenant="t", budget=share))
    [session] = value(command, "budget", "s", "--tenant", "t")
    assert session["owner"] == "session s"
    assert session["uses"][0] | {"left": 1.75} == session["uses"][0]
    own, above = value(command, "budget", one)
    assert (own["owner"], own["on_exhausted"]) == (f"instance {one}", "warn")
    assert above == session
    shown = text(command, "budget", one)
    for word in (one, "0.75", "1.75", "live", "depth", "deadline", "warn", "refuse"):
        assert word in shown
    assert value(command, "budget", "s") == []


def test_deadlocks(command: Command, deps: Deps, one: str) -> None:
    assert value(command, "deadlocks") == {"deadlocks": [], "stalls": []}
    circle = [
        {"id": one, "agent": "agent-B", "kind": "instance"},
        {"id": "[/x]", "agent": None, "kind": "lock"},
    ]
    deps.store.note(one, "deadlock_detected", {"cycle": circle})
    [event] = value(command, "deadlocks", "--limit", "1")["deadlocks"]
    assert (event["instance_id"], event["detail"]) == (one, {"cycle": circle})
    assert "agent-B -> lock [/x] -> agent-B" in text(command, "deadlocks")


def test_deadlocks_tell_of_slots_that_only_wait(command: Command, deps: Deps) -> None:
    deps.gate.heartbeat("w", "default", 1, [])
    first = spawn(deps, SpawnRequest("add", {"a": 1}))
    spawn(deps, SpawnRequest("add", {"a": 1}))
    begun = deps.store.begin(first, 1, "w")
    assert begun is not None
    deps.gate.block(begun, 1, "run:1")
    [stall] = value(command, "deadlocks")["stalls"]
    assert (stall["scope"], stall["limit"], stall["holder"]) == ("workers", 1, first)
    assert "All 1 slots of workers default are held" in text(command, "deadlocks")


def test_explain(command: Command, deps: Deps) -> None:
    deps.gate.heartbeat("w", "default", 1, [])
    holder = spawn(deps, SpawnRequest("add", {"a": 1}, session="[/s]"))
    waiting = spawn(deps, SpawnRequest("add", {"a": 1}, session="[/s]"))
    found = value(command, "explain", waiting)
    assert [one["kind"] for one in found["constraints"]] == ["workers"]
    assert found["constraints"][0]["holders"] == [holder]
    assert (found["position"], found["expected_start"]) == (1, None)
    plain = text(command, "explain", waiting)
    for word in (waiting, holder, "is queued", "1 of 1", "cannot be said"):
        assert word in plain
    assert "is dispatched" in text(command, "explain", holder)


def test_messages_are_sent_and_shown(command: Command, deps: Deps) -> None:
    running = spawn(deps, SpawnRequest("echo", session="[/s]"))
    sent = value(command, "send", running, '{"[b]": "[/x]"}', "--idempotency-key", "k")
    assert (sent["recipients"], sent["skipped"]) == (1, 0)
    assert value(command, "send", running, '{"[b]": "[/x]"}', "--idempotency-key", "k") == sent
    assert "sent to 1" in text(command, "signal", running, "[go]", "true")
    assert "sent to 1" in text(command, "broadcast", "[/s]", "1")
    assert "sent to 1" in text(command, "broadcast", running, "2")
    shown = value(command, "messages", running)
    assert [one["message"]["body"] for one in shown] == [{"[b]": "[/x]"}, True, 1, 2]
    assert {one["state"] for one in shown} == {"pending"}
    assert value(command, "messages", "[/s]", "--limit", "1") == shown[-1:]
    plain = text(command, "messages", running)
    assert '{"[b]": "[/x]"}' in plain
    assert "[go]" in plain


def test_a_session_is_shown_and_changed(command: Command, deps: Deps) -> None:
    spawn(deps, SpawnRequest("echo", session="s"))
    assert value(command, "session", "set", "s", "[a]", '"[/x]"') == {"version": 1}
    assert "version 2" in text(command, "session", "set", "s", "[a]", "2")
    [listed] = value(command, "session")
    assert listed == {"session": "s", "tenant": "default", "instances": 1}
    assert "default" in text(command, "session")
    shown = value(command, "session", "show", "s")
    assert (shown["instances"], shown["shared"]) == ({"queued": 1}, {"[a]": 2})
    assert "[a] = 2" in text(command, "session", "show", "s")
    assert value(command, "session", "show", "s", "--version", "1")["shared"] == {"[a]": "[/x]"}
    assert "version 3" in text(command, "session", "rollback", "s", "1")
    assert value(command, "session", "rollback", "s", "0") == {"version": 4}
    history = value(command, "session", "history", "s", "[a]")
    assert [one["value"] for one in history] == ["[/x]", 2, "[/x]", None]
    assert "taken away" in text(command, "session", "history", "s", "[a]")
