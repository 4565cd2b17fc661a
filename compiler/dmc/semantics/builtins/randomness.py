"""Keys and draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, random, tensor
from dmc.ir import Builder, Value, shape_of
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import Called
from dmc.semantics.inference import same_shape
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.initial import field_number
from dmc.semantics.lower.values import Array, Lowered, Record, Tuple
from dmc.semantics.operators import needs_float
from dmc.semantics.resolver import try_size
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    KeyType,
    Number,
    NumberKind,
    RecordType,
    Shape,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    element_text,
    pruned,
    resolved,
)


def _key(call: Call) -> typed.Node:
    if not call.arguments:
        help_ = f"as in `{call.function}(key)`, with a parameter `key: Key` of this function"
        raise call.fail("call.count", f"`{call.function}` needs a key", help=[help_])
    key = call.context.check(call.arguments[0])
    if not isinstance(pruned(key.type), KeyType):
        title = f"`{call.function}` takes a Key, not {pruned(key.type)}"
        raise call.context.fail("type.operand", title, call.arguments[0].span)
    return key


class _Split(Called):
    """`split(key)`, `split(key, 3)`: keys as a tuple."""

    def check(self, call: Call) -> typed.Node:
        key = _key(call)
        count = 2
        if len(call.arguments) > 1:
            size = try_size(call.context, call.arguments[1])
            constant = size.constant if size is not None else None
            if constant is None or constant < 1 or len(call.arguments) > 2:
                raise call.context.fail(
                    "call.count", "`split(key, n)` takes a literal count", call.arguments[1].span,
                    help=["for many keys fold the index in: `fold(key, i)`"],
                )  # fmt: skip
            count = constant
        return typed.SplitKey(TupleType((KeyType(),) * count), call.span, key, count)


def _lower_split(body: Body, node: typed.SplitKey) -> Lowered:
    keys = random.split(body.builder, body.array(node.key), node.count)
    parts = (tensor.index_axis(body.builder, keys, 0, i) for i in range(node.count))
    return Tuple(tuple(map(Array, parts)))


class _Fold(Called):
    """`fold(key, i)`."""

    def check(self, call: Call) -> typed.Node:
        key = _key(call)
        if len(call.arguments) != 2:
            raise call.fail("call.count", "`fold` takes a key and a number")
        data = call.context.check(call.arguments[1])
        type_ = pruned(data.type)
        element = resolved(type_.element) if isinstance(type_, TensorType) else None
        if isinstance(element, Number) and element.kind is not NumberKind.FLOAT:
            element.kind = NumberKind.INTEGER
        elif not (isinstance(element, DType) and element.is_integer):
            raise call.context.fail(
                "type.operand", f"`fold` takes a whole number, not {type_}", data.span
            )
        if isinstance(type_, TensorType) and type_.shape:
            raise call.context.fail(
                "type.operand", f"`fold` takes one number, not {type_}", data.span
            )
        return typed.FoldKey(KeyType(), call.span, key, data)


def _lower_fold(body: Body, node: typed.FoldKey) -> Lowered:
    data = arith.convert(body.builder, body.array(node.data), DType.I64)
    return Array(random.fold(body.builder, body.array(node.key), data))


Draw = Callable[[Builder, Value, Sequence[Value], Sequence[int], DType], Value]
"""From a key, parameters, a shape and an element type."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Distribution(Called):
    """`normal[B](key)`, `uniform(key)`, `bernoulli[*S](key, p)`.

    `takes` are its arguments in words, `gives` the type of its elements when it is no float.
    """

    draw: Draw
    takes: tuple[str, ...] = ("a key",)
    gives: DType | None = None

    def check(self, call: Call) -> typed.Node:
        key = _key(call)
        if len(call.arguments) != len(self.takes):
            takes = " and ".join(self.takes)
            raise call.fail("call.count", f"`{self}` takes {takes}")
        parameters = tuple(call.context.check(argument) for argument in call.arguments[1:])
        for parameter in parameters:
            needs_float(call.context, self.name, parameter, parameter.span)
        shape = call.sizes() if call.bracket is not None else None
        for parameter in parameters:
            shape = _for_each(call, parameter, shape)
        type_: Type
        if self.gives is not None:
            type_ = TensorType(self.gives, shape or ())
        elif shape is not None:
            type_ = TensorType(call.context.number(NumberKind.FLOAT), shape)
        else:
            type_ = call.context.hole(NumberKind.FLOAT)
        return typed.Draw(type_, call.span, self, key, parameters)


