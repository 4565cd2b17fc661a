"""Names that mean something in other languages and libraries, and what dm writes for them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["METHODS", "WAYS", "Way", "advice", "filled", "known_elsewhere", "method_advice"]


@dataclass(frozen=True, slots=True)
class Way:
    """What to write: `help`, in whose quotes `parameters` stand for the arguments of a call."""

    help: str
    parameters: tuple[str, ...] = ()

    def of(self, arguments: Sequence[str]) -> str:
        """The help for a call of these arguments; what is not given keeps its generic name."""
        parts = self.help.split("`")
        for i in range(1, len(parts), 2):
            parts[i] = filled(parts[i], self.parameters, arguments)
        return "`".join(parts)


def filled(text: str, parameters: Sequence[str], arguments: Sequence[str]) -> str:
    """A text of dm with arguments in place of parameters, as far as they are given."""
    given = dict(zip(parameters, map(_operand, arguments), strict=False))
    names = re.compile(rf"\b(?:{'|'.join(given)})\b")
    return names.sub(lambda name: given[name.group()], text) if given else text


_ATOM = re.compile(r"[\w.]+(?:\[[^\[\]]*\]|\([^()]*\))?")


def _operand(text: str) -> str:
    """An argument as an operand of anything."""
    return text if _ATOM.fullmatch(text) else f"({text})"


def _write(parameters: str, text: str, note: str = "") -> Way:
    return Way(f"write `{text}`{note}", tuple(parameters.split()))


def _say(help_: str) -> Way:
    return Way(help_)


_ARRAYS = _say("functions of arrays stand alone: `sum(x)`, `exp(x)`")

_WORDS: dict[str, Way] = {
    "True": _write("", "true"),
    "False": _write("", "false"),
    "None": _say("every value is there: where one may be missing, say so with a `bool`"),
    "null": _say("every value is there: where one may be missing, say so with a `bool`"),
    "self": _say("delete it: the fields of a model are in scope by name"),
    "np": _ARRAYS,
    "jnp": _ARRAYS,
    "numpy": _ARRAYS,
    "math": _ARRAYS,
    "torch": _ARRAYS,
    "jax": _ARRAYS,
    "lax": _ARRAYS,
}

_TYPES: dict[str, Way] = {
    "float": _say("write `f64`, or `f32`"),
    "double": _write("", "f64"),
    "int": _say("write `i64`, or `i32`"),
    "float32": _write("", "f32"),
    "float64": _write("", "f64"),
    "int32": _write("", "i32"),
    "int64": _write("", "i64"),
    "Tensor": _say("name elements and shape: `f64[N]`"),
    "Array": _say("name elements and shape: `f64[N]`"),
    "ndarray": _say("name elements and shape: `f64[N]`"),
}

_RENAMED: dict[str, str] = {
    "absolute": "abs", "fabs": "abs", "ln": "log", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "expit": "sigmoid", "logistic": "sigmoid", "amax": "max", "amin": "min",
    "product": "prod", "gammaln": "lgamma", "loggamma": "lgamma", "swish": "silu",
    "rint": "round", "around": "round", "signum": "sign", "detach": "stop_gradient",
    "average": "mean",
}  # fmt: skip
"""Functions of one array that dm has under another name."""

_FUNCTIONS: dict[str, Way] = {
    # elementwise
    "exp2": _write("x", "2.0 ** x"),
    "square": _write("x", "x ** 2"),
    "pow": _write("x n", "x ** n"),
    "power": _write("x n", "x ** n"),
    "float_power": _write("x n", "x ** n"),
    "cbrt": _write("x", "sign(x) * abs(x) ** (1.0 / 3.0)"),
    "arctan2": _write("x y", "atan2(x, y)"),
    "fmax": _write("x y", "maximum(x, y)"),
    "fmin": _write("x y", "minimum(x, y)"),
    "reciprocal": _write("x", "1.0 / x"),
    "add": _write("x y", "x + y"),
    "subtract": _write("x y", "x - y"),
    "multiply": _write("x y", "x * y"),
    "divide": _write("x y", "x / y"),
    "negative": _write("x", "-x"),
    "mod": _write("x y", "x % y"),
    "remainder": _write("x y", "x % y"),
    "clip": _write("x low high", "clamp(x, low, high)"),
    "logaddexp": _write("x y", "maximum(x, y) + log1p(exp(-abs(x - y)))"),
    "logit": _write("x", "log(x / (1.0 - x))"),
    "hardtanh": _write("x", "clamp(x, -1.0, 1.0)"),
    "logsigmoid": _write("x", "-softplus(-x)"),
    "asinh": _write("x", "sign(x) * log(abs(x) + sqrt(x * x + 1.0))"),
    "arcsinh": _write("x", "sign(x) * log(abs(x) + sqrt(x * x + 1.0))"),
    "acosh": _write("x", "log(x + sqrt(x * x - 1.0))"),
    "arccosh": _write("x", "log(x + sqrt(x * x - 1.0))"),
    "atanh": _write("x", "0.5 * log((1.0 + x) / (1.0 - x))"),
    "arctanh": _write("x", "0.5 * log((1.0 + x) / (1.0 - x))"),
    "gamma": _write(
        "x", "exp(lgamma(x))", " for x > 0; draws of that name are in the module random"
    ),
    "beta": _write(
        "x y",
        "exp(lgamma(x) + lgamma(y) - lgamma(x + y))",
        "; draws of that name are in the module random",
    ),
    "heaviside": _write("x", "where(x < 0.0, 0.0, 1.0)"),
    "step": _write("x", "where(x < 0.0, 0.0, 1.0)", "; a rate of that name is in schedule"),
    "piecewise": _write("c x y", "where(c, x, y)", "; a rate of that name is in schedule"),
    "linear": _write("x a y", "x @ a + y", "; the layer is Linear of nn, a rate is in schedule"),
    "trunc": _write("x", "sign(x) * floor(abs(x))"),
    "fix": _write("x", "sign(x) * floor(abs(x))"),
    "deg2rad": _write("x", "x * (pi / 180.0)"),
    "radians": _write("x", "x * (pi / 180.0)"),
    "rad2deg": _write("x", "x * (180.0 / pi)"),
    "degrees": _write("x", "x * (180.0 / pi)"),
    "nan_to_num": _write("x", "where(x == x, x, 0.0)"),
    "sinc": _write("x", "where(x == 0.0, 1.0, sin(pi * x) / where(x == 0.0, 1.0, pi * x))"),
    # reductions
    "count_nonzero": _write("x", "sum(where(x != 0.0, 1, 0))"),
    "var": _write("x", "variance(x)"),
    "norm": _write("x", "sqrt(sum(x * x))"),
    "ptp": _write("x", "max(x) - min(x)"),
    "cov": _write("x y", "sum((x - mean(x)) * (y - mean(y))) / (N - 1)", ", N being their size"),
    "nansum": _write("x", "sum(where(x == x, x, 0.0))"),
    "nanmean": _write("x", "sum(where(x == x, x, 0.0)) / sum(where(x == x, 1.0, 0.0))"),
    "trapz": _write("y h", "h * (sum(y) - 0.5 * (y[0] + y[N - 1]))", ", N being its size"),
    "trapezoid": _write("y h", "h * (sum(y) - 0.5 * (y[0] + y[N - 1]))", ", N being its size"),
    # linear algebra
    "dot": _write("x y", "x @ y"),
    "vdot": _write("x y", "x @ y"),
    "inner": _write("x y", "x @ y"),
    "matmul": _write("a b", "a @ b"),
    "mm": _write("a b", "a @ b"),
    "bmm": _write("a b", "a @ b"),
    "outer": Way("write a builder: `[i, j] => x[i] * y[j]`", ("x", "y")),
    "kron": Way("write a builder: `[i, j, k, l] => a[i, k] * b[j, l]`"),
    "einsum": _say("write the sum: `[i, j] => sum[k](a[i, k] * b[k, j])`"),
    "tensordot": _say("write the sum: `[i, j] => sum[k](a[i, k] * b[k, j])`"),
    "transpose": Way("write `a.T`, or `[i, j] => a[j, i]`", ("a",)),
    "swapaxes": Way("write `a.T`, or `[i, j] => a[j, i]`", ("a",)),
    "permute": Way("write `a.T`, or `[i, j] => a[j, i]`", ("a",)),
    "moveaxis": Way("write `a.T`, or `[i, j] => a[j, i]`", ("a",)),
    "trace": Way("write the sum: `sum[i](a[i, i])`", ("a",)),
    "diagonal": Way("write a builder: `[i] => a[i, i]`", ("a",)),
    "diag": _say(
        "of a matrix: `[i] => a[i, i]`; "
        "from a vector: `[i, j in 0..N] => if i == j { x[i] } else { 0.0 }`"
    ),
    "eig": _say("of a symmetric matrix: `eigh(a)`"),
    "eigvalsh": _say("they come first: `eigh(a)`"),
    "pinv": _say("of a square matrix: `inv(a)`; of another, `lstsq(a, b)` solves with it"),
    "solve_triangular": _say("write `solve_lower(a, b)` or `solve_upper(a, b)`"),
    "triangular_solve": _say("write `solve_lower(a, b)` or `solve_upper(a, b)`"),
    "cho_solve": _say("write `cholesky_solve(cholesky(a), b)`"),
    "cho_factor": _write("a", "cholesky(a)"),
    # creation
    "full": _say("write a builder: `[i in 0..N] => 2.0`"),
    "full_like": _say("write a builder: `[i in 0..N] => 2.0`"),
    "empty": _write("", "zeros[N]"),
    "zeros_like": _say("write `zeros`: its shape comes from where it is used"),
    "ones_like": _say("write `ones`: its shape comes from where it is used"),
    "empty_like": _say("write `zeros`: its shape comes from where it is used"),
    "identity": _write("", "eye[N]()"),
    "randn": _say("draw with a key: `normal[N](key)`"),
    "rand": _say("draw with a key: `uniform[N](key)`"),
    # shape
    "stack": _say("write an array of them, `[x, y]`, or a builder"),
    "vstack": _say("write `concat[0](a, b)`"),
    "hstack": _say("write `concat[-1](a, b)`"),
    "cat": _say("write `concat[0](a, b)`"),
    "concatenate": _say("write `concat[0](a, b)`"),
    "tile": Way("write a builder: `[i in 0..2, j] => x[j]`", ("x",)),
    "broadcast_to": Way("write a builder: `[i in 0..2, j] => x[j]`", ("x",)),
    "flatten": _write("a", "reshape[N * N](a)", ", N * N being its size"),
    "ravel": _write("a", "reshape[N * N](a)", ", N * N being its size"),
    "view": _write("a", "reshape[N * N](a)", ", with the new sizes"),
    "squeeze": _write("x", "reshape[N](x)", ", with the axes that remain"),
    "unsqueeze": Way("write `x[:, _]`, which stretches, or `reshape[N, 1](x)`", ("x",)),
    "expand_dims": Way("write `x[:, _]`, which stretches, or `reshape[N, 1](x)`", ("x",)),
    "newaxis": _say("write `_`, as in `x[:, _]`"),
    "diff": _say("write a builder: `[i in 0..N - 1] => x[i + 1] - x[i]`"),
    "take": Way("write `x[ids]`", ("x", "ids")),
    "gather": Way("write `x[ids]`", ("x", "ids")),
    "len": _say("the size has a name: `N`, where the array is an f64[N]"),
    # control flow and functions of functions
    "range": _say("write `for i in 0..N { s += x[i] }`"),
    "enumerate": Way("loop over the index: `for i in 0..N { s += x[i] }`"),
    "zip": Way("loop over the index: `for i in 0..N { s += x[i] * y[i] }`"),
    "scan": _say("a loop gives the stack of its body's values: `for v in x { s += v; s }`"),
    "fori_loop": _say("write `for i in 0..N { s += x[i] }`"),
    "while_loop": _say("write `while s < 10.0 { s += 1.0 }`"),
    "cond": _say("write `if s > 0.0 { x } else { y }`"),
    "select": _write("c x y", "where(c, x, y)"),
    "vmap": _say("write a builder: `[n] => f(x[n])`"),
    "gradient": _say(
        "of a function: `grad(f)(s)`; of samples: `[i in 0..N - 1] => x[i + 1] - x[i]`"
    ),
    "jacfwd": _say("write `jacobian(f)(s)`"),
    "jacrev": _say("write `jacobian(f)(s)`"),
    "print": _say("return the value and print it in Python"),
}

WAYS: dict[str, Way] = {
    **{name: _write("x", f"{new}(x)") for name, new in _RENAMED.items()},
    **_WORDS,
    **_TYPES,
    **_FUNCTIONS,
}

METHODS: dict[str, Way] = {
    "shape": _say("sizes have names, such as `N`"),
    "ndim": _write("x", "rank(x)"),
    "mT": _write("a", "a.T"),
    "t": _write("a", "a.T"),
    "item": _say("a number is a value already: delete it"),
    "copy": _say("values do not change: delete it"),
    "clone": _say("values do not change: delete it"),
    "numpy": _say("what comes back to Python is a NumPy array: delete it"),
    "astype": _write("x", "f64(x)"),
    "float": _write("x", "f32(x)"),
    "double": _write("x", "f64(x)"),
    "long": _write("x", "i64(x)"),
    "int": _write("x", "i32(x)"),
    "at": _say("a part of a var is assigned: `v[0] += 1.0`"),
    "append": _say("a loop gives the stack of its body's values: `for v in x { s += v; s }`"),
}

_ARRAY_LIBRARIES = frozenset(
    (
        "batch_norm", "bmm", "celu", "cdist", "checkpoint", "conv2d", "cosine_similarity",
        "cumlogsumexp", "elu", "entr", "glu", "group_norm", "hardsigmoid", "hardswish",
        "igamma", "kl_div", "l1_loss", "lerp", "linear", "logcumsumexp", "lu",
        "masked_fill", "max_pool2d", "mish", "nll_loss", "normalize", "pmap", "polygamma", "prelu",
        "relu", "rms_norm", "scatter", "selu", "smooth_l1_loss", "softmin",
        "softshrink", "softsign", "stft", "tanhshrink", "topk", "xlog1py", "xlogy", "zeta",
    )
)  # fmt: skip
"""Names of PyTorch and JAX that are near names of the prelude, or often written."""


def advice(name: str, arguments: Sequence[str] = ()) -> str | None:
    """What to write for a name of another language, called with these arguments if with any."""
    way = WAYS.get(name)
    return way.of(arguments) if way is not None else None


def method_advice(name: str, arguments: Sequence[str]) -> str | None:
    """What to write for a method of arrays; the array comes first in `arguments`."""
    way = METHODS.get(name) or WAYS.get(name)
    return way.of(arguments) if way is not None else None


PACKAGES = frozenset(
    (
        "np", "jnp", "numpy", "math", "torch", "jax", "lax", "F", "nn", "scipy", "sp", "special",
        "linalg", "stats", "tf", "tfp", "optax",
    )
)  # fmt: skip
"""What libraries are called by those who import them."""


def known_elsewhere(name: str) -> bool:
    """Whether a name means something in NumPy, Python's `math`, PyTorch or JAX.

    Whoever writes it means that, and not a name of dm that looks alike.
    """
    return (
        name in WAYS
        or name in _ARRAY_LIBRARIES
        or any(hasattr(module, name) for module in (np, np.linalg, math))
    )
