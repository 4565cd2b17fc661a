"""Sums of padded parts are concatenations.

The adjoint of a slice pads with zeros, so what is read part by part gets a sum of pads as its
adjoint. Where the parts lie apart, they are written side by side instead, and those that lie in
the same place are added before; so many elements and rows cost what they hold, not a whole tensor
each.
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
    """What a pad places from `start` on along `axis`, with zeros around."""

    pad: tensor.Pad
    axis: int

    @property
    def start(self) -> int:
        return self.pad.edge_padding_low[self.axis]

    @property
    def stop(self) -> int:
        return self.start + shape_of(self.pad.input.type)[self.axis]

    def value(self, builder: Builder) -> Value:
        """What is there: the input, padded along the other axes."""
        low, high = list(self.pad.edge_padding_low), list(self.pad.edge_padding_high)
        low[self.axis] = high[self.axis] = 0
        if not any((*low, *high)):
            return self.pad.input
        interior = self.pad.interior_padding
        return tensor.pad(builder, self.pad.input, self.pad.padding_value, low, high, interior)


@dataclass
class _Place:
    """Parts that lie in the same place."""

    parts: list[_Part]

    @property
    def start(self) -> int:
        return self.parts[0].start

    @property
    def stop(self) -> int:
        return self.parts[0].stop

    def value(self, builder: Builder) -> Value:
        """Their sum."""
        total, *rest = (part.value(builder) for part in self.parts)
        for value in rest:
            total = arith.add(builder, total, value)
        return total


@pattern(arith.Add)
def join_pads(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A sum with at least two pads along one axis that do not overlap, or are in one place."""
    assert isinstance(op, arith.Add)
    if _is_inner(op):
        return None
    groups: dict[int, list[_Part]] = {}
    others: list[Value] = []
    for value in _terms(op):
        part = _part_of(value)
        if part is None:
            others.append(value)
        else:
            groups.setdefault(part.axis, []).append(part)
    joined: list[tuple[int, list[_Place]]] = []
    for axis, parts in groups.items():
        places, left = _apart(parts)
        others += [part.pad.result for part in left]
        if sum(len(place.parts) for place in places) > 1:
            joined.append((axis, places))
        else:
            others += [part.pad.result for place in places for part in place.parts]
    if not joined:
        return None
    sums = [_side_by_side(builder, axis, places, op.result) for axis, places in joined]
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
    """What `value` pads with zeros at the edges of an axis.

    Of several axes one is taken along which at least two such parts have room.
    """
    op = value.defining_op
    if not isinstance(op, tensor.Pad) or splat_of(op.padding_value) != 0:
        return None
    edges = list(zip(op.edge_padding_low, op.edge_padding_high, strict=True))
    padded = [axis for axis, edge in enumerate(edges) if any(edge)]
    if any(op.interior_padding) or any(min(edges[axis]) < 0 for axis in padded):
        return None
    if len(padded) > 1:
        sizes = zip(shape_of(op.input.type), shape_of(op.result.type), strict=True)
        padded = [axis for axis, (part, n) in enumerate(sizes) if axis in padded and 2 * part <= n]
    found = next((_Part(op, axis) for axis in padded), None)
    return found if found is not None and found.stop > found.start else None


def _apart(parts: Sequence[_Part]) -> tuple[list[_Place], list[_Part]]:
    """Places that do not overlap, in order, and the parts that are in none of them."""
    places: list[_Place] = []
    left: list[_Part] = []
    for part in sorted(parts, key=lambda p: (p.start, p.stop)):
        if not places or places[-1].stop <= part.start:
            places.append(_Place([part]))
        elif (places[-1].start, places[-1].stop) == (part.start, part.stop):
            places[-1].parts.append(part)
        else:
            left.append(part)
    return places, left


def _side_by_side(builder: Builder, axis: int, places: Sequence[_Place], like: Value) -> Value:
    """What is in the places, with zeros between and around them."""
    shape = shape_of(like.type)
    pieces: list[Value] = []
    at = 0
    for place in places:
        _fill(builder, pieces, like, axis, place.start - at)
        pieces.append(place.value(builder))
        at = place.stop
    _fill(builder, pieces, like, axis, shape[axis] - at)
    return tensor.concatenate(builder, pieces, axis)


def _fill(builder: Builder, pieces: list[Value], like: Value, axis: int, size: int) -> None:
    if size:
        shape = shape_of(like.type)
        gap = TensorType((*shape[:axis], size, *shape[axis + 1 :]), dtype_of(like.type))
        pieces.append(arith.zeros(builder, gap))
