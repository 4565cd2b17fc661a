"""What elementwise operations share: derivatives as data, from which both modes are generated.

The Jacobian of an elementwise operation is diagonal, so one `Term` per operand says how a tangent
(or a cotangent, the transpose being the same) passes: scaled by a partial derivative, kept where a
condition holds, or unchanged. Partials are expressions over the operands and the result.

A tangent or cotangent that is exactly zero contributes exactly zero, whatever the partial is: a
branch that is not taken may have an infinite derivative. So scaling is `arith.guarded_multiply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dmc.dialects.ranges import ANY, Range
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DenseElements,
    Interpreter,
    Operation,
    RuleMissing,
    ShapedType,
    TensorType,
    Trait,
    Type,
    Value,
    dtype_of,
    operand,
    result,
    shape_of,
)

FOLD_LIMIT = 1 << 16
"""Constants of more elements are not computed at compile time, unless all elements are equal."""


@dataclass(frozen=True)
class Expr:
    """An expression of a partial derivative. Build them from `X`, `Y`, `Z`, `OUT` and numbers."""

    def __add__(self, other: Expr | float) -> Expr:
        return Apply("arith.add", (self, _expr(other)))

    def __sub__(self, other: Expr | float) -> Expr:
        return Apply("arith.subtract", (self, _expr(other)))

    def __rsub__(self, other: float) -> Expr:
        return Apply("arith.subtract", (_expr(other), self))

    def __mul__(self, other: Expr | float) -> Expr:
        return Apply("arith.multiply", (self, _expr(other)))

    def __rmul__(self, other: float) -> Expr:
        return Apply("arith.multiply", (_expr(other), self))

    def __truediv__(self, other: Expr | float) -> Expr:
        return Apply("arith.divide", (self, _expr(other)))

    def __rtruediv__(self, other: float) -> Expr:
        return Apply("arith.divide", (_expr(other), self))

    def __neg__(self) -> Expr:
        return Apply("arith.negate", (self,))


@dataclass(frozen=True)
class Operand(Expr):
    """The operand at `index`."""

    index: int


@dataclass(frozen=True)
class Result(Expr):
    """The result of the operation."""


@dataclass(frozen=True)
class Number(Expr):
    """A constant of the operation's element type."""

    value: float


@dataclass(frozen=True)
class Apply(Expr):
    """The elementwise operation named `op` on the values of `args`."""

    op: str
    args: tuple[Expr, ...]
    attributes: tuple[tuple[str, Attribute], ...] = ()


X, Y, Z, OUT = Operand(0), Operand(1), Operand(2), Result()


def _expr(value: Expr | float) -> Expr:
    return value if isinstance(value, Expr) else Number(value)


def call(op: str, *args: Expr | float, **attributes: Attribute) -> Expr:
    """`call("math.cos", X)`."""
    return Apply(op, tuple(map(_expr, args)), tuple(attributes.items()))


def compare(direction: str, left: Expr | float, right: Expr | float) -> Expr:
    """The condition `left direction right`, such as `compare("GE", X, Y)`."""
    return Apply("arith.compare", (_expr(left), _expr(right)), (("direction", direction),))


@dataclass(frozen=True)
class Term:
    """How a tangent or cotangent passes one operand."""


@dataclass(frozen=True)
class Same(Term):
    """Unchanged (converted to the element type it must have)."""


@dataclass(frozen=True)
class Negated(Term):
    """With its sign changed."""


@dataclass(frozen=True)
class Scale(Term):
    """Multiplied by a partial derivative; a zero that passes stays zero.

    `absorbs`: so does a zero of the partial, which is itself a tangent or cotangent.
    """

    partial: Expr
    absorbs: bool = False


@dataclass(frozen=True)
class Keep(Term):
    """Kept where `condition` holds, an exact zero elsewhere."""

    condition: Expr
    negate: bool = False


