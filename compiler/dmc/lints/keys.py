"""Random keys from which nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.ir.location import Span
from dmc.lints.instances import declared_in
from dmc.lints.warning import quote, warning
from dmc.semantics import typed
from dmc.semantics.program import FunctionDeclaration, SourceModule
from dmc.semantics.typed import Symbol
from dmc.semantics.types import KeyType, pruned


def unspent_keys(file: SourceModule) -> Iterator[Diagnostic]:
    """Names of keys that are not mentioned again, and key parameters of what only others call.

    A method takes what its kind of model takes, and so does a function that is called here.
    """
    called = {
        node.callee.declaration
        for function in declared_in(file)
        for node in typed.walk(function.body)
        if isinstance(node, typed.Call | typed.FunctionValue)
        and isinstance(node.callee, typed.UserFunction)
    }
    for function in declared_in(file):
        mentioned = {
            node.symbol for node in typed.walk(function.body) if isinstance(node, typed.Local)
        }
        for statement in typed.walk(function.body):
            if isinstance(statement, typed.Bind):
                for symbol in _keys(statement.pattern):
                    if symbol not in mentioned:
                        yield _unspent_name(symbol, statement.span)
        if function.owner is None and function not in called:
            for symbol in function.symbols:
                if isinstance(pruned(symbol.type), KeyType) and symbol not in mentioned:
                    yield _unspent_parameter(symbol, function)


def _keys(pattern: typed.BindPattern) -> Iterator[Symbol]:
    match pattern:
        case None:
            return
        case Symbol():
            if isinstance(pruned(pattern.type), KeyType):
                yield pattern
        case _:
            for part in pattern:
                yield from _keys(part)


def _unspent_name(symbol: Symbol, statement: Span) -> Diagnostic:
    name = symbol.span
    before = replace(statement, end_line=name.start_line, end_column=name.start_column)
    after = replace(statement, start_line=name.end_line, start_column=name.end_column)
    without = f"{name.file.quote(before)}_{name.file.quote(after)}"
    return warning(
        "lint.key",
        f"nothing is drawn from the key `{symbol.name}`",
        (name, "not spent"),
        f"give it no name: `{' '.join(without.split())}`",
    )


def _unspent_parameter(symbol: Symbol, function: FunctionDeclaration) -> Diagnostic:
    kept = [node for node in function.node.parameters if node.name.text != symbol.name]
    listed = ", ".join(quote(node.span) for node in kept)
    return warning(
        "lint.key",
        f"nothing is drawn from the key `{symbol.name}`",
        (symbol.span, "not spent"),
        f"do without it: `({listed})`",
    )
