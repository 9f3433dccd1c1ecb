"""Writes the pages that are made from the code: the gate, the lifecycle, the metrics.

python -m docs.generate            write the pages
python -m docs.generate --check    exit code 1 and their names when some are not current
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.admission import keys
from orchestrator.domain import lifecycle
from orchestrator.domain.lifecycle import STORED, TERMINAL, TRANSITIONS, State
from orchestrator.telemetry.instruments import MOST_VALUES, Metric
from orchestrator.telemetry.metrics import CLUSTER, EVENTS

DOCS = Path(__file__).parent
LUA = Path(keys.__file__).parent / "lua"

_NOTE = "<!-- Made by docs/generate.py from {source}. Change that, then run it again. -->"
_KEY_ROW = re.compile(r'"(\w+)": "([^"]*)",')
_REASON_ROW = re.compile(r'(\w+) = "\w+"')
_FIELD = re.compile(r"(Guarantee|KEYS|ARGV|REPLY|USES) +(.*)")
_VERB = re.compile(r"(\w+): (.*)")

#: What an instance does in each state. A new state without a line here fails the generation.
MEANING = {
    State.QUEUED: "accepted; waits in line for a slot, or until its delay is over",
    State.DISPATCHED: "has a slot and a message on the way to a worker; only the gate knows it",
    State.RUNNING: "a worker has begun the attempt",
    State.WAITING: "its code waits for other instances, without a slot",
    State.COMPLETED: "its agent returned; the result is stored",
    State.FAILED: "no attempt is left, or none could help; the error is stored",
    State.CANCELLED: "ended from outside: by a person, or with its parent",
}


# --- the gate -----------------------------------------------------------------------------


@dataclass
class Header:
    """The comment at the top of a Lua file."""

    #: function -> what it does; one for a script, one or more for a piece
    verbs: dict[str, str] = field(default_factory=dict)
    #: `Guarantee`, `KEYS`, `ARGV`, `REPLY`, `USES`
    fields: dict[str, str] = field(default_factory=dict)


def read_header(text: str) -> Header:
    """Parse the leading comment of a Lua file; indented and further lines continue the last."""
    header = Header()
    target: tuple[dict[str, str], str] | None = None
    for line in _leading_comment(text):
        start = _begins(header, line)
        if start is not None:
            target = start
        elif not line:
            target = None
        elif target is not None:
            values, name = target
            values[name] += " " + line.strip()
    return header


def _begins(header: Header, line: str) -> tuple[dict[str, str], str] | None:
    """What begins on this line, entered with its first words."""
    for pattern, values in ((_FIELD, header.fields), (_VERB, header.verbs)):
        if found := pattern.fullmatch(line):
            # The loader, too, takes a field that comes twice as one.
            values[found[1]] = f"{values.get(found[1], '')} {found[2]}".strip()
            return values, found[1]
    return None


def _leading_comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("--"):
            return
        yield line.removeprefix("--").removeprefix(" ").rstrip()


@dataclass
class Group:
    """Rows of source code below one comment."""

    comment: str
    rows: list[tuple[str, ...]]


def commented_rows(text: str, row: re.Pattern[str], mark: str) -> list[Group]:
    """The rows that match, grouped by the comment above them, which begins with `mark`."""
    groups: list[Group] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith(mark):
            words = line.removeprefix(mark).strip()
            if groups and not groups[-1].rows:
                groups[-1].comment += " " + words
            else:
                groups.append(Group(words, []))
        elif found := row.fullmatch(line):
            groups[-1].rows.append(found.groups())
    return groups


def gate_page() -> str:
    """The reference of keys and scripts."""
    return "\n".join(
        [
            _NOTE.format(source="orchestrator/admission"),
            "# What the gate holds and what it does",
            "",
            "The gate is one set of keys in Redis and one Lua script a verb. Nothing else writes",
            "these keys. All of it can be rebuilt from PostgreSQL:",
            "[why](../decisions/postgresql-is-the-truth.md). [How to add a",
            "script](../how-to/add-a-script.md).",
            "",
            *_key_lines(),
            "",
            *_script_lines(),
            "",
            *_piece_lines(),
            "",
        ]
    )


def _key_lines() -> Iterator[str]:
    yield "## Keys"
    yield ""
    yield "Every key begins with the hash tag of its gate, `{orchestrator}` by default, so that all"
    yield "of them lie in one slot of a Redis Cluster. To what ends with `:` (or is `.`) the script"
    yield "appends the part in angle brackets. Times are milliseconds of the server's clock."
    yield ""
    yield "| name in Lua | key | holds |"
    yield "|---|---|---|"
    source = Path(keys.__file__).read_text().partition("KEYS: dict")[2].partition("\n}")[0]
    tag = keys.hash_tag("orchestrator")
    for group in commented_rows(source, _KEY_ROW, "#"):
        names = "<br>".join(f"`{name}`" for name, _ in group.rows)
        places = "<br>".join(f"`{tag}{suffix}`" for _, suffix in group.rows)
        yield f"| {names} | {places} | {_escape(group.comment)} |"


def _script_lines() -> Iterator[str]:
    yield "## Scripts"
    yield ""
    yield "Each runs atomically. `ARGV` becomes local variables of these names; a name with `...`"
    yield "gathers the rest. `Gate` in `orchestrator/admission/gate.py` has one method for each."
    for path in sorted(LUA.glob("*.lua")):
        header = read_header(path.read_text())
        yield ""
        yield f"### `{path.stem}`"
        yield ""
        yield _sentence(_escape(header.verbs[path.stem]))
        if "Guarantee" in header.fields:
            yield ""
            yield f"**Guarantee:** {_sentence(_escape(header.fields['Guarantee']))}"
        yield ""
        yield f"- takes: {_words(header.fields.get('ARGV', 'nothing'))}"
        yield f"- answers: {_words(header.fields.get('REPLY', 'nothing'))}"
        yield f"- uses: {_links(header.fields.get('USES', ''))}"


def _piece_lines() -> Iterator[str]:
    yield "## Shared pieces"
    yield ""
    yield "Put into a script by its `USES` line, with all that they use themselves."
    yield "`message` is no file: it is the template of the Celery message, made by"
    yield "`orchestrator/transport/envelope.py`."
    for path in sorted((LUA / "lib").glob("*.lua")):
        header = read_header(path.read_text())
        yield ""
        yield f"### `lib/{path.stem}`"
        yield ""
        for verb, text in header.verbs.items():
            yield f"- `{verb}`: {_escape(text)}"
        yield f"- uses: {_links(header.fields.get('USES', ''))}"


def _escape(text: str) -> str:
    parts = text.split("`")
    # Only outside of code spans, where angle brackets would be HTML.
    parts[::2] = [part.replace("<", "&lt;").replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def _words(text: str) -> str:
    """Names as code; a sentence, which has its own marks, as it is."""
    return _escape(text) if "`" in text or text == "nothing" else f"`{text}`"


def _links(text: str) -> str:
    return (
        ", ".join(
            f"`{word}`" if word == "message" else f"[`{word}`](#lib{word})" for word in text.split()
        )
        or "nothing"
    )


# --- the lifecycle ------------------------------------------------------------------------


def lifecycle_page() -> str:
    """The state diagram, the table behind it, and the reason codes."""
    return "\n".join(
        [
            _NOTE.format(source="orchestrator/domain/lifecycle.py"),
            "# The life of an instance",
            "",
            "```mermaid",
            *_diagram(),
            "```",
            "",
            "`dispatched` is the gate's knowledge alone. PostgreSQL sees `queued` until a worker",
            "begins the attempt, so a row goes from `queued` to `running`.",
            "",
            *_state_lines(),
            "",
            *_transition_lines(),
            "",
            *_reason_lines(),
            "",
        ]
    )


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.QUEUED}: spawn"
    for before, after in _transitions():
        yield f"    {before} --> {after}"
    for state in State:
        if state in TERMINAL:
            yield f"    {state} --> [*]"


def _transitions() -> Iterator[tuple[State, State]]:
    for before in State:
        for after in State:
            if after in TRANSITIONS[before]:
                yield before, after


def _state_lines() -> Iterator[str]:
    yield "## States"
    yield ""
    yield "| state | meaning | in PostgreSQL | ended |"
    yield "|---|---|---|---|"
    for state in State:
        stored = "yes" if state in STORED else "as `queued`"
        yield f"| `{state}` | {MEANING[state]} | {stored} | {_yes(state.is_terminal)} |"


def _transition_lines() -> Iterator[str]:
    yield "## Transitions"
    yield ""
    yield "A trigger refuses every other change of a row's state. An ended instance never changes."
    yield ""
    yield "| from | to |"
    yield "|---|---|"
    for before in State:
        after = [f"`{state}`" for state in State if state in TRANSITIONS[before]]
        yield f"| `{before}` | {', '.join(after) or 'nothing'} |"


def _reason_lines() -> Iterator[str]:
    yield "## Reasons"
    yield ""
    yield "The field `reason` says why an instance is in its state, where the state alone does not."
    yield ""
    yield "| reason | why |"
    yield "|---|---|"
    source = Path(lifecycle.__file__).read_text().partition("class Reason")[2].partition("\n\n\n")
    for group in commented_rows(source[0], _REASON_ROW, "#:"):
        for (name,) in group.rows:
            yield f"| `{name}` | {_escape(group.comment)} |"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# --- metrics ------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every metric."""
    return "\n".join(
        [
            _NOTE.format(source="orchestrator/telemetry/metrics.py"),
            "# Metrics",
            "",
            "For Prometheus. Durations are seconds. Labels whose values outsiders choose (tenant,",
            f"agent, resource, pool) tell the {MOST_VALUES} busiest values apart; the others are",
            "`other`. [How to look at them](../how-to/watch-it.md).",
            "",
            *_metric_lines("Of one process", "worker, beat, service: what happens in it", EVENTS),
            "",
            *_metric_lines("Of the whole", "answered by `orchestrator metrics`", CLUSTER),
            "",
        ]
    )


def _metric_lines(title: str, where: str, metrics: Sequence[Metric]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield _sentence(where)
    yield ""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{one.name}` | {one.kind} | {labels} | {_escape(one.meaning)} |"


# --- writing ------------------------------------------------------------------------------

PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "reference" / "gate.md": gate_page,
    DOCS / "reference" / "lifecycle.md": lifecycle_page,
    DOCS / "reference" / "metrics.md": metrics_page,
}


def outdated() -> list[Path]:
    """The pages that differ from what the code says."""
    return [path for path, make in PAGES.items() if not path.exists() or path.read_text() != make()]


def main(arguments: list[str]) -> int:
    """Write or check the pages; answers the exit code."""
    stale = outdated()
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not current: run `python -m docs.generate`\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(PAGES[path]())
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
