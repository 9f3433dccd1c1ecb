"""The agents of the audit: a tree of three levels.

    audit.codebase            one:            merges everything
    `-- audit.folder          per folder:     finds what its files have in common
        |-- audit.files       per file:       analyses it (a batch of files in large folders)
        `-- audit.review      per folder:     checks and ranks the folder's findings

Load them into a worker with ``orchestrator worker --agents examples.audit.agents``. What an
agent spawns depends only on its arguments and on what is on disk, in sorted order: an agent
that runs again, after a wait or a crash, gets the same children back.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from examples.audit import plan, work
from examples.audit import results as r
from examples.audit.compute import computed
from examples.audit.findings import Finding, JsonObject
from orchestrator import Context, Handle, RetryPolicy, agent

#: Folders that are open at the same time. More would only wait, each with a parent in memory.
FOLDERS_AT_ONCE = 12
_RETRY = RetryPolicy(max_attempts=3)


class Team:
    """The children of one agent, and how long it took to spawn each."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        #: Milliseconds of every call of `ctx.spawn`, in the run that really spawned.
        self.spawn_ms: list[float] = []
        self._unrecorded: list[float] = []

    def spawn(self, name: str, args: JsonObject) -> Handle:
        """Spawn one child."""
        start = time.perf_counter()
        handle = self._ctx.spawn(name, args)
        self._unrecorded.append(round((time.perf_counter() - start) * 1000, 2))
        return handle

    def wait(self, handles: list[Handle]) -> list[Any]:
        """What they brought, exceptions among it.

        This agent runs again after each wait, and is given the same children at once then; so
        how long it took to spawn them is recorded before.
        """
        if self._unrecorded:
            self.spawn_ms += self._ctx.step("spawn times", list, self._unrecorded)
            self._unrecorded = []
        return self._ctx.wait(handles, return_exceptions=True)

    def run_all(self, name: str, requests: list[JsonObject], at_once: int) -> list[Any]:
        """Run a child for each request, `at_once` at a time, and give their results in order.

        In place of the result of a child that failed stands its exception.
        """
        handles: list[Handle] = []
        results: list[Any] = []
        for args in requests:
            if len(handles) - len(results) >= at_once:
                oldest = handles[len(results)]
                results += self.wait([oldest])
            handles.append(self.spawn(name, args))
        results += self.wait(handles[len(results) :])
        return results


@agent("audit.codebase", retry=_RETRY, timeout=3600)
def audit_codebase(ctx: Context, source: str) -> r.AuditResult:
    """Audit all Python files below the folder `source` of the worker's machine."""
    listing = plan.folders(Path(source))
    ctx.log.info("audit.started", source=source, folders=len(listing.paths))
    team = Team(ctx)
    requests = [{"source": source, "folder": folder} for folder in listing.paths]
    outcomes = team.run_all("audit.folder", requests, FOLDERS_AT_ONCE)
    parts, missing = _sort_out(outcomes, [f"{folder}/" for folder in listing.paths])
    extra = missing + [r.refusal(path) for path in listing.refused]
    return r.audit_result(source, parts, extra, team.spawn_ms)


@agent("audit.folder", retry=_RETRY, timeout=1800)
def audit_folder(ctx: Context, source: str, folder: str) -> r.FolderResult:
    """Audit the files directly in one folder, then have the findings reviewed."""
    listing = plan.files_of(Path(source), folder)
    batches = plan.batches(listing.paths)
    team = Team(ctx)
    requests = [{"source": source, "paths": batch} for batch in batches]
    outcomes = team.run_all("audit.files", requests, len(requests))
    parts, missing = _sort_out(outcomes, [batch[0] for batch in batches])
    extra = missing + [r.refusal(path) for path in listing.refused]
    # A step, so that it is not computed again when this agent goes on after the review.
    findings, unseen = ctx.step("gather", computed, ctx.check, work.gather, parts, extra)
    request = {"source": source, "folder": folder, "findings": findings, "unseen": unseen}
    [review] = team.wait([team.spawn("audit.review", request)])
    if isinstance(review, Exception):
        raise review
    return r.folder_result(folder, parts, len(findings) + unseen, review, team.spawn_ms)


@agent("audit.files", retry=_RETRY, timeout=300)
def audit_files(ctx: Context, source: str, paths: list[str]) -> r.FilesResult:
    """Analyse some files, given by their paths relative to `source`."""
    return computed(ctx.check, work.analyse, source, paths)


@agent("audit.review", retry=_RETRY, timeout=300)
def audit_review(
    ctx: Context, source: str, folder: str, findings: list[JsonObject], unseen: int
) -> r.ReviewResult:
    """Check the findings about one folder against its source, and rank what stands.

    `unseen` is the number of findings that were cut before they came here.
    """
    return computed(ctx.check, work.judge, source, folder, findings, unseen)


def _sort_out(outcomes: list[Any], paths: list[str]) -> tuple[list[Any], list[Finding]]:
    """Results on one side; on the other, a finding for each child that failed."""
    pairs = list(zip(outcomes, paths, strict=True))
    parts = [outcome for outcome, _ in pairs if not isinstance(outcome, Exception)]
    failed = [r.failure(path, error) for error, path in pairs if isinstance(error, Exception)]
    return parts, failed
