"""Values of structs: built by name, copied with changes."""

from __future__ import annotations

from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.context import Context
from dmc.semantics.resolver import (
    argument_value,
)
from dmc.semantics.solver import Solver
from dmc.semantics.types import (
    GenericKind,
    RecordDeclaration,
    RecordType,
    StackType,
    Type,
    children,
    pruned,
)
from dmc.syntax import ast
from dmc_runtime.spelling import one_of

__all__ = ["construct", "with_fields"]


def _as_field(context: Context, declaration: RecordDeclaration, node: ast.Call) -> list[str]:
    """Help for `Linear(3, 2)`: sizes stand in brackets, and a model makes the layers it has."""
    given = [context.quote(argument.value) for argument in node.arguments]
    sizes = [g.name for g in declaration.generics if g.kind is GenericKind.SIZE]
    if len(given) != len(sizes) or any(argument.name is not None for argument in node.arguments):
        return []
    return [f"a model makes the layers it has: `layer: {declaration.name}[{', '.join(given)}]`"]


def construct(
    context: Context,
    declaration: RecordDeclaration,
    bracket: ast.Bracket | None,
    node: ast.Call,
    expected: Type | None,
) -> typed.Node:
    """`Camera(focal = f)`: one value for each field of a struct, or of a model, by name."""
    if declaration.is_model and any(argument.name is None for argument in node.arguments):
        fields = ", ".join(f"{entry.name} = …" for entry in declaration.fields)
        raise context.fail(
            "call.keyword",
            "the fields of a model are given by name",
            node.span,
            "",
            [(declaration.span, "declared here")],
            [f"`{declaration.name}({fields})`", *_as_field(context, declaration, node)],
        )
    wanted = pruned(expected) if expected is not None else None
    solver = Solver(context.facts)
    if bracket is not None:
        for generic, item in zip(declaration.generics, bracket.items, strict=False):
            solver.values[generic.name] = argument_value(context, generic, item)
    elif isinstance(wanted, RecordType) and wanted.declaration is declaration:
        for generic, value in zip(declaration.generics, wanted.arguments, strict=True):
            solver.values[generic.name] = value
    names = [f.name for f in declaration.fields]
    given: dict[str, ast.Expr] = {}
    for position, argument in enumerate(node.arguments):
        if argument.name is None:
            if position >= len(names):
                has = "1 field" if len(names) == 1 else f"{len(names)} fields"
                raise context.fail(
                    "call.count", f"`{declaration.name}` has {has}", argument.span,
                    help=context.with_fewer(node.span, node.arguments, len(names)),
                )  # fmt: skip
            name = names[position]
        else:
            name = argument.name.text
            if name not in names:
                raise context.fail(
                    "name.field",
                    f"`{declaration.name}` has no field `{name}`",
                    argument.name.span,
                    help=one_of(name, names),
                )
        if name in given:
            raise context.fail("call.keyword", f"`{name}` is given twice", argument.span)
        given[name] = argument.value
    missing = [name for name in names if name not in given]
    if missing:
        raise context.fail(
            "call.missing", f"`{declaration.name}` needs `{missing[0]}`", node.span,
            "", [(declaration.span, "declared here")],
        )  # fmt: skip
    values: dict[str, typed.Node] = {}
    for entry in declaration.fields:
        hint = solver.substitution().type(entry.type)
        value = context.check(given[entry.name], hint if bracket or wanted else None)
        solver.match(entry.type, value.type, given[entry.name].span)
        values[entry.name] = value
    for generic in declaration.generics:
        if generic.name not in solver.values:
            raise context.fail(
                "call.generic",
                f"{generic.name} of `{declaration.name}` is not known from its fields",
                node.span,
            )
    substitution = solver.substitution()
    for entry in declaration.fields:
        what = f"`{entry.name}` of `{declaration.name}`"
        place = given[entry.name].span
        expect(context, values[entry.name], substitution.type(entry.type), place, what)
    arguments = tuple(solver.values[generic.name] for generic in declaration.generics)
    return typed.MakeRecord(
        RecordType(declaration, arguments),
        node.span,
        declaration,
        tuple(values[name] for name in names),
    )


def with_fields(context: Context, member: ast.Member, node: ast.Call) -> typed.Node:
    """`cam.with(focal = 2.0)`: a copy with a change."""
    record = context.check(member.base)
    type_ = pruned(record.type)
    if not isinstance(type_, RecordType | StackType):
        raise context.fail("type.field", f"{type_} has no fields", member.base.span)
    parts = {name: part for name, part, _ in children(type_)}
    changes: list[tuple[str, typed.Node]] = []
    for argument in node.arguments:
        if argument.name is None:
            raise context.fail("call.keyword", "`with` names what it changes", argument.span)
        name = argument.name.text
        if name not in parts:
            raise context.fail(
                "name.field", f"{type_} has no field `{name}`", argument.name.span,
                help=one_of(name, parts),
            )  # fmt: skip
        value = context.check(argument.value, parts[name])
        expect(context, value, parts[name], argument.value.span)
        changes.append((name, value))
    return typed.WithFields(type_, node.span, record, tuple(changes))
