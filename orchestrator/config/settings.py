"""All settings in one validated object, from the environment or `orchestrator.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from orchestrator.config import secrets
from orchestrator.config.stack_file import StackFile
from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.ids import PARTITIONS
from orchestrator.domain.limits import Limits
from orchestrator.domain.resource import Resource

#: Settings that no message tells, not even where they are wrong.
SECRET = frozenset({"encryption_key", "http_callback_secret", "llm_api_key"})


class Settings(BaseSettings):
    """Each field is set by `ORCHESTRATOR_<NAME>`, limits by `ORCHESTRATOR_LIMITS__<NAME>`.

    Seconds and bytes where a number has a unit. The environment wins over `orchestrator.toml`
    in the working directory.
    """

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_",
        env_nested_delimiter="__",
        toml_file="orchestrator.toml",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )

    #: Redis: the gate and, unless `broker_url` is set, the Celery broker
    redis_url: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^(redis|rediss|unix)://|^redis\+sentinel://[^/]+(:\d+)?/[^/]+(/\d+)?$",
    )
    #: PostgreSQL
    database_url: str | None = Field(
        default=None, repr=False, pattern=r"^postgres(ql)?(\+psycopg)?://"
    )
    #: seconds within which Redis answers a call; PostgreSQL gives a connection; and a statement is
    #: done there
    redis_timeout: float = Field(default=5.0, gt=0)
    database_timeout: float = Field(default=5.0, gt=0)
    statement_timeout: float = Field(default=10.0, gt=0)
    #: another Celery broker; messages then go through a relay
    broker_url: str | None = Field(default=None, repr=False)
    #: where the embedded stack keeps its data and writes where it listens
    state_dir: Path = Path(".orchestrator")
    #: the name of the gate, and the beginning of all its keys
    gate: str = Field(default="orchestrator", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    #: parts the gate is cut into by tenant, for a Redis Cluster; the same in all processes
    gate_shards: int = Field(default=1, ge=1, le=PARTITIONS)
    #: modules with agents that workers import
    agents: Annotated[tuple[str, ...], NoDecode] = ()
    #: where remote agents may be: hosts, `*.domain`, addresses, networks, with or without port
    http_agents_allow: Annotated[tuple[str, ...], NoDecode] = ()
    #: where remote agents reach `orchestrator callbacks`, and what its addresses are signed with
    http_callback_url: str | None = Field(default=None, pattern=r"^https?://")
    http_callback_secret: str | None = Field(default=None, repr=False, min_length=16)
    #: the endpoint of models (None: OpenAI's own), and its key
    llm_base_url: str | None = Field(default=None, pattern=r"^https?://")
    llm_api_key: SecretStr | None = None

    #: what payloads are encrypted with: 32 bytes in base64, the newest first; and a file with such
    encryption_key: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    encryption_key_file: Path | None = None
    #: fields of payloads that commands do not show, as `args.card.number`, beside well-known ones
    redact: Annotated[tuple[str, ...], NoDecode] = ()

    limits: Limits = Limits()
    #: resources by name, as `[resources."anthropic/opus"]` of the file; the variable holds JSON
    resources: dict[str, Resource] = {}
    #: seconds after which a class that gets no turn beside more urgent ones is raised by one
    aging: float = Field(default=30.0, gt=0)
    #: what fair shares are counted in
    fair_unit: Literal["starts", "slot_seconds", "tokens"] = "slot_seconds"
    #: instances of this class and of more urgent ones displace others where there is no slot
    preempt_from: Literal["critical", "high", "normal", "low", "nobody"] = "critical"
    max_payload_bytes: int = Field(default=262_144, gt=0)
    #: operations that an instance may ask for before it has to begin a new history
    max_history: int = Field(default=50_000, gt=0)
    #: seconds an attempt may take unless the agent or the spawn says otherwise
    default_timeout: float = Field(default=3_600.0, gt=0)

    #: retries that a session has for each instance it has begun, and, a minute, without
    retry_budget_ratio: float = Field(default=0.2, ge=0)
    retry_budget_floor: int = Field(default=10, ge=0)

    #: seconds between heartbeats of a worker, and for which a slot is held without one
    heartbeat: float = Field(default=3.0, gt=0)
    lease: float = Field(default=15.0, gt=0)
    #: seconds until an instance that was handed out but not begun is handed out again
    dispatch_timeout: float = Field(default=15.0, gt=0)
    #: seconds an attempt that was told to stop may take before its slot is given to others
    stop_grace: float = Field(default=10.0, gt=0)
    #: seconds a stopping worker waits for running instances before it hands them back
    shutdown_grace: float = Field(default=5.0, ge=0)

    #: whose wait fails in a deadlock: of the one who closes the circle, the youngest in it, or
    #: the least urgent
    deadlock_victim: Literal["closer", "youngest", "lowest_priority"] = "closer"

    #: seconds between the rounds of housekeeping
    sweep_every: float = Field(default=5.0, gt=0)
    reap_every: float = Field(default=60.0, gt=0)
    reconcile_every: float = Field(default=60.0, gt=0)

    #: seconds between the messages by which a worker notices that its consumer reads no more
    canary: float = Field(default=10.0, gt=0)

    #: seconds for which messages are kept at least, and their idempotency keys with them
    message_retention: float = Field(default=2_592_000.0, gt=0)
    #: seconds for which the audit trail is kept at least, 30 days or more; None: for ever
    audit_retention: float | None = Field(default=None, ge=2_592_000.0)

    #: instances that one worker process runs at once
    worker_concurrency: int = Field(default=16, gt=0)
    #: whether workers send the events that Flower shows
    task_events: bool = True
    #: whether events are counted for Prometheus, and where this process answers it (0: any free
    #: port; None: nowhere)
    metrics: bool = True
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @field_validator("agents", "http_agents_allow", "encryption_key", "redact", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("resources", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        named = {}
        for name, one in value.items():
            named[name] = one | {"name": name} if isinstance(one, dict) else one
        return named

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code wins, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """The settings, or a `ConfigurationError` that names each key and value at fault."""
        try:
            settings = cls(**overrides)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"orchestrator.toml is not valid TOML: {error}.") from None
        except SettingsError as error:
            value = _shown(getattr(error.__cause__, "doc", "unreadable"))
            raise ConfigurationError(
                f"A setting cannot be read: {error}: {value}. Set one limit at a time, as in "
                "ORCHESTRATOR_LIMITS__MAX_DEPTH=5."
            ) from None
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))} = {_given(fault)}: {fault['msg']}"
                for fault in error.errors()
            )
            raise ConfigurationError(
                f"The settings cannot be used: {faults}. They come from ORCHESTRATOR_* variables "
                "and orchestrator.toml; docs/reference/settings.md lists them."
            ) from None
        return settings._checked()

    def _checked(self) -> Settings:
        if self.lease < 3 * self.heartbeat:
            raise ConfigurationError(
                f"lease ({self.lease:g} s) must be at least three heartbeats "
                f"({self.heartbeat:g} s each), or a single lost one would cost work."
            )
        return self

    def master_keys(self) -> tuple[bytes, ...]:
        """What payloads are encrypted with, the newest first; none: they are not."""
        return secrets.master_keys(self.encryption_key, self.encryption_key_file)

    def located(self) -> Settings:
        """These settings with both URLs filled in, from the running embedded stack if need be."""
        if self.redis_url and self.database_url:
            return self
        stack = StackFile.read(self.state_dir)
        if stack is None:
            raise ConfigurationError(
                "No servers are configured and no embedded stack runs here. Start one with "
                "`orchestrator dev`, or set ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_DATABASE_URL."
            )
        return self.model_copy(
            update={
                "redis_url": self.redis_url or stack.redis_url,
                "database_url": self.database_url or stack.database_url,
            }
        )


def _given(fault: Any) -> str:
    """What was given, unless it is a secret."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    return "***" if name in SECRET else _shown(fault.get("input"))


def _shown(value: object) -> str:
    """A value as it may stand in a message: passwords of URLs are told to nobody."""
    return re.sub(r"(://[^@/]*:)[^@]*@", r"\1***@", repr(value))
