"""The only place that wires the floors together."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from orchestrator.admission.gate import Gate
from orchestrator.admission.scripts import Library
from orchestrator.config.settings import Settings
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.instance import AgentSpec
from orchestrator.domain.priority import Priority, parse_priority
from orchestrator.domain.retry import RetryBudget
from orchestrator.engine import rebuild
from orchestrator.engine.catalogue import Catalogue
from orchestrator.engine.deps import Deps
from orchestrator.engine.open_calls import OpenCalls
from orchestrator.store.database import Database
from orchestrator.store.store import Store
from orchestrator.store.vault import Vault
from orchestrator.transport import envelope
from orchestrator.transport.notify import Notifier


def build(
    settings: Settings,
    *,
    specs: Mapping[str, AgentSpec] = MappingProxyType({}),
    max_connections: int = 10,
    clock: str | None = None,
) -> Deps:
    """The engine's dependencies for these settings. Connects to nothing yet.

    `specs` are the agents of this process; others are known once a worker has recorded them.
    """
    located = settings.located()
    assert located.redis_url is not None
    assert located.database_url is not None
    database = Database(
        located.database_url,
        max_connections=max_connections,
        timeout=settings.database_timeout,
        statement_timeout=settings.statement_timeout,
        vault=_vault(located.database_url, settings.master_keys()),
    )
    store = Store(database)
    gate = Gate(
        located.redis_url,
        Library(envelope.lua_function(), clock),
        name=settings.gate,
        shards=settings.gate_shards,
        timeout=settings.redis_timeout,
    )
    deps = Deps(
        store=store,
        gate=gate,
        notifier=Notifier(gate.redis),
        catalogue=Catalogue(specs, store.agents),
        calls=OpenCalls(gate, settings.lease / 3),
        limits=settings.limits,
        max_payload_bytes=settings.max_payload_bytes,
        max_history=settings.max_history,
        default_timeout=settings.default_timeout,
        lease=settings.lease,
        dispatch=settings.dispatch_timeout,
        stop_grace=settings.stop_grace,
        deadlock_victim=settings.deadlock_victim,
        outbox=settings.broker_url is not None,
        aging=settings.aging,
        fair_unit=settings.fair_unit,
        message_retention=settings.message_retention,
        audit_retention=settings.audit_retention,
        retries=RetryBudget(settings.retry_budget_ratio, settings.retry_budget_floor),
        preempt_from=_displacing_class(settings),
    )
    gate.on_empty = functools.partial(rebuild.run_shard, deps)
    return deps


def _displacing_class(settings: Settings) -> Priority | None:
    return None if settings.preempt_from == "nobody" else parse_priority(settings.preempt_from)


def _vault(url: str, masters: tuple[bytes, ...]) -> Vault | None:
    return Vault(Database(url, max_connections=2), masters) if masters else None


def close(deps: Deps) -> None:
    """Give all connections back."""
    deps.calls.close()
    deps.notifier.close()
    deps.gate.close()
    deps.store.close()


def import_agents(modules: Iterable[str]) -> None:
    """Import the modules, so that their agents are registered."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            raise ConfigurationError(
                f"There is no module {name!r} to import agents from. Check the spelling, and that "
                "the worker starts in the folder that holds it or that it is installed."
            ) from error
