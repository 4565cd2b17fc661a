"""Axes chosen in brackets: by number, by size, a whole pack."""

from __future__ import annotations

from dmc.semantics.context import Context
from dmc.semantics.inference import same_axis
from dmc.semantics.resolver import resolve_size
from dmc.semantics.sizes import Size
from dmc.semantics.typed import AxisChoice
from dmc.semantics.types import (
    Pack,
    Shape,
    TensorType,
)
from dmc.syntax import ast

__all__ = ["axis_named", "axis_position", "choose_axes"]


def choose_axes(
    context: Context, bracket: ast.Bracket, type_: TensorType, name: str
) -> tuple[AxisChoice, Shape]:
    """The axes that brackets choose, and the shape without them."""
    positions: list[int] = []
    pack_start: int | None = None
    shape = type_.shape
    for item in bracket.items:
        if isinstance(item, ast.Splat):
            found = [
                i for i, a in enumerate(shape) if isinstance(a, Pack) and a.name == item.name.text
            ]
            if not found:
                raise context.fail("shape.axis", f"{type_} has no *{item.name.text}", item.span)
            pack_start = found[0]
            positions.append(found[0])
            continue
        positions.append(axis_named(context, item, type_, name))
    if len(set(positions)) < len(positions):
        raise context.fail("shape.axis", "an axis is named twice", bracket.span)
    kept = tuple(axis for i, axis in enumerate(shape) if i not in positions)
    fixed = tuple(axis_position(type_, p) for p in positions if p != pack_start)
    return AxisChoice(fixed, pack_start), kept


def axis_position(type_: TensorType, axis: int) -> int:
    """Where an axis is however many axes a pack stands for: from the end when one precedes it."""
    has_pack = any(isinstance(other, Pack) for other in type_.shape[:axis])
    return axis - len(type_.shape) if has_pack else axis


def axis_named(context: Context, item: ast.Item, type_: TensorType, name: str) -> int:
    """The axis that an item in the brackets of `name` chooses, counted from the front."""
    shape = type_.shape
    number = item
    sign = 1
    if isinstance(item, ast.Unary) and item.op is ast.UnaryOp.NEGATE:
        number, sign = item.operand, -1
    if isinstance(number, ast.IntLit):
        value = sign * number.value
        if not -len(shape) <= value < len(shape):
            raise context.fail("shape.axis", f"{type_} has no axis {value}", item.span)
        index = value % len(shape)
        packs = [i for i, axis in enumerate(shape) if isinstance(axis, Pack)]
        if packs and (index == packs[0] or (value >= 0) == (index > packs[0])):
            raise context.fail(
                "shape.axis", f"axis {value} of {type_} is not one axis", item.span,
                help=[f"`{name}[*S]` reduces the axes of a pack"],
            )  # fmt: skip
        return index
    if isinstance(item, ast.Binder | ast.Slice | ast.Ellipsis | ast.NewAxis | ast.Splat):
        raise context.fail("shape.axis", "an axis is a size or a number", item.span)
    size = resolve_size(context, item)
    found = [
        i for i, axis in enumerate(shape)
        if isinstance(axis, Size) and same_axis(context.facts, axis, size)
    ]  # fmt: skip
    if not found:
        raise context.fail("shape.axis", f"{type_} has no axis {size}", item.span)
    if len(found) > 1:
        raise context.fail(
            "shape.axis", f"{size} occurs {len(found)} times in {type_}", item.span,
            help=[f"give the number: `{name}[{found[-1]}](…)`"],
        )  # fmt: skip
    return found[0]
