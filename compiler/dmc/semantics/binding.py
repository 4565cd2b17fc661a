"""Matching a call from outside the language with a signature: solves sizes from concrete shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    Generic,
    GenericKind,
    TensorType,
    TupleType,
    Type,
    leaves,
    pruned,
    resolved,
)

__all__ = ["bind", "record_of"]


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
    functions: dict[str, GivenFunction] = {}
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
            functions[parameter.name] = value
            if value.receiver is not None:
                receivers[parameter.name] = _receiver(
                    solver, parameter, value.declaration, value.receiver
                )
            continue
        solver.span = parameter.span
        solver.match_given(parameter.type, value, parameter.name)
    given_as = {parameter.name: parameter for parameter in given}
    for name, function in functions.items():
        _learn_from(solver, given_as[name], function, receivers.get(name))
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
    substitution = solver.substitution()
    types = {p.name: receivers.get(p.name, substitution.type(p.type)) for p in given}
    instances = [
        (name, _instance(solver, given_as[name], function, receivers.get(name)))
        for name, function in functions.items()
    ]
    instance = Instance(
        signature.declaration,
        tuple(sorted(solver.values.items())),
        tuple(instances),
        tuple(receivers.items()),
        frozenset(p.name for p in signature.parameters if p.name not in arguments),
    )
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


def _own(given: GivenFunction, receiver: Type | None, span: Span) -> CallSolver:
    """What a function value says by itself: its brackets, and the model whose method it is."""
    function = given.declaration
    assert isinstance(function, FunctionDeclaration)
    solver = CallSolver(function.full_name, span)
    solver.give(function.signature, given.brackets, {})
    if receiver is not None and function.self_symbol is not None:
        solver.match(function.self_symbol.type, receiver, span, function.name)
    return solver


def _type(function: FunctionDeclaration) -> FunctionType:
    """What a function of a program, which has no errors, takes and gives."""
    assert function.result is not None
    return FunctionType(tuple(p.type for p in function.parameters), function.result)


def _learn_from(
    solver: CallSolver, parameter: Parameter, given: GivenFunction, receiver: Type | None
) -> None:
    """Sizes and element types that only a function value has, such as M of `tile[M]`."""
    wanted, function = parameter.type, given.declaration
    if not isinstance(wanted, FunctionType) or not isinstance(function, FunctionDeclaration):
        return
    own, inner = _type(function), _own(given, receiver, parameter.span)
    known, found = solver.substitution(), inner.substitution()
    pairs = [*zip(wanted.parameters, own.parameters, strict=False), (wanted.result, own.result)]
    for declared, actual in pairs:
        type_ = found.type(actual)
        if _is_concrete(type_) and not _is_concrete(known.type(declared)):
            solver.match(declared, type_, parameter.span, f"`{given}`")


def _is_concrete(type_: Type) -> bool:
    match pruned(type_):
        case TensorType(element, shape):
            sizes = (isinstance(axis, Size) and axis.constant is not None for axis in shape)
            return isinstance(resolved(element), DType) and all(sizes)
        case TupleType(items):
            return all(map(_is_concrete, items))
        case _:
            return False


def _instance(
    solver: CallSolver, parameter: Parameter, given: GivenFunction, receiver: Type | None
) -> Instance:
    """The copy of a function, or of a method of a model, that takes and gives what is wanted."""
    wanted, function = solver.substitution().type(parameter.type), given.declaration
    assert isinstance(wanted, FunctionType)
    message = f"{parameter.name} must be {wanted}, and `{given}`"
    if not isinstance(function, FunctionDeclaration):
        raise solver.fail("call.argument", f"{message} was given", parameter.span)
    own, inner = _type(function), _own(given, receiver, parameter.span)
    refusal = solver.fail(
        "call.argument", f"{message} is {inner.substitution().type(own)}", parameter.span
    )
    if len(own.parameters) != len(wanted.parameters):
        raise refusal
    try:
        for declared, actual in zip(own.parameters, wanted.parameters, strict=True):
            inner.match(declared, actual, parameter.span, function.name)
    except Error:
        raise refusal from None
    for generic in function.generics:
        if generic.name not in inner.values and generic.default is None:
            raise _unknown(solver, parameter, generic, function, inner, wanted)
    inner.finish(function.generics)
    instance = Instance(function, tuple(sorted(inner.values.items())))
    if pruned(instance.substitution.type(own.result)) != pruned(wanted.result):
        raise refusal
    return instance


def _unknown(
    solver: CallSolver,
    parameter: Parameter,
    generic: Generic,
    function: FunctionDeclaration,
    inner: CallSolver,
    wanted: FunctionType,
) -> Error:
    """The error for a generic parameter of a function value that nothing it takes fixes."""
    name = function.name
    message = f"{parameter.name}: {generic.name} of `{name}` does not follow from what it takes"
    with suppress(Error):
        # What the result would make of it: a way out, which the language wants written.
        inner.match(_type(function).result, wanted.result, parameter.span, name)
    if generic.kind is GenericKind.PACK:
        return solver.fail("call.argument", message, parameter.span)
    given = function.generics[: function.generics.index(generic) + 1]
    brackets = ", ".join(str(inner.values.get(g.name, g.name)) for g in given)
    hint = f"give it in brackets: `{name}[{brackets}]`"
    return solver.fail("call.argument", message, parameter.span, (hint,))
