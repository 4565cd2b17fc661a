"""Functions of the prelude that check a call themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins.call import Call
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.values import Lowered
from dmc.semantics.primitive import Primitive
from dmc.semantics.types import Shape, Type

__all__ = ["ArrayFunction", "ArrayOperation", "Called", "ValueFunction"]


class Called(Primitive, ABC):
    """A function that is called at once, with arguments of its own kind."""

    @abstractmethod
    def check(self, call: Call) -> typed.Node:
        """A call from its brackets and its arguments as written."""


@dataclass(frozen=True, eq=False)
class ValueFunction(Called):
    """A function of `arity` values (None: it counts them itself), axes or sizes in brackets."""

    arity: int | None = 1

    def check(self, call: Call) -> typed.Node:
        """A call: the arguments are checked first."""
        values = [call.context.check(argument) for argument in call.arguments]
        self.count(call)
        return self.type_call(call, values)

    def count(self, call: Call) -> None:
        """Report a wrong number of arguments."""
        if self.arity is not None:
            call.count(self.arity)

    @abstractmethod
    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        """A call from its brackets and its checked arguments."""


class ArrayOperation(Primitive, ABC):
    """What a `typed.Builtin` applies to its operands."""

    def apply(
        self,
        type_: Type,
        span: Span,
        operands: Sequence[typed.Node],
        axes: tuple[int, ...] = (),
        shape: Shape = (),
    ) -> typed.Builtin:
        """The typed call."""
        return typed.Builtin(type_, span, self, tuple(operands), axes, shape)

    @abstractmethod
    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        """The value of a call."""


def _lower(body: Body, node: typed.Builtin) -> Lowered:
    assert isinstance(node.function, ArrayOperation)
    return node.function.lower(body, node)


register(typed.Builtin, _lower)


class ArrayFunction(ArrayOperation, ValueFunction):
    """A function of values that is an operation of its own."""
