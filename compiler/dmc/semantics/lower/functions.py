"""Calls: instances of declared functions, functions inlined because they see local names.

A function value may change variables around it: `integrate(net.step, x)` does what `net.step(x)`
does with `net`, at each call. For the time of a call such variables become cells, which function
values hold in their place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import func
from dmc.ir import Value
from dmc.semantics import typed
from dmc.semantics.lower.access import update
from dmc.semantics.lower.body import Body, register, symbol_type
from dmc.semantics.lower.elementwise import apply
from dmc.semantics.lower.values import (
    Cell,
    Function,
    Lowered,
    Pullback,
    Tuple,
    cells_in,
    flatten,
    rebind,
    values_in,
)
from dmc.semantics.typed import Callee, DeclaredFunction, Symbol
from dmc.semantics.types import (
    FunctionType,
    GenericValue,
    Substitution,
    Type,
    pruned,
)

__all__ = [
    "Outlined", "call", "call_function", "capture", "carried", "complete", "concrete", "inline",
    "nested", "outline", "register_call", "result_type",
]  # fmt: skip


def capture(body: Body, callee: Callee) -> Lowered:
    """A function value: the names it uses, as they are now."""
    if isinstance(callee, typed.LocalFunction):
        return body.environment[callee.symbol]
    environment = {
        symbol: body.environment[symbol]
        for symbol in free_symbols(callee)
        if symbol in body.environment
    }
    return Function(callee, environment, body.substitution)


def _function_value(body: Body, node: typed.FunctionValue) -> Lowered:
    return capture(body, node.callee)


def free_symbols(root: object) -> list[Symbol]:
    """Every name that a function's body or receiver reads, its own included."""
    found: dict[Symbol, None] = {}
    pending: list[object] = [root]
    while pending:
        item = pending.pop()
        match item:
            case typed.Local(symbol=symbol) | typed.LocalFunction(symbol=symbol):
                found.setdefault(symbol)
            case typed.Place(symbol=symbol):
                found.setdefault(symbol)
            case typed.Pull(function=symbol):
                found.setdefault(symbol)
            case typed.Variation(pairs=pairs):
                found.update(dict.fromkeys(symbol for pair in pairs for symbol in pair))
            case _:
                pass
        if isinstance(item, tuple):
            pending.extend(item)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(item, _TREE):
            pending.extend(getattr(item, f.name) for f in dataclasses.fields(item))
    return list(found)


_TREE = (
    typed.Node, typed.IndexRange, typed.AtIndex, typed.AtSlice, typed.Place, typed.UserFunction,
    typed.Lambda, typed.Derived,
)  # fmt: skip


# ---- calls ------------------------------------------------------------------------------------


def _call(body: Body, node: typed.Call) -> Lowered:
    arguments = [
        None if argument is None or _is_function(argument) else body.value(argument)
        for argument in node.arguments
    ]
    functions = [a for a in node.arguments if a is not None and _is_function(a)]
    callee = node.callee
    passed = callee if isinstance(callee, typed.Derived | typed.Lambda) else None
    lent = _lend(body, carried(body, passed, *functions))
    scope = nested(body, {**body.environment, **lent}, body.substitution) if lent else body
    for index, argument in enumerate(node.arguments):
        if argument is not None and _is_function(argument):
            arguments[index] = scope.value(argument)
    if isinstance(callee, typed.Lambda):
        seen = capture(scope, callee)
        assert isinstance(seen, Function)
        result = call_function(scope, seen, arguments, node)
    else:
        result = call(scope, callee, arguments, node)
    for symbol, cell in lent.items():
        body.assign(symbol, body.cells.pop(cell))
    if node.updates is None:
        return result
    assert isinstance(result, Tuple)
    result, receiver = result.items
    place = node.updates
    current = body.environment[place.symbol]
    body.assign(place.symbol, update(body, current, place.path, receiver, node.span))
    return result


def _is_function(node: typed.Node) -> bool:
    return isinstance(pruned(node.type), FunctionType)


def _lend(body: Body, symbols: Sequence[Symbol | Cell]) -> dict[Symbol, Cell]:
    """Make cells of variables; the others are cells already."""
    lent: dict[Symbol, Cell] = {}
    for symbol in symbols:
        if isinstance(symbol, Symbol):
            lent[symbol] = cell = Cell(symbol.name, symbol_type(body, symbol))
            body.cells[cell] = body.held(symbol)
    return lent


