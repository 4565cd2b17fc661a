"""Calls of declared functions, and the rules that some have for their derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dmc.dialects import arith, func
from dmc.dialects.derivatives import Problem
from dmc.ir import Location, SymbolRef, Value, dtype_of
from dmc.semantics import typed
from dmc.semantics.lower.body import Body, trained_part
from dmc.semantics.lower.functions import (
    call_function,
    complete,
    concrete,
    inline,
    register_call,
    result_type,
)
from dmc.semantics.lower.values import (
    Array,
    Function,
    Lowered,
    Tuple,
    cells_in,
    flatten,
    rebind,
    rebuild,
    trained_positions,
    values_in,
)
from dmc.semantics.typed import DeclaredFunction, Symbol, SymbolKind
from dmc.semantics.types import UNIT, FunctionType, Substitution, Type, leaves

__all__ = ["attach_rules", "call_declared"]


def _call(
    body: Body,
    callee: typed.UserFunction,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    declaration = callee.declaration
    substitution = concrete(body.substitution, dict(callee.generics))
    receiver = body.value(callee.receiver) if callee.receiver is not None else None
    given = complete(body, declaration, substitution, arguments, receiver)
    return call_declared(body, declaration, substitution, given, receiver)


def call_declared(
    body: Body,
    declaration: DeclaredFunction,
    substitution: Substitution,
    given: Sequence[Lowered],
    receiver: Lowered | None,
) -> Lowered:
    """A call, of an instance; where functions are given, of one for these, or inlined."""
    if any(isinstance(value, Function) for value in given):
        use = _specialized if declaration.rules else inline
        return use(body, declaration, substitution, given, receiver)
    instance = body.lowering.instance(declaration, substitution)
    values = flatten(receiver) if receiver is not None else []
    for value in given:
        values += flatten(value)
    results = func.call(body.builder, instance, values)
    return rebuild(result_type(declaration, substitution), iter(results))


def _specialized(
    body: Body,
    declaration: DeclaredFunction,
    substitution: Substitution,
    given: Sequence[Lowered],
    receiver: Lowered | None,
) -> Lowered:
    """A call of an instance of a function with rules, made for the functions that are given.

    The instance takes what the functions have captured first.
    """
    functions = [value for value in given if isinstance(value, Function)]
    for cell in (cell for function in functions for cell in cells_in(function)):
        raise body.fail(
            "state.immutable",
            f"a function that changes `{cell.name}` is given to one with a derivative rule",
            declaration.span,
            f"the rules of `{declaration.name}` say nothing of it",
            ["give it a function that changes nothing"],
        )
    values = [value for function in functions for value in values_in(function)]
    plain = [receiver] if receiver is not None else []
    plain += [value for value in given if not isinstance(value, Function)]
    values += [leaf for value in plain for leaf in flatten(value)]
    instance, builder = func.function(
        body.lowering.module,
        declaration.full_name,
        [value.type for value in values],
        [value.name for value in values],
        Location(declaration.span),
        private=True,
    )
    arguments = iter(instance.body.args)
    seen = [_like(function, arguments) for function in functions]
    inside = Body(body.lowering, builder, substitution, {})
    own_receiver = _like(receiver, arguments) if receiver is not None else None
    captured = iter(seen)
    passed = [
        next(captured) if isinstance(value, Function) else _like(value, arguments)
        for value in given
    ]
    func.finish(
        instance, builder, flatten(inline(inside, declaration, substitution, passed, own_receiver))
    )
    attach_rules(body, declaration, substitution, instance, functions)
    results = func.call(body.builder, instance, values)
    return rebuild(result_type(declaration, substitution), iter(results))


def _like(value: Lowered, arguments: Iterator[Value]) -> Lowered:
    return rebind(value, lambda _: next(arguments))


def attach_rules(
    body: Body,
    declaration: DeclaredFunction,
    substitution: Substitution,
    instance: func.Func,
    functions: Sequence[Function] = (),
) -> None:
    """Lower the rules of a function for an instance that was made for `functions`."""
    for name in declaration.rules:
        made = _Rule(body, declaration, name, substitution, instance)
        lowered = made.lower(functions)
        instance.attributes[f"{name}_rule"] = SymbolRef(lowered.sym_name)


class _Rule:
    """A rule as a function: of what its instance takes and gives, and of vectors.

    There is a vector for each float among what the instance takes, or gives. The rule sees those of
    what is trained; to others nothing flows.
    """

    def __init__(
        self,
        body: Body,
        declaration: DeclaredFunction,
        name: str,
        substitution: Substitution,
        instance: func.Func,
    ) -> None:
        self.rule = rule = declaration.rules[name]
        self.result = substitution.type(declaration.gives)
        self.substitution, self.instance = substitution, instance
        self.is_jvp = name == "jvp"
        self.name = name
        taken, given = instance.function_type.inputs, instance.function_type.results
        vectors = [t for t in (taken if self.is_jvp else given) if dtype_of(t).is_float]
        self.function, builder = func.function(
            body.lowering.module,
            f"{instance.sym_name}_{name}",
            [*taken, *given, *vectors],
            [],
            Location(rule.body.span),
            private=True,
        )
        self.body = Body(body.lowering, builder, substitution, {})
        arguments = self.function.body.args
        self.taken, self.given = arguments[: len(taken)], arguments[len(taken) :][: len(given)]
        moved = [v for v in (self.taken if self.is_jvp else self.given) if _is_float(v)]
        self.vectors = dict(zip(moved, arguments[len(taken) + len(given) :], strict=True))
        self.trained: list[Value] = []
        """What the value of the rule belongs to, in order."""

    def lower(self, functions: Sequence[Function]) -> func.Func:
        """The function of the rule."""
        body, rule = self.body, self.rule
        arguments = iter(self.taken)
        seen = iter([_like(function, arguments) for function in functions])
        tangents: list[Lowered] = []
        for symbol in rule.inputs:
            type_ = self.substitution.type(symbol.type)
            if isinstance(type_, FunctionType):
                value = next(seen)
                assert isinstance(value, Function)
                tangent: Lowered | None = self._variation(value)
            else:
                tangent, value = self._part(type_, arguments)
            body.assign(symbol, value)
            tangents += [tangent] if tangent is not None else []
        cotangent, value = self._part(self.result, iter(self.given), of_result=True)
        body.bind(rule.output, value)
        sides = tangents if self.is_jvp else [cotangent]
        for symbol, side in zip(rule.vectors, sides, strict=True):
            assert side is not None
            body.assign(symbol, side)
        made = body.materialize(body.lower(rule.body), self.substitution.type(rule.result))
        floats = [value for value in flatten(made) if _is_float(value)]
        found = dict(zip(self.trained, floats, strict=True))
        wanted = [v for v in (self.given if self.is_jvp else self.taken) if _is_float(v)]
        outputs = [found[v] if v in found else arith.zeros(body.builder, v.type) for v in wanted]
        made_function = func.finish(self.function, body.builder, outputs)
        body.lowering.add_rule(self.instance, made_function, self.name, len(self.vectors), rule)
        return made_function

    def _part(
        self, type_: Type, arguments: Iterator[Value], of_result: bool = False
    ) -> tuple[Lowered | None, Lowered]:
        """An input or the result: its vectors, as its gradient has them, and its value."""
        found = list(leaves(type_))
        values = [next(arguments) for _ in found]
        trained = [v for leaf, v in zip(found, values, strict=True) if leaf.is_trained]
        value = rebuild(type_, iter(values))
        if of_result is self.is_jvp:
            self.trained += trained
            return None, value
        if not trained:
            return None, value
        part = trained_part(value)
        return rebind(part, lambda v: self.vectors.get(v, v)), value

    def _variation(self, function: Function) -> Lowered | None:
        """The tangent of a function, along the tangents of what it has captured."""
        if not self.is_jvp:
            return None
        pairs: list[tuple[Symbol, Symbol]] = []
        environment = dict(function.environment)
        for symbol, value in function.environment.items():
            tangents = [Array(self.vectors[v]) for v in values_in(value) if _is_float(v)]
            change = Symbol(f"d{symbol.name}", SymbolKind.PARAMETER, UNIT, symbol.span)
            environment[change] = Tuple(tuple(tangents))
            pairs.append((symbol, change))
        callee = typed.Variation(function.callee, tuple(pairs))
        return Function(callee, environment, function.substitution)


def _is_float(value: Value) -> bool:
    return dtype_of(value.type).is_float


def _call_variation(
    body: Body,
    callee: typed.Variation,
    arguments: Sequence[Lowered | None],
    node: typed.Node,
) -> Lowered:
    """How the result of a function changes with what it has captured, at fixed arguments."""
    environment: Mapping[Symbol, Lowered] = {s: body.environment[s] for s, _ in callee.pairs}
    function = Function(callee.function, environment, body.substitution)
    given = [argument for argument in arguments if argument is not None]
    captured = list(values_in(function))
    values = [*captured, *(leaf for value in given for leaf in flatten(value))]
    inner, builder = func.function(
        body.lowering.module,
        "variation",
        [value.type for value in values],
        [value.name for value in values],
        body.builder.location,
        private=True,
    )
    own = iter(inner.body.args)
    seen = _like(function, own)
    assert isinstance(seen, Function)
    inside = Body(body.lowering, builder, body.substitution, {}, dict(body.bounds))
    result = call_function(inside, seen, [_like(value, own) for value in given], node)
    result = inside.materialize(result, UNIT)
    func.finish(inner, builder, flatten(result))
    target = tuple(i for i, value in enumerate(captured) if _is_float(value))
    tangents = [v for _, change in callee.pairs for v in flatten(body.environment[change])]
    of = trained_positions(result)
    moved: Iterator[Value] = iter(())
    if target:
        moved = iter(Problem(inner, tuple(values), target).push(body.builder, tangents, of)[1])
    return rebind(
        trained_part(result),
        lambda v: next(moved) if target and _is_float(v) else arith.zeros(body.builder, v.type),
    )


register_call(typed.UserFunction, _call)
register_call(typed.Variation, _call_variation)
