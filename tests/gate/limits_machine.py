"""Random changes of limits, by settings and by operators, on a gate and on a model beside it.

The model is three lines: an operator's value stands before that of the settings, the newest
version of all that operators have set is the one that holds, and what was woken never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestrator.admission.keys import key, limit_field
from orchestrator.domain.scope import Scope, parse_scope
from tests.gate.observe import dump
from tests.gate.traced import GATE, TracedGate

SCOPES = [
    parse_scope(text)
    for text in ("session", "tenant", "agent", "tenant:a", "session:a/b", "weight:tenant:a")
]
limits = st.dictionaries(st.sampled_from(SCOPES), st.sampled_from([0.0, 1.0, 2.5, 1e15 / 3]))
settings_of_a_process = st.dictionaries(
    st.sampled_from(["session", "tenant", "lease_ms"]), st.integers(1, 9), min_size=1
)
versions = st.integers(0, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("configure"), settings_of_a_process),
        st.tuples(st.just("apply"), st.tuples(versions, limits)),
        st.tuples(st.just("woken"), versions),
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class LimitsModel:
    """What the gate holds every spawn against, and why."""

    defaults: dict[str, str] = field(default_factory=dict)
    operator: dict[str, str] = field(default_factory=dict)
    version: int = -1
    woken: int = -1

    def configure(self, fields: dict[str, int]) -> None:
        """A process starts."""
        self.defaults |= {name: str(value) for name, value in fields.items()}

    def apply(self, version: int, limits: dict[Scope, float]) -> int:
        """All that operators have set, unless something newer is known."""
        if version >= self.version:
            self.version = version
            self.operator = {limit_field(one): f"{value:.17g}" for one, value in limits.items()}
        return self.version

    def note_woken(self, version: int) -> None:
        """Everybody was woken for this version."""
        self.woken = max(self.woken, version)

    def expected(self) -> dict[str, Any]:
        """The keys."""
        state = {"version": self.version, "woken": self.woken}
        found = {
            "config": self.defaults | self.operator,
            "defaults": self.defaults,
            "operator": self.operator,
            "limits": {name: str(value) for name, value in state.items() if value >= 0},
        }
        return {key(GATE, name): value for name, value in found.items() if value}


def check(gate: TracedGate, settings: hypothesis_settings) -> None:
    """Let random changes happen to this gate until one shows a fault, or enough have."""

    @settings
    @given(steps)
    def run(steps: list[tuple[str, Any]]) -> None:
        gate.redis.flushall()
        gate.take_calls()
        model = LimitsModel()
        for what, values in steps:
            _step(gate, model, what, values)
            assert dump(gate.redis) == model.expected()
            assert gate.limits_versions(0) == (model.version, model.woken)

    run()


def _step(gate: TracedGate, model: LimitsModel, what: str, values: Any) -> None:
    if what == "configure":
        gate._run("configure", fields=[part for pair in values.items() for part in pair])
        model.configure(values)
    elif what == "apply":
        version, limits = values
        assert gate.apply_limits(version, limits, 0) == model.apply(version, limits)
    else:
        gate.note_woken(values, 0)
        model.note_woken(values)
