"""Kernels with an order of their own: scatter, scan, sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmc.dialects.kernel.scalar import (
    COMBINERS,
    OVERWRITE,
    Structured,
    element_type,
    flops_of,
    grid_of,
    identity_of,
    read_through,
    run_scalars,
)
from dmc.ir.cost import Cost
from dmc.ir.declarations import attribute
from dmc.ir.operation import Operation, operand, operands, region, result
from dmc.ir.types import Array, DType, ShapedType, TensorType, Type, dtype_of, shape_of

if TYPE_CHECKING:
    from dmc.ir.operation import Interpreter


class Scatter(Structured):
    """`kernel.scatter`: combine values into chosen elements of a copy of `target`.

    The points of the iteration space are taken in row-major order. At each the body yields one
    subscript for each axis of the target, then a value, which `combiner` ("set" keeps the last)
    joins to the element there. A point with a subscript outside the target changes nothing.

    C1: one map for each operand but the target, and they stay inside.
    C2: the body takes one 0-d value for each mapped operand.
    C3: the body is scalar code and yields i64 subscripts and a value of the target's dtype.
    C4: `combiner` is known.
    """

    name = "kernel.scatter"
    target = operand()
    mapped = operands()
    combiner = attribute(str, "add")
    body = region()
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.target.type,)

    def verify_(self) -> None:
        maps = self.affine_maps
        count = len(self.mapped)
        self.require(1, len(maps) == len(self.maps.items) == count, "needs a map for each operand")
        for value, map_ in zip(self.mapped, maps, strict=True):
            self.verify_map(1, map_, value.type)
        self.verify_args(2, self.body, [element_type(v.type) for v in self.mapped])
        self.verify_scalars(3, self.body)
        index = TensorType((), DType.I64)
        wanted = [index] * len(shape_of(self.target.type)) + [element_type(self.target.type)]
        yielded = [value.type for value in self.body.terminator.operands]
        self.require(3, yielded == wanted, f"yields {yielded} for {wanted}")
        self.require(4, self.combiner in {*COMBINERS, OVERWRITE}, f"combines by {self.combiner}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        target, *mapped = operands
        grid = grid_of(self.space)
        pairs = zip(self.affine_maps, mapped, strict=True)
        elements = [read_through(map_, array, grid) for map_, array in pairs]
        values = run_scalars(self.body, elements, grid, interpreter)
        *subscripts, updates = (np.broadcast_to(v, self.space).reshape(-1) for v in values)
        keep = np.ones(updates.shape, np.bool_)
        for i, n in zip(subscripts, target.shape, strict=True):
            keep &= (i >= 0) & (i < n)
        where = tuple(i[keep] for i in subscripts)
        output = np.array(target)
        if self.combiner == OVERWRITE:
            for *at, value in zip(*where, updates[keep], strict=True):
                output[tuple(at)] = value
        else:
            COMBINERS[self.combiner].at(output, where, updates[keep])
        return (output,)

    def cost(self) -> Cost:
        traffic = sum(t.bytes for t in self.operand_types if isinstance(t, ShapedType))
        touched = 2 * self.points * dtype_of(self.target.type).bytes
        return Cost(self.points * (flops_of(self.body) + 1), traffic + touched)


class Scan(Operation):
    """`kernel.scan`: running combination along one axis, in order.

    Element i of the result combines elements 0…i of the operand, or 0…i-1 when `exclusive`, so
    that the first is the identity of the combiner; `reverse` runs from the end.

    C1: the axis exists.
    C2: `combiner` is known.
    """

    name = "kernel.scan"
    source = operand()
    axis = attribute(int)
    combiner = attribute(str, "add")
    reverse = attribute(bool, False)
    exclusive = attribute(bool, False)
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.source.type,)

    def verify_(self) -> None:
        self.require(1, 0 <= self.axis < len(shape_of(self.source.type)), "no such axis")
        self.require(2, self.combiner in COMBINERS, f"combines by {self.combiner}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (source,) = operands
        array = np.flip(source, self.axis) if self.reverse else source
        scanned = COMBINERS[self.combiner].accumulate(array, self.axis, dtype=source.dtype)
        if self.exclusive:
            first = identity_of(self.combiner, DType.of(source.dtype))
            scanned = np.insert(scanned, 0, first, self.axis)
            scanned = np.delete(scanned, -1, self.axis)
        return (np.flip(scanned, self.axis) if self.reverse else scanned,)

    def cost(self) -> Cost:
        assert isinstance(self.source.type, ShapedType)
        return Cost(self.source.type.size, 2 * self.source.type.bytes)


class Sort(Operation):
    """`kernel.sort`: a stable sort along one axis, and the i32 subscripts it reads them from.

    Ascending unless `descending`; NaN counts as the largest, and equal elements keep their order.

    C1: the axis exists.
    """

    name = "kernel.sort"
    source = operand()
    axis = attribute(int)
    descending = attribute(bool, False)
    output = result()
    permutation = result()

    def infer(self) -> Sequence[Type]:
        return (self.source.type, TensorType(shape_of(self.source.type), DType.I32))

    def verify_(self) -> None:
        self.require(1, 0 <= self.axis < len(shape_of(self.source.type)), "no such axis")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (source,) = operands
        axis = self.axis
        if self.descending:
            backwards = np.argsort(np.flip(source, axis), axis=axis, kind="stable")
            order = source.shape[axis] - 1 - np.flip(backwards, axis)
        else:
            order = np.argsort(source, axis=axis, kind="stable")
        return (np.take_along_axis(source, order, axis), order.astype(np.int32))

    def cost(self) -> Cost:
        assert isinstance(self.source.type, ShapedType)
        size = self.source.type.size
        return Cost(size * max(size.bit_length(), 1), 2 * self.source.type.bytes + 4 * size)