class Elementwise(Operation):
    """Base of elementwise operations on scalars, vectors and tensors alike.

    Subclasses give `numpy` (reference semantics) and `terms`, one per operand (None: the result
    does not depend on it differentiably); no terms at all means that no derivative is known.
    `batch` expects operands aligned to the same map axes.
    """

    traits = frozenset({Trait.ELEMENTWISE})
    numpy: ClassVar[Callable[..., Array]]
    terms: ClassVar[tuple[Term | None, ...]] = ()
    flops: ClassVar[int] = 1
    computes = True

    def infer(self) -> Sequence[Type]:
        first = self.operands[0].type
        for value in self.operands[1:]:
            self.require(
                0, value.type == first, "operand types {} and {} differ", first, value.type
            )
        return (first,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        out = np.asarray(type(self).numpy(*operands))
        dtype = dtype_of(self.results[0].type)
        return (out.astype((dtype.wide if self.computes else dtype).numpy, copy=False),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        """Compute an operation on constants, unless the result would be large."""
        type_ = self.results[0].type
        arrays: list[Array] = []
        for value in self.operands:
            array = constant_array(value)
            if array is None:
                return None
            arrays.append(array)
        if not isinstance(type_, TensorType) or not arrays:
            return None
        if type_.size <= FOLD_LIMIT:
            with np.errstate(all="ignore"):
                (out,) = self.compute(arrays, Interpreter())
            return (DenseElements(out, type_),)
        if all(all(s == 0 for s in array.strides) for array in arrays):
            with np.errstate(all="ignore"):
                (out,) = self.compute(
                    [array.reshape(-1)[:1].reshape(()) for array in arrays], Interpreter()
                )
            return (DenseElements(np.broadcast_to(out, type_.shape), type_),)
        return None

    def range_of(self, operands: Sequence[Range]) -> Range:
        """What the result can be, by what the operands can be."""
        return ANY

    @property
    def is_float(self) -> bool:
        """Whether it computes with floating-point numbers."""
        return dtype_of(self.results[0].type).is_float

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        if not self.terms:
            raise RuleMissing(self, "derivative")
        total: Value | None = None
        dtype = self.results[0].type
        for term, tangent in zip(self.terms, tangents, strict=True):
            if term is None or tangent is None:
                continue
            part = apply_term(builder, self, term, tangent, dtype)
            total = part if total is None else emit(builder, "arith.add", total, part)
        return (total,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (cotangent,) = cotangents
        if cotangent is None:
            return [None] * len(self.operands)
        if not self.terms:
            raise RuleMissing(self, "derivative")
        return [
            None if term is None else apply_term(builder, self, term, cotangent, value.type)
            for term, value in zip(self.terms, self.operands, strict=True)
        ]

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        values = [item.value for item in operands]
        new = builder.insert(type(self)(values, self.attributes, location=self.location))
        return [Batched(new.results[0], operands[0].axes)]

    def cost(self) -> Cost:
        types = [value.type for value in (*self.operands, *self.results)]
        size = max(int(np.prod(shape_of(type_))) for type_ in types)
        bytes_ = sum(type_.bytes for type_ in types if isinstance(type_, ShapedType))
        return Cost(flops=self.flops * size, bytes=bytes_)


class Unary(Elementwise):
    """An elementwise operation with one operand."""

    operand = operand()
    result = result()


class Binary(Elementwise):
    """An elementwise operation with two operands of one type."""

    lhs = operand()
    rhs = operand()
    result = result()


def emit(builder: Builder, op: str, *operands: Value, **attributes: Attribute) -> Value:
    """Build the elementwise operation named `op` (classes of other files are reached by name)."""
    return builder.insert(Operation.registry[op](operands, attributes)).results[0]


def constant_array(value: Value) -> Array | None:
    """The array of a constant tensor, or None when `value` is not one."""
    op = value.owner
    if not isinstance(op, Operation) or Trait.CONSTANT not in op.traits:
        return None
    data = op.attributes["value"]
    return data.array if isinstance(data, DenseElements) else None


def elements_of(value: Value) -> Array | None:
    """The elements of a constant tensor that has any, one of each that is repeated; else None."""
    array = constant_array(value)
    if array is None:
        return None
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]


def in_rows(x: Array, axes: Sequence[int]) -> Array:
    """`x` with `axes` made one, the last, in memory: NumPy sums along that pairwise."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    moved = np.transpose(x, (*kept, *axes))
    size = int(np.prod([x.shape[axis] for axis in axes]))
    return np.ascontiguousarray(moved.reshape(*(x.shape[axis] for axis in kept), size))


def splat_of(value: Value) -> float | int | bool | None:
    """The common element of a constant value, or None."""
    op = value.owner
    if not isinstance(op, Operation) or Trait.CONSTANT not in op.traits:
        return None
    data = op.attributes["value"]
    if isinstance(data, DenseElements):
        return data.splat_value
    return data if isinstance(data, (bool, int, float)) else None


def apply_term(builder: Builder, op: Operation, term: Term, tangent: Value, wanted: Type) -> Value:
    """Pass `tangent` through one operand of `op`; the outcome has type `wanted`."""
    match term:
        case Same():
            passed = tangent
        case Negated():
            passed = emit(builder, "arith.negate", tangent)
        case Scale(partial, absorbs):
            factor = _materialize(builder, op, partial, tangent.type)
            name = "doubly_guarded_multiply" if absorbs else "guarded_multiply"
            passed = emit(builder, f"arith.{name}", tangent, factor)
        case Keep(condition, negate):
            holds = _materialize(builder, op, condition, op.operands[0].type)
            zero = _constant(builder, 0.0, tangent.type)
            pair = (zero, tangent) if negate else (tangent, zero)
            passed = emit(builder, "arith.select", holds, *pair)
        case _:
            raise TypeError(f"{term} is not a term")
    if passed.type != wanted:
        convert = Operation.registry["arith.convert"]
        passed = builder.insert(convert([passed], result_types=[wanted])).results[0]
    return passed


def _constant(builder: Builder, number: float, type_: Type) -> Value:
    value: Attribute = number
    if isinstance(type_, TensorType):
        value = DenseElements.splat(number, type_)
    constant = Operation.registry["arith.constant"]
    return builder.insert(constant([], {"value": value}, result_types=[type_])).results[0]


def _materialize(builder: Builder, op: Operation, expr: Expr, like: Type) -> Value:
    match expr:
        case Operand(index):
            return op.operands[index]
        case Result():
            return op.results[0]
        case Number(value):
            return _constant(builder, value, like)
        case Apply(name, args, attributes):
            values = [_materialize(builder, op, arg, like) for arg in args]
            return emit(builder, name, *values, **dict(attributes))
        case _:
            raise TypeError(f"{expr} is not an expression")
