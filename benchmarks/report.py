"""A table for the terminal, one for the repository, and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from benchmarks.results import aims, tables
from benchmarks.samples import Samples, Series
from benchmarks.tables import Table

RESULTS = Path(__file__).parent / "results"
#: The column of words; all others are numbers.
_WORDS = "beside"


@dataclass(frozen=True)
class Report:
    """All of one run."""

    at: datetime
    commit: str
    #: the name of the plan
    mode: str
    #: how long the run took
    seconds: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    samples: Samples

    def show(self, console: Console) -> None:
        """Print the tables."""
        for table in tables(self.samples):
            console.print(_grid(table))
        for aim in aims(self.samples):
            console.print(str(aim), style="green" if aim.is_met else "red", highlight=False)

    def write(self) -> list[Path]:
        """Write the files of this run. Only a full one replaces `latest.md`."""
        RESULTS.mkdir(exist_ok=True)
        suffix = "" if self.mode == "full" else f"-{self.mode}"
        data = RESULTS / f"{self.at:%Y-%m-%d}-{self.commit.rstrip('+')}{suffix}.json"
        data.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        if self.mode != "full":
            return [data]
        latest = RESULTS / "latest.md"
        latest.write_text("\n".join(self.to_markdown()) + "\n")
        return [data, latest]

    def to_dict(self) -> dict[str, object]:
        """The run as JSON values; times in milliseconds."""
        return {
            "at": self.at.astimezone(UTC).isoformat(timespec="seconds"),
            "commit": self.commit,
            "mode": self.mode,
            "seconds": round(self.seconds, 1),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "series": {name: _figures(series) for name, series in self.samples.items()},
            "figures": {
                name: [round(value, 6) for value in values]
                for name, values in self.samples.figures().items()
            },
            "ratios": {
                name: round(value, 3)
                for table in tables(self.samples)
                for name, value in table.ratios.items()
            },
            "aims": [
                {
                    "what": aim.what,
                    "value": round(aim.value, 6),
                    "bound": aim.bound,
                    "side": "at least" if aim.is_least else "at most",
                    "unit": aim.unit,
                    "met": aim.is_met,
                }
                for aim in aims(self.samples)
            ],
        }

    def to_markdown(self) -> Iterator[str]:
        """The run as a page."""
        yield "# Benchmark"
        yield ""
        yield f"{self.at:%Y-%m-%d %H:%M} UTC, commit `{self.commit}`, {self.seconds:.0f} s."
        yield "Ratios hold; absolute figures are those of this machine and hour."
        for table in tables(self.samples):
            yield from _page(table)
        yield from ("", "## Aims", "")
        yield from (f"- {aim}" for aim in aims(self.samples))
        yield from ("", "## Machine", "")
        yield from (f"- {name}: {fact}" for name, fact in {**self.machine, **self.versions}.items())


def _figures(series: Series) -> dict[str, object]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        "samples": len(series.samples),
        **{name: _ms(series.percentile(share)) for name, share in shares.items()},
        "medians": [_ms(median) for median in series.medians],
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)


def _grid(table: Table) -> Grid:
    grid = Grid("", title=table.title, title_justify="left", title_style="bold")
    for column in table.columns:
        grid.add_column(column, justify="left" if column == _WORDS else "right")
    for row in table.rows:
        grid.add_row(*row)
    return grid


def _page(table: Table) -> Iterator[str]:
    yield from ("", f"## {table.title}", "")
    yield f"| | {' | '.join(table.columns)} |"
    yield "|---|" + "".join("---|" if one == _WORDS else "---:|" for one in table.columns)
    for row in table.rows:
        yield f"| {' | '.join(row)} |"
