"""Try agents out in a test: no servers, no workers, and time that passes when nothing else can.

What an agent is given there is the real `Context` with the real journal; only the floors below
it are kept in memory. So a test finds what a worker would: every wait leaves the function and
runs it again from its top.
"""

from orchestrator.testing.faults import Crash
from orchestrator.testing.harness import Harness, StillWaiting

__all__ = ["Crash", "Harness", "StillWaiting"]
