"""Arrays made from sizes, and masks of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, tensor
from dmc.dialects.arith import Direction
from dmc.ir import Builder, DType, TensorType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction
from dmc.semantics.builtins.elementwise import ADD, MULTIPLY, SUBTRACT
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import apply
from dmc.semantics.lower.values import Array, Lowered
from dmc.semantics.operators import agreed_type, needs_float
from dmc.semantics.types import NumberKind, Pack, pruned
from dmc.semantics.types import TensorType as Tensor


@dataclass(frozen=True, eq=False)
class _Made(ArrayFunction):
    """An array of no arguments: each of its `axes` has the size in brackets."""

    arity: int | None = 0
    axes: int = 1
    kind: NumberKind = NumberKind.FLOAT
    build: Callable[[Builder, int, DType], Value] = tensor.arange

    def count(self, call: Call) -> None:
        """Say where the size belongs when it is the argument."""
        if call.bracket is None and len(call.arguments) == 1:
            written = f"{self}[{call.context.quote(call.arguments[0])}]()"
            title = f"`{self}` takes its size in brackets"
            raise call.fail("shape.axis", title, help=[f"write `{written}`"])
        ArrayFunction.count(self, call)

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        shape = call.sizes()
        if len(shape) != 1:
            raise call.fail("shape.axis", f"`{self}` needs its size: `{self}[N]()`")
        type_ = Tensor(call.context.number(self.kind), shape * self.axes)
        return self.apply(type_, call.span, values, shape=shape)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        type_ = body.type(node)
        assert isinstance(type_, Tensor)
        count = body.sizes(node)[0]
        return Array(self.build(body.builder, count, body.dtype(type_.element)))


def _eye(builder: Builder, count: int, dtype: DType) -> Value:
    index = TensorType((count, count), DType.I64)
    rows, columns = (tensor.iota(builder, index, axis) for axis in (0, 1))
    equal = arith.compare(builder, Direction.EQ, rows, columns)
    return arith.convert(builder, equal, dtype)


class _OneHot(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        ids = call.tensor(values[0])
        axes = call.sizes()
        if len(axes) != 1:
            raise call.fail("shape.axis", "`one_hot` needs its size: `one_hot[K](y)`")
        element = call.context.number(NumberKind.FLOAT)
        return self.apply(Tensor(element, (*ids.shape, *axes)), call.span, values, shape=axes)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        builder, ids = body.builder, body.array(node.operands[0])
        type_ = body.type(node)
        assert isinstance(type_, Tensor)
        shape = body.sizes(node)
        places = tensor.iota(builder, TensorType(shape, dtype_of(ids.type)), len(shape) - 1)
        spread = tensor.broadcast_in_dim(builder, ids, shape, range(len(shape) - 1))
        equal = arith.compare(builder, Direction.EQ, places, spread)
        return Array(arith.convert(builder, equal, body.dtype(type_.element)))


class _Linspace(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        shape = call.sizes()
        if len(shape) != 1:
            raise call.fail("shape.axis", "`linspace` needs its size: `linspace[N](a, b)`")
        for value in values:
            needs_float(call.context, self.name, value, value.span)
        type_ = pruned(agreed_type(call.context, self, values, call.span))
        if not isinstance(type_, Tensor) or type_.shape:
            raise call.fail("type.operand", f"`linspace` runs between numbers, not {type_}")
        return self.apply(Tensor(type_.element, shape), call.span, values, shape=shape)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        type_ = body.type(node)
        assert isinstance(type_, Tensor)
        (n,) = body.sizes(node)
        dtype = body.dtype(type_.element)
        b, ends = body.builder, [body.array(operand) for operand in node.operands]
        first, last = (tensor.broadcast_in_dim(b, end, (n,), []) for end in ends)
        # From the nearer end: both are met exactly, and what is between lies in the range.
        steps = tensor.iota(b, TensorType((n,), DType.I64), 0)
        back = arith.subtract(b, body.constant(n - 1, DType.I64, n), steps)
        begins = arith.compare(b, Direction.LE, steps, back)
        near, far = arith.select(b, begins, first, last), arith.select(b, begins, last, first)
        count = arith.convert(b, arith.minimum(b, steps, back), dtype)
        share = Array(arith.divide(b, count, body.constant(max(n - 1, 1) / 2, dtype, n)))
        half = Array(body.constant(0.5, dtype, n))
        # Of half the distance twice the share: the distance itself may overflow.
        ends = (apply(body, MULTIPLY, [Array(end), half]) for end in (far, near))
        moved = apply(body, MULTIPLY, [apply(body, SUBTRACT, list(ends)), share])
        return apply(body, ADD, [Array(near), moved])


@dataclass(frozen=True, eq=False)
class _Triangle(ArrayFunction):
    """Elements where row compares so with column; zero elsewhere."""

    direction: Direction = Direction.GE

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = call.tensor(values[0])
        if len(type_.shape) < 2 or any(isinstance(axis, Pack) for axis in type_.shape[-2:]):
            raise call.fail("shape.rank", f"`{self}` takes a matrix, not {type_}")
        return self.apply(type_, call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        builder, x = body.builder, body.array(node.operands[0])
        shape = shape_of(x.type)
        places, rank = TensorType(shape, DType.I64), len(shape)
        rows = tensor.iota(builder, places, rank - 2)
        columns = tensor.iota(builder, places, rank - 1)
        inside = arith.compare(builder, self.direction, rows, columns)
        return Array(arith.select(builder, inside, x, arith.zeros(builder, x.type)))


ONE_HOT = _OneHot("one_hot", "`one_hot[N](ids)`: a 1 at each id, 0 elsewhere", is_step=True)
ARANGE = _Made(
    "arange", "`arange[N]()`: 0, 1, … N - 1", kind=NumberKind.INTEGER, build=tensor.arange
)
LINSPACE = _Linspace(
    "linspace", "`linspace[N](a, b)`: N numbers from `a` to `b` at equal distances", arity=2
)
EYE = _Made("eye", "`eye[N]()`: the identity matrix", axes=2, build=_eye)
TRIL = _Triangle(
    "tril", "`tril(x)`: the lower triangle of matrices, 0 above it", direction=Direction.GE
)
TRIU = _Triangle(
    "triu", "`triu(x)`: the upper triangle of matrices, 0 below it", direction=Direction.LE
)
