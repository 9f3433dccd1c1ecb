"""The agent of the conformance suite: the same in each runtime."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator import AgentFailed, AsyncContext, Context, RetryPolicy, SpawnRefused, agent
from tests.support.agents import rest

#: What no runtime lets through as a result.
FLOOD = "x" * 300_000


@agent("conforming", isolate=True, retry=RetryPolicy.never())
def isolated(ctx: Context, do: str, value: Any) -> Any:
    """The agent in a process of its own."""
    return act(ctx, do, value)


def act(ctx: Context, do: str, value: Any) -> Any:
    """Do one thing."""
    return _DO[do](ctx, value) if do in _DO else _plain(do, value)


async def act_async(ctx: AsyncContext, do: str, value: Any) -> Any:
    """Do one thing, awaiting."""
    return await _DO_ASYNC[do](ctx, value) if do in _DO_ASYNC else _plain(do, value)


def _children(ctx: Context, value: list[int]) -> Any:
    return ctx.wait([ctx.spawn("add", {"a": n}) for n in value])


async def _children_async(ctx: AsyncContext, value: list[int]) -> Any:
    return await ctx.wait([await ctx.spawn("add", {"a": n}) for n in value])


def _failing(ctx: Context, _: Any) -> Any:
    try:
        return ctx.wait(ctx.spawn("not-json"))
    except AgentFailed:
        return "failed"


async def _failing_async(ctx: AsyncContext, _: Any) -> Any:
    try:
        return await ctx.wait(await ctx.spawn("not-json"))
    except AgentFailed:
        return "failed"


def _refused(ctx: Context, _: Any) -> Any:
    try:
        return ctx.spawn("nobody").id
    except SpawnRefused as refused:
        return refused.code


async def _refused_async(ctx: AsyncContext, _: Any) -> Any:
    try:
        return (await ctx.spawn("nobody")).id
    except SpawnRefused as refused:
        return refused.code


def _second(ctx: Context, _: Any) -> Any:
    child = ctx.spawn("add", {"a": 1})
    if ctx.failures == 0:
        raise ValueError("the first time")
    return child.id


async def _second_async(ctx: AsyncContext, _: Any) -> Any:
    child = await ctx.spawn("add", {"a": 1})
    if ctx.failures == 0:
        raise ValueError("the first time")
    return child.id


def _hang(ctx: Context, value: str) -> Any:
    Path(value).touch()
    while True:
        ctx.check()
        threading.Event().wait(0.01)


async def _hang_async(ctx: AsyncContext, value: str) -> Any:
    Path(value).touch()
    while True:
        ctx.check()
        await rest(0.01)


def _numb(_ctx: Context, value: str) -> Any:
    Path(value).touch()
    while True:
        threading.Event().wait(0.01)


async def _numb_async(_ctx: AsyncContext, value: str) -> Any:
    Path(value).touch()
    while True:
        await rest(0.01)


def _busy(ctx: Context, value: str) -> Any:
    while not Path(value).exists():
        ctx.check()
        threading.Event().wait(0.01)


async def _busy_async(ctx: AsyncContext, value: str) -> Any:
    while not Path(value).exists():
        ctx.check()
        await rest(0.01)


_DO: dict[str, Callable[..., Any]] = {
    "children": _children,
    "failing child": _failing,
    "refused": _refused,
    "second time": _second,
    "hang": _hang,
    "numb": _numb,
    "busy": _busy,
}
_DO_ASYNC: dict[str, Callable[..., Any]] = {
    "children": _children_async,
    "failing child": _failing_async,
    "refused": _refused_async,
    "second time": _second_async,
    "hang": _hang_async,
    "numb": _numb_async,
    "busy": _busy_async,
}


def _plain(do: str, value: Any) -> Any:
    if do == "raise":
        raise ValueError(value)
    return FLOOD if do == "flood" else value


#: The same as a program that knows nothing of this package.
PROGRAM = """
import json, pathlib, sys, threading

def ask(**message):
    print(json.dumps(message), flush=True)
    return json.loads(sys.stdin.readline())

def end(value):
    print(json.dumps({"type": "result", "value": value}), flush=True)
    sys.exit()

start = json.loads(sys.stdin.readline())
do, value = start["args"]["do"], start["args"]["value"]
if do == "children":
    ids = [ask(type="spawn", agent="add", args={"a": n})["id"] for n in value]
    end([one["result"] for one in ask(type="wait", ids=ids)["results"]])
if do == "failing child":
    child = ask(type="spawn", agent="not-json")["id"]
    end(ask(type="wait", ids=[child])["results"][0]["state"])
if do == "refused":
    end(ask(type="spawn", agent="nobody")["code"])
if do == "raise" or (do == "second time" and start["failures"] == 0):
    if do == "second time":
        ask(type="spawn", agent="add", args={"a": 1})
    print(json.dumps({"type": "error", "kind": "ValueError", "message": value}), flush=True)
    sys.exit(1)
if do == "second time":
    end(ask(type="spawn", agent="add", args={"a": 1})["id"])
if do == "busy":
    while not pathlib.Path(value).exists():
        print(json.dumps({"type": "progress", "fraction": 0.5}), flush=True)
        threading.Event().wait(0.01)
if do in ("hang", "numb"):
    pathlib.Path(value).touch()
    threading.Event().wait(600)
end("x" * 300_000 if do == "flood" else value)
"""
COMMAND = (sys.executable, "-ISc", PROGRAM)
