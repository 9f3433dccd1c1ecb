"""A research tree: sources are read in parallel, a reviewer sends work back once, one writes it up.

While `orchestrator dev` runs (it loads these agents): ``python -m examples.research``.
"""

from __future__ import annotations

from typing import Any

from orchestrator import AgentFailed, Context, Orchestrator, RetryPolicy, agent

#: What there is to read: claims, and on how much each stands.
LIBRARY = {
    "survey": [("queues need backpressure", 9), ("retries need budgets", 7)],
    "interviews": [("people forget timeouts", 4)],
    "benchmarks": [("batches are faster", 8), ("fsync costs little", 3)],
    "rumours": [],
}
#: Below this a claim is sent back.
ENOUGH = 5

Finding = dict[str, Any]


def model(source: str, closer: bool) -> Finding:
    """Stands in for a language model: reads a source, and finds more when told to look closer."""
    claims = LIBRARY[source]
    if not claims:
        raise LookupError(f"{source}: nothing to read")
    text, weight = claims[0]
    return {"source": source, "claim": text, "weight": weight + (2 if closer else 0)}


@agent("research.analyse", retry=RetryPolicy(first_delay=0.05, give_up_on=(LookupError,)))
def analyse(ctx: Context, source: str, closer: bool = False) -> Finding:
    """Read one source."""
    ctx.progress(0.1, f"reading {source}")
    finding: Finding = ctx.step("read", model, source, closer)
    return finding


@agent("research.review")
def review(ctx: Context, findings: list[Finding]) -> list[str]:
    """The sources whose findings do not stand on enough."""
    return [one["source"] for one in findings if one["weight"] < ENOUGH]


@agent("research.aggregate")
def aggregate(ctx: Context, findings: list[Finding]) -> str:
    """One text of all findings, the best founded first."""
    ranked = sorted(findings, key=lambda one: (-one["weight"], one["source"]))
    return "; ".join(f"{one['claim']} [{one['source']}]" for one in ranked)


@agent("research.study")
def study(ctx: Context, sources: list[str]) -> dict[str, Any]:
    """The whole study; it holds no worker while others work for it."""
    ctx.progress(0.0, "reading")
    found, failed = _read(ctx, sources, closer=False)
    ctx.progress(0.4, "reviewing")
    weak: list[str] = ctx.wait(ctx.spawn("research.review", {"findings": found}))
    if weak:
        ctx.progress(0.6, f"looking closer at {len(weak)}")
        again, _ = _read(ctx, weak, closer=True)
        found = [one for one in found if one["source"] not in weak] + again
        weak = ctx.wait(ctx.spawn("research.review", {"findings": found}))
    kept = [one for one in found if one["source"] not in weak]
    text = ctx.wait(ctx.spawn("research.aggregate", {"findings": kept}))
    return {"text": text, "dropped": weak, "failed": failed}


def _read(ctx: Context, sources: list[str], *, closer: bool) -> tuple[list[Finding], list[str]]:
    """What children find, all at once, and the sources that could not be read."""
    children = [
        ctx.spawn("research.analyse", {"source": one, "closer": closer}) for one in sorted(sources)
    ]
    results = ctx.wait(children, return_exceptions=True)
    failed = [
        source
        for source, result in zip(sorted(sources), results, strict=True)
        if isinstance(result, AgentFailed)
    ]
    return [one for one in results if not isinstance(one, Exception)], failed


def run(orchestrator: Orchestrator) -> dict[str, Any]:
    """One study of everything in the library."""
    handle = orchestrator.spawn("research.study", {"sources": list(LIBRARY)})
    result: dict[str, Any] = handle.result(timeout=60)
    return result


if __name__ == "__main__":
    with Orchestrator.from_settings() as orchestrator:
        done = run(orchestrator)
    print(done["text"])
    print("not founded well enough:", ", ".join(done["dropped"]) or "nothing")
    print("not readable:", ", ".join(done["failed"]) or "nothing")
