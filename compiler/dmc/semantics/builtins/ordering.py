"""Functions along one axis: running sums, order, rotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import tensor
from dmc.ir import Builder, DType, Value, shape_of
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.axes import axis_position
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction
from dmc.semantics.builtins.elementwise import REMAINDER, SUBTRACT
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import apply
from dmc.semantics.lower.reductions import require_places
from dmc.semantics.lower.values import Array, Lowered, Static, Tuple
from dmc.semantics.sizes import Size
from dmc.semantics.types import TensorType, TupleType, scalar


@dataclass(frozen=True, eq=False)
class _AlongAxis(ArrayFunction):
    """A function of one array along one axis, of the array's shape.

    `orders` when it compares the elements, whose places must fit an i32.
    """

    build: Callable[[Builder, Value, int], Value] = tensor.cumsum
    gives: DType | None = None
    orders: bool = False

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = call.tensor(values[0])
        axis = axis_position(type_, call.axis(type_))
        result = TensorType(self.gives or type_.element, type_.shape)
        return self.apply(result, call.span, values, (axis,))

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        axis = node.axes[0] % len(shape_of(x.type))
        if self.orders:
            require_places(body, self, shape_of(x.type)[axis], node.span)
        return Array(self.build(body.builder, x, axis))


def _on_last_axis(
    build: Callable[[Builder, Value], Value],
) -> Callable[[Builder, Value, int], Value]:
    """Along any axis: moved to the end, and back."""

    def along(builder: Builder, x: Value, axis: int) -> Value:
        rank = len(shape_of(x.type))
        order = [*(d for d in range(rank) if d != axis), axis]
        back = [order.index(d) for d in range(rank)]
        return tensor.transpose(builder, build(builder, tensor.transpose(builder, x, order)), back)

    return along


def _flip(builder: Builder, x: Value, axis: int) -> Value:
    return tensor.reverse(builder, x, [axis])


class _TopK(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = call.tensor(values[0])
        shape = call.sizes()
        if len(shape) != 1 or not type_.shape:
            raise call.fail("shape.axis", "`top_k` needs a count: `top_k[3](x)`")
        kept = (*type_.shape[:-1], *shape)
        result = TupleType((TensorType(type_.element, kept), TensorType(DType.I32, kept)))
        return self.apply(result, call.span, values, shape=shape)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        (count,) = node.shape
        assert isinstance(count, Size)
        k, length = body.size(count, node.span), shape_of(x.type)[-1]
        if k > length:
            raise body.fail("index.bounds", f"the {k} largest of {length} elements", node.span)
        require_places(body, self, length, node.span)
        largest, places = tensor.top_k(body.builder, x, k)
        return Tuple((Array(largest), Array(places)))


class _Roll(ArrayFunction):
    """Element i comes from i - shift, round the end."""

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = call.tensor(values[0])
        axis = axis_position(type_, call.axis(type_))
        expect(call.context, values[1], scalar(DType.I64), values[1].span, "the shift of `roll`")
        return self.apply(type_, call.span, values, (axis,))

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        axis = node.axes[0] % len(shape_of(x.type))
        size = shape_of(x.type)[axis]
        if size == 0:
            return Array(x)
        places = Array(tensor.arange(body.builder, size))
        moved = apply(body, SUBTRACT, [places, body.value(node.operands[1])])
        wrapped = apply(body, REMAINDER, [moved, Static(size)])
        assert isinstance(wrapped, Array)
        return Array(tensor.take(body.builder, x, wrapped.value, axis))


CUMSUM = _AlongAxis("cumsum", "`cumsum[0](x)`: running sums along an axis", build=tensor.cumsum)
CUMPROD = _AlongAxis(
    "cumprod", "`cumprod[0](x)`: running products along an axis", build=tensor.cumprod
)
FLIP = _AlongAxis("flip", "`flip[0](x)`: the opposite order along an axis", build=_flip)
SORT = _AlongAxis(
    "sort",
    "`sort[-1](x)`: in ascending order along an axis",
    build=_on_last_axis(tensor.sort),
    orders=True,
)
ARGSORT = _AlongAxis(
    "argsort",
    "`argsort[-1](x)`: the places (i32) of the elements in ascending order",
    is_step=True,
    build=_on_last_axis(tensor.argsort),
    gives=DType.I32,
    orders=True,
)
TOP_K = _TopK("top_k", "`top_k[K](x)`: the K largest along the last axis, and their places (i32)")
ROLL = _Roll("roll", "`roll[0](x, n)`: moved by `n` along an axis, round the end", arity=2)
