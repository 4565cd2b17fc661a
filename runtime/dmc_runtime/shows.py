"""How records are shown: as text, and as a table in notebooks."""

from __future__ import annotations

import html

import numpy as np

from dmc_runtime.leafwise import brief, is_float
from dmc_runtime.trees import (
    Array,
    Kind,
    Leaf,
    Node,
    Tree,
    children_of,
    constants_of,
    kind_of,
    spec_of,
    stack_of,
    walk,
)

_LINE = 88
_SMALL = 6
"""Arrays of up to so many elements are shown with their values."""


def text(tree: Tree, indent: int = 0) -> str:
    """A tree on one line if it fits, else a line for each part."""
    kind = kind_of(tree)
    if kind is Kind.LEAF and isinstance(tree, np.ndarray):
        return _array(tree)
    if kind in (Kind.LEAF, Kind.NONE):
        return brief(tree)
    opening, closing = {Kind.TUPLE: "()", Kind.LIST: "[]", Kind.DICT: "{}"}.get(kind, "()")
    parts = [text(child, indent + 4) for _, child in children_of(tree)]
    if isinstance(tree, Node):
        names = spec_of(tree).names
        parts = [f"{name}={part}" for name, part in zip(names, parts, strict=True)]
        opening = f"{_title(tree)}("
    elif isinstance(tree, dict):
        keys = sorted(tree)
        parts = [f"{key!r}: {part}" for key, part in zip(keys, parts, strict=True)]
    elif kind is Kind.TUPLE and len(parts) == 1:
        parts[0] += ","
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) + indent <= _LINE and "\n" not in line:
        return line
    margin = " " * (indent + 4)
    return opening + "".join(f"\n{margin}{part}," for part in parts) + f"\n{' ' * indent}{closing}"


def table(record: Node) -> str:
    """A record as HTML: a row for each leaf, with its type and what its values are like."""
    rows = "".join(
        f"<tr><td><code>{html.escape(path)}</code></td><td><code>{html.escape(_type(leaf))}</code>"
        f"</td><td>{html.escape(_gist(leaf))}</td></tr>"
        for path, leaf in walk(record, "")
    )
    head = "<tr><th>leaf</th><th>type</th><th>values</th></tr>"
    title = html.escape(_title(record))
    return f"<table><caption><code>{title}</code></caption>{head}{rows}</table>"


def _title(record: Node) -> str:
    """The name of a record with its constants and stack axes."""
    constants = ", ".join(f"{n}={v}" for n, v in constants_of(record).items())
    times = "".join(f"{n} * " for n in stack_of(record))
    return f"{times}{spec_of(record).name}{f'[{constants}]' if constants else ''}"


def _array(array: Array) -> str:
    """An array by its type, and by its values too where they are few."""
    if array.ndim == 0 or not 0 < array.size <= _SMALL:
        return brief(array)
    return f"{brief(array)}({_values(array)})"


def _values(array: Array) -> str:
    return np.array2string(array, precision=4, separator=", ", max_line_width=10_000).replace(
        "\n", ""
    )


def _type(leaf: Leaf) -> str:
    return brief(np.asarray(leaf)).partition("(")[0]


def _gist(leaf: Leaf) -> str:
    """The values where they are few, else their spread."""
    array = np.asarray(leaf)
    if array.size <= _SMALL or not is_float(array):
        return _values(array) if array.size <= _SMALL else f"{array.min()} … {array.max()}"
    wide = array.astype(np.float64)
    return f"{wide.mean():.3g} ± {wide.std():.3g}, {wide.min():.3g} … {wide.max():.3g}"
