"""The names every program knows, under their NumPy and SciPy names."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CONSTANTS", "ELEMENTWISE", "FILLS", "Elementwise", "is_function", "names"]

CONSTANTS: dict[str, int | float] = {
    "pi": math.pi,
    "inf": math.inf,
    "nan": math.nan,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

FILLS = {"zeros": 0, "ones": 1}
"""Values that take their shape from context or from brackets."""


@dataclass(frozen=True, slots=True)
class Elementwise:
    """A function applied element by element."""

    arity: int
    is_float_only: bool = True


_FLOAT_UNARY = (
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "sigmoid", "softplus", "gelu", "silu", "erf", "lgamma", "digamma",
    "floor", "ceil", "round",
)  # fmt: skip

ELEMENTWISE: dict[str, Elementwise] = {
    **{name: Elementwise(1) for name in _FLOAT_UNARY},
    "abs": Elementwise(1, False),
    "sign": Elementwise(1, False),
    "maximum": Elementwise(2, False),
    "minimum": Elementwise(2, False),
    "atan2": Elementwise(2),
    "hypot": Elementwise(2),
    "clamp": Elementwise(3, False),
}

REDUCTIONS = (
    "sum", "mean", "max", "min", "prod", "logsumexp", "argmax", "argmin", "softmax",
)  # fmt: skip

OPERATORS = ("grad", "value_and_grad", "jvp", "vjp", "jacobian", "hessian", "hvp")

RANDOM = ("split", "fold", "normal", "uniform", "bernoulli")

OTHERS = (
    "where", "pick", "map", "cast", "rank", "reshape", "concat", "cross", "stop_gradient",
    "one_hot", "arange", "linspace", "eye", "tril", "triu", "cumsum", "cumprod", "sort", "argsort",
    "top_k", "flip", "roll",
)  # fmt: skip

PLANNED = ("solve", "logdet", "cholesky", "pad", "repeat")
"""Names of the language that this version does not compile yet."""

_FUNCTIONS = frozenset(
    (*ELEMENTWISE, *REDUCTIONS, *OPERATORS, *RANDOM, *OTHERS, *PLANNED)
)  # fmt: skip


def is_function(name: str) -> bool:
    """Whether the prelude has a function of this name."""
    return name in _FUNCTIONS


def names() -> tuple[str, ...]:
    """Everything the prelude offers, for suggestions."""
    return (*CONSTANTS, *FILLS, *sorted(_FUNCTIONS))
