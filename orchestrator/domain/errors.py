"""Every error a user can meet.

    OrchestratorError
    |-- SpawnRefused            the gate or the store said no; nothing was recorded
    |   `-- InvalidSpawn        the request itself is wrong: repeating it cannot help
    |-- CallRefused             a resource may not be called now
    |-- InvalidRequest          a call other than a spawn was given something unusable
    |-- InstanceNotFound        no instance has this id
    |-- AgentFailed             the instance that was waited for failed
    |-- AgentCancelled          the instance that was waited for was cancelled
    |-- ResultPending           the caller's patience ended before the instance did
    |-- DeadlockDetected        the wait would never end: those waited for wait for the waiter
    |-- MessageRefused          a message was not accepted; nothing was sent
    |-- NothingReceived         no message or signal came while one was waited for
    |-- VersionConflict         somebody else has changed a shared value since it was read
    |-- NonDeterministicAgent   an agent that ran again did something else than before
    |-- StepFailed              a step of an agent failed
    |-- HistoryTooLong          an agent has done more than one history holds
    |-- Unavailable             a part we stand on does not answer; repeat later
    |   |-- GateUnavailable     Redis
    |   `-- StoreUnavailable    PostgreSQL
    |-- PayloadErased           what was asked for was erased, for good
    |-- SchemaOutdated          the database lacks migrations
    `-- ConfigurationError      a setting is missing or wrong

Each carries a stable `code` for programs and a message for people that says what happened
and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from orchestrator.domain.waits import WaitNode, chain_of


class OrchestratorError(Exception):
    """The root of all errors of this package.

    `code` never changes for the same cause; `retryable` says whether the same call may
    succeed later without anything being changed.
    """

    retryable: bool = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON: `{"code": ..., "message": ..., "retryable": ...}`."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


class _Refused(OrchestratorError):
    """Somebody was told no, and from when on the answer may be another one."""

    def __init__(self, code: str, message: str, *, scope: str, retry_after: float | None) -> None:
        super().__init__(code, message)
        self.scope = scope
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:  # type: ignore[override]  # depends on the refusal here
        """True when waiting `retry_after` seconds can change the answer."""
        return self.retry_after is not None

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"scope": self.scope, "retry_after": self.retry_after}


class SpawnRefused(_Refused):
    """A spawn was not accepted. Nothing of it is left anywhere.

    `limit` and `current` are the bound that was met and how much of it is in use, where the
    code names a limit, `scope` of what (`session`, `tenant`, ...) and `holders` the ids of up to
    ten instances that hold it. `retry_after` is a number of seconds, or None when no waiting helps.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        limit: float | None = None,
        current: float | None = None,
        retry_after: float | None = None,
        scope: str = "",
        holders: Sequence[str] = (),
    ) -> None:
        super().__init__(code, message, scope=scope, retry_after=retry_after)
        self.holders = tuple(holders)
        self.limit = limit
        self.current = current

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "limit": self.limit,
            "current": self.current,
            "holders": list(self.holders),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The refusal that `to_dict` wrote."""
        return cls(**{name: one for name, one in value.items() if name != "retryable"})


class InvalidSpawn(SpawnRefused):
    """The request is wrong in itself: unknown agent, wrong arguments, not JSON, too large."""


class CallRefused(_Refused):
    """A resource may not be called: a limit, its breaker, or a budget says no.

    `scope` names what is short. `retry_after` is a number of seconds, or None when no waiting
    helps.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        resource: str,
        scope: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, scope=scope, retry_after=retry_after)
        self.resource = resource

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"resource": self.resource}


class InvalidRequest(OrchestratorError):
    """A call was given a value it cannot work with."""


