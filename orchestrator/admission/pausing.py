"""The gate's scripts about single instances that are kept from running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.admission.pump import Pump


class PauseCalls(Pump):
    """One method a script."""

    def pause(self, ids: Sequence[str]) -> None:
        """Take instances out of line; what runs goes on, and comes back to the side of it."""
        self._run_split("pause", ids)

    def unpause(self, ids: Sequence[str]) -> None:
        """Let them into line again."""
        self._pump_if(any(self._run_split("unpause", ids)))

    def paused_pages(self, size: int) -> Iterator[list[str]]:
        """The ids that were put aside, in pages of about `size`; a page may repeat some."""
        for number in range(self.size):
            cursor = -1
            while cursor:
                scan = self._ask(number, "zscan", "paused", "", max(cursor, 0), None, size)
                cursor, found = int(scan[0]), [one for one, _since in scan[1]]
                if found:
                    yield found
