"""One page about a run: its numbers, its curves, its layers and its warnings, in a single file.

The page is HTML with drawings in SVG; it needs no script and nothing from elsewhere.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmc_runtime.metrics import Row
from dmc_runtime.plot import HELD_OUT, is_wide, panels

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 460, 220, 64, 28, 12
_POINTS = 400
_COLOURS = ("#24508a", "#c8501e", "#3a7d44", "#8a4f9e", "#7a6a1c", "#3b8b94", "#a33b5b", "#555555")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1000px;color:#222}"
    "svg{background:#fafafa;margin:4px}table{border-collapse:collapse}td,th{padding:2px 12px;"
    "text-align:left}.warn li{color:#a33}figure{display:inline-block;margin:8px}"
    "pre{background:#f4f4f4;padding:1em;overflow-x:auto}"
)


@dataclass(frozen=True)
class Curve:
    """Values over steps, and what they are called."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]


def page(
    title: str,
    recipe: Mapping[str, Any],
    rows: Sequence[Row],
    looks: Sequence[Mapping[str, Any]],
    findings: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
) -> str:
    """The page about a run; `looks` are the rows of `layers.jsonl`, `scores` by part of data."""
    drawings = [drawing(name, _curves(rows, name)) for name in panels(rows)]
    for what in ("gradient", "activation"):
        curves = _layer_curves(looks, what)
        if curves:
            drawings.append(drawing(f"{what} norms by layer", curves))
    warnings = "".join(f"<li>{html.escape(text)}</li>" for text in findings)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _scores(scores),
        f'<h2>Warnings</h2><ul class="warn">{warnings}</ul>' if warnings else "",
        "<h2>Curves</h2>",
        *drawings,
        f"<h2>Recipe</h2><pre>{html.escape(json.dumps(recipe, indent=2))}</pre>",
    ]
    head = f'<meta charset="utf-8"/><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def drawing(title: str, curves: Sequence[Curve]) -> str:
    """Curves over steps as SVG, on a logarithmic axis where their range is wide."""
    shown = [_thinned(curve) for curve in curves if curve.values]
    values = [v for curve in shown for v in curve.values if math.isfinite(v)]
    if not values:
        return ""
    is_log = is_wide(values)
    measure = math.log10 if is_log else float
    low, high = measure(min(values)), measure(max(values))
    first = min(curve.steps[0] for curve in shown)
    last = max(curve.steps[-1] for curve in shown)

    def point(step: float, value: float) -> str:
        x = _LEFT + (step - first) / max(last - first, 1e-12) * (_WIDTH - _LEFT - 8)
        y = (measure(value) - low) / max(high - low, 1e-300)
        return f"{x:.1f},{_TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="{_COLOURS[i % len(_COLOURS)]}" stroke-width="1.5" points="'
        + " ".join(point(s, v) for s, v in zip(c.steps, c.values, strict=True) if math.isfinite(v))
        + f'"><title>{html.escape(c.name)}</title></polyline>'
        for i, c in enumerate(shown)
    )
    ends = [(high, _TOP + 10), (low, _HEIGHT - _BOTTOM)]
    marks = "".join(
        f'<text x="4" y="{y}" font-size="11">{10**v if is_log else v:.3g}</text>' for v, y in ends
    )
    steps = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" font-size="11">{first:g}</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 8}" font-size="11" text-anchor="end">{last:g}</text>'
    )
    names = ", ".join(html.escape(c.name) for c in shown[: len(_COLOURS)]) if len(shown) > 1 else ""
    caption = f"{html.escape(title)}{f' ({names})' if names else ''}"
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{lines}{marks}{steps}</svg>'
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _curves(rows: Sequence[Row], name: str) -> list[Curve]:
    found: list[Curve] = []
    for label, key in (("training", name), ("validation", HELD_OUT + name)):
        there = [row for row in rows if key in row]
        if there:
            steps, values = [row["step"] for row in there], [row[key] for row in there]
            found.append(Curve(label, steps, values))
    return found


def _layer_curves(looks: Sequence[Mapping[str, Any]], what: str) -> list[Curve]:
    names = dict.fromkeys(name for look in looks for name in look.get(what, {}))
    return [
        Curve(
            name,
            [look["step"] for look in looks if name in look.get(what, {})],
            [max(look[what][name], 1e-300) for look in looks if name in look.get(what, {})],
        )
        for name in names
    ]


def _thinned(curve: Curve) -> Curve:
    """At most `_POINTS` of the points; the last one stays."""
    every = -(-len(curve.values) // _POINTS)
    picked = sorted({*range(0, len(curve.values), every), len(curve.values) - 1})
    steps, values = [curve.steps[i] for i in picked], [curve.values[i] for i in picked]
    return Curve(curve.name, steps, values)


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(part)}</td><td>{html.escape(name)}</td><td>{value:.6g}</td></tr>"
        for part, values in scores.items()
        for name, value in values.items()
    )
    return f"<table><tr><th>data</th><th>score</th><th>value</th></tr>{rows}</table>"
