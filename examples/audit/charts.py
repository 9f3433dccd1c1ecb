"""The charts of the page: SVG text, no library. Colours are classes of the style sheet.

The colours there are those of Okabe and Ito, which people with any kind of colour blindness
can tell apart; no chart relies on colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from examples.audit.execution import Execution, flat
from examples.audit.findings import Severity, Tally
from examples.audit.markup import Markup, join, tag
from examples.audit.measures import Interval, lanes, steps

WIDTH = 1000
_LEFT, _RIGHT = 150, 56
_BAR, _ROW = 15, 25
_LANE = 18
_STRIP = 56


def findings_chart(counts: Tally, about: dict[str, str]) -> Markup:
    """Bars of the findings by rule, the longest first, each split by severity."""
    rows = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    longest = max((sum(count.values()) for _, count in rows), default=1)
    scale = (WIDTH - _LEFT - _RIGHT) / longest
    drawn = [_rule_row(i, rule, count, scale, about) for i, (rule, count) in enumerate(rows)]
    return _svg(len(rows) * _ROW + 4, "Findings by rule and severity", *drawn)


def _rule_row(
    index: int, rule: str, count: dict[str, int], scale: float, about: dict[str, str]
) -> Markup:
    top = index * _ROW + 4
    bars: list[Markup] = []
    left = float(_LEFT)
    for severity in Severity:
        width = count.get(severity.value, 0) * scale
        if width:
            hint = tag("title", f"{rule}: {count[severity.value]} {severity.value}")
            shown = max(width - 1, 1)  # The gap tells neighbours apart without their colours.
            bars.append(_rect(left, top, shown, _BAR, f"sev-{severity.value}", hint))
        left += width
    name = _text(_LEFT - 10, top + 12, rule, "end", hint=about.get(rule, ""))
    total = _text(left + 6, top + 12, f"{sum(count.values()):,}", "start", "num")
    return join(name, *bars, total)


def timeline_chart(tree: Sequence[Execution], limit: int) -> Markup:
    """A Gantt chart by slot: what ran when, in as few lanes as ran at once, and the queue.

    An instance that waited for its children held no slot, so it has several bars.
    """
    bars = [(interval, one) for one in flat(tree) for interval in one.busy]
    placed = lanes([interval for interval, _ in bars])
    count = max(max(placed, default=0) + 1, limit)
    end = max((interval[1] for interval, _ in bars), default=1.0) or 1.0
    scale = (WIDTH - _LEFT - _RIGHT) / end
    height = count * _LANE
    drawn = [
        _bar(*interval, lane, one, scale)
        for (interval, one), lane in zip(bars, placed, strict=True)
    ]
    queue = [(one.created, one.started) for one in flat(tree) if one.started is not None]
    return _svg(
        height + 2 * _STRIP + 46,
        "Instances over time, by slot",
        *(_lane_label(lane, lane >= limit) for lane in range(count)),
        *drawn,
        _strip("running", [i for i, _ in bars], height + 14, scale, end),
        _strip("queued", queue, height + 22 + _STRIP, scale, end),
        _axis(end, scale, height + 30 + 2 * _STRIP),
    )


def _lane_label(lane: int, beyond: bool) -> Markup:
    top = lane * _LANE + 2
    line = _rect(_LEFT, top, WIDTH - _LEFT - _RIGHT, _LANE - 3, "lane beyond" if beyond else "lane")
    return join(line, _text(_LEFT - 10, top + 11, f"slot {lane + 1}", "end", "small"))


def _bar(start: float, end: float, lane: int, one: Execution, scale: float) -> Markup:
    seconds = f"{end - start:.3f} s from {start:.3f} s"
    hint = tag("title", f"{one.agent} {one.label}: {seconds}, {one.state}")
    kind = "failed" if one.state in ("failed", "cancelled") else one.agent.replace(".", "-")
    width = max((end - start) * scale - 0.5, 0.75)
    return _rect(_LEFT + start * scale, lane * _LANE + 2, width, _LANE - 3, f"bar {kind}", hint)


def _strip(
    name: str, intervals: Sequence[Interval], top: float, scale: float, end: float
) -> Markup:
    """A small area chart of how many intervals are open, with its largest value written."""
    levels = steps(intervals)
    peak = max((level for _, level in levels), default=0)
    points = [f"M{_LEFT} {top + _STRIP}"]
    for moment, level in levels:
        y = top + _STRIP - (_STRIP - 8) * level / max(peak, 1)
        points.append(f"H{_number(_LEFT + moment * scale)}V{_number(y)}")
    path = "".join(points) + f"H{_number(_LEFT + end * scale)}V{_number(top + _STRIP)}Z"
    middle = top + _STRIP / 2 + 4
    return join(
        tag("path", class_=f"area {name}", d=path),
        _text(_LEFT - 10, middle, name, "end", "small"),
        _text(WIDTH - _RIGHT + 6, top + 14, f"max {peak}", "start", "small"),
    )


def _axis(end: float, scale: float, top: float) -> Markup:
    step = tick_step(end)
    ticks = [i * step for i in range(int(end / step) + 1)]
    return join(
        *(
            join(
                tag("line", class_="tick", x1=_number(x), x2=_number(x), y1=0, y2=_number(top - 8)),
                _text(x, top + 6, f"{tick:g} s", "middle", "small"),
            )
            for tick in ticks
            for x in [_LEFT + tick * scale]
        )
    )


def tick_step(end: float) -> float:
    """A round distance that divides `end` seconds into at most ten parts: 1, 2 or 5 x 10^n."""
    step = 0.001
    while end / step > 10:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    return round(step, 6)


def share_bar(counts: dict[str, int], most: int) -> Markup:
    """A small bar for a table cell: findings of each severity, as a share of `most`."""
    left = 0.0
    pieces = []
    for severity in Severity:
        width = 100 * counts.get(severity.value, 0) / max(most, 1)
        if width:
            pieces.append(_rect(left, 0, max(width - 0.6, 0.6), 10, f"sev-{severity.value}"))
        left += width
    spoken = ", ".join(f"{counts.get(s.value, 0)} {s.value}" for s in Severity)
    return tag(
        "svg", tag("title", spoken), *pieces, class_="share", viewBox="0 0 100 10",
        preserveAspectRatio="none", role="img",
    )  # fmt: skip  # attributes in rows


def _svg(height: float, title: str, *children: Markup) -> Markup:
    box = f"0 0 {WIDTH} {_number(height)}"
    return tag("svg", tag("title", title), *children, class_="chart", viewBox=box, role="img")


def _rect(
    x: float, y: float, width: float, height: float, class_: str, hint: Markup | None = None
) -> Markup:
    sizes = {"x": x, "y": y, "width": width, "height": height}
    return tag("rect", hint, class_=class_, **{k: _number(v) for k, v in sizes.items()})


def _text(x: float, y: float, text: str, anchor: str, class_: str = "", hint: str = "") -> Markup:
    spoken = tag("title", hint) if hint else None
    place = {"x": _number(x), "y": _number(y), "text_anchor": anchor}
    return tag("text", spoken, text, class_=class_ or None, **place)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
