"""Where values in kernels are known constants: outside of half-spaces of the iteration space.

`if u <= t { … } else { 0.0 }` is 0 where `t - u` is negative. Such facts pass through scalar code,
and from the kernel that stores a tensor to those that read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmc.dialects import arith, kernel, math
from dmc.dialects.arith import Direction
from dmc.dialects.elementwise import Elementwise, constant_array
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Array,
    Block,
    DenseElements,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Value,
    dtype_of,
)
from dmc.ir.affine_set import tightened
from dmc.transforms.scalar_subscripts import Space, Subscripts

Facts = Mapping[AffineExpr, DenseElements]
"""The constant that a value is wherever an expression is negative, for several expressions."""

NOTHING: Facts = {}


@dataclass(frozen=True, slots=True)
class HalfSpace:
    """Where `expr`, over the axes of a tensor, and multiples of `scalars` are negative together.

    The scalars are 0-d integers of known bounds, and count from the lower one.
    """

    expr: AffineExpr
    scalars: tuple[tuple[int, Value], ...] = ()


TensorFacts = Mapping[HalfSpace, DenseElements]
"""The constant that a tensor is in several half-spaces."""


def moved(
    facts: TensorFacts, map_: AffineMap, sizes: Sequence[int], dims: Mapping[Value, int]
) -> Facts:
    """The facts about a tensor as facts about its element at `map_`, over a space of `sizes`.

    The space may have more dimensions than the map, behind them; `dims` are those of scalars.
    """
    if not map_.is_affine:
        return NOTHING
    rank = len(sizes)
    more = (0,) * (rank - map_.dimensions)
    by = [AffineExpr((*expr.coefficients, *more), expr.constant) for expr in map_.results]
    found: dict[AffineExpr, DenseElements] = {}
    for half, constant in facts.items():
        if any(value not in dims for _, value in half.scalars):
            continue
        at = half.expr.substitute(by, rank, sizes)
        for c, value in half.scalars:
            at += AffineExpr.dim(rank, dims[value], c)
        at = tightened(at)
        if _may_be_negative(at, sizes):
            found[at] = constant
    return found


def _may_be_negative(expr: AffineExpr, sizes: Sequence[int]) -> bool:
    return 0 not in sizes and expr.bounds(sizes)[0] < 0


class ScalarFacts:
    """The facts about the values of a block of scalar code over a space.

    Their expressions count from where the dimensions begin.
    """

    def __init__(self, block: Block, space: Space, arguments: Sequence[Facts]) -> None:
        self.sizes = space.sizes
        self.subscripts = Subscripts(space)
        self._known: dict[Value, Facts] = dict(zip(block.args, arguments, strict=True))
        for op in block:
            if op.results:
                self._known[op.results[0]] = self._of(op)

    def __getitem__(self, value: Value) -> Facts:
        return self._known.get(value, NOTHING)

    def constant(self, value: Value, where: AffineExpr) -> DenseElements | None:
        """What `value` is where an expression is negative."""
        op = value.defining_op
        if isinstance(op, arith.Constant):
            array = constant_array(value)
            return None if array is None else DenseElements(array, _scalar(dtype_of(value.type)))
        return self[value].get(where)

    def vanishes(self, value: Value, where: AffineExpr) -> bool:
        """Whether `value` is a zero, of either sign, where an expression is negative."""
        constant = self.constant(value, where)
        if constant is not None:
            return not constant.array.any()
        op = value.defining_op
        if not isinstance(op, arith.Product):
            return False
        sides = ((op.lhs_absorbs, op.lhs), (op.rhs_absorbs, op.rhs))
        return any(absorbs and self.vanishes(side, where) for absorbs, side in sides)

    def _of(self, op: Operation) -> Facts:
        match op:
            case arith.Compare():
                found = self._of_comparison(op)
            case arith.Select():
                found = self._of_choice(op.predicate, op.on_true, op.on_false)
            case kernel.Gate():
                found = self._of_gate(op)
            case arith.And():
                found = self._deciding(op, False)
            case arith.Or():
                found = self._deciding(op, True)
            case _:
                found = {}
        return found | self._computed(op)

    def _computed(self, op: Operation) -> dict[AffineExpr, DenseElements]:
        """What an operation makes of constants.

        Elementary functions are left to the machine, but for exp(-inf), which is 0 on all.
        """
        if not isinstance(op, Elementwise):
            return {}
        found: dict[AffineExpr, DenseElements] = {}
        for where in dict.fromkeys(w for value in op.operands for w in self[value]):
            constants = [self.constant(value, where) for value in op.operands]
            arrays = [constant.array for constant in constants if constant is not None]
            if len(arrays) == len(constants) and _is_exact(op, arrays):
                with np.errstate(all="ignore"):
                    (out,) = op.compute(arrays, Interpreter())
                type_ = _scalar(dtype_of(op.results[0].type))
                found[where] = DenseElements(np.asarray(out), type_)
        return found

    def _of_comparison(self, op: arith.Compare) -> dict[AffineExpr, DenseElements]:
        lhs, rhs, direction = op.lhs, op.rhs, op.direction
        if isinstance(rhs.defining_op, arith.Abs):
            lhs, rhs, direction = rhs, lhs, _SWAPPED[direction]
        size, holding = lhs.defining_op, _holding
        if isinstance(size, arith.Abs):
            lhs, holding = size.operand, _holding_of_size
        x, y = self.subscripts.of(lhs), self.subscripts.of(rhs)
        if x is None or y is None or not (x.is_affine and y.is_affine):
            return {}
        false, true = holding(direction, x, y)
        pairs = [*((expr, False) for expr in false), *((expr, True) for expr in true)]
        smallest = [(tightened(expr), value) for expr, value in pairs]
        return {e: _truth(value) for e, value in smallest if _may_be_negative(e, self.sizes)}

    def _of_choice(
        self, predicate: Value, on_true: Value, on_false: Value
    ) -> dict[AffineExpr, DenseElements]:
        found: dict[AffineExpr, DenseElements] = {}
        for where, truth in self[predicate].items():
            chosen = self.constant(on_true if truth.splat_value else on_false, where)
            if chosen is not None:
                found[where] = chosen
        for where in (*self[on_true], *self[on_false]):
            chosen = self.constant(on_true, where)
            if chosen is not None and chosen == self.constant(on_false, where):
                found[where] = chosen
        return found

    def _of_gate(self, op: kernel.Gate) -> dict[AffineExpr, DenseElements]:
        zero = DenseElements.splat(0, _scalar(dtype_of(op.value.type)))
        closed = self[op.selected].items()
        return {where: zero for where, truth in closed if not truth.splat_value}

    def _deciding(self, op: Operation, truth: bool) -> dict[AffineExpr, DenseElements]:
        """Where one operand of a logical operation decides the result, by being `truth`."""
        if dtype_of(op.results[0].type) is not DType.BOOL:
            return {}
        known = [pair for value in op.operands for pair in self[value].items()]
        return {where: value for where, value in known if value.splat_value is truth}


_SWAPPED = {
    Direction.EQ: Direction.EQ,
    Direction.NE: Direction.NE,
    Direction.LT: Direction.GT,
    Direction.LE: Direction.GE,
    Direction.GT: Direction.LT,
    Direction.GE: Direction.LE,
}


def _is_exact(op: Elementwise, operands: Sequence[Array]) -> bool:
    """Whether every machine computes the same of these constants."""
    if isinstance(op, math.Exp):
        return bool(np.all(operands[0] == -np.inf))
    return op.name.startswith("arith.")


_Where = tuple[AffineExpr, ...]


def _holding(direction: Direction, x: AffineExpr, y: AffineExpr) -> tuple[_Where, _Where]:
    """Expressions such that `x` and `y` compare false, and true, where one is negative."""
    up, down = y - x, x - y
    match direction:
        case Direction.LE:
            return (up,), (down.plus(-1),)
        case Direction.LT:
            return (up.plus(-1),), (down,)
        case Direction.GE:
            return (down,), (up.plus(-1),)
        case Direction.GT:
            return (down.plus(-1),), (up,)
        case Direction.EQ:
            return (up, down), ()
        case Direction.NE:
            return (), (up, down)


def _holding_of_size(direction: Direction, x: AffineExpr, y: AffineExpr) -> tuple[_Where, _Where]:
    """The same for `abs(x)`, which is the larger of `x` and `-x`."""
    match direction:
        case Direction.LE | Direction.LT | Direction.EQ:
            below = Direction.LT if direction is Direction.LT else Direction.LE
            return tuple(_holding(below, side, y)[0][0] for side in (x, x.scaled(-1))), ()
        case Direction.GE | Direction.GT | Direction.NE:
            above = Direction.GE if direction is Direction.GE else Direction.GT
            return (), tuple(_holding(above, side, y)[1][0] for side in (x, x.scaled(-1)))


def _truth(value: bool) -> DenseElements:
    return DenseElements.splat(value, _scalar(DType.BOOL))


def _scalar(dtype: DType) -> TensorType:
    return TensorType((), dtype)
