"""The smallest program: one agent, one spawn, one result.

While `orchestrator dev` runs (it loads this agent): ``python -m examples.hello``.
"""

from orchestrator import Context, Orchestrator, agent


@agent("hello")
def hello(ctx: Context, name: str) -> dict[str, str]:
    """Greet somebody."""
    return {"greeting": f"Hello, {name}!"}


if __name__ == "__main__":
    with Orchestrator.from_settings() as orchestrator:
        handle = orchestrator.spawn("hello", {"name": "world"}, session="hello")
        print(handle.result(timeout=30)["greeting"])
