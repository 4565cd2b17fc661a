"""Where calls change state: of the receiver of a `mut fn`, and of what function values change."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.context import Context
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.typed import Symbol, SymbolKind

__all__ = ["refuse_change", "require_apart", "updated_place"]


def updated_place(
    context: Context, declaration: FunctionDeclaration, receiver: typed.Node, span: Span
) -> typed.Place:
    """Where the new state of a `mut fn`'s receiver goes: a `var`, or a field of a `mut fn`."""
    path: list[str | tuple[typed.At, ...]] = []
    root = receiver
    while isinstance(root, typed.FieldOf | typed.Access):
        if isinstance(root, typed.FieldOf):
            path.insert(0, root.name)
            root = root.record
        else:
            path.insert(0, root.items)
            root = root.base
    if isinstance(root, typed.Local) and root.symbol.is_mutable:
        if root.symbol.barrier == context.barrier:
            return typed.Place(root.symbol, tuple(path), receiver.type, span)
        raise context.fail(
            "loop.builder",
            f"the state of `{context.quote(receiver.span)}` cannot be updated here",
            span,
            "elements of a builder are independent",
        )
    text = f"`{declaration.name}` is a `mut fn`"
    if not isinstance(root, typed.Local):
        raise context.fail(
            "state.immutable", "this call may update state that nothing keeps", span, text
        )
    symbol = root.symbol
    if symbol.kind is SymbolKind.SELF and context.function is not None:
        raise context.fail(
            "state.immutable",
            f"this call may update the state of `{context.quote(receiver.span)}`",
            span,
            text,
            [(context.function.span, "not a `mut fn`")],
            [f"declare it `mut fn {context.function.name}`"],
        )
    help_ = [f"keep the new state: `var {symbol.name} = …`; of a stack, call `layers[i](…)`"]
    if symbol.kind is SymbolKind.PARAMETER and context.function is not None:
        copy = f"var {symbol.name}: {symbol.type}"
        help_ = [f"take a private copy: `fn {context.function.name}({copy}, ...)`"]
    raise context.fail(
        "state.immutable",
        f"this call may update the state of `{symbol.name}`",
        span,
        text,
        [(symbol.span, "not a `var`")],
        help_,
    )


def _changed(context: Context, value: typed.Node | None) -> list[Symbol]:
    """The variables around a function value that calls of it change."""
    if not isinstance(value, typed.FunctionValue):
        return []
    return [symbol for symbol in typed.assigned(value) if context.sees(symbol)]


def require_apart(
    context: Context, updates: typed.Place, arguments: Sequence[typed.Node | None]
) -> None:
    """What a `mut fn` belongs to is not changed by the functions that it is given, too."""
    for argument in arguments:
        if argument is not None and updates.symbol in _changed(context, argument):
            raise context.fail(
                "state.immutable",
                f"this function and the call both change `{updates.symbol.name}`",
                argument.span,
                "",
                [(updates.span, "called here")],
                [f"let it change a copy: `var other = {updates.symbol.name}`"],
            )


def refuse_change(context: Context, value: typed.Node, span: Span) -> None:
    """A function that changes a variable is called or passed on, and not kept."""
    for symbol in _changed(context, value):
        raise context.fail(
            "state.immutable",
            f"a function that changes `{symbol.name}` is not given a name",
            span,
            "",
            [(symbol.span, "declared here")],
            ["pass it where it is called: `apply(fn(x) => …, x)`"],
        )
