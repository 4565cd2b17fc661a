"""Sums of padded parts are concatenations.

The adjoint of a slice pads with zeros, so what is read part by part gets a sum of pads as its
adjoint. Where the parts lie apart, they are written side by side instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, tensor
from dmc.dialects.elementwise import splat_of
from dmc.ir import Builder, Operation, TensorType, Value, dtype_of, shape_of
from dmc.ir.rewriter import pattern


@dataclass(frozen=True, slots=True)
class _Part:
    """A value that stands from `start` on along `axis`, with zeros around."""

    value: Value
    axis: int
    start: int

    @property
    def stop(self) -> int:
        return self.start + shape_of(self.value.type)[self.axis]


@pattern(arith.Add)
def join_pads(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A sum with at least two pads along one axis that do not overlap."""
    assert isinstance(op, arith.Add)
    if _is_inner(op):
        return None
    groups: dict[int, list[tuple[Value, _Part]]] = {}
    others: list[Value] = []
    for value in _terms(op):
        part = _part_of(value)
        if part is None:
            others.append(value)
            continue
        group = groups.setdefault(part.axis, [])
        apart = all(part.stop <= p.start or p.stop <= part.start for _, p in group)
        if apart:
            group.append((value, part))
        else:
            others.append(value)
    joined = [group for group in groups.values() if len(group) > 1]
    if not joined:
        return None
    others += [group[0][0] for group in groups.values() if len(group) == 1]
    sums = [_concatenated(builder, [part for _, part in group], op.result) for group in joined]
    total, *rest = (*others, *sums)
    for value in rest:
        total = arith.add(builder, total, value)
    return (total,)


def _is_inner(op: arith.Add) -> bool:
    """Whether the sum is a term of another sum only, which will take it apart."""
    users = list(op.result.uses)
    return len(users) == 1 and isinstance(users[0][0], arith.Add)


def _terms(op: arith.Add) -> Iterator[Value]:
    """What is added in all, from the left; the sum may be of any depth."""
    pending = list(reversed(op.operands))
    while pending:
        value = pending.pop()
        inner = value.defining_op
        if isinstance(inner, arith.Add) and len(value.uses) == 1:
            pending += reversed(inner.operands)
        else:
            yield value


def _part_of(value: Value) -> _Part | None:
    """What `value` pads with zeros at the edges of one axis."""
    op = value.defining_op
    if not isinstance(op, tensor.Pad) or splat_of(op.padding_value) != 0:
        return None
    edges = list(zip(op.edge_padding_low, op.edge_padding_high, strict=True))
    padded = [axis for axis, edge in enumerate(edges) if any(edge)]
    if any(op.interior_padding) or len(padded) != 1 or min(edges[padded[0]]) < 0:
        return None
    axis = padded[0]
    part = _Part(op.input, axis, edges[axis][0])
    return part if part.stop > part.start else None


def _concatenated(builder: Builder, parts: Sequence[_Part], like: Value) -> Value:
    """The parts side by side, with zeros between and around them."""
    axis, shape = parts[0].axis, shape_of(like.type)
    pieces: list[Value] = []
    at = 0
    for part in sorted(parts, key=lambda p: p.start):
        _fill(builder, pieces, like, axis, part.start - at)
        pieces.append(part.value)
        at = part.stop
    _fill(builder, pieces, like, axis, shape[axis] - at)
    return tensor.concatenate(builder, pieces, axis)


def _fill(builder: Builder, pieces: list[Value], like: Value, axis: int, size: int) -> None:
    if size:
        shape = shape_of(like.type)
        gap = TensorType((*shape[:axis], size, *shape[axis + 1 :]), dtype_of(like.type))
        pieces.append(arith.zeros(builder, gap))
