"""Shapes and element types: the same elements seen otherwise, arrays joined."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import tensor
from dmc.ir import shape_of
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.axes import axis_position
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction, ArrayOperation, ValueFunction
from dmc.semantics.inference import same_axis, unify
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import stop_gradient
from dmc.semantics.lower.values import Array, Lowered, Static
from dmc.semantics.resolver import element_named
from dmc.semantics.sizes import Size
from dmc.semantics.types import NumberKind, Pack, Shape, TensorType, pruned, scalar
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
        total = self._length(call, values[0], axis)
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
            total = total + self._length(call, value, axis)
        shape: Shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        result = TensorType(first.element, shape)
        return self.apply(result, call.span, values, (axis_position(first, axis),))

    def _length(self, call: Call, value: typed.Node, axis: int) -> Size:
        """The length of what is joined, which an axis made by `_` does not have."""
        type_ = call.tensor(value)
        length = type_.shape[axis]
        if not isinstance(length, Size):
            shape = (*type_.shape[:axis], Size.of(1), *type_.shape[axis + 1 :])
            expect(call.context, value, TensorType(type_.element, shape), value.span)
            return Size.of(1)
        return length

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        parts = [body.array(operand) for operand in node.operands]
        axis = node.axes[0] % len(shape_of(parts[0].type))
        return Array(tensor.concatenate(body.builder, parts, axis))


class _Cast(ValueFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        items = call.bracket.items if call.bracket is not None else ()
        item = items[0] if len(items) == 1 else None
        dtype = element_named(call.context, item) if isinstance(item, ast.Name) else None
        if dtype is None:
            raise call.fail("shape.axis", "`cast` needs its type: `cast[f32](x)`")
        type_ = pruned(values[0].type)
        if not isinstance(type_, TensorType):
            raise call.context.unsupported("casting a record", call.span)
        return typed.Convert(TensorType(dtype, type_.shape), call.span, dtype, values[0])


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


CAST = _Cast("cast", "`cast[f32](x)`: another element type")
RANK = _Rank("rank", "`rank(x)`: the number of axes")
RESHAPE = _Reshape(
    "reshape", "`reshape[B, D](x)`: the same elements in another shape of the same size"
)
CONCAT = _Concat("concat", "`concat[0](x, y)`: arrays one after another along an axis", arity=None)
STOP_GRADIENT = _StopGradient(
    "stop_gradient", "`stop_gradient(x)`: `x`, and a constant to derivatives", is_step=True
)
TRANSPOSE = _Transpose(".T", "`x.T`: the last two axes swapped")
