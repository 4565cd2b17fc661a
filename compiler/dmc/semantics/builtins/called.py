"""Functions of the prelude that check a call themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.semantics import typed
from dmc.semantics.context import Context
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.values import Lowered
from dmc.semantics.primitive import Primitive
from dmc.semantics.types import Shape, Type
from dmc.syntax import ast

__all__ = ["ArrayFunction", "ArrayOperation", "Called", "positional"]


def positional(context: Context, function: Primitive, node: ast.Call) -> list[ast.Expr]:
    """The arguments of a call; parameters of builtins have no names."""
    for argument in node.arguments:
        if argument.name is not None:
            about_axes = argument.name.text in ("axis", "axes", "dim", "keepdims")
            help_ = ["axes stand in brackets: `sum[1](x)`, `sum[N](x)`"] if about_axes else []
            raise context.fail(
                "call.keyword",
                f"parameters of `{function}` have no names",
                argument.name.span,
                help=help_,
            )
    return [argument.value for argument in node.arguments]


class Called(Primitive, ABC):
    """A function that is called at once, with arguments of its own kind."""

    @abstractmethod
    def check(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        arguments: Sequence[ast.Expr],
        node: ast.Call,
    ) -> typed.Node:
        """A call from its brackets and its arguments as written."""


class ArrayOperation(Primitive, ABC):
    """What a `typed.Builtin` applies to its operands."""

    def apply(
        self,
        type_: Type,
        node: ast.Node,
        operands: Sequence[typed.Node],
        axes: tuple[int, ...] = (),
        shape: Shape = (),
    ) -> typed.Builtin:
        """The typed call."""
        return typed.Builtin(type_, node.span, self, tuple(operands), axes, shape)

    @abstractmethod
    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        """The value of a call."""


def _lower(body: Body, node: typed.Builtin) -> Lowered:
    assert isinstance(node.function, ArrayOperation)
    return node.function.lower(body, node)


register(typed.Builtin, _lower)


@dataclass(frozen=True, eq=False)
class ArrayFunction(ArrayOperation, Called):
    """A function of `arity` values (None: it counts them itself), axes or sizes in brackets."""

    arity: int | None = 1

    def check(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        arguments: Sequence[ast.Expr],
        node: ast.Call,
    ) -> typed.Node:
        """A call: the arguments are checked first."""
        values = [context.check(argument) for argument in arguments]
        if self.arity is not None:
            self.take(context, values, self.arity, node)
        return self.type_call(context, bracket, values, node)

    def take(
        self, context: Context, values: Sequence[typed.Node], count: int, node: ast.Call
    ) -> None:
        """Report another number of arguments than `count`."""
        if len(values) != count:
            plural = "argument" if count == 1 else "arguments"
            given = f"and {len(values)} are given"
            raise context.fail("call.count", f"`{self}` takes {count} {plural}, {given}", node.span)

    @abstractmethod
    def type_call(
        self,
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        """A call from its brackets and its checked arguments."""
