"""Generic arguments of a call within the language."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.semantics.context import Context
from dmc.semantics.handles import UserHandle
from dmc.semantics.inference import require_float
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.resolver import argument_value
from dmc.semantics.sizes import Size
from dmc.semantics.solver import Solver
from dmc.semantics.types import (
    DType,
    ElementName,
    FunctionType,
    GenericKind,
    GenericValue,
    Number,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    Type,
    element_text,
    pruned,
)
from dmc.syntax import ast

__all__ = [
    "default_elements", "explicit_generics", "free_sizes", "require_values",
]  # fmt: skip


def free_sizes(type_: Type) -> frozenset[str]:
    """Size names that occur in a type."""
    match pruned(type_):
        case TensorType(_, shape):
            names = [axis.names() for axis in shape if isinstance(axis, Size)]
            return frozenset[str]().union(*names)
        case TupleType(items):
            return frozenset[str]().union(*(free_sizes(item) for item in items))
        case RecordType(_, arguments):
            found: frozenset[str] = frozenset()
            for value in arguments:
                if isinstance(value, Size):
                    found |= value.names()
            return found
        case StackType(count, item):
            return count.names() | free_sizes(item)
        case FunctionType(parameters, result):
            return free_sizes(result).union(*(free_sizes(p) for p in parameters))
        case _:
            return frozenset()


# ---- arguments as written ---------------------------------------------------------------------


def explicit_generics(context: Context, handle: UserHandle) -> dict[str, GenericValue]:
    """The generic arguments that brackets give, from the first."""
    values: dict[str, GenericValue] = {}
    if handle.bracket is None:
        return values
    generics = handle.declaration.generics
    items = handle.bracket.items
    if len(items) > len(generics):
        wanted = ", ".join(g.name for g in generics)
        raise context.fail(
            "type.arguments",
            f"`{handle.declaration.name}` takes [{wanted}], and {len(items)} were given",
            handle.bracket.span,
        )
    for generic, item in zip(generics, items, strict=False):
        values[generic.name] = argument_value(context, generic, item)
    return values


def default_elements(context: Context, declaration: FunctionDeclaration, solver: Solver) -> None:
    """Element types that nothing fixed take their default."""
    for generic in declaration.generics:
        if generic.name not in solver.values and generic.default is not None:
            solver.values[generic.name] = generic.default


def require_values(
    context: Context,
    declaration: FunctionDeclaration,
    solver: Solver,
    span: Span,
    call: tuple[Type | None, Sequence[ast.Argument]] = (None, ()),
) -> None:
    """Report a generic parameter that neither brackets nor arguments fix, or fix wrongly.

    `call` is the type that is wanted and the arguments, for messages.
    """
    for generic in declaration.generics:
        known = solver.values.get(generic.name)
        if isinstance(known, DType | ElementName | Number) and require_float(known) is None:
            raise context.fail(
                "type.operand",
                f"{generic.name} of `{declaration.name}` is a float type",
                span,
                f"{element_text(known)} is given",
                [(generic.span, "declared here")],
            )
        if known is not None:
            continue
        what = f"*{generic.name}" if generic.kind is GenericKind.PACK else generic.name
        raise context.fail(
            "call.generic",
            f"{what} of `{declaration.name}` is not known from the arguments",
            span,
            "",
            [(generic.span, "declared here")],
            _in_brackets(context, declaration, solver, *call),
        )


def _in_brackets(
    context: Context,
    declaration: FunctionDeclaration,
    solver: Solver,
    wanted: Type | None,
    arguments: Sequence[ast.Argument],
) -> list[str]:
    """The call with brackets, as far as the wanted type and the arguments say what is in them.

    Nothing where they would hold a shape: only another `*S` can be written there.
    """
    defaults = {g.name for g in declaration.generics if solver.values.get(g.name) == g.default}
    guess = Solver(context.facts, {n: v for n, v in solver.values.items() if n not in defaults})
    if wanted is not None and declaration.result is not None:
        guess.match(declaration.result, wanted, declaration.span)
        guess.solve()
    needed = list(declaration.generics)
    # Brackets may end before what is known without them.
    while needed and (known := solver.values.get(needed[-1].name)) is not None:
        if guess.values.get(needed[-1].name, known) != known:
            break
        needed.pop()
    while needed and needed[-1].default is not None and needed[-1].name not in guess.values:
        needed.pop()
    if any(g.kind is GenericKind.PACK for g in needed):
        return []
    items = [_spelled(guess.values.get(g.name), g.name) for g in needed]
    given = ", ".join(context.quote(argument) for argument in arguments) or "…"
    return [f"give it in brackets: `{declaration.name}[{', '.join(items)}]({given})`"]


def _spelled(value: GenericValue | None, name: str) -> str:
    """A generic argument as it is written; its name where it is not known."""
    if isinstance(value, DType | ElementName | Number):
        return element_text(value)
    return name if value is None else str(value)
