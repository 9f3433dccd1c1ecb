"""What a person sees while an audit runs: a live tree on a terminal, else a line a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from examples.audit.execution import label, walk
from orchestrator import TreeNode

#: Seconds between two plain lines.
LINE_EVERY = 1.0
#: Lines of a terminal that the live view leaves to what stands around the folders.
_FRAME = 6
_ENDED = ("completed", "failed", "cancelled")
_COLOURS = {"running": "cyan", "completed": "green", "failed": "red", "cancelled": "red"}


@dataclass(frozen=True, slots=True)
class Branch:
    """How far one folder is."""

    label: str
    state: str
    #: Instances ended, running now, and expected in all, the folder's own agent included.
    ended: int
    running: int
    expected: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far the audit is at one moment."""

    #: Number of instances in each state.
    states: Mapping[str, int]
    #: Instances in all, by the plan, or as there are if there are more.
    expected: int
    elapsed: float
    branches: Sequence[Branch] = field(default_factory=tuple)

    @property
    def ended(self) -> int:
        """Instances that will not change any more."""
        return sum(self.states.get(state, 0) for state in _ENDED)

    @property
    def queued(self) -> int:
        """Instances that have been accepted and wait for a slot or a worker."""
        return self.states.get("queued", 0) + self.states.get("dispatched", 0)

    @property
    def throughput(self) -> float:
        """Instances ended per second."""
        return self.ended / self.elapsed if self.elapsed > 0 else 0.0

    def sentence(self) -> str:
        """The snapshot as one line, without the time."""
        parts = [f"{self.ended}/{self.expected} done", f"{self.states.get('running', 0)} running"]
        parts += [f"{self.queued} queued", f"{self.states.get('waiting', 0)} waiting"]
        lost = self.states.get("failed", 0) + self.states.get("cancelled", 0)
        return ", ".join(parts + [f"{lost} failed"] * bool(lost))


def snapshot(tree: Sequence[TreeNode], plan: Mapping[str, int], elapsed: float) -> Snapshot:
    """Read the progress off the tree. `plan` gives the instances expected for each folder."""
    states = Counter(node.instance.state.value for node in walk(tree))
    folders = [child for root in tree for child in root.children]
    return Snapshot(
        states=states,
        expected=max(sum(plan.values()) + 1, states.total()),
        elapsed=elapsed,
        branches=tuple(_branch(node, plan) for node in folders),
    )


def _branch(node: TreeNode, plan: Mapping[str, int]) -> Branch:
    states = Counter(child.instance.state.value for child in walk([node]))
    expected = plan.get(str(node.instance.args.get("folder")), 0)
    return Branch(
        label=label(node.instance.args),
        state=node.instance.state.value,
        ended=sum(states[state] for state in _ENDED),
        running=states["running"],
        expected=max(expected, states.total()),
    )


class Display(AbstractContextManager["Display"], Protocol):
    """Something that shows snapshots from `__enter__` to `__exit__`."""

    def show(self, now: Snapshot) -> None:
        """Show the newest snapshot."""


class Silent(Display):
    """Shows nothing."""

    def show(self, now: Snapshot) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


class PlainLines(Display):
    """One line when something changed, at most once a second: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._next = 0.0

    def show(self, now: Snapshot) -> None:
        """Print the snapshot if it is new and its time has come."""
        sentence = now.sentence()
        if sentence != self._last and now.elapsed >= self._next:
            line = f"{now.elapsed:6.1f} s  {sentence}, {now.throughput:.1f}/s"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._last, self._next = sentence, now.elapsed + LINE_EVERY

    def __exit__(self, *_: object) -> None:
        """Lines need no end."""


class LiveTree(Display):
    """The tree of folders with a bar above it, drawn again in place; gone at the end."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def show(self, now: Snapshot) -> None:
        """Draw the snapshot."""
        self._live.update(drawing(now, self._title, max(self._console.height - _FRAME, 3)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


def display(console: Console | None, title: str) -> Display:
    """The display that suits the console; None shows nothing."""
    if console is None:
        return Silent()
    return LiveTree(console, title) if console.is_terminal else PlainLines(console)


def drawing(now: Snapshot, title: str, rows: int) -> Group:
    """The live view with at most `rows` folders, those at work first."""
    head = Table.grid(padding=(0, 2))
    bar = _bar(now.ended, now.expected, 40)
    speed = f"{now.throughput:.1f}/s  {now.elapsed:.1f} s"
    head.add_row(bar, Text(f"{now.ended}/{now.expected}", "bold"), Text(speed, "dim"))
    tree = Tree(Text(title, "bold"), guide_style="dim")
    for branch in _most_interesting(now.branches, rows):
        tree.add(_branch_line(branch))
    hidden = len(now.branches) - rows
    if hidden > 0:
        tree.add(Text(f"{hidden} more", "dim"))
    return Group(head, Text(now.sentence(), "dim"), Text(), tree)


def _most_interesting(branches: Sequence[Branch], rows: int) -> list[Branch]:
    """As many folders as fit, in their order; finished ones give way first."""
    by_need = sorted(range(len(branches)), key=lambda i: (branches[i].state in _ENDED, i))
    return [branches[i] for i in sorted(by_need[:rows])]


def _branch_line(branch: Branch) -> Table:
    line = Table.grid(padding=(0, 1))
    line.add_column(width=28, no_wrap=True, overflow="ellipsis")
    line.add_column(width=20)
    line.add_column(width=9, justify="right")
    colour = _COLOURS.get(branch.state, "default")
    bar = _bar(branch.ended, branch.expected, 20)
    at_work = f"{branch.running} running" if branch.running else branch.state
    done = f"{branch.ended}/{branch.expected}"
    line.add_row(Text(branch.label, colour), bar, done, Text(at_work, "dim"))
    return line


def _bar(done: int, total: int, width: int) -> ProgressBar:
    return ProgressBar(
        total=max(total, 1),
        completed=done,
        width=width,
        complete_style="cyan",
        finished_style="green",
    )
