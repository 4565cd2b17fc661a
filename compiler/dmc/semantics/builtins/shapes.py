"""Shapes and element types: the same elements seen otherwise, arrays joined."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from dmc.dialects import arith, tensor
from dmc.ir import Builder, DType, Value, dtype_of, shape_of
from dmc.ir import TensorType as IRTensor
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.axes import axis_position
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction, ArrayOperation, Called, ValueFunction
from dmc.semantics.casts import cast_type
from dmc.semantics.inference import same_axis, unify
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import stop_gradient
from dmc.semantics.lower.values import Array, Lowered, Static
from dmc.semantics.resolver import element_named, resolve_size
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    NumberKind,
    Pack,
    RecordType,
    Shape,
    StackType,
    TensorType,
    Type,
    pruned,
    scalar,
)
from dmc.syntax import ast


class _Reshape(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = call.tensor(values[0])
        if call.bracket is None:
            raise call.fail("shape.axis", "`reshape` needs a shape: `reshape[B, D](x)`")
        shape = call.sizes()
        result = TensorType(type_.element, shape)
        old, new = _volume(type_.shape), _volume(shape)
        title = f"{type_} does not reshape to {result}"
        if old is None or new is None or old[1] != new[1]:
            raise call.fail("shape.reshape", title)
        answer = call.context.facts.equal(old[0], new[0])
        if not answer:
            shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
            text = f"{old[0]} elements are not {new[0]}" + (f" when {shown}" if shown else "")
            raise call.fail("shape.reshape", title, text)
        return self.apply(result, call.span, values, shape=shape)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        shape = body.sizes(node)
        return Array(tensor.reshape(body.builder, body.array(node.operands[0]), shape))


def _volume(shape: Shape) -> tuple[Size, frozenset[str]] | None:
    total, packs = Size.of(1), frozenset[str]()
    for axis in shape:
        match axis:
            case Size():
                total = total * axis
            case Pack(name):
                packs |= {name}
            case _:
                return None
    return total, packs


class _Concat(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        if len(values) < 2:
            raise call.fail("call.count", "`concat` takes at least 2 arguments")
        first = call.tensor(values[0])
        axis = call.axis(first)
        total = _length(call, values[0], axis)
        for value in values[1:]:
            type_ = call.tensor(value)
            ok = len(type_.shape) == len(first.shape) and all(
                i == axis or same_axis(call.context.facts, a, b)
                for i, (a, b) in enumerate(zip(type_.shape, first.shape, strict=True))
            )
            if not ok or not unify(
                call.context.facts, scalar(first.element), scalar(type_.element)
            ):
                raise call.context.fail(
                    "shape.mismatch", f"{first} and {type_} do not join along axis {axis}",
                    value.span, str(type_), [(values[0].span, str(first))],
                )  # fmt: skip
            total = total + _length(call, value, axis)
        shape: Shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        result = TensorType(first.element, shape)
        return self.apply(result, call.span, values, (axis_position(first, axis),))

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        parts = [body.array(operand) for operand in node.operands]
        axis = node.axes[0] % len(shape_of(parts[0].type))
        return Array(tensor.concatenate(body.builder, parts, axis))


def _length(call: Call, value: typed.Node, axis: int) -> Size:
    """The length of an axis that is to change, which one made by `_` does not have."""
    type_ = call.tensor(value)
    length = type_.shape[axis]
    if not isinstance(length, Size):
        shape = (*type_.shape[:axis], Size.of(1), *type_.shape[axis + 1 :])
        expect(call.context, value, TensorType(type_.element, shape), value.span)
        return Size.of(1)
    return length


class _Lengthening(ArrayOperation, Called):
    """A function of an array and of sizes that make one of its axes longer."""

    counts: ClassVar[int]
    takes_value: ClassVar[bool] = False

    def check(self, call: Call) -> typed.Node:
        if not self.counts < len(call.arguments) <= self.counts + self.takes_value + 1:
            call.count(1 + self.counts, help=[f"as in {self.doc.partition(':')[0]}"])
        array, *rest = call.arguments
        value = call.context.check(array)
        counts = [resolve_size(call.context, count) for count in rest[: self.counts]]
        type_ = call.tensor(value)
        axis = call.axis(type_)
        length = self.length(_length(call, value, axis), counts)
        result = TensorType(type_.element, (*type_.shape[:axis], length, *type_.shape[axis + 1 :]))
        values = [value]
        for given in rest[self.counts :]:
            filler = call.context.check(given, scalar(type_.element))
            expect(call.context, filler, scalar(type_.element), given.span, "what fills")
            values.append(filler)
        return self.apply(result, call.span, values, (axis_position(type_, axis),), tuple(counts))

    @abstractmethod
    def length(self, length: Size, counts: Sequence[Size]) -> Size:
        """The new length of the axis."""

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        counts = [body.size(n, node.span) for n in node.shape if isinstance(n, Size)]
        fillers = [body.array(operand) for operand in node.operands[1:]]
        axis = node.axes[0] % len(shape_of(x.type))
        return Array(self.build(body.builder, x, axis, counts, fillers))

    @abstractmethod
    def build(
        self, builder: Builder, x: Value, axis: int, counts: Sequence[int], fillers: Sequence[Value]
    ) -> Value:
        """The longer array."""


class _Pad(_Lengthening):
    counts = 2
    takes_value = True

    def length(self, length: Size, counts: Sequence[Size]) -> Size:
        before, after = counts
        return before + length + after

    def build(
        self, builder: Builder, x: Value, axis: int, counts: Sequence[int], fillers: Sequence[Value]
    ) -> Value:
        dtype = dtype_of(x.type)
        number = False if dtype is DType.BOOL else 0
        filler = fillers[0] if fillers else arith.constant(builder, number, IRTensor((), dtype))
        low, high = [0] * len(shape_of(x.type)), [0] * len(shape_of(x.type))
        low[axis], high[axis] = counts
        return tensor.pad(builder, x, filler, low, high)


class _Repeat(_Lengthening):
    counts = 1

    def length(self, length: Size, counts: Sequence[Size]) -> Size:
        return length * counts[0]

    def build(
        self, builder: Builder, x: Value, axis: int, counts: Sequence[int], fillers: Sequence[Value]
    ) -> Value:
        shape, (count,) = shape_of(x.type), counts
        spread = (*shape[: axis + 1], count, *shape[axis + 1 :])
        kept = [d for d in range(len(spread)) if d != axis + 1]
        x = tensor.broadcast_in_dim(builder, x, spread, kept)
        return tensor.reshape(builder, x, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))


class _Cast(ValueFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        items = call.bracket.items if call.bracket is not None else ()
        item = items[0] if len(items) == 1 else None
        dtype = element_named(call.context, item) if isinstance(item, ast.Name) else None
        if dtype is None:
            raise call.fail("shape.axis", "`cast` needs its type: `cast[f32](x)`")
        type_ = pruned(values[0].type)
        if isinstance(type_, TensorType):
            return typed.Convert(TensorType(dtype, type_.shape), call.span, dtype, values[0])
        cast = cast_type(type_, dtype)
        if cast is None:
            raise call.context.fail(
                "type.cast", f"nothing in {type_} can be cast", values[0].span,
                help=(f"declare what it is made of over a float type: {_example(type_)}",),
            )  # fmt: skip
        return typed.Convert(cast, call.span, dtype, values[0])


def _example(type_: Type) -> str:
    """A declaration that leaves the element type open."""
    match type_:
        case StackType(_, item):
            return _example(item)
        case RecordType(declaration):
            kind = "model" if declaration.is_model else "struct"
            names = [generic.name for generic in declaration.generics]
            return f"`{kind} {declaration.name}[{', '.join([*names, 'F: float = f32'])}]`"
        case _:
            return "`model Net[D, F: float = f32]`"


class _Rank(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        call.tensor(values[0])
        return self.apply(call.context.untyped(NumberKind.INTEGER), call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        value = body.lower(node.operands[0])
        return Static(len(shape_of(value.value.type)) if isinstance(value, Array) else 0)


class _StopGradient(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        return self.apply(values[0].type, call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        return stop_gradient(body, body.value(node.operands[0]))


class _Transpose(ArrayOperation):
    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        rank = len(shape_of(x.type))
        order = [*range(rank - 2), rank - 1, rank - 2]
        return Array(tensor.transpose(body.builder, x, order))


CAST = _Cast(
    "cast",
    "`cast[f32](x)`, `cast[bf16](net)`: another element type; in a record for what its parameter"
    " `F: float` leaves open",
)
RANK = _Rank("rank", "`rank(x)`: the number of axes")
RESHAPE = _Reshape(
    "reshape", "`reshape[B, D](x)`: the same elements in another shape of the same size"
)
CONCAT = _Concat("concat", "`concat[0](x, y)`: arrays one after another along an axis", arity=None)
PAD = _Pad(
    "pad", "`pad[0](x, before, after)`: zeros around along an axis; a last argument fills instead"
)
REPEAT = _Repeat("repeat", "`repeat[0](x, k)`: each element `k` times in succession along an axis")
STOP_GRADIENT = _StopGradient(
    "stop_gradient", "`stop_gradient(x)`: `x`, and a constant to derivatives", is_step=True
)
TRANSPOSE = _Transpose(".T", "`x.T`: the last two axes swapped")
