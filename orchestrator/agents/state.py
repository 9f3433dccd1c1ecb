"""What an agent keeps for itself, for those who prefer explicit checkpoints to replay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from orchestrator.domain import payload
from orchestrator.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from orchestrator.agents.backend import Backend


class AgentState(MutableMapping[str, Any]):
    """A small dict of JSON values that outlives every run of the instance.

    Each change is written before it is seen, as a whole and with a new version; several keys at
    once by `update`. Unlike what `ctx` returns, it shows the newest values also to a run that
    repeats what an earlier one did.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        found = backend.checkpoint()
        self._version, self._values = found.version, dict(found.value)

    @property
    def version(self) -> int:
        """How often it was changed; 0 before the first time."""
        return self._version

    def update(self, *others: Mapping[str, Any], **values: Any) -> None:  # type: ignore[override]  # mappings only
        """Set several keys in one change."""
        changed = dict(self._values)
        for other in others:
            changed |= other
        self._write(changed | values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._write(self._values | {key: value})

    def __delitem__(self, key: str) -> None:
        self._write({name: value for name, value in self._values.items() if name != key})

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"AgentState({self._values!r}, version={self._version})"

    def _write(self, values: dict[str, Any]) -> None:
        limit = self._backend.max_payload_bytes
        try:
            text = payload.encode(values, name="state", max_bytes=limit)
        except payload.NotJSON as error:
            raise InvalidRequest("NOT_JSON", f"{error}. What is kept must be JSON.") from None
        except payload.TooLarge as error:
            raise InvalidRequest("PAYLOAD_TOO_LARGE", str(error)) from None
        self._version = self._backend.keep(text)
        self._values = json.loads(text)
