"""The syntax tree as indented text, for `dmc ir --stage syntax` and for comparing trees."""

from __future__ import annotations

import dataclasses
import enum

from dmc.ir.location import Span
from dmc.syntax import ast

# A node whose parts take no more than this much of a line is written on one.
_WIDTH = 100


def dump(node: ast.Node, *, spans: bool = False) -> str:
    """One `(Kind field=value ...)` for each node, nested by indentation; empty fields are left out.

    Two trees dump alike without spans exactly if they have the same structure and content.
    """
    done: _Done = {}
    for each in reversed([*ast.walk(node)]):
        done[id(each)] = _lines(each, spans, done)
    return "\n".join(done[id(node)])


_Done = dict[int, list[str]]
"""The lines of nodes by identity: of all that are below the one that is looked at."""


def _lines(node: ast.Node, spans: bool, done: _Done) -> list[str]:
    place = ""
    if spans:
        span = node.span
        place = f"@{span.start_line}:{span.start_column}-{span.end_line}:{span.end_column}"
    if isinstance(node, (ast.Identifier, ast.QualifiedName)):
        return [node.text + place]
    head = type(node).__name__ + place
    flat: list[str] = []
    nested: list[list[str]] = []
    for field in dataclasses.fields(node):
        value: object = getattr(node, field.name)
        if isinstance(value, Span):
            continue
        if isinstance(value, ast.Node):
            nested.append(_labelled(field.name, done[id(value)]))
        elif isinstance(value, tuple):
            if value:
                nested.append(_labelled(field.name, _sequence(node, field.name, done)))
        elif value is not None and value is not False:
            flat.append(f"{field.name}={_atom(value)}")
    head = " ".join((head, *flat))
    short = " ".join((head, *(part[0] for part in nested)))
    if all(len(part) == 1 for part in nested) and len(short) < _WIDTH:
        return [f"({short})"]
    out = [f"({head}"]
    for part in nested:
        out += [f"  {line}" for line in part]
    out[-1] += ")"
    return out


def _sequence(node: ast.Node, name: str, done: _Done) -> list[str]:
    parts: tuple[ast.Node, ...] = getattr(node, name)
    lines = [done[id(part)] for part in parts]
    short = f"[{' '.join(line[0] for line in lines)}]"
    if all(len(line) == 1 for line in lines) and len(short) < _WIDTH:
        return [short]
    out = ["["]
    for part in lines:
        out += [f"  {line}" for line in part]
    out[-1] += "]"
    return out


def _labelled(name: str, lines: list[str]) -> list[str]:
    return [f"{name}={lines[0]}", *lines[1:]]


def _atom(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    return repr(value) if isinstance(value, str) else str(value).lower()
