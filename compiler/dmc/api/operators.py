"""Differentiation operators: functions to functions with the same parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.api.entry import Gradient, Jacobian, Pullback, Pushforward
from dmc.api.function import Function

Path = str | tuple[str, ...] | None
"""What to differentiate in: a parameter, a dotted path into one, or a tuple of them.

None is the first parameter.
"""


def _paths(wrt: Path) -> tuple[str, ...] | None:
    return (wrt,) if isinstance(wrt, str) else wrt


def grad(f: Function, wrt: Path = None) -> Function:
    """The gradient of `f`, which returns a float, or a tuple whose first component is one.

    With a tuple the result is `(gradient, rest)`.
    """
    return f.derived(Gradient(_paths(wrt)))


def value_and_grad(f: Function, wrt: Path = None) -> Function:
    """The result of `f` and its gradient: `(value, gradient)`."""
    return f.derived(Gradient(_paths(wrt), with_value=True))


def jvp(f: Function, along: PythonValue, wrt: Path = None) -> Function:
    """The result of `f` and its derivative along a direction: `(y, dy)` (forward mode).

    `along` has the structure and shapes of the gradient.
    """
    return f.derived(Pushforward(_paths(wrt)), along)


def hvp(f: Function, along: PythonValue, wrt: Path = None) -> Function:
    """The Hessian of `f` times a vector, forward over reverse."""
    pushforward = Pushforward(_paths(wrt), with_value=False)
    return f.derived(Gradient(_paths(wrt))).derived(pushforward, along)


def jacobian(f: Function, wrt: Path = None) -> Function:
    """The Jacobian of an array-valued `f`: a gradient with the axes of the result in front."""
    return f.derived(Jacobian(_paths(wrt)))


def hessian(f: Function, wrt: Path = None) -> Function:
    """The Hessian of `f` in one array parameter."""
    return f.derived(Gradient(_paths(wrt))).derived(Jacobian(_paths(wrt)))


class Vjp:
    """The result of a function together with the pullback of cotangents (reverse mode)."""

    def __init__(self, f: Function, wrt: Path) -> None:
        self._value = f
        self._pull = f.derived(Pullback(_paths(wrt)))
        self.__doc__ = f.__doc__

    def __call__(self, *arguments: PythonValue, **named: PythonValue) -> tuple[PythonValue, Pulled]:
        """Run the function: `(y, pull)`."""
        y = self._value(*arguments, **named)
        return y, Pulled(self._pull, arguments, named)


class Pulled:
    """`pull(dy)`: the gradient to which the cotangent `dy` of the result is pulled back.

    Each call runs the function forward again, in the same native call as the reverse pass.
    """

    def __init__(
        self, pull: Function, arguments: Sequence[PythonValue], named: dict[str, PythonValue]
    ) -> None:
        self._pull = pull
        self._arguments = arguments
        self._named = named

    def __call__(self, cotangent: PythonValue) -> PythonValue:
        if isinstance(cotangent, int | float):
            cotangent = np.asarray(cotangent)
        return self._pull.with_extra(cotangent)(*self._arguments, **self._named)


def vjp(f: Function, wrt: Path = None) -> Vjp:
    """A function that gives `(y, pull)`; `pull(dy)` is a gradient."""
    return Vjp(f, wrt)
