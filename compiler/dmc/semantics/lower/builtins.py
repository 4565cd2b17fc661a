"""Functions of the prelude that are not elementwise, and randomness."""

from __future__ import annotations

from collections.abc import Callable

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, random, tensor
from dmc.dialects.arith import Direction
from dmc.ir import DType, TensorType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.elementwise import apply, broadcast, stop_gradient
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple
from dmc.semantics.sizes import Size
from dmc.semantics.types import TensorType as Tensor


def _builtin(body: Body, node: typed.Builtin) -> Lowered:
    return _LOWER[node.function](body, node)


def _where(body: Body, node: typed.Builtin) -> Lowered:
    condition = body.lower(node.operands[0])
    yes, no = body.lower(node.operands[1]), body.lower(node.operands[2])
    if isinstance(yes, Record | Tuple) or isinstance(no, Record | Tuple):
        return choose(body, condition, yes, no)
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


def choose(body: Body, condition: Lowered, yes: Lowered, no: Lowered) -> Lowered:
    """Select leaf by leaf under one condition."""
    match yes, no:
        case Record(type_, a), Record(_, b):
            return Record(type_, {n: choose(body, condition, a[n], b[n]) for n in a})
        case Tuple(a), Tuple(b):
            return Tuple(tuple(choose(body, condition, x, y) for x, y in zip(a, b, strict=True)))
        case Array(value), _:
            arrays, _ = broadcast(body, [condition, yes, no], dtype_of(value.type))
            return Array(arith.select(body.builder, *arrays))
        case _:
            raise CompilerBug("`where` chooses between values of one structure")


def _matmul(body: Body, node: typed.Builtin) -> Lowered:
    x, w = (body.array(operand) for operand in node.operands)
    return Array(tensor.matmul(body.builder, x, w))


def _transpose(body: Body, node: typed.Builtin) -> Lowered:
    x = body.array(node.operands[0])
    rank = len(shape_of(x.type))
    order = [*range(rank - 2), rank - 1, rank - 2]
    return Array(tensor.transpose(body.builder, x, order))


def _reshape(body: Body, node: typed.Builtin) -> Lowered:
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    shape = [body.size(axis, node.span) for axis in type_.shape if isinstance(axis, Size)]
    return Array(tensor.reshape(body.builder, body.array(node.operands[0]), shape))


def _concat(body: Body, node: typed.Builtin) -> Lowered:
    parts = [body.array(operand) for operand in node.operands]
    axis = node.axes[0] % len(shape_of(parts[0].type))
    return Array(tensor.concatenate(body.builder, parts, axis))


def _pick(body: Body, node: typed.Builtin) -> Lowered:
    x, ids = (body.array(operand) for operand in node.operands)
    shape, axis = shape_of(ids.type), node.axes[0] % len(shape_of(x.type))
    places = tensor.reshape(body.builder, ids, (*shape[:axis], 1, *shape[axis:]))
    taken = tensor.take_along(body.builder, x, places, axis)
    return Array(tensor.reshape(body.builder, taken, shape))


def _cross(body: Body, node: typed.Builtin) -> Lowered:
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


def _rank(body: Body, node: typed.Builtin) -> Lowered:
    value = body.lower(node.operands[0])
    return Static(len(shape_of(value.value.type)) if isinstance(value, Array) else 0)


def _stop_gradient(body: Body, node: typed.Builtin) -> Lowered:
    return stop_gradient(body, body.value(node.operands[0]))


def _cumsum(body: Body, node: typed.Builtin) -> Lowered:
    x = body.array(node.operands[0])
    return Array(tensor.cumsum(body.builder, x, node.axes[0] % len(shape_of(x.type))))


def _flip(body: Body, node: typed.Builtin) -> Lowered:
    x = body.array(node.operands[0])
    return Array(tensor.reverse(body.builder, x, [node.axes[0] % len(shape_of(x.type))]))


def _cumprod(body: Body, node: typed.Builtin) -> Lowered:
    x = body.array(node.operands[0])
    return Array(tensor.cumprod(body.builder, x, node.axes[0] % len(shape_of(x.type))))


def _last(body: Body, x: Value, axis: int) -> tuple[Value, list[int]]:
    """`x` with an axis moved to the end, and the permutation that moves it back."""
    rank = len(shape_of(x.type))
    order = [d for d in range(rank) if d != axis % rank] + [axis % rank]
    back = [order.index(d) for d in range(rank)]
    return tensor.transpose(body.builder, x, order), back


def _sort(body: Body, node: typed.Builtin) -> Lowered:
    x, back = _last(body, body.array(node.operands[0]), node.axes[0])
    return Array(tensor.transpose(body.builder, tensor.sort(body.builder, x), back))


def _argsort(body: Body, node: typed.Builtin) -> Lowered:
    x, back = _last(body, body.array(node.operands[0]), node.axes[0])
    return Array(tensor.transpose(body.builder, tensor.argsort(body.builder, x), back))


def _top_k(body: Body, node: typed.Builtin) -> Lowered:
    x = body.array(node.operands[0])
    (count,) = node.shape
    assert isinstance(count, Size)
    k, length = body.size(count, node.span), shape_of(x.type)[-1]
    if k > length:
        raise body.fail("index.bounds", f"the {k} largest of {length} elements", node.span)
    largest, places = tensor.top_k(body.builder, x, k)
    return Tuple((Array(largest), Array(places)))


