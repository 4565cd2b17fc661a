"""Calls of the prelude: elementwise functions, reductions, shapes, randomness."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import prelude, typed
from dmc.semantics.agreement import expect
from dmc.semantics.builders import check_index_reduction, is_index
from dmc.semantics.calls import check_lambda, shape_items, spend
from dmc.semantics.context import Context
from dmc.semantics.inference import leaf_element, same_axis, unify
from dmc.semantics.operators import (
    apply,
    broadcast_shapes,
    is_record,
    needs_bool,
    needs_float,
    needs_number,
)
from dmc.semantics.resolver import DTYPES, dtype_named, resolve_size, try_size
from dmc.semantics.sizes import Size
from dmc.semantics.typed import AxisChoice, Reduction
from dmc.semantics.types import (
    Axis,
    Element,
    FunctionType,
    Hole,
    KeyType,
    Number,
    NumberKind,
    Pack,
    RecordName,
    Shape,
    TensorType,
    TupleType,
    Type,
    gradient_type,
    leaves,
    pruned,
    resolved,
    scalar,
)
from dmc.syntax import ast

__all__ = ["check_builtin", "check_elementwise"]


def check_builtin(
    context: Context,
    name: str,
    bracket: ast.Bracket | None,
    node: ast.Call,
    expected: Type | None,
) -> typed.Node:
    """A call of a function of the prelude."""
    if name in prelude.PLANNED:
        raise context.unsupported(f"`{name}`", node.function.span)
    if name in prelude.REDUCTIONS:
        return _reduction(context, Reduction(name), bracket, node)
    if name in prelude.OPERATORS:
        from dmc.semantics.differentiation import derived_value

        return derived_value(context, node, expected)
    arguments = _positional(context, name, node)
    match name:
        case "split":
            return _split(context, arguments, node)
        case "fold":
            return _fold(context, arguments, node)
        case "normal" | "uniform" | "bernoulli":
            return _draw(context, typed.Distribution(name), bracket, arguments, node)
        case "map":
            return _map(context, arguments, node)
        case _:
            pass
    values = [context.check(argument) for argument in arguments]
    return _TABLE[name](context, bracket, values, node)


def _positional(context: Context, name: str, node: ast.Call) -> list[ast.Expr]:
    for argument in node.arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", f"parameters of `{name}` have no names", argument.name.span
            )
    return [argument.value for argument in node.arguments]


def _take(
    context: Context, name: str, values: Sequence[typed.Node], count: int, node: ast.Call
) -> None:
    if len(values) != count:
        plural = "argument" if count == 1 else "arguments"
        raise context.fail(
            "call.count", f"`{name}` takes {count} {plural}, and {len(values)} are given", node.span
        )


# ---- elementwise ------------------------------------------------------------------------------


def check_elementwise(
    context: Context, name: str, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    """`exp(x)`, `maximum(a, b)`: on numbers, arrays and records."""
    entry = prelude.ELEMENTWISE[name]
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", f"parameters of `{name}` have no names", argument.name.span
            )
    if len(arguments) != entry.arity:
        plural = "argument" if entry.arity == 1 else "arguments"
        raise context.fail(
            "call.count",
            f"`{name}` takes {entry.arity} {plural}, and {len(arguments)} are given",
            span,
        )
    values = [context.check(argument.value) for argument in arguments]
    for value in values:
        if isinstance(pruned(value.type), TensorType | Hole) or is_record(value.type):
            check = needs_float if entry.is_float_only else needs_number
            check(context, name, value, value.span)
    return apply(context, name, values, span, [a.value.span for a in arguments])


def _where(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "where", values, 3, node)
    condition, yes, no = values
    needs_bool(context, "the condition of `where`", condition, condition.span)
    chosen = apply(context, "where", (yes, no), node.span, (yes.span, no.span))
    test, type_ = pruned(condition.type), pruned(chosen.type)
    assert isinstance(test, TensorType)
    if isinstance(type_, Hole):
        type_.target = type_ = TensorType(type_.element, test.shape)
    if not isinstance(type_, TensorType):
        if test.shape:
            raise context.fail("type.operand", "`where` chooses between arrays", node.span)
        return typed.Builtin(type_, node.span, "where", (condition, yes, no))
    shape = broadcast_shapes(context, test.shape, type_.shape)
    if shape is None:
        raise context.fail(
            "shape.broadcast", f"{test} and {type_} do not broadcast", node.span,
            f"the condition is {test}",
        )  # fmt: skip
    return typed.Builtin(TensorType(type_.element, shape), node.span, "where", (condition, yes, no))


# ---- reductions -------------------------------------------------------------------------------


def _reduction(
    context: Context, reduction: Reduction, bracket: ast.Bracket | None, node: ast.Call
) -> typed.Node:
    arguments = _positional(context, reduction.value, node)
    if len(arguments) != 1:
        raise context.fail(
            "call.count",
            f"`{reduction.value}` takes 1 argument, and {len(arguments)} are given",
            node.span,
            help=["element by element: `maximum(a, b)`, `minimum(a, b)`"]
            if reduction in (Reduction.MAX, Reduction.MIN)
            else (),
        )
    if bracket is not None and any(is_index(context, item) for item in bracket.items):
        return check_index_reduction(context, reduction, bracket, arguments[0], node)
    operand = context.check(arguments[0])
    type_ = pruned(operand.type)
    if is_record(type_) and bracket is None and reduction is Reduction.SUM:
        return typed.Reduce(
            scalar(_record_element(context, type_)), node.span, reduction,
            AxisChoice(everything=True), operand,
        )  # fmt: skip
    if not isinstance(type_, TensorType):
        raise context.fail(
            "type.operand", f"`{reduction.value}` does not take {type_}", operand.span, str(type_)
        )
    needs_number(context, reduction.value, operand, operand.span)
    if reduction in (Reduction.MEAN, Reduction.LOGSUMEXP, Reduction.SOFTMAX):
        needs_float(context, reduction.value, operand, operand.span)
    if bracket is None:
        if reduction is Reduction.SOFTMAX:
            raise context.fail(
                "call.axis", "`softmax` needs its axis", node.span, help=["`softmax[-1](x)`"]
            )
        axes, shape = AxisChoice(everything=True), ()
    else:
        axes, shape = choose_axes(context, bracket, type_, reduction.value)
    element: Element = type_.element
    if reduction in (Reduction.ARGMAX, Reduction.ARGMIN):
        element = DType.I32
        if len(axes.positions) > 1 or axes.pack_start is not None:
            raise context.fail("call.axis", f"`{reduction.value}` takes one axis", node.span)
    if reduction is Reduction.SOFTMAX:
        shape = type_.shape
    return typed.Reduce(TensorType(element, shape), node.span, reduction, axes, operand)


def _record_element(context: Context, type_: Type) -> Element:
    if isinstance(type_, RecordName):
        return leaf_element(type_.name)
    elements = {
        resolved(leaf.type.element)
        for leaf in leaves(gradient_type(type_))
        if isinstance(leaf.type, TensorType)
    }
    return elements.pop() if len(elements) == 1 else leaf_element("record")


def choose_axes(
    context: Context, bracket: ast.Bracket, type_: TensorType, name: str
) -> tuple[AxisChoice, Shape]:
    """The axes that brackets choose, and the shape without them."""
    positions: list[int] = []
    pack_start: int | None = None
    shape = type_.shape
    for item in bracket.items:
        if isinstance(item, ast.Splat):
            found = [
                i for i, a in enumerate(shape) if isinstance(a, Pack) and a.name == item.name.text
            ]
            if not found:
                raise context.fail("call.axis", f"{type_} has no *{item.name.text}", item.span)
            pack_start = found[0]
            positions.append(found[0])
            continue
        positions.append(_axis(context, item, type_, name))
    if len(set(positions)) < len(positions):
        raise context.fail("call.axis", "an axis is named twice", bracket.span)
    kept = tuple(axis for i, axis in enumerate(shape) if i not in positions)
    packs = [i for i, axis in enumerate(shape) if isinstance(axis, Pack)]
    fixed = tuple(
        p - len(shape) if packs and p > packs[0] else p for p in positions if p != pack_start
    )
    return AxisChoice(fixed, pack_start), kept


def _axis(context: Context, item: ast.Item, type_: TensorType, name: str) -> int:
    shape = type_.shape
    number = item
    sign = 1
    if isinstance(item, ast.Unary) and item.op is ast.UnaryOp.NEGATE:
        number, sign = item.operand, -1
    if isinstance(number, ast.IntLit):
        value = sign * number.value
        if not -len(shape) <= value < len(shape):
            raise context.fail("call.axis", f"{type_} has no axis {value}", item.span)
        index = value % len(shape)
        packs = [i for i, axis in enumerate(shape) if isinstance(axis, Pack)]
        if packs and (index == packs[0] or (value > 0) == (index > packs[0])):
            raise context.fail(
                "call.axis", f"axis {value} of {type_} is not one axis", item.span,
                help=[f"`{name}[*S]` reduces the axes of a pack"],
            )  # fmt: skip
        return index
    if isinstance(item, ast.Binder | ast.Slice | ast.Ellipsis | ast.NewAxis | ast.Splat):
        raise context.fail("call.axis", "an axis is a size or a number", item.span)
    size = resolve_size(context, item)
    found = [
        i for i, axis in enumerate(shape)
        if isinstance(axis, Size) and same_axis(context.facts, axis, size)
    ]  # fmt: skip
    if not found:
        raise context.fail("call.axis", f"{type_} has no axis {size}", item.span)
    if len(found) > 1:
        raise context.fail(
            "call.axis", f"{size} occurs {len(found)} times in {type_}", item.span,
            help=[f"give the number: `{name}[{found[-1]}](…)`"],
        )  # fmt: skip
    return found[0]


# ---- shapes -----------------------------------------------------------------------------------


def _tensor(context: Context, name: str, value: typed.Node) -> TensorType:
    type_ = pruned(value.type)
    if not isinstance(type_, TensorType):
        raise context.fail(
            "type.operand", f"`{name}` does not take {type_}", value.span, str(type_)
        )
    return type_


def _one_axis(
    context: Context, name: str, bracket: ast.Bracket | None, type_: TensorType, node: ast.Call
) -> int:
    if bracket is None or len(bracket.items) != 1:
        raise context.fail(
            "call.axis", f"`{name}` needs one axis", node.span, help=[f"`{name}[-1](…)`"]
        )
    return _axis(context, bracket.items[0], type_, name)


def _reshape(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "reshape", values, 1, node)
    type_ = _tensor(context, "reshape", values[0])
    if bracket is None:
        raise context.fail("call.axis", "`reshape` needs a shape: `reshape[B, D](x)`", node.span)
    shape = shape_items(context, bracket)
    old, new = _volume(type_.shape), _volume(shape)
    if old is None or new is None or old[1] != new[1]:
        raise context.fail(
            "shape.reshape", f"{type_} does not reshape to {TensorType(type_.element, shape)}",
            node.span,
        )  # fmt: skip
    answer = context.facts.equal(old[0], new[0])
    if not answer:
        shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
        raise context.fail(
            "shape.reshape",
            f"{type_} does not reshape to {TensorType(type_.element, shape)}",
            node.span,
            f"{old[0]} elements are not {new[0]}" + (f" when {shown}" if shown else ""),
        )
    return typed.Builtin(
        TensorType(type_.element, shape), node.span, "reshape", tuple(values), shape=shape
    )


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


def _concat(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    if len(values) < 2:
        raise context.fail("call.count", "`concat` takes at least 2 arguments", node.span)
    first = _tensor(context, "concat", values[0])
    axis = _one_axis(context, "concat", bracket, first, node)
    total = first.shape[axis]
    for value in values[1:]:
        type_ = _tensor(context, "concat", value)
        ok = len(type_.shape) == len(first.shape) and all(
            i == axis or same_axis(context.facts, a, b)
            for i, (a, b) in enumerate(zip(type_.shape, first.shape, strict=True))
        )
        if not ok or not unify(context.facts, scalar(first.element), scalar(type_.element)):
            raise context.fail(
                "shape.concat", f"{first} and {type_} do not join along axis {axis}", value.span,
                str(type_), [(values[0].span, str(first))],
            )  # fmt: skip
        length = type_.shape[axis]
        assert isinstance(total, Size)
        assert isinstance(length, Size)
        total = total + length
    shape: Shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    return typed.Builtin(
        TensorType(first.element, shape), node.span, "concat", tuple(values), (axis,)
    )


def _pick(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "pick", values, 2, node)
    x, ids = _tensor(context, "pick", values[0]), _tensor(context, "pick", values[1])
    axis = _one_axis(context, "pick", bracket, x, node)
    if axis != len(x.shape) - 1:
        raise context.unsupported("`pick` along another axis than the last", node.span)
    wanted = TensorType(DType.I32, x.shape[:-1])
    element = resolved(ids.element)
    if isinstance(element, DType) and element is DType.I64:
        wanted = TensorType(DType.I64, x.shape[:-1])
    expect(context, values[1], wanted, values[1].span, "the index of `pick`")
    return typed.Builtin(
        TensorType(x.element, x.shape[:-1]), node.span, "pick", tuple(values), (-1,)
    )


def _cross(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "cross", values, 2, node)
    a = _tensor(context, "cross", values[0])
    wanted = TensorType(a.element, (Size.of(3),))
    for value in values:
        expect(context, value, wanted, value.span, "an operand of `cross`")
    return typed.Builtin(wanted, node.span, "cross", tuple(values))


def _rank(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "rank", values, 1, node)
    _tensor(context, "rank", values[0])
    type_ = context.untyped(NumberKind.INTEGER)
    return typed.Builtin(type_, node.span, "rank", tuple(values))


def _same(name: str):
    def check(
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        _take(context, name, values, 1, node)
        axes: tuple[int, ...] = ()
        if name != "stop_gradient":
            type_ = _tensor(context, name, values[0])
            axes = (_one_axis(context, name, bracket, type_, node) - len(type_.shape),)
        return typed.Builtin(values[0].type, node.span, name, tuple(values), axes)

    return check


def _one_hot(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "one_hot", values, 1, node)
    ids = _tensor(context, "one_hot", values[0])
    if bracket is None or len(bracket.items) != 1:
        raise context.fail("call.axis", "`one_hot` needs its size: `one_hot[K](y)`", node.span)
    axes = shape_items(context, bracket)
    element = context.number(NumberKind.FLOAT)
    return typed.Builtin(
        TensorType(element, (*ids.shape, *axes)), node.span, "one_hot", tuple(values), shape=axes
    )


def _made(name: str, count: int, kind: NumberKind):
    def check(
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        _take(context, name, values, 0, node)
        shape: tuple[Axis, ...] = shape_items(context, bracket) if bracket is not None else ()
        if len(shape) != 1:
            raise context.fail("call.axis", f"`{name}` needs its size: `{name}[N]()`", node.span)
        type_ = TensorType(context.number(kind), shape * count)
        return typed.Builtin(type_, node.span, name, (), shape=shape)

    return check


def _cast(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    _take(context, "cast", values, 1, node)
    item = bracket.items[0] if bracket is not None and len(bracket.items) == 1 else None
    if not isinstance(item, ast.Name) or item.text not in DTYPES:
        raise context.fail("call.axis", "`cast` needs its type: `cast[f32](x)`", node.span)
    dtype = dtype_named(context, item.text, item.span)
    assert dtype is not None
    type_ = pruned(values[0].type)
    if not isinstance(type_, TensorType):
        raise context.unsupported("casting a record", node.span)
    return typed.Convert(TensorType(dtype, type_.shape), node.span, dtype, values[0])


_TABLE = {
    "where": _where,
    "pick": _pick,
    "cast": _cast,
    "rank": _rank,
    "reshape": _reshape,
    "concat": _concat,
    "cross": _cross,
    "stop_gradient": _same("stop_gradient"),
    "cumsum": _same("cumsum"),
    "flip": _same("flip"),
    "one_hot": _one_hot,
    "arange": _made("arange", 1, NumberKind.INTEGER),
    "eye": _made("eye", 2, NumberKind.FLOAT),
}


# ---- records ----------------------------------------------------------------------------------


def _map(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    if len(arguments) < 2 or not isinstance(arguments[0], ast.Lambda):
        raise context.fail(
            "call.arguments", "`map` takes a function and records: `map(fn(p) => …, net)`",
            node.span,
        )  # fmt: skip
    trees = [context.check(argument) for argument in arguments[1:]]
    first = pruned(trees[0].type)
    if not is_record(first):
        raise context.fail("type.operand", f"`map` runs over records, not {first}", trees[0].span)
    for tree in trees[1:]:
        if not unify(context.facts, gradient_type(tree.type), gradient_type(first)):
            raise context.fail(
                "type.record", f"{first} and {pruned(tree.type)} have different parts", tree.span
            )
    leaf = TensorType(_record_element(context, first), (Pack("leaf"),))
    wanted = FunctionType((leaf,) * len(trees), leaf)
    function = check_lambda(context, arguments[0], wanted)
    assert isinstance(function, typed.FunctionValue)
    assert isinstance(function.callee, typed.Lambda)
    expect(context, function.callee.body, leaf, arguments[0].body.span, "the value for a leaf")
    return typed.MapLeaves(first, node.span, function.callee, tuple(trees))


# ---- randomness -------------------------------------------------------------------------------


def _key(context: Context, name: str, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    if not arguments:
        raise context.fail("call.count", f"`{name}` needs a key", node.span)
    key = context.check(arguments[0])
    if not isinstance(pruned(key.type), KeyType):
        raise context.fail(
            "type.operand", f"`{name}` takes a Key, not {pruned(key.type)}", arguments[0].span
        )
    return key


def _split(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    key = _key(context, "split", arguments, node)
    count = 2
    if len(arguments) > 1:
        size = try_size(context, arguments[1])
        constant = size.constant if size is not None else None
        if constant is None or constant < 1 or len(arguments) > 2:
            raise context.fail(
                "call.arguments", "`split(key, n)` takes a literal count", arguments[1].span,
                help=["for many keys fold the index in: `fold(key, i)`"],
            )  # fmt: skip
        count = constant
    spend(context, key)
    return typed.SplitKey(TupleType((KeyType(),) * count), node.span, key, count)


def _fold(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    key = _key(context, "fold", arguments, node)
    if len(arguments) != 2:
        raise context.fail("call.count", "`fold` takes a key and a number", node.span)
    data = context.check(arguments[1])
    type_ = pruned(data.type)
    element = resolved(type_.element) if isinstance(type_, TensorType) else None
    if isinstance(element, Number) and element.kind is not NumberKind.FLOAT:
        element.kind = NumberKind.INTEGER
    elif not (isinstance(element, DType) and element.is_integer):
        raise context.fail("type.operand", f"`fold` takes a whole number, not {type_}", data.span)
    if isinstance(type_, TensorType) and type_.shape:
        raise context.fail("type.operand", f"`fold` takes one number, not {type_}", data.span)
    return typed.FoldKey(KeyType(), node.span, key, data)


def _draw(
    context: Context,
    distribution: typed.Distribution,
    bracket: ast.Bracket | None,
    arguments: Sequence[ast.Expr],
    node: ast.Call,
) -> typed.Node:
    name = distribution.value
    key = _key(context, name, arguments, node)
    count = 2 if distribution is typed.Distribution.BERNOULLI else 1
    if len(arguments) != count:
        takes = "a key and a probability" if count == 2 else "a key"
        raise context.fail("call.count", f"`{name}` takes {takes}", node.span)
    parameters = tuple(context.check(argument) for argument in arguments[1:])
    for parameter in parameters:
        needs_float(context, name, parameter, parameter.span)
        type_ = pruned(parameter.type)
        if isinstance(type_, TensorType) and type_.shape:
            raise context.unsupported("a probability for each element", parameter.span)
    spend(context, key)
    shape = shape_items(context, bracket) if bracket is not None else None
    type_: Type
    if distribution is typed.Distribution.BERNOULLI:
        type_ = TensorType(DType.BOOL, shape or ())
    elif shape is not None:
        type_ = TensorType(context.number(NumberKind.FLOAT), shape)
    else:
        type_ = context.hole(NumberKind.FLOAT)
    return typed.Draw(type_, node.span, distribution, key, parameters)
