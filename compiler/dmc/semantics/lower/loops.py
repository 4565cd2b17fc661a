"""Branches, loops and assignment: variables become values carried through regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, control
from dmc.dialects.arith import Direction
from dmc.ir import Block, DType, TensorType, Value, shape_of
from dmc.ir import Type as IRType
from dmc.semantics import typed
from dmc.semantics.lower.access import update
from dmc.semantics.lower.body import Body, register, symbol_type
from dmc.semantics.lower.functions import carried
from dmc.semantics.lower.values import UNIT, Array, Cell, Lowered, Static, Tuple, flatten, rebuild
from dmc.semantics.typed import Symbol
from dmc.semantics.types import StackType, Type, pruned
from dmc.semantics.types import TensorType as Tensor


def _assign(body: Body, node: typed.Assign) -> Lowered:
    value = body.lower(node.value)
    parts = [value]
    if len(node.targets) > 1:
        assert isinstance(value, Tuple)
        parts = list(value.items)
    for place, part in zip(node.targets, parts, strict=True):
        new = body.materialize(part, body.substitution.type(pruned(place.type)))
        current = body.environment[place.symbol]
        if place.path:
            current = body.materialize(current, symbol_type(body, place.symbol))
        changed = update(body, current, place.path, new, node.span, node.change)
        body.assign(place.symbol, changed)
    return UNIT


def _state(body: Body, symbols: Sequence[Symbol | Cell]) -> list[Value]:
    """The current values of variables, as tensors of their types."""
    values: list[Value] = []
    for symbol in symbols:
        value = body.held(symbol)
        body.hold(symbol, value)
        values += flatten(value)
    return values


def _restore(body: Body, symbols: Sequence[Symbol | Cell], values: Iterator[Value]) -> None:
    for symbol in symbols:
        type_ = symbol.type if isinstance(symbol, Cell) else symbol_type(body, symbol)
        body.hold(symbol, rebuild(type_, values))


def _names(symbols: Sequence[Symbol | Cell], types: list[IRType]) -> list[str]:
    """Names for block arguments, where a variable is one tensor."""
    return [s.name for s in symbols] if len(symbols) == len(types) else []


# ---- branches ---------------------------------------------------------------------------------


def _if(body: Body, node: typed.If) -> Lowered:
    condition = body.lower(node.condition)
    if isinstance(condition, Static):
        taken = node.then if condition.value else node.otherwise
        return body.lower(taken) if taken is not None else UNIT
    assert isinstance(condition, Array)
    return branch(body, condition, node.then, node.otherwise, body.type(node))


def branch(
    body: Body, condition: Array, then: typed.Node, otherwise: typed.Node | None, type_: Type
) -> Lowered:
    """What one of two nodes gives, which is of `type_`; the other one is not evaluated."""
    symbols = carried(body, then, otherwise)
    before = _state(body, symbols)
    branches: list[tuple[Body, list[Value]]] = []
    for node in (then, otherwise):
        inner = body.inside(Block())
        value: Lowered = UNIT
        if node is not None:
            value = inner.materialize(inner.lower(node), type_)
        branches.append((inner, [*flatten(value), *_state(inner, symbols)]))
    # Of a record with one assigned field only that field passes through the branch.
    (yes, on_true), (no, on_false) = branches
    count = len(on_true) - len(before)
    changed = [
        i
        for i, (a, b) in enumerate(zip(on_true, on_false, strict=True))
        if i < count or a is not b or a is not before[i - count]
    ]
    control.make_yield(yes.builder, [on_true[i] for i in changed])
    control.make_yield(no.builder, [on_false[i] for i in changed])
    made = control.make_if(body.builder, condition.value, yes.builder.block, no.builder.block)
    values = [*on_true[:count], *before]
    for i, result in zip(changed, made.results, strict=True):
        values[i] = result
    results = iter(values)
    value = rebuild(type_, results)
    _restore(body, symbols, results)
    return value


# ---- for --------------------------------------------------------------------------------------


def _for(body: Body, node: typed.For) -> Lowered:
    symbols = carried(body, node.body)
    inits = _state(body, symbols)
    scanned: list[Value] = []
    offset: Lowered = Static(0)
    if node.scanned is not None:
        scanned = body.leaves(node.scanned)
        assert node.count is not None
        trips: int | None = body.size(node.count, node.span)
        count = arith.index(body.builder, trips or 0)
    else:
        assert node.start is not None
        assert node.stop is not None
        offset, stop = body.lower(node.start), body.lower(node.stop)
        trips, count = _trip_count(body, offset, stop)
    types: list[IRType] = [value.type for value in inits]
    slices: list[IRType] = [_element_type(value) for value in scanned]
    index_name = (
        node.pattern.name if node.scanned is None and isinstance(node.pattern, Symbol) else "i"
    )
    names = _names(symbols, types)
    block = Block([control.INDEX, *types, *slices], [index_name, *names])
    inner = body.inside(block)
    arguments = iter(block.args[1:])
    _restore(inner, symbols, arguments)
    if node.scanned is not None:
        element = rebuild(_scanned_type(body, node.scanned), arguments)
        inner.bind(node.pattern, element)
    elif isinstance(node.pattern, Symbol):
        index: Value = block.args[0]
        if not (isinstance(offset, Static) and offset.value == 0):
            start = _whole(inner, offset)
            index = arith.add(inner.builder, index, start)
        inner.environment[node.pattern] = Array(index)
        if trips is not None and isinstance(offset, Static):
            inner.bounds[node.pattern] = int(offset.value) + trips
    value = inner.value(node.body)
    if flatten(value) and node.count is not None:
        body.size(node.count, node.span)  # an axis of the stack
    control.make_yield(inner.builder, [*_state(inner, symbols), *flatten(value)])
    loop = control.make_for(
        body.builder,
        count,
        inits,
        scanned,
        block,
        trips if trips is not None else -1,
        checkpoint=node.checkpoint,
    )
    _restore(body, symbols, iter(loop.finals))
    return rebuild(body.type(node), iter(loop.stacks))


def _element_type(value: Value) -> TensorType:
    type_ = value.type
    assert isinstance(type_, TensorType)
    return TensorType(shape_of(type_)[1:], type_.dtype)


def _scanned_type(body: Body, scanned: typed.Node) -> Type:
    match body.type(scanned):
        case Tensor(element, shape):
            return Tensor(element, shape[1:])
        case StackType(_, item):
            return item
        case other:
            raise CompilerBug(f"{other} has no axis to run over")


def _whole(body: Body, value: Lowered) -> Value:
    if isinstance(value, Static):
        return arith.index(body.builder, int(value.value))
    assert isinstance(value, Array)
    return arith.convert(body.builder, value.value, DType.I64)


def _trip_count(body: Body, start: Lowered, stop: Lowered) -> tuple[int | None, Value]:
    if isinstance(start, Static) and isinstance(stop, Static):
        trips = max(int(stop.value) - int(start.value), 0)
        return trips, arith.index(body.builder, trips)
    last = _whole(body, stop)
    if isinstance(start, Static) and start.value == 0:
        return None, last
    return None, arith.subtract(body.builder, last, _whole(body, start))


# ---- while ------------------------------------------------------------------------------------


def _while(body: Body, node: typed.While) -> Lowered:
    """A condition that changes variables is evaluated before the loop and behind each iteration."""
    symbols = carried(body, node.condition, node.body)
    is_pure = not carried(body, node.condition)
    extra = [] if is_pure else [body.array(node.condition)]
    inits = [*_state(body, symbols), *extra]
    limit = _whole(body, body.lower(node.limit)) if node.limit is not None else None
    if limit is not None:
        inits.append(arith.index(body.builder, 0))
    types = [value.type for value in inits]
    names = _names(symbols, types[:-1] if limit is not None else types)
    test, step = Block(types, names), Block(types, names)
    checking, stepping = body.inside(test), body.inside(step)
    rest = iter(test.args)
    _restore(checking, symbols, rest)
    holds = checking.array(node.condition) if is_pure else next(rest)
    if limit is not None:
        left = arith.compare(checking.builder, Direction.LT, test.args[-1], limit)
        holds = arith.logical_and(checking.builder, holds, left)
    control.make_yield(checking.builder, [holds])
    _restore(stepping, symbols, iter(step.args))
    stepping.lower(node.body)
    again = [] if is_pure else [stepping.array(node.condition)]
    values = [*_state(stepping, symbols), *again]
    if limit is not None:
        one = arith.index(stepping.builder, 1)
        values.append(arith.add(stepping.builder, step.args[-1], one))
    control.make_yield(stepping.builder, values)
    loop = control.make_while(body.builder, inits, test, step, node.checkpoint)
    _restore(body, symbols, iter(loop.results))
    return UNIT


register(typed.Assign, _assign)
register(typed.If, _if)
register(typed.For, _for)
register(typed.While, _while)
