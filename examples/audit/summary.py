"""The numbers of one audit: what was found, how fast it ran, and whether all went well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.audit.execution import Execution, flat, state_counts
from examples.audit.findings import by_severity
from examples.audit.measures import Interval, Percentiles, most_at_once, percentiles
from examples.audit.results import AuditResult


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What `run_audit` returns. Durations end in their unit."""

    #: Every instance completed, and there are findings.
    ok: bool
    #: What went wrong, a sentence each; empty when `ok`.
    problems: tuple[str, ...]
    session: str
    root_id: str
    #: Number of instances in each state.
    by_state: dict[str, int]
    files: int
    lines: int
    #: Number of findings of each severity, after the review.
    findings: dict[str, int]
    #: Findings that the review dropped.
    dropped: int
    #: Duration of the calls of `ctx.spawn`, as the agents measured it.
    spawn_ms: Percentiles | None
    #: From created to first started, waiting for a free slot included.
    queue_wait_s: Percentiles | None
    #: Time in which the agents at the leaves of the tree ran.
    run_s: Percentiles | None
    #: The largest number of instances that ran at one moment; one that waits does not run.
    most_at_once: int
    #: From the first instance created to the last one ended.
    wall_s: float
    markdown: Path
    html: Path

    @property
    def instances(self) -> int:
        """Number of instances in the tree."""
        return sum(self.by_state.values())

    @property
    def throughput(self) -> float:
        """Instances ended per second of `wall_s`."""
        return self.instances / self.wall_s if self.wall_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        paths = {"markdown": str(self.markdown), "html": str(self.html)}
        extra = {"instances": self.instances, "throughput_per_s": round(self.throughput, 2)}
        return asdict(self) | paths | extra


def summarise(
    session: str,
    root_id: str,
    result: AuditResult | None,
    tree: list[Execution],
    reports: tuple[Path, Path],
    error: str | None = None,
) -> AuditSummary:
    """Put the numbers together. `result` is None when the root agent did not complete."""
    ended = [one.ended for one in flat(tree) if one.ended is not None]
    problems = tuple(_problems(result, tree, error))
    return AuditSummary(
        ok=not problems,
        problems=problems,
        session=session,
        root_id=root_id,
        by_state=state_counts(flat(tree)),
        files=result["files"] if result else 0,
        lines=result["lines"] if result else 0,
        findings=by_severity(result["tally"] if result else {}),
        dropped=sum(result["dropped"].values()) if result else 0,
        spawn_ms=percentiles(result["spawn_ms"] if result else ()),
        queue_wait_s=percentiles(one.wait for one in flat(tree) if one.wait is not None),
        run_s=percentiles(one.worked for one in flat(tree) if one.busy and not one.children),
        most_at_once=most_at_once(running(tree)),
        wall_s=max(ended, default=0.0),
        markdown=reports[0],
        html=reports[1],
    )


def running(tree: list[Execution]) -> list[Interval]:
    """All intervals in which some instance ran, and so held one of the session's slots."""
    return [interval for one in flat(tree) for interval in one.busy]


def _problems(
    result: AuditResult | None, tree: list[Execution], error: str | None
) -> Iterator[str]:
    if error:
        yield error
    incomplete = {s: n for s, n in state_counts(flat(tree)).items() if s != "completed"}
    for state, number in incomplete.items():
        yield f"{number} of {sum(1 for _ in flat(tree))} instances are {state}"
    if result is not None and not result["tally"]:
        yield "there is not a single finding: is this the right folder?"