def _triangle(direction: Direction) -> Callable[[Body, typed.Builtin], Lowered]:
    """Elements where row compares so with column; zero elsewhere."""

    def lower(body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        shape = shape_of(x.type)
        places = TensorType(shape, DType.I64)
        rank = len(shape)
        rows = tensor.iota(body.builder, places, rank - 2)
        columns = tensor.iota(body.builder, places, rank - 1)
        inside = arith.compare(body.builder, direction, rows, columns)
        return Array(arith.select(body.builder, inside, x, arith.zeros(body.builder, x.type)))

    return lower


def _linspace(body: Body, node: typed.Builtin) -> Lowered:
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    (count,) = node.shape
    assert isinstance(count, Size)
    n, dtype = body.size(count, node.span), body.dtype(type_.element)
    first, last = (body.materialize(body.lower(o), Tensor(dtype)) for o in node.operands)
    steps = tensor.iota(body.builder, TensorType((n,), dtype), 0)
    share = arith.divide(body.builder, steps, body.constant(max(n - 1, 1), dtype, n))
    span = apply(body, "-", [last, first])
    return apply(body, "+", [first, apply(body, "*", [span, Array(share)])])


def _roll(body: Body, node: typed.Builtin) -> Lowered:
    """Element i comes from i - shift, round the end."""
    x = body.array(node.operands[0])
    axis = node.axes[0] % len(shape_of(x.type))
    size = shape_of(x.type)[axis]
    if size == 0:
        return Array(x)
    places = Array(tensor.arange(body.builder, size))
    moved = apply(body, "-", [places, body.value(node.operands[1])])
    wrapped = apply(body, "%", [moved, Static(size)])
    assert isinstance(wrapped, Array)
    return Array(tensor.take(body.builder, x, wrapped.value, axis))


def _one_hot(body: Body, node: typed.Builtin) -> Lowered:
    ids = body.array(node.operands[0])
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    shape = [body.size(axis, node.span) for axis in type_.shape if isinstance(axis, Size)]
    places = tensor.iota(body.builder, TensorType(tuple(shape), dtype_of(ids.type)), len(shape) - 1)
    spread = tensor.broadcast_in_dim(body.builder, ids, shape, range(len(shape) - 1))
    equal = arith.compare(body.builder, Direction.EQ, places, spread)
    return Array(arith.convert(body.builder, equal, body.dtype(type_.element)))


def _arange(body: Body, node: typed.Builtin) -> Lowered:
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    assert isinstance(type_.shape[0], Size)
    count = body.size(type_.shape[0], node.span)
    return Array(tensor.arange(body.builder, count, body.dtype(type_.element)))


def _eye(body: Body, node: typed.Builtin) -> Lowered:
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    assert isinstance(type_.shape[0], Size)
    count = body.size(type_.shape[0], node.span)
    index = TensorType((count, count), DType.I64)
    rows, columns = (tensor.iota(body.builder, index, axis) for axis in (0, 1))
    equal = arith.compare(body.builder, Direction.EQ, rows, columns)
    return Array(arith.convert(body.builder, equal, body.dtype(type_.element)))


_LOWER: dict[str, Callable[[Body, typed.Builtin], Lowered]] = {
    "where": _where,
    "matmul": _matmul,
    "transpose": _transpose,
    "reshape": _reshape,
    "concat": _concat,
    "pick": _pick,
    "cross": _cross,
    "rank": _rank,
    "stop_gradient": _stop_gradient,
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "flip": _flip,
    "sort": _sort,
    "argsort": _argsort,
    "top_k": _top_k,
    "tril": _triangle(Direction.GE),
    "triu": _triangle(Direction.LE),
    "linspace": _linspace,
    "roll": _roll,
    "one_hot": _one_hot,
    "arange": _arange,
    "eye": _eye,
}


# ---- randomness -------------------------------------------------------------------------------


def _draw(body: Body, node: typed.Draw) -> Lowered:
    key = body.array(node.key)
    type_ = body.type(node)
    assert isinstance(type_, Tensor)
    shape = [body.size(axis, node.span) for axis in type_.shape if isinstance(axis, Size)]
    match node.distribution:
        case typed.Distribution.NORMAL:
            return Array(random.normal(body.builder, key, shape, body.dtype(type_.element)))
        case typed.Distribution.UNIFORM:
            return Array(random.uniform(body.builder, key, shape, body.dtype(type_.element)))
        case typed.Distribution.BERNOULLI:
            chance = body.array(node.parameters[0])
            return Array(random.bernoulli(body.builder, key, chance, shape))


def _split(body: Body, node: typed.SplitKey) -> Lowered:
    keys = random.split(body.builder, body.array(node.key), node.count)
    return Tuple(
        tuple(Array(tensor.index_axis(body.builder, keys, 0, i)) for i in range(node.count))
    )


def _fold(body: Body, node: typed.FoldKey) -> Lowered:
    data = arith.convert(body.builder, body.array(node.data), DType.I64)
    return Array(random.fold(body.builder, body.array(node.key), data))


register(typed.Builtin, _builtin)
register(typed.Draw, _draw)
register(typed.SplitKey, _split)
register(typed.FoldKey, _fold)