def carried(body: Body, *nodes: object) -> list[Symbol | Cell]:
    """Variables of the surroundings that are assigned below, and those that calls may change."""
    found: dict[Symbol | Cell, None] = {}
    for node in nodes:
        for symbol in typed.assigned(node):
            if symbol in body.environment:
                found.setdefault(symbol)
        for symbol in free_symbols(node) if body.cells else ():
            if symbol in body.environment:
                found.update(dict.fromkeys(cells_in(body.environment[symbol])))
    return list(found)


CallRule = Callable[["Body", Any, "Sequence[Lowered | None]", typed.Node], Lowered]
_CALLS: dict[type[Callee], CallRule] = {}


def register_call(kind: type[Callee], rule: CallRule) -> None:
    """Say how calls of a kind of function are lowered."""
    _CALLS[kind] = rule


def call(
    body: Body, callee: Callee, arguments: Sequence[Lowered | None], node: typed.Node
) -> Lowered:
    """A call with lowered arguments; None takes the default."""
    return _CALLS[type(callee)](body, callee, arguments, node)


def _call_local(
    body: Body,
    callee: typed.LocalFunction,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    function = body.environment[callee.symbol]
    assert isinstance(function, Function)
    return call_function(body, function, arguments, node)


def _call_lambda(
    body: Body, callee: typed.Lambda, arguments: Sequence[Lowered | None], node: typed.Node
) -> Lowered:
    changed = [s for s in typed.assigned(callee.body) if s in body.environment]
    current = {symbol: body.held(symbol) for symbol in changed}
    scope = nested(body, {**body.environment, **current}, body.substitution)
    for parameter, argument in zip(callee.parameters, arguments, strict=True):
        assert argument is not None
        scope.assign(parameter, argument)
    value = scope.value(callee.body)
    for symbol in changed:
        cell = body.environment[symbol]
        assert isinstance(cell, Cell)
        body.cells[cell] = scope.environment[symbol]
    return value


def _call_prelude(
    body: Body,
    callee: typed.PreludeFunction,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    return apply(body, callee.function, [a for a in arguments if a is not None])


def call_function(
    body: Body, function: Function, arguments: Sequence[Lowered | None], node: typed.Node
) -> Lowered:
    """Call a function value in the surroundings that it saw when it was made."""
    inner = nested(body, dict(function.environment), function.substitution)
    return call(inner, function.callee, arguments, node)


def nested(body: Body, environment: dict[Symbol, Lowered], substitution: Substitution) -> Body:
    """Other names and generics at the same insertion point."""
    bounds = dict(body.bounds)
    return Body(
        body.lowering, body.builder, substitution, environment, bounds, body.opened, body.cells
    )


def concrete(substitution: Substitution, values: dict[str, GenericValue]) -> Substitution:
    """Generic arguments in the caller's terms, with the caller's values put in."""
    result = Substitution()
    for name, value in values.items():
        result = result.extended(name, substitution.value(value))
    return result


def result_type(declaration: DeclaredFunction, substitution: Substitution) -> Type:
    """What an instance gives: for a `mut fn` its result and the updated receiver."""
    return substitution.type(declaration.gives)


def complete(
    body: Body,
    declaration: DeclaredFunction,
    substitution: Substitution,
    arguments: Sequence[Lowered | None],
    receiver: Lowered | None,
) -> list[Lowered]:
    """All arguments as tensors, defaults lowered in the callee's terms."""
    scope = nested(body, {}, substitution)
    if receiver is not None and declaration.self_symbol is not None:
        scope.environment[declaration.self_symbol] = receiver
    given: list[Lowered] = []
    for symbol, argument, default in zip(
        declaration.symbols, arguments, declaration.defaults, strict=True
    ):
        type_ = substitution.type(symbol.type)
        if argument is None:
            assert default is not None
            argument = scope.lower(default)
        value = body.materialize(argument, type_)
        scope.environment[symbol] = value
        given.append(value)
    return given


def inline(
    body: Body,
    declaration: DeclaredFunction,
    substitution: Substitution,
    arguments: Sequence[Lowered],
    receiver: Lowered | None,
) -> Lowered:
    """The body of a function at the insertion point; of a `mut fn` with the updated receiver."""
    scope = nested(body, {}, substitution)
    if receiver is not None and declaration.self_symbol is not None:
        scope.environment[declaration.self_symbol] = receiver
    for symbol, value in zip(declaration.symbols, arguments, strict=True):
        scope.environment[symbol] = value
    assert declaration.body is not None
    assert declaration.result is not None
    value = scope.lower(declaration.body)
    value = scope.materialize(value, substitution.type(declaration.result))
    if declaration.is_mutable and declaration.self_symbol is not None:
        return Tuple((value, scope.environment[declaration.self_symbol]))
    return value


# ---- functions of their own -------------------------------------------------------------------


@dataclass(frozen=True)
class Outlined:
    """A function of the module that computes a call.

    Its first arguments are the values that are `captured`, the others the leaves of those that are
    `given`. Its last results are what it makes of `cells`.
    """

    function: func.Func
    captured: Sequence[Value]
    given: Sequence[Lowered]
    cells: Sequence[Cell] = ()


def outline(
    body: Body, callee: Callee, arguments: Sequence[Lowered | None], node: typed.Node
) -> Outlined:
    """A function of the module that computes the call, for the differentiation operators."""
    callee, environment, substitution = _resolve(body, callee)
    scope = nested(body, environment, substitution)
    if isinstance(callee, typed.UserFunction):
        declaration = callee.declaration
        generics = concrete(substitution, dict(callee.generics))
        receiver = scope.value(callee.receiver) if callee.receiver is not None else None
        given = complete(scope, declaration, generics, arguments, receiver)
        # A rule belongs to calls of its function: it is differentiated through a wrapper.
        if not declaration.rules and not any(isinstance(value, Function) for value in given):
            captured = flatten(receiver) if receiver is not None else []
            return Outlined(body.lowering.instance(declaration, generics), captured, given)
    else:
        given = [argument for argument in arguments if argument is not None]
    seen = capture(scope, callee)
    functions = [value for value in given if isinstance(value, Function | Pullback)]
    cells = list(dict.fromkeys(cell for item in (seen, *functions) for cell in cells_in(item)))
    held = [body.cells[cell] for cell in cells]
    captured = list(dict.fromkeys(v for i in (seen, *functions, *held) for v in values_in(i)))
    plain = [leaf for value in given if not isinstance(value, Function) for leaf in flatten(value)]
    types = [value.type for value in (*captured, *plain)]
    names = [value.name for value in (*captured, *plain)]
    function, builder = func.function(
        body.lowering.module, _name(callee), types, names, body.builder.location, private=True
    )
    renamed = dict(zip(captured, function.body.args, strict=False))
    leaves = iter(function.body.args[len(captured) :])
    inner = Body(body.lowering, builder, substitution, {}, dict(body.bounds))
    seen = rebind(seen, lambda value: renamed[value])
    for cell, value in zip(cells, held, strict=True):
        inner.cells[cell] = rebind(value, lambda value: renamed[value])
    passed = [
        rebind(value, lambda v: renamed[v])
        if isinstance(value, Function | Pullback)
        else _like(value, leaves)
        for value in given
    ]
    if isinstance(seen, Function):
        result = call_function(inner, seen, passed, node)
    else:
        raise CompilerBug("nothing to call")
    result = inner.materialize(result, _result_type(body, node))
    after = [leaf for cell in cells for leaf in flatten(inner.cells[cell])]
    func.finish(function, builder, [*flatten(result), *after])
    return Outlined(function, captured, given, cells)


def _result_type(body: Body, node: typed.Node) -> Type:
    """Only numbers need a type to become tensors; a derivative's own type says enough."""
    return body.substitution.type(pruned(node.type))


def _resolve(body: Body, callee: Callee) -> tuple[Callee, dict[Symbol, Lowered], Substitution]:
    """Follow local names to the function they hold."""
    environment, substitution = dict(body.environment), body.substitution
    while isinstance(callee, typed.LocalFunction):
        function = environment[callee.symbol]
        assert isinstance(function, Function)
        callee = function.callee
        environment, substitution = dict(function.environment), function.substitution
    return callee, environment, substitution


def _name(callee: Callee) -> str:
    match callee:
        case typed.UserFunction(declaration=declaration):
            return declaration.full_name
        case typed.Derived(operator=operator):
            return operator.value
        case typed.PreludeFunction(function=function):
            return function.name
        case _:
            return "lambda"


def _like(value: Lowered, leaves: Iterator[Value]) -> Lowered:
    """The structure of `value` with other leaves."""
    return rebind(value, lambda _: next(leaves))


register_call(typed.LocalFunction, _call_local)
register_call(typed.Lambda, _call_lambda)
register_call(typed.PreludeFunction, _call_prelude)
register(typed.Call, _call)
register(typed.FunctionValue, _function_value)
