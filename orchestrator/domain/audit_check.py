"""Whether an audit trail is what was sealed. Pure: rows in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.domain.audit import GENESIS, Seal, chain
from orchestrator.domain.instance import Event

#: The seals of one round of sealing, and all events between the round before it and this one.
Round = tuple[Sequence[Seal], Sequence[Event]]


@dataclass(frozen=True)
class Finding:
    """One place where the trail is not what was sealed."""

    #: the seal that shows it; None for the end of the chain
    seal: int | None
    session: str | None
    what: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what was found."""

    seals: int
    events: int
    sessions: int
    #: events that are too new to be sealed, or that a partial export has no seal for
    unsealed: int
    #: the hash of the newest seal, to be noted elsewhere
    head: str
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self) | {"is_intact": self.is_intact}


def check(
    rounds: Iterable[Round],
    *,
    cut: Seal | None = None,
    anchor: str | None = None,
    session: str | None = None,
    partial: bool = False,
) -> Verification:
    """Recompute every hash, and compare.

    `rounds` in order; the last may have events without seals, which are not sealed yet. `cut`: the
    newest seal that says what was dropped. `anchor`: a head that was noted earlier, which the
    chain must contain. `session`: only what is found in it, or in the chain itself, counts.
    `partial`: not all seals are here, so only those of each session have to hang together.
    """
    checker = _Checker(cut, partial=partial)
    for seals, events in rounds:
        checker.take(seals, events)
    checker.end(anchor)
    findings = [
        one for one in checker.findings if session is None or one.session in (None, session)
    ]
    return Verification(
        seals=checker.seals,
        events=checker.events,
        sessions=len(checker.heads),
        unsealed=checker.unsealed,
        head=checker.head,
        findings=tuple(findings),
    )


class _Checker:
    def __init__(self, cut: Seal | None, *, partial: bool) -> None:
        self._cut, self._partial = cut, partial
        #: of those events that a cut left
        self._kept: list[Event] = []
        self.findings: list[Finding] = []
        self.heads: dict[str, Seal] = {}
        self.head = GENESIS
        self.seals = self.events = self.unsealed = 0
        self._number, self._hashes = 0, {GENESIS}

    def take(self, seals: Sequence[Seal], events: Sequence[Event]) -> None:
        upto = None if self._cut is None else self._cut.upto
        by_session: dict[str, list[Event]] = {}
        for event in events:
            if upto is not None and event.sequence <= upto:
                self._kept.append(event)
            else:
                by_session.setdefault(event.session, []).append(event)
        self.events += len(events)
        for seal in seals:
            self._link(seal)
            if seal.session is not None:
                found = by_session.pop(seal.session, [])
                self._compare(
                    seal, seal.session, found, was_cut=upto is not None and seal.upto <= upto
                )
        for session, extra in by_session.items():
            if self._partial or not seals:
                self.unsealed += len(extra)
            else:
                self._find(seals[-1], session, f"{_named(extra)} in no seal: added later")

    def end(self, anchor: str | None) -> None:
        """What only the end shows."""
        if self._cut is not None and not self._partial:
            self._check_cut(self._cut)
        if anchor is not None and anchor not in self._hashes:
            what = "the noted head is not in the chain: it was rewritten, or its end was cut off"
            self.findings.append(Finding(None, None, what))

    def _link(self, seal: Seal) -> None:
        """The chain over all seals."""
        if not self._partial and seal.number != self._number + 1:
            self._find(seal, None, f"the seals {self._number + 1} to {seal.number - 1} are missing")
        elif not self._partial and seal.previous != self.head:
            self._find(seal, None, "does not follow the seal before it")
        if seal.hash != seal.expected_hash():
            self._find(seal, seal.session, "the seal itself was changed")
        # From here on by what is stored, so that one break is found once.
        self._number, self.head = seal.number, seal.hash
        self._hashes.add(seal.hash)
        self.seals += 1

    def _compare(self, seal: Seal, session: str, events: Sequence[Event], *, was_cut: bool) -> None:
        """The chain of its session, and its events."""
        before = self.heads.get(session)
        self.heads[session] = seal
        if before is not None or not self._partial:
            expected = (1, GENESIS)
            if before is not None:
                expected = ((before.session_number or 0) + 1, before.session_hash)
            if (seal.session_number, seal.session_previous) != expected:
                self._find(seal, session, "does not follow the seal before it in its session")
        if was_cut or seal.session_hash == chain(seal.session_previous or "", events):
            return
        sealed = f"{seal.events} events from {seal.first_sequence} to {seal.last_sequence}"
        if len(events) != seal.events:
            self._find(seal, session, f"{sealed} were sealed; found: {_named(events)}")
        else:
            self._find(seal, session, f"{sealed} are not as they were sealed")

    def _check_cut(self, cut: Seal) -> None:
        if chain(GENESIS, self._kept) != cut.session_hash:
            what = f"{cut.events} events up to {cut.upto} were kept; found: {_named(self._kept)}"
            self._find(cut, None, what)

    def _find(self, seal: Seal, session: str | None, what: str) -> None:
        self.findings.append(Finding(seal.number, session, what))


def _named(events: Sequence[Event]) -> str:
    """How many, and the first of them."""
    if not events:
        return "none"
    first = ", ".join(str(event.sequence) for event in events[:5])
    return f"{len(events)} ({first}{', ...' if len(events) > 5 else ''})"