def _for_each(call: Call, parameter: typed.Node, shape: Shape | None) -> Shape | None:
    """The shape of draws with a parameter for each element: its own, or one that ends in it."""
    type_ = pruned(parameter.type)
    if not isinstance(type_, TensorType) or not type_.shape:
        return shape
    if shape is None:
        return type_.shape
    if not same_shape(call.context.facts, shape[-len(type_.shape) :], type_.shape):
        drawn = TensorType(type_.element, shape)
        texts = ", ".join(call.context.quote(argument) for argument in call.arguments)
        raise call.context.fail(
            "shape.broadcast",
            f"{type_} is no probability for each of {drawn}",
            parameter.span,
            help=[f"without brackets there is a draw for each: `{call.function}({texts})`"],
        )
    return shape


def _lower_draw(body: Body, node: typed.Draw) -> Lowered:
    return _drawn(body, node, body.type(node), body.array(node.key))


def _drawn(body: Body, node: typed.Draw, type_: Type, key: Value) -> Lowered:
    """A value of any type: each part of a record is drawn from a key folded with its name."""
    match pruned(type_):
        case TensorType(element, shape):
            dtype = body.dtype(element)
            assert isinstance(node.distribution, _Distribution)
            if node.distribution.gives is None and not dtype.is_float:
                held = f"{body.type(node)} holds {element_text(element)}"
                title = f"`{node.distribution}` draws floats, and {held}"
                raise body.fail("type.operand", title, node.span)
            parameters = [body.array(parameter) for parameter in node.parameters]
            sizes = [body.size(axis, node.span) for axis in shape if isinstance(axis, Size)]
            return Array(node.distribution.draw(body.builder, key, parameters, sizes, dtype))
        case TupleType() | RecordType() | StackType() as whole:
            parts: dict[str, Lowered] = {}
            for name, part, _ in children(whole):
                number = arith.index(body.builder, field_number(name))
                parts[name] = _drawn(body, node, part, random.fold(body.builder, key, number))
            if isinstance(whole, TupleType):
                return Tuple(tuple(parts.values()))
            return Record(whole, parts)
        case other:
            raise CompilerBug(f"{other} cannot be drawn")


register(typed.Draw, _lower_draw)
register(typed.SplitKey, _lower_split)
register(typed.FoldKey, _lower_fold)


def _normal(
    builder: Builder, key: Value, _: Sequence[Value], shape: Sequence[int], dtype: DType
) -> Value:
    return random.normal(builder, key, shape, dtype)


def _uniform(
    builder: Builder, key: Value, _: Sequence[Value], shape: Sequence[int], dtype: DType
) -> Value:
    return random.uniform(builder, key, shape, dtype)


def _bernoulli(
    builder: Builder, key: Value, parameters: Sequence[Value], shape: Sequence[int], dtype: DType
) -> Value:
    (chance,) = parameters
    rank = len(shape_of(chance.type))
    if rank:
        chance = tensor.broadcast_in_dim(
            builder, chance, shape, range(len(shape) - rank, len(shape))
        )
    return random.bernoulli(builder, key, chance, shape)


RANDOM = (
    _Split("split"),
    _Fold("fold"),
    _Distribution("normal", draw=_normal),
    _Distribution("uniform", draw=_uniform),
    _Distribution(
        "bernoulli", is_step=True, draw=_bernoulli, takes=("a key", "a probability"),
        gives=DType.BOOL,
    ),
)  # fmt: skip
"""In the order of the documentation."""
