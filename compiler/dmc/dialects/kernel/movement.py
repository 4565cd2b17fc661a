"""Kernels that move elements without computing: windows, concatenation, views, copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmc.dialects.kernel.scalar import COMBINERS, OVERWRITE, element_type, is_scalar_integer
from dmc.ir.cost import Cost
from dmc.ir.declarations import attribute, int_tuple
from dmc.ir.operation import Operation, operand, operands, result
from dmc.ir.types import Array, ShapedType, TensorType, Type, dtype_of, shape_of

if TYPE_CHECKING:
    from dmc.ir.operation import Interpreter


class UpdateWindow(Operation):
    """`kernel.update_window %target, %update[%i, …]`: a copy of `target` with a window changed.

    The window has the shape of `update` and begins at the subscripts, clamped so that it lies
    inside (as StableHLO's `dynamic_update_slice`). `combiner` joins each element of the update to
    the one that is there ("set" replaces it).

    C1: target and update have one dtype and rank, the update nowhere larger.
    C2: one 0-d integer subscript for each axis.  C3: `combiner` is known.
    """

    name = "kernel.update_window"
    target = operand()
    update = operand()
    subscripts = operands()
    combiner = attribute(str, OVERWRITE)
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.target.type,)

    def verify_(self) -> None:
        self.require(3, self.combiner in {*COMBINERS, OVERWRITE}, f"combines by {self.combiner}")
        outer, inner = shape_of(self.target.type), shape_of(self.update.type)
        fits = len(outer) == len(inner) and all(i <= o for i, o in zip(inner, outer, strict=True))
        same = dtype_of(self.target.type) is dtype_of(self.update.type)
        self.require(1, same and fits, f"{self.update.type} is no window of {self.target.type}")
        self.require(2, len(self.subscripts) == len(outer), "needs a subscript for each axis")
        for value in self.subscripts:
            self.require(2, is_scalar_integer(value.type), f"{value} is no 0-d integer")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        target, update, *subscripts = operands
        sizes = zip(subscripts, target.shape, update.shape, strict=True)
        starts = [int(np.clip(i, 0, n - m)) for i, n, m in sizes]
        output = np.array(target)
        window = tuple(slice(s, s + m) for s, m in zip(starts, update.shape, strict=True))
        known = self.combiner != OVERWRITE
        output[window] = COMBINERS[self.combiner](output[window], update) if known else update
        return (output,)

    def cost(self) -> Cost:
        assert isinstance(self.update.type, ShapedType)
        return Cost(bytes=2 * self.update.type.bytes)


class Store(Operation):
    """`kernel.store %target, %value[%i, …]`: a copy of `target` with one element changed.

    A subscript outside of the axis is clamped to it; `in_bounds` promises that none is. `combiner`
    joins the value to the element that is there ("set" replaces it).

    C1: the value is 0-d and of the target's dtype.  C2: one 0-d integer subscript for each axis, of
    which there are some.  C3: `combiner` is known.
    """

    name = "kernel.store"
    target = operand()
    value = operand()
    subscripts = operands()
    combiner = attribute(str, OVERWRITE)
    in_bounds = attribute(bool, False)
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.target.type,)

    def verify_(self) -> None:
        self.require(3, self.combiner in {*COMBINERS, OVERWRITE}, f"combines by {self.combiner}")
        fits = self.value.type == element_type(self.target.type)
        self.require(1, fits, f"{self.value.type} is no element of {self.target.type}")
        rank = len(shape_of(self.target.type))
        self.require(2, 0 < rank == len(self.subscripts), "needs a subscript for each axis")
        for value in self.subscripts:
            self.require(2, is_scalar_integer(value.type), f"{value} is no 0-d integer")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        target, value, *subscripts = operands
        output = np.array(target)
        if output.size:
            at = tuple(np.clip(i, 0, n - 1) for i, n in zip(subscripts, output.shape, strict=True))
            known = self.combiner != OVERWRITE
            output[at] = COMBINERS[self.combiner](output[at], value) if known else value
        return (output,)

    def cost(self) -> Cost:
        return Cost(bytes=2 * dtype_of(self.value.type).bytes)


class Concatenate(Operation):
    """`kernel.concatenate`: the operands one after another along `axis`.

    C1: at least one operand; ranks, dtypes and all other axes agree; the axis exists.
    """

    name = "kernel.concatenate"
    parts = operands()
    axis = attribute(int)
    output = result()

    def infer(self) -> Sequence[Type]:
        shapes = [shape_of(value.type) for value in self.parts]
        dtypes = {dtype_of(value.type) for value in self.parts}
        self.require(1, len(dtypes) == 1, "needs operands of one dtype")
        first = shapes[0]
        self.require(1, 0 <= self.axis < len(first), "no such axis")
        rests = {(*shape[: self.axis], *shape[self.axis + 1 :]) for shape in shapes}
        self.require(1, len(rests) == 1, "the other axes differ")
        total = sum(shape[self.axis] for shape in shapes)
        return (TensorType((*first[: self.axis], total, *first[self.axis + 1 :]), dtypes.pop()),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.concatenate(operands, axis=self.axis),)

    def cost(self) -> Cost:
        assert isinstance(self.output.type, ShapedType)
        return Cost(bytes=2 * self.output.type.bytes)


class View(Operation):
    """`kernel.view`: the same elements in row-major order under another shape, without a copy.

    C1: as many elements as before.
    """

    name = "kernel.view"
    source = operand()
    shape = int_tuple()
    output = result()

    def infer(self) -> Sequence[Type]:
        return (TensorType(self.shape, dtype_of(self.source.type)),)

    def verify_(self) -> None:
        assert isinstance(self.source.type, ShapedType)
        assert isinstance(self.output.type, ShapedType)
        same = self.source.type.size == self.output.type.size
        self.require(1, same, f"{self.source.type} has not the size of {self.output.type}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (operands[0].reshape(self.shape),)

    def cost(self) -> Cost:
        return Cost()


class Copy(Operation):
    """`kernel.copy`: the same value in a buffer of its own."""

    name = "kernel.copy"
    source = operand()
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.source.type,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.array(operands[0]),)

    def cost(self) -> Cost:
        assert isinstance(self.source.type, ShapedType)
        return Cost(bytes=2 * self.source.type.bytes)


class FromElements(Operation):
    """`kernel.from_elements`: a small tensor made of 0-d values, in row-major order.

    C1: one 0-d operand for each element, all of one dtype; at least one.
    """

    name = "kernel.from_elements"
    elements = operands()
    shape = int_tuple()
    output = result()

    def infer(self) -> Sequence[Type]:
        self.require(1, len(self.elements) > 0, "needs an element")
        return (TensorType(self.shape, dtype_of(self.elements[0].type)),)

    def verify_(self) -> None:
        assert isinstance(self.output.type, ShapedType)
        scalar = element_type(self.output.type)
        fits = all(value.type == scalar for value in self.elements)
        count = len(self.elements) == self.output.type.size
        self.require(1, fits and count, f"elements do not make a {self.output.type}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.array(operands).reshape(self.shape),)

    def cost(self) -> Cost:
        assert isinstance(self.output.type, ShapedType)
        return Cost(bytes=self.output.type.bytes)
