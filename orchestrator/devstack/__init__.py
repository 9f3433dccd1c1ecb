"""PostgreSQL and a Redis-protocol server as child processes: the embedded default.

Nothing here is needed in production. `EmbeddedServers` starts the two servers, `Stack` the
whole system on top of them (or on servers of yours, by URL).
"""

from orchestrator.devstack.errors import (
    AlreadyRunning,
    DataFolderUnusable,
    DevstackError,
    EmbeddedUnavailable,
    ServiceFailed,
)
from orchestrator.devstack.scratch import scratch_folder
from orchestrator.devstack.servers import EmbeddedServers
from orchestrator.devstack.stack import Stack, StackOptions

__all__ = [
    "AlreadyRunning",
    "DataFolderUnusable",
    "DevstackError",
    "EmbeddedServers",
    "EmbeddedUnavailable",
    "ServiceFailed",
    "Stack",
    "StackOptions",
    "scratch_folder",
]
