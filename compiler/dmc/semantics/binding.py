"""Matching a call from outside the language with a signature: solves sizes from concrete shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dmc.diagnostics.errors import Error
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics.call_solver import CallSolver, record_of
from dmc.semantics.program import FunctionDeclaration, body_of
from dmc.semantics.signature import (
    Binding,
    Given,
    GivenFunction,
    GivenRecord,
    Instance,
    Parameter,
    Signature,
)
from dmc.semantics.sizes import Size, SizeError
from dmc.semantics.types import (
    Declared,
    FunctionType,
    GenericValue,
    Substitution,
    TensorType,
    Type,
    leaves,
    pruned,
)

__all__ = ["bind", "match_function", "record_of"]


def bind(
    signature: Signature,
    arguments: Mapping[str, Given],
    brackets: Sequence[int | DType] = (),
    sizes: Mapping[str, int] | None = None,
) -> Binding:
    """Match a call with a signature.

    Args:
        signature: what is called.
        arguments: what is given for each parameter, by name; those left out take defaults.
        brackets: generic arguments from the first, as in `simulate[200]`; not for packs.
        sizes: generic arguments by name, as in `MLP.init(key, I=784, …)`.

    Raises:
        dmc.diagnostics.errors.Error: a `ShapeError`, `DTypeError` or `CallError` with one
            diagnostic, marked `at_call`, such as `loss: y has N = 99 but x has N = 100`.
    """
    solver = CallSolver(signature.name, signature.span)
    for name in arguments:
        if signature.parameter(name) is None:
            known = ", ".join(p.name for p in signature.parameters)
            raise solver.fail(
                "call.argument",
                f"there is no parameter `{name}` (they are: {known})",
                signature.span,
            )
    solver.give(signature, brackets, sizes or {})
    given: list[Parameter] = []
    functions: list[tuple[str, Declared]] = []
    receivers: dict[str, Type] = {}
    for parameter in signature.parameters:
        value = arguments.get(parameter.name)
        if value is None:
            if parameter.default is None:
                raise solver.fail(
                    "call.argument", f"the argument `{parameter.name}` is missing", parameter.span
                )
            continue
        given.append(parameter)
        if isinstance(parameter.type, FunctionType) and isinstance(value, GivenRecord):
            value = GivenFunction(_forward(solver, parameter, value), value)
        if isinstance(value, GivenFunction):
            if not isinstance(parameter.type, FunctionType):
                raise solver.fail(
                    "call.argument",
                    f"{parameter.name} is a function, not {parameter.type}",
                    parameter.span,
                )
            functions.append((parameter.name, value.declaration))
            if value.receiver is not None:
                receivers[parameter.name] = _receiver(
                    solver, parameter, value.declaration, value.receiver
                )
            continue
        solver.span = parameter.span
        solver.match_given(parameter.type, value, parameter.name)
    solver.finish(signature.generics)
    for requirement in signature.requirements:
        try:
            holds = requirement.holds(solver.integers)
        except SizeError:
            holds = False
        if not holds:
            names = sorted(requirement.left.names() | requirement.right.names())
            values = ", ".join(f"{n} = {solver.integers[n]}" for n in names)
            message = f"`requires {requirement.text}` fails for {values}"
            raise solver.fail("shape.requires", message, requirement.span)
    _require_result(signature, solver)
    instance = Instance(
        signature.declaration,
        tuple(sorted(solver.values.items())),
        tuple(functions),
        tuple(receivers.items()),
        frozenset(p.name for p in signature.parameters if p.name not in arguments),
    )
    substitution = instance.substitution
    types = {p.name: receivers.get(p.name, substitution.type(p.type)) for p in given}
    given_as = {parameter.name: parameter for parameter in given}
    for name, function in functions:
        wanted = substitution.type(given_as[name].type)
        _require_fit(solver, given_as[name], wanted, function, receivers.get(name))
    return Binding(
        signature,
        instance,
        tuple(replace(p, type=types[p.name]) for p in given),
        substitution.type(signature.result),
    )


def _require_result(signature: Signature, solver: CallSolver) -> None:
    """The sizes of what is returned are whole and not negative."""
    for leaf in leaves(signature.result):
        for axis in leaf.type.shape if isinstance(leaf.type, TensorType) else ():
            if not isinstance(axis, Size) or not axis.names() <= solver.integers.keys():
                continue
            try:
                value = axis.evaluate(solver.integers)
            except SizeError as error:
                raise solver.fail("shape.size", f"the result has no size: {error}") from None
            if value < 0:
                given = ", ".join(f"{n} = {solver.integers[n]}" for n in sorted(axis.names()))
                message = f"the result's size {axis} is {value} for {given}"
                raise solver.fail("shape.size", message, signature.span)


def _forward(solver: CallSolver, parameter: Parameter, value: GivenRecord) -> FunctionDeclaration:
    """The function that a model is where a function is wanted."""
    model = body_of(value.declaration)
    forward = model.methods.get("forward") if model is not None else None
    if forward is None:
        name = value.declaration.name
        message = f"{parameter.name} must be {parameter.type}, and {name} has no `forward`"
        raise solver.fail("call.argument", message, parameter.span)
    return forward


def _receiver(
    solver: CallSolver, parameter: Parameter, method: Declared, value: GivenRecord
) -> Type:
    """The concrete type of the model that a method is called on."""
    assert isinstance(method, FunctionDeclaration)
    assert method.self_symbol is not None
    if method.is_mutable:
        what = f"{value.declaration.name} has a `{method.name}` that is a `mut fn`"
        message = f"{parameter.name} must be {parameter.type}, and {what}"
        raise solver.fail("call.argument", message, parameter.span)
    inner = CallSolver(method.full_name, parameter.span)
    inner.match_given(method.self_symbol.type, value, parameter.name)
    inner.finish(())
    return inner.substitution().type(method.self_symbol.type)


def _require_fit(
    solver: CallSolver, parameter: Parameter, wanted: Type, given: Declared, receiver: Type | None
) -> None:
    """A function, or a method of a model, takes and gives what the parameter says."""
    assert isinstance(wanted, FunctionType)
    message = f"{parameter.name} must be {wanted}, and `{given.full_name}` was given"
    if not isinstance(given, FunctionDeclaration):
        raise solver.fail("call.argument", message, parameter.span)
    own = _type_of(given, wanted, parameter.span, receiver)
    try:
        found = Substitution()
        for name, value in match_function(given, wanted, parameter.span, receiver).items():
            found = found.extended(name, value)
        fits = pruned(found.type(own.result)) == pruned(wanted.result)
    except Error:
        fits = False
    if not fits:
        message = f"{parameter.name} must be {wanted}, and `{given.full_name}` is {own}"
        raise solver.fail("call.argument", message, parameter.span)


def _type_of(
    given: FunctionDeclaration, wanted: FunctionType, span: Span, receiver: Type | None
) -> FunctionType:
    """The type of a function as it is declared, with what its model knows."""
    parameters = tuple(parameter.type for parameter in given.parameters)
    own = FunctionType(parameters, given.result if given.result else wanted.result)
    if receiver is None or given.self_symbol is None:
        return own
    solver = CallSolver(given.name, span)
    solver.match(given.self_symbol.type, receiver, span, given.name)
    solver.solve()
    known = solver.substitution().type(own)
    assert isinstance(known, FunctionType)
    return known


def match_function(
    given: FunctionDeclaration, wanted: FunctionType, span: Span, receiver: Type | None = None
) -> dict[str, GenericValue]:
    """Generic arguments that make a declared function fit a concrete function type.

    `receiver` is the type of the model whose function it is.

    Raises:
        dmc.diagnostics.errors.Error: it does not fit.
    """
    solver = CallSolver(given.name, span)
    if receiver is not None and given.self_symbol is not None:
        solver.match(given.self_symbol.type, receiver, span, given.name)
    declared = FunctionType(
        tuple(p.type for p in given.parameters), given.result if given.result else wanted.result
    )
    if len(declared.parameters) != len(wanted.parameters):
        raise solver.fail("type.argument", f"{declared} is given for {wanted}")
    for parameter, actual in zip(declared.parameters, wanted.parameters, strict=True):
        solver.match(parameter, actual, span, given.name)
    solver.finish(given.generics)
    return solver.values
