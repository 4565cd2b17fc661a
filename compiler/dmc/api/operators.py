"""The differentiation operators as data: which one, in what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from dmc_runtime.budget import NO_BUDGET, Budget

Wrt = str | tuple[str, ...] | None
"""What to differentiate in: a parameter, a dotted path into one, or a tuple of them.

None is the first parameter. With a tuple, gradients and directions are tuples.
"""


@dataclass(frozen=True)
class Gradient:
    """`grad` and, with the value, `value_and_grad`: of the first component of the result.

    The program takes at most its `budget` beside arguments and results.
    """

    wrt: Wrt = None
    with_value: bool = False
    budget: Budget = NO_BUDGET


@dataclass(frozen=True)
class Pushforward:
    """`jvp`: takes a last parameter `along`, gives the result and its tangent (or that alone).

    With a `batch`, so many directions are stacked along a leading axis, and tangents are.
    """

    wrt: Wrt = None
    with_value: bool = True
    batch: int | None = None


@dataclass(frozen=True)
class Pullback:
    """`vjp`: takes a last parameter `cotangent`, gives the gradient it pulls back to.

    With a `batch`, so many cotangents are stacked along a leading axis, and gradients are.
    """

    wrt: Wrt = None
    budget: Budget = NO_BUDGET
    batch: int | None = None


@dataclass(frozen=True)
class Jacobian:
    """`jacobian` of an array-valued function: a gradient for each element of the result."""

    wrt: Wrt = None


@dataclass(frozen=True)
class Sweep:
    """Tangents along `count` directions at once, or cotangents along as many `in_reverse`.

    Takes a last parameter `directions`, a tuple of the stacked leaves of the directions, and gives
    such a tuple.
    """

    count: int
    wrt: Wrt = None
    in_reverse: bool = False


@dataclass(frozen=True)
class Held:
    """The function itself, held to `budget` beside arguments and results."""

    budget: Budget


Operator = Gradient | Pushforward | Pullback | Jacobian | Sweep | Held


def wrt_problem(wrt: object, names: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a `wrt` that is none, and help; `names` are those of the parameters."""
    match wrt:
        case None | str():
            return None
        case ():
            first = next(iter(names), "x")
            return "`wrt` names nothing", f'name a parameter: `wrt="{first}"`'
        case tuple() | list():
            parts = cast("Sequence[object]", wrt)
            are_names = all(isinstance(part, str) for part in parts)
            kind = "tuple" if isinstance(parts, tuple) else "list"
            if are_names and kind == "tuple":
                return None
            listed = [str(part) for part in parts] if are_names else names[:2]
            end = "," if len(listed) == 1 else ""
            several = ", ".join(f'"{name}"' for name in listed)
            return (
                f"`wrt` is a {kind}",
                f"several are a tuple: `wrt=({several}{end})`",
            )
        case int() if 0 <= wrt < len(names):
            return f"`wrt` is the number {wrt}", f'parameters have names: `wrt="{names[wrt]}"`'
        case _:
            first = next(iter(names), "x")
            hint = f'give the name of a parameter, or a path in it: `wrt="{first}"`'
            return f"`wrt` is a {type(wrt).__name__}", hint
