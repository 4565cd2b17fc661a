"""Calls of declared functions: arguments, generics, requirements, updated state."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.context import Context, Stop
from dmc.semantics.duties import duty
from dmc.semantics.generics import (
    default_elements,
    explicit_generics,
    free_sizes,
    require_values,
)
from dmc.semantics.handles import (
    UserHandle,
    taken_and_given,
)
from dmc.semantics.program import FunctionDeclaration, Use
from dmc.semantics.requirements import prove
from dmc.semantics.solver import Solver
from dmc.semantics.state import require_apart, updated_place
from dmc.semantics.types import (
    ElementName,
    FunctionType,
    KeyType,
    Pack,
    RecordName,
    Substitution,
    TensorType,
    Type,
    leaves,
    pruned,
    resolved,
)
from dmc.syntax import ast
from dmc_runtime.spelling import did_you_mean

__all__ = ["call_user"]


def _arrange(
    context: Context,
    declaration: FunctionDeclaration,
    arguments: Sequence[ast.Argument],
    span: Span,
    expected: Type | None,
) -> list[ast.Expr | None]:
    """The expression for each parameter; None for those left to their defaults."""
    names = [p.name for p in declaration.parameters]
    given: list[ast.Expr | None] = [None] * len(names)
    position = 0
    for argument in arguments:
        if argument.name is None:
            if position >= len(names):
                counts = taken_and_given(len(names), len(arguments))
                raise context.fail(
                    "call.count",
                    f"`{declaration.name}` {counts}",
                    argument.span,
                    "one too many",
                    [(declaration.span, f"`{declaration.name}` is declared here")],
                    context.with_fewer(span, arguments, len(names)),
                )
            given[position] = argument.value
            position += 1
            continue
        if argument.name.text not in names:
            raise context.fail(
                "call.keyword",
                f"`{declaration.name}` has no parameter `{argument.name.text}`",
                argument.name.span,
                "",
                [(declaration.span, f"`{declaration.name}` is declared here")],
                did_you_mean(argument.name.text, names),
            )
        index = names.index(argument.name.text)
        if given[index] is not None:
            raise context.fail(
                "call.keyword", f"`{argument.name.text}` is given twice", argument.span
            )
        given[index] = argument.value
    for parameter, value in zip(declaration.parameters, given, strict=True):
        if value is None and parameter.default is None:
            raise context.fail(
                "call.missing",
                f"`{declaration.name}` needs `{parameter.name}`",
                span,
                f"`{parameter.name}: {parameter.type}` is missing",
                [(declaration.span, f"`{declaration.name}` is declared here")],
                _with_key(context, arguments, span)
                if isinstance(parameter.type, KeyType)
                else _waiting(context, declaration, given, expected),
            )
    return given


def _with_key(context: Context, arguments: Sequence[ast.Argument], span: Span) -> Sequence[str]:
    """Help for a call without its key, which functions are given."""
    head, bracket, rest = context.quote(span).rpartition(")")
    named = any(argument.name is not None for argument in arguments)
    call = f"{head}{', ' if arguments else ''}{'key = key' if named else 'key'}{bracket}{rest}"
    return (f"`{call}`, with a parameter `key: Key` of this function",)


def _waiting(
    context: Context,
    declaration: FunctionDeclaration,
    given: Sequence[ast.Expr | None],
    expected: Type | None,
) -> Sequence[str]:
    """Help for a call without some arguments where a function of these is wanted."""
    wanted = pruned(expected) if expected is not None else None
    pairs = list(zip(declaration.parameters, given, strict=True))
    missing = [p.name for p, value in pairs if value is None and p.default is None]
    if not isinstance(wanted, FunctionType) or len(wanted.parameters) != len(missing):
        return ()
    values = [p.name if value is None else context.quote(value) for p, value in pairs]
    call = f"{declaration.name}({', '.join(values)})"
    return (f"a function of what is missing: `fn({', '.join(missing)}) => {call}`",)


def call_user(
    context: Context,
    handle: UserHandle,
    arguments: Sequence[ast.Argument],
    span: Span,
    expected: Type | None = None,
) -> typed.Node:
    """A call of a declared function or method; `expected` tells only what a help may say."""
    declaration = handle.declaration
    if not declaration.is_sound or declaration.result is None:
        raise Stop
    if context.function is not None:
        context.function.uses.append(Use(declaration, as_value=False))
    given = _arrange(context, declaration, arguments, span, expected)
    solver = Solver(context.facts, explicit_generics(context, handle))
    if handle.receiver is not None and declaration.self_symbol is not None:
        solver.match(declaration.self_symbol.type, handle.receiver.type, handle.receiver.span)
    values: list[typed.Node | None] = [None] * len(given)
    for late in (False, True):
        for index, (parameter, node) in enumerate(zip(declaration.parameters, given, strict=True)):
            is_function = isinstance(parameter.type, FunctionType)
            if node is None or is_function != late:
                continue
            wanted = solver.substitution().type(parameter.type)
            value = context.check(node, wanted if _is_known(wanted, solver) else None)
            solver.match(parameter.type, value.type, node.span)
            values[index] = value
    default_elements(context, declaration, solver)
    require_values(context, declaration, solver, handle.span, (expected, arguments))
    substitution = solver.substitution()
    for parameter, node, value in zip(declaration.parameters, given, values, strict=True):
        if node is not None and value is not None:
            what = f"`{parameter.name}` of `{declaration.name}`"
            expect(context, value, substitution.type(parameter.type), node.span, what)
    _prove_requirements(context, declaration, substitution, span)
    callee = typed.UserFunction(declaration, solver.values, handle.receiver)
    updates = None
    if declaration.is_mutable and handle.receiver is not None:
        updates = updated_place(context, declaration, handle.receiver, span)
        require_apart(context, updates, values)
    result = substitution.type(declaration.result)
    return typed.Call(result, span, callee, tuple(values), updates)


def _is_known(type_: Type, solver: Solver) -> bool:
    """Whether the expected type is in the caller's terms entirely."""
    type_ = pruned(type_)
    if isinstance(type_, FunctionType):
        return True
    if isinstance(type_, RecordName) or any("?" in name for name in free_sizes(type_)):
        return False
    for leaf in leaves(type_):
        if isinstance(leaf.type, TensorType):
            if any(isinstance(axis, Pack) for axis in leaf.type.shape):
                return False
            if isinstance(resolved(leaf.type.element), ElementName):
                return False
    return False if not isinstance(type_, TensorType) else not free_sizes(type_)


def _prove_requirements(
    context: Context, declaration: FunctionDeclaration, substitution: Substitution, span: Span
) -> None:
    for clause in declaration.requirements:
        asked = clause.substitute(substitution.sizes)
        answer = prove(context.facts, asked)
        if answer:
            continue
        shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
        raise context.fail(
            "shape.requires",
            f"cannot prove that `{declaration.name}` gets what it requires: {asked.text}",
            span,
            f"false when {shown}" if shown else "",
            [(clause.span, "required here")],
            [duty(context, asked.text, asked.names())],
        )
