"""Shapes and element types: the same elements seen otherwise, arrays joined."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import tensor
from dmc.ir import shape_of
from dmc.semantics import typed
from dmc.semantics.axes import axis_position, one_axis, tensor_operand
from dmc.semantics.builtins.called import ArrayFunction, ArrayOperation
from dmc.semantics.context import Context
from dmc.semantics.inference import same_axis, unify
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import stop_gradient
from dmc.semantics.lower.values import Array, Lowered, Static
from dmc.semantics.resolver import DTYPES, dtype_named, shape_items
from dmc.semantics.sizes import Size
from dmc.semantics.types import NumberKind, Pack, Shape, TensorType, pruned, scalar
from dmc.syntax import ast


class _Reshape(ArrayFunction):
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        type_ = tensor_operand(context, self, values[0])
        if bracket is None:
            raise context.fail(
                "shape.axis", "`reshape` needs a shape: `reshape[B, D](x)`", node.span
            )
        shape = shape_items(context, bracket)
        result = TensorType(type_.element, shape)
        old, new = _volume(type_.shape), _volume(shape)
        title = f"{type_} does not reshape to {result}"
        if old is None or new is None or old[1] != new[1]:
            raise context.fail("shape.reshape", title, node.span)
        answer = context.facts.equal(old[0], new[0])
        if not answer:
            shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
            text = f"{old[0]} elements are not {new[0]}" + (f" when {shown}" if shown else "")
            raise context.fail("shape.reshape", title, node.span, text)
        return self.apply(result, node, values, shape=shape)

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
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        if len(values) < 2:
            raise context.fail("call.count", "`concat` takes at least 2 arguments", node.span)
        first = tensor_operand(context, self, values[0])
        axis = one_axis(context, self, bracket, first, node)
        total = first.shape[axis]
        for value in values[1:]:
            type_ = tensor_operand(context, self, value)
            ok = len(type_.shape) == len(first.shape) and all(
                i == axis or same_axis(context.facts, a, b)
                for i, (a, b) in enumerate(zip(type_.shape, first.shape, strict=True))
            )
            if not ok or not unify(context.facts, scalar(first.element), scalar(type_.element)):
                raise context.fail(
                    "shape.mismatch", f"{first} and {type_} do not join along axis {axis}",
                    value.span, str(type_), [(values[0].span, str(first))],
                )  # fmt: skip
            length = type_.shape[axis]
            assert isinstance(total, Size)
            assert isinstance(length, Size)
            total = total + length
        shape: Shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        result = TensorType(first.element, shape)
        return self.apply(result, node, values, (axis_position(first, axis),))

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        parts = [body.array(operand) for operand in node.operands]
        axis = node.axes[0] % len(shape_of(parts[0].type))
        return Array(tensor.concatenate(body.builder, parts, axis))


class _Cast(ArrayFunction):
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        item = bracket.items[0] if bracket is not None and len(bracket.items) == 1 else None
        if not isinstance(item, ast.Name) or item.text not in DTYPES:
            raise context.fail("shape.axis", "`cast` needs its type: `cast[f32](x)`", node.span)
        dtype = dtype_named(context, item.text, item.span)
        assert dtype is not None
        type_ = pruned(values[0].type)
        if not isinstance(type_, TensorType):
            raise context.unsupported("casting a record", node.span)
        return typed.Convert(TensorType(dtype, type_.shape), node.span, dtype, values[0])

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        raise NotImplementedError("a cast is a conversion")


class _Rank(ArrayFunction):
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        tensor_operand(context, self, values[0])
        return self.apply(context.untyped(NumberKind.INTEGER), node, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        value = body.lower(node.operands[0])
        return Static(len(shape_of(value.value.type)) if isinstance(value, Array) else 0)


class _StopGradient(ArrayFunction):
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        return self.apply(values[0].type, node, values)

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