class InstanceNotFound(OrchestratorError):
    """No instance has this id."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            "INSTANCE_NOT_FOUND",
            f"No instance has the id {instance_id!r}. `orchestrator list` shows those there are.",
        )
        self.instance_id = instance_id


class _Ended(OrchestratorError):
    """An instance that was waited for ended without a result."""

    def __init__(self, instance_id: str, agent: str, code: str, message: str) -> None:
        super().__init__(code, message)
        self.instance_id = instance_id
        self.agent = agent


class AgentFailed(_Ended):
    """The instance failed for good.

    `error` is what the worker recorded: `{"type": ..., "message": ..., "traceback": ...}`.
    """

    def __init__(
        self, instance_id: str, agent: str, reason: str, error: dict[str, Any] | None
    ) -> None:
        cause = f"{error['type']}: {error['message']}" if error else reason
        super().__init__(instance_id, agent, reason, f"{agent} {instance_id} failed: {cause}")
        self.error = error


class AgentCancelled(_Ended):
    """The instance was cancelled, by a person or because its parent ended."""

    def __init__(self, instance_id: str, agent: str, reason: str) -> None:
        super().__init__(
            instance_id, agent, reason, f"{agent} {instance_id} was cancelled ({reason})."
        )


class ResultPending(OrchestratorError, TimeoutError):
    """The caller waited long enough; the instance itself goes on undisturbed."""

    retryable = True

    def __init__(self, instance_ids: list[str], timeout: float) -> None:
        super().__init__(
            "RESULT_PENDING",
            f"No result after {timeout:g} s from {', '.join(instance_ids)}. "
            "The work goes on: ask again later, or cancel it.",
        )
        self.instance_ids = instance_ids


class DeadlockDetected(OrchestratorError):
    """A wait would never end, because those it is for wait, near or far, for the waiter.

    `cycle` names everybody in the circle, once each: `cycle[0]` waits for `cycle[1]` and so on,
    and the last one for the first. The wait is over and nothing of it is left; locks that are
    held stay held until they are let go of. The same wait may succeed later.
    """

    retryable = True

    def __init__(self, cycle: tuple[WaitNode, ...]) -> None:
        super().__init__(
            "DEADLOCK_DETECTED",
            f"This wait would never end: {chain_of(cycle)}. Let go of what the others wait for, "
            "ask for locks in the same order everywhere, or wait for something else.",
        )
        self.cycle = cycle

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"cycle": [node.to_dict() for node in self.cycle]}


class MessageRefused(OrchestratorError):
    """A message was not accepted. Nothing of it was sent to anybody.

    `recipient` is the id of the instance it was for, None where it was for many.
    """

    def __init__(self, code: str, message: str, *, recipient: str | None = None) -> None:
        super().__init__(code, message)
        self.recipient = recipient

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"recipient": self.recipient}


class NothingReceived(OrchestratorError, TimeoutError):
    """What was waited for has not come in time; it may come later, and can be waited for again."""

    retryable = True

    def __init__(self, what: str, timeout: float) -> None:
        super().__init__(
            "NOTHING_RECEIVED",
            f"No {what} within {timeout:g} s. What comes later is kept until it is asked for.",
        )


class VersionConflict(OrchestratorError):
    """A shared value is not at the version that the change was made for. Nothing was changed.

    `current` is the version it is at; 0 when the session has no such key.
    """

    def __init__(self, session: str, key: str, expected: int, current: int) -> None:
        super().__init__(
            "VERSION_CONFLICT",
            f"{key!r} in the session {session!r} is at version {current}, not {expected}: "
            "somebody else has changed it. Read it again and repeat the change, or use `update`.",
        )
        self.key, self.expected, self.current = key, expected, current

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "key": self.key,
            "expected": self.expected,
            "current": self.current,
        }


class NonDeterministicAgent(OrchestratorError):
    """An agent that ran again asked for something else at the same place than before."""

    def __init__(self, instance_id: str, position: int, expected: str, found: str) -> None:
        super().__init__(
            "NON_DETERMINISTIC_AGENT",
            f"Instance {instance_id} ran again and its operation number {position} is {found}, "
            f"but {expected} was recorded. What an agent asks for may depend only on its arguments "
            "and on results it was given; put all else into ctx.step, and let instances that are "
            "under way end before you deploy code that asks for other things.",
        )
        self.position, self.expected, self.found = position, expected, found


class StepFailed(OrchestratorError):
    """A step of an agent failed, and its retry policy allows no further try.

    `error` is what was recorded: `{"type": ..., "message": ...}`. In the run in which it happened
    `__cause__` is the exception itself; a later run knows only what was recorded.
    """

    def __init__(self, name: str, error: dict[str, Any]) -> None:
        super().__init__(
            "STEP_FAILED", f"Step {name!r} failed: {error['type']}: {error['message']}"
        )
        self.name, self.error = name, error

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"name": self.name, "error": self.error}


class HistoryTooLong(OrchestratorError):
    """An instance has asked for more than one history holds."""

    def __init__(self, instance_id: str, limit: int) -> None:
        super().__init__(
            "HISTORY_TOO_LONG",
            f"Instance {instance_id} has asked for {limit:,} operations, which is all that one "
            "history holds. Go on with an empty one by ctx.continue_as_new(...), divide the work "
            "among children, or raise ORCHESTRATOR_MAX_HISTORY.",
        )
        self.limit = limit


class Unavailable(OrchestratorError):
    """A server we stand on does not answer. The same call may succeed later."""

    retryable = True


class GateUnavailable(Unavailable):
    """Redis does not answer, or the gate is being rebuilt."""


class StoreUnavailable(Unavailable):
    """PostgreSQL does not answer."""


class PayloadErased(OrchestratorError):
    """A result was erased, and nothing brings it back. `instance_id` says whose it was."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            "PAYLOAD_ERASED",
            f"The payloads of the instance {instance_id} were erased: nobody can read them any "
            "more. What happened is still in `orchestrator events`.",
        )
        self.instance_id = instance_id


class SchemaOutdated(OrchestratorError):
    """The database lacks tables or columns that this version needs."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "SCHEMA_OUTDATED",
            f"The database does not have the schema of this version ({detail}). "
            "Run `orchestrator migrate`.",
        )


class ConfigurationError(OrchestratorError):
    """A setting is missing or cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__("CONFIGURATION", message)
