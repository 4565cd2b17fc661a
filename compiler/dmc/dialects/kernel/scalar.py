"""Scalar code in kernels: what bodies consist of, and the iteration space they run over."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import Elementwise
from dmc.ir.affine import AffineMap
from dmc.ir.attributes import ArrayAttr
from dmc.ir.cost import Cost
from dmc.ir.declarations import Trait, attribute, int_tuple
from dmc.ir.operation import Block, Operation, Value, operand, operands, result
from dmc.ir.types import Array, DType, ShapedType, TensorType, Type, dtype_of, shape_of

if TYPE_CHECKING:
    from dmc.ir.operation import Interpreter

COMBINERS: dict[str, np.ufunc] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
"""How two partial results of a reduction become one."""

COMBINE: dict[str, type[Operation]] = {
    "add": arith.Add,
    "mul": arith.Multiply,
    "max": arith.Maximum,
    "min": arith.Minimum,
}
"""The operation of each combiner."""

OVERWRITE = "set"
"""The combiner of a scatter that keeps the last update."""


def combines_exactly(combiner: str, dtype: DType) -> bool:
    """Whether the order in which values are combined shows in no result."""
    return combiner in ("max", "min") or not dtype.is_float


def identity_of(combiner: str, dtype: DType) -> float | int | bool:
    """The value that changes nothing when combined: the result of an empty reduction."""
    if combiner in ("add", "mul"):
        return int(combiner == "mul")
    highest = combiner == "min"
    if dtype.is_float:
        return np.inf if highest else -np.inf
    if dtype is DType.BOOL:
        return highest
    half = 1 << (8 * dtype.bytes - 1)
    return half - 1 if highest else -half


class Yield(Operation):
    """`kernel.yield`: ends a body or an epilogue with its values."""

    name = "kernel.yield"
    traits = frozenset({Trait.TERMINATOR})
    values = operands()

    def infer(self) -> Sequence[Type]:
        return ()


class Index(Operation):
    """`kernel.index {dim}`: the current subscript of iteration dimension `dim`, an i64."""

    name = "kernel.index"
    traits = frozenset({Trait.INTEGER_VALUED})
    dim = attribute(int)
    output = result()

    def infer(self) -> Sequence[Type]:
        return (TensorType((), DType.I64),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        raise ValueError("kernel.index has a value only in the body of a kernel")


class Inside(Operation):
    """`kernel.inside {map, shape}`: whether every subscript lies in its axis of `shape`, an i1.

    A predicate on the iteration space: what a read or an accumulation leaves out.

    C1: one subscript for each axis.
    """

    name = "kernel.inside"
    traits = frozenset({Trait.INTEGER_VALUED})
    map = attribute(AffineMap)
    shape = int_tuple()
    output = result()

    def infer(self) -> Sequence[Type]:
        return (TensorType((), DType.BOOL),)

    def verify_(self) -> None:
        self.require(1, len(self.map.results) == len(self.shape), "needs a subscript for each axis")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        raise ValueError("kernel.inside has a value only in the body of a kernel")

    def holds(self, grid: Sequence[Array]) -> Array:
        """Where it is true, of a shape that broadcasts over `grid`."""
        found = np.ones((1,) * len(grid), np.bool_)
        for expr, size in zip(self.map.results, self.shape, strict=True):
            at = expr.evaluate(grid)
            found = found & (at >= 0) & (at < size)
        return found


class Load(Operation):
    """`kernel.load %tensor[%i, …]`: one element; a subscript outside the axis is clamped to it.

    `in_bounds` promises that no subscript needs clamping. The axes must not be empty unless the
    load is never executed.

    C1: one subscript for each axis.
    C2: the subscripts are 0-d integers.
    """

    name = "kernel.load"
    source = operand()
    subscripts = operands()
    in_bounds = attribute(bool, False)
    output = result()

    def infer(self) -> Sequence[Type]:
        return (element_type(self.source.type),)

    def verify_(self) -> None:
        shape = shape_of(self.source.type)
        self.require(1, len(shape) == len(self.subscripts), "needs a subscript for each axis")
        for value in self.subscripts:
            self.require(2, is_scalar_integer(value.type), "{} is no 0-d integer", value)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        source, *subscripts = operands
        clamped = tuple(
            np.clip(i, 0, max(n - 1, 0)) for i, n in zip(subscripts, source.shape, strict=True)
        )
        return (np.asarray(source[clamped]),)

    def cost(self) -> Cost:
        return Cost(bytes=dtype_of(self.source.type).bytes)


class Gate(Elementwise):
    """`kernel.gate`: `value` where `selected` holds, 0 elsewhere.

    It promises that `value` is 0 or NaN where nothing is selected: what sums it may leave the gate
    open as long as no NaN comes.
    """

    name = "kernel.gate"
    selected = operand()
    value = operand()
    output = result()

    def infer(self) -> Sequence[Type]:
        return (self.value.type,)

    @staticmethod
    def numpy(selected: Array, value: Array) -> Array:
        return np.where(selected, value, np.zeros((), value.dtype))


class Structured(Operation):
    """An operation over an iteration space whose operands are read through affine maps."""

    sizes = int_tuple()
    maps = attribute(ArrayAttr)
    _affine: tuple[ArrayAttr, tuple[AffineMap, ...]] | None = None
    """The maps among the items of `maps`, found once."""

    @property
    def space(self) -> tuple[int, ...]:
        """The sizes of the iteration dimensions."""
        return self.sizes

    @property
    def points(self) -> int:
        """The number of points of the iteration space."""
        return prod(self.space)

    @property
    def affine_maps(self) -> tuple[AffineMap, ...]:
        """The maps of the mapped operands, then those of the results."""
        maps = self.maps
        if self._affine is None or self._affine[0] is not maps:
            self._affine = maps, tuple(m for m in maps.items if isinstance(m, AffineMap))
        return self._affine[1]

    def loads(self) -> list[Load]:
        """The dynamic reads in all regions."""
        return [op for inner in self.regions for op in inner.block if isinstance(op, Load)]

    def verify_map(self, number: int, map_: AffineMap, type_: Type) -> None:
        """Constraint: the map reads inside `type_` from everywhere in the iteration space."""
        shape = shape_of(type_)
        self.require(number, map_.dimensions == len(self.space), "{} has other dimensions", map_)
        self.require(number, len(map_.results) == len(shape), "{} does not index {}", map_, type_)
        self.require(number, map_.stays_inside(self.space, shape), "{} leaves {}", map_, type_)

    def verify_args(self, number: int, block: Block, types: Sequence[Type]) -> None:
        """Constraint: the block takes values of these types."""
        have = [arg.type for arg in block.args]
        self.require(number, have == list(types), "takes {} for {}", have, list(types))

    def verify_scalars(self, number: int, block: Block, dimensions: int | None = None) -> None:
        """Constraint: only scalar operations, and no captures but tensors that are loaded from.

        `kernel.index` may name the first `dimensions` iteration dimensions (all when None).
        """
        count = len(self.space) if dimensions is None else dimensions
        inside: set[Value] = set(block.args)
        for op in block:
            scalar = op.traits & {Trait.ELEMENTWISE, Trait.CONSTANT, Trait.TERMINATOR}
            known = bool(scalar) or isinstance(op, Index | Inside | Load)
            self.require(number, known, "{} does not belong in the body of a kernel", op.name)
            for index, value in enumerate(op.operands):
                is_source = isinstance(op, Load) and index == 0
                self.require(number, is_source or value in inside, "{} is captured", value)
            for value in op.results:
                self.require(number, shape_of(value.type) == (), "{} is no scalar", value)
            if isinstance(op, Index):
                self.require(number, 0 <= op.dim < count, "no such dimension")
            if isinstance(op, Inside):
                fits = (
                    op.map.dimensions == len(self.space) and max(op.map.dims(), default=-1) < count
                )
                self.require(number, fits, "no such dimension")
            inside.update(op.results)


def element_type(type_: Type) -> TensorType:
    """The type of one element: 0-d."""
    return TensorType((), dtype_of(type_))


def is_scalar_integer(type_: Type) -> bool:
    return isinstance(type_, ShapedType) and type_.rank == 0 and type_.dtype.is_integer


def flops_of(block: Block) -> int:
    """Elementwise operations in one run of a body."""
    return sum(op.has(Trait.ELEMENTWISE) for op in block)


def grid_of(sizes: Sequence[int]) -> tuple[Array, ...]:
    """For each dimension its subscripts, shaped to broadcast over the whole space."""
    return np.ix_(*(np.arange(n, dtype=np.int64) for n in sizes))


def read_through(map_: AffineMap, array: Array, grid: Sequence[Array]) -> Array:
    """The elements of `array` at every point of `grid`, of a shape that broadcasts over it."""
    ones = np.ones((1,) * len(grid), np.int64)
    subscripts = tuple(e.evaluate(grid) * ones for e in map_.results)
    return array[subscripts] if subscripts else array.reshape(ones.shape)


def run_scalars(
    block: Block, arguments: Sequence[Array], grid: Sequence[Array], interpreter: Interpreter
) -> list[Array]:
    """Run a body at all points at once: values are arrays that broadcast over the grid.

    Elementwise operations mean the same on arrays as on scalars, which is all a body contains.
    """
    values = interpreter.values
    values.update(zip(block.args, arguments, strict=True))
    terminator = block.terminator
    for op in block:
        if op is terminator:
            break
        if isinstance(op, Index):
            values[op.output] = grid[op.dim]
            continue
        if isinstance(op, Inside):
            values[op.output] = op.holds(grid)
            continue
        with np.errstate(all="ignore"):
            outputs = op.compute([values[v] for v in op.operands], interpreter)
        values.update((v, np.asarray(o)) for v, o in zip(op.results, outputs, strict=True))
    return [values[v] for v in terminator.operands]
