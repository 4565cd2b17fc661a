"""A call of a builtin, and what is asked of it while it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.axes import axis_named
from dmc.semantics.context import Context, Stop
from dmc.semantics.handles import taken_and_given
from dmc.semantics.primitive import Primitive
from dmc.semantics.resolver import shape_items
from dmc.semantics.types import Shape, TensorType, pruned
from dmc.syntax import ast

__all__ = ["Call", "counted", "positional"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `function` as it is written: what stands in its brackets, and its arguments."""

    context: Context
    function: Primitive
    bracket: ast.Bracket | None
    arguments: Sequence[ast.Expr]
    node: ast.Call

    @property
    def span(self) -> Span:
        return self.node.span

    def fail(self, code: str, title: str, text: str = "", help: Sequence[str] = ()) -> Stop:
        """Report an error of the whole call; raise the result."""
        return self.context.fail(code, title, self.span, text, help=help)

    def count(self, wanted: int, help: Sequence[str] = ()) -> None:
        """Report another number of arguments than `wanted`."""
        counted(self.context, self.function, wanted, self.arguments, self.span, help)

    def sizes(self) -> Shape:
        """The sizes in the brackets; none without brackets."""
        return shape_items(self.context, self.bracket) if self.bracket is not None else ()

    def axis(self, type_: TensorType) -> int:
        """The single axis that the brackets choose, counted from the front."""
        if self.bracket is None or len(self.bracket.items) != 1:
            title = f"`{self.function}` needs one axis"
            raise self.fail("shape.axis", title, help=[f"`{self.function}[-1](…)`"])
        return axis_named(self.context, self.bracket.items[0], type_, self.function.name)

    def tensor(self, value: typed.Node) -> TensorType:
        """The type of an argument that must be an array or a number."""
        type_ = pruned(value.type)
        if not isinstance(type_, TensorType):
            title = f"`{self.function}` does not take {type_}"
            raise self.context.fail("type.operand", title, value.span, str(type_))
        return type_


def counted(
    context: Context,
    function: Primitive,
    wanted: int,
    arguments: Sequence[ast.Expr],
    span: Span,
    help: Sequence[str] = (),
) -> None:
    """Report another number of arguments than `wanted`."""
    if len(arguments) != wanted:
        title = f"`{function}` {taken_and_given(wanted, len(arguments))}"
        help = help or context.with_fewer(span, arguments, wanted)
        raise context.fail("call.count", title, span, help=help)


def positional(
    context: Context, function: Primitive, arguments: Sequence[ast.Argument]
) -> list[ast.Expr]:
    """The arguments of a call; parameters of builtins have no names."""
    for argument in arguments:
        if argument.name is not None:
            about_axes = argument.name.text in ("axis", "axes", "dim", "keepdims")
            help_ = ["axes stand in brackets: `sum[1](x)`, `sum[N](x)`"] if about_axes else []
            raise context.fail(
                "call.keyword",
                f"parameters of `{function}` have no names",
                argument.name.span,
                help=help_,
            )
    return [argument.value for argument in arguments]
