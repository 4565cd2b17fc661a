"""What may be called, before its arguments are known."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import Elementwise
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.types import (
    FunctionType,
)
from dmc.syntax import ast
from dmc_runtime.budget import NO_BUDGET, Budget

__all__ = [
    "DerivedHandle", "Handle", "LambdaHandle", "PreludeHandle", "TypedHandle", "UserHandle",
    "argument_count",
    "taken_and_given",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class UserHandle:
    """A declared function, with generic arguments as written and the receiver of a method."""

    declaration: FunctionDeclaration
    bracket: ast.Bracket | None
    receiver: typed.Node | None
    span: Span


@dataclass(frozen=True, slots=True)
class TypedHandle:
    """A function value: its type is known."""

    callee: typed.Callee
    type: FunctionType
    names: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class PreludeHandle:
    """An elementwise function of the prelude."""

    function: Elementwise
    span: Span


@dataclass(frozen=True, slots=True)
class DerivedHandle:
    """A function made by a differentiation operator: the operator's call, and what it was given."""

    operator: typed.Operator
    inner: Handle
    wrt: ast.Expr | None
    along: ast.Expr | None
    span: Span
    budget: Budget = NO_BUDGET
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class LambdaHandle:
    """A lambda called at once: its arguments say what types its parameters have."""

    node: ast.Lambda
    span: Span


Handle = UserHandle | TypedHandle | PreludeHandle | DerivedHandle | LambdaHandle


def argument_count(number: int) -> str:
    """`1 argument`, `2 arguments`."""
    return "1 argument" if number == 1 else f"{number} arguments"


def taken_and_given(wanted: int, given: int) -> str:
    """`takes 2 arguments, and 1 is given`."""
    return f"takes {argument_count(wanted)}, and {given} {'is' if given == 1 else 'are'} given"
