"""HTML in which nothing can be left unescaped: text becomes markup only through `tag`."""

from __future__ import annotations

from html import escape
from typing import Any

_VOID = frozenset({"br", "hr", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: Any) -> Markup:
    """An element. Children that are not `Markup` are escaped, None and False are left out.

    Attribute names lose a trailing underscore, and other underscores become hyphens; a value
    of True gives the bare attribute, None and False leave it out.
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Several pieces one after the other, escaped where they need it."""
    kept = (child for child in children if child is not None and child is not False)
    return Markup("".join(c if isinstance(c, Markup) else escape(str(c)) for c in kept))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
