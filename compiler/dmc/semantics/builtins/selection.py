"""Elements chosen from arrays; products of vectors and matrices."""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, tensor
from dmc.ir import DType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.axes import axis_position
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction, ArrayOperation
from dmc.semantics.lower.access import never_empty
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.elementwise import broadcast
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple
from dmc.semantics.operators import agreed_type, broadcast_shapes, needs_bool
from dmc.semantics.sizes import Size
from dmc.semantics.types import Hole, TensorType, pruned, resolved
from dmc.semantics.types import TensorType as Tensor


class _Where(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        condition, yes, no = values
        needs_bool(call.context, "the condition of `where`", condition, condition.span)
        test = pruned(condition.type)
        type_ = pruned(agreed_type(call.context, self, (yes, no), call.span))
        assert isinstance(test, TensorType)
        if isinstance(type_, Hole):
            type_.target = type_ = TensorType(type_.element, test.shape)
        if not isinstance(type_, TensorType):
            if test.shape:
                raise call.fail("type.operand", "`where` chooses between arrays")
            return self.apply(type_, call.span, values)
        shape = broadcast_shapes(call.context, test.shape, type_.shape)
        if shape is None:
            title = f"{test} and {type_} do not broadcast"
            raise call.fail("shape.broadcast", title, f"the condition is {test}")
        return self.apply(TensorType(type_.element, shape), call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        condition, yes, no = map(body.lower, node.operands)
        if isinstance(yes, Record | Tuple) or isinstance(no, Record | Tuple):
            return _choose(body, condition, yes, no)
        type_ = body.type(node)
        assert isinstance(type_, Tensor)
        dtype = body.dtype(type_.element)
        for value in (yes, no):
            if isinstance(value, Array):
                dtype = dtype_of(value.value.type)
        if isinstance(condition, Static):
            condition = Array(body.constant(bool(condition.value), DType.BOOL))
        arrays, stretch = broadcast(body, [condition, yes, no], dtype)
        return Array(arith.select(body.builder, *arrays), stretch)


def _choose(body: Body, condition: Lowered, yes: Lowered, no: Lowered) -> Lowered:
    """Select leaf by leaf under one condition."""
    match yes, no:
        case Record(type_, a), Record(_, b):
            return Record(type_, {n: _choose(body, condition, a[n], b[n]) for n in a})
        case Tuple(a), Tuple(b):
            pairs = zip(a, b, strict=True)
            return Tuple(tuple(_choose(body, condition, x, y) for x, y in pairs))
        case Array(value), _:
            arrays, _ = broadcast(body, [condition, yes, no], dtype_of(value.type))
            return Array(arith.select(body.builder, *arrays))
        case _:
            raise CompilerBug("`where` chooses between values of one structure")


class _Pick(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        x, ids = (call.tensor(value) for value in values)
        axis = call.axis(x)
        kept = (*x.shape[:axis], *x.shape[axis + 1 :])
        element = DType.I64 if resolved(ids.element) is DType.I64 else DType.I32
        expect(
            call.context,
            values[1],
            TensorType(element, kept),
            values[1].span,
            "the index of `pick`",
        )
        return self.apply(TensorType(x.element, kept), call.span, values, (axis_position(x, axis),))

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x, ids = (body.array(operand) for operand in node.operands)
        shape, axis = shape_of(ids.type), node.axes[0] % len(shape_of(x.type))
        if shape_of(x.type)[axis] == 0:
            if pymath.prod(shape):
                body.lowering.read_nothing(body.builder.block, node.span)
            x = never_empty(body, x, [a == axis for a in range(len(shape_of(x.type)))])
        places = tensor.reshape(body.builder, ids, (*shape[:axis], 1, *shape[axis:]))
        taken = tensor.take_along(body.builder, x, places, axis)
        return Array(tensor.reshape(body.builder, taken, shape))


class _Cross(ArrayFunction):
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        a = call.tensor(values[0])
        wanted = TensorType(a.element, (Size.of(3),))
        for value in values:
            expect(call.context, value, wanted, value.span, "an operand of `cross`")
        return self.apply(wanted, call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        builder = body.builder
        a, b = (body.array(operand) for operand in node.operands)

        def turned(x: Value, first: int) -> Value:
            parts = [
                tensor.slice_axis(builder, x, 0, i % 3, i % 3 + 1) for i in range(first, first + 3)
            ]
            return tensor.concatenate(builder, parts, 0)

        left = arith.multiply(builder, turned(a, 1), turned(b, 2))
        right = arith.multiply(builder, turned(a, 2), turned(b, 1))
        return Array(arith.subtract(builder, left, right))


class _MatMul(ArrayOperation):
    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x, w = (body.array(operand) for operand in node.operands)
        return Array(tensor.matmul(body.builder, x, w))


WHERE = _Where("where", "`where(c, a, b)`: elements of `a` where `c` holds, else of `b`", arity=3)
PICK = _Pick("pick", "`pick[-1](x, ids)`: one element along an axis for each id", arity=2)
CROSS = _Cross("cross", "`cross(a, b)`: the vector product", arity=2)
MATMUL = _MatMul("@", "`x @ w`: the last axis of `x` contracted with the first free one of `w`")
