"""The differentiation operators as data: which one, in what."""

from __future__ import annotations

from dataclasses import dataclass

Wrt = str | tuple[str, ...] | None
"""What to differentiate in: a parameter, a dotted path into one, or a tuple of them.

None is the first parameter. With a tuple, gradients and directions are tuples.
"""


@dataclass(frozen=True)
class Gradient:
    """`grad` and, with the value, `value_and_grad`: of the first component of the result."""

    wrt: Wrt = None
    with_value: bool = False


@dataclass(frozen=True)
class Pushforward:
    """`jvp`: takes a last parameter `along`, gives the result and its tangent (or that alone)."""

    wrt: Wrt = None
    with_value: bool = True


@dataclass(frozen=True)
class Pullback:
    """`vjp`: takes a last parameter `cotangent`, gives the gradient it pulls back to."""

    wrt: Wrt = None


@dataclass(frozen=True)
class Jacobian:
    """`jacobian` of an array-valued function: a gradient for each element of the result."""

    wrt: Wrt = None


Operator = Gradient | Pushforward | Pullback | Jacobian
