"""SciPy's minimisers and solvers on functions of dm, with exact derivatives.

The first parameter of a function is what is sought: an array, a number or a record of any depth,
of which the differentiable leaves move. What SciPy returns is returned, with `x` like the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dmc.api.differentiate import function_of, hvp, jacobian, value_and_grad
from dmc.api.function import Function
from dmc.interop.extras import extra
from dmc_runtime.flat import flatten
from dmc_runtime.leafwise import params
from dmc_runtime.records import Tree, tree_leaves
from dmc_runtime.trees import Array

optimize = extra("scipy.optimize", "scipy", "scipy", "`dmc.scipy`")

_SECOND_ORDER = ("newton-cg", "trust-ncg", "trust-krylov", "trust-constr")
"""The methods of `scipy.optimize.minimize` that use products with the Hessian."""


def minimize(
    f: Function,
    start: Any,
    *arguments: Any,
    method: str | None = None,
    named: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """`scipy.optimize.minimize` of `f(x, *arguments, **named)`, from `start`.

    The gradient is exact, and so are products with the Hessian for the methods that use them
    (Newton-CG, trust-ncg, trust-krylov, trust-constr). `options` are those of SciPy.
    """
    problem = _Problem(function_of(f, "scipy.minimize", None), start, arguments, named or {})
    if method is not None and method.lower() in _SECOND_ORDER:
        options.setdefault("hessp", problem.hessian_product)
    result = optimize.minimize(
        problem.value_and_gradient, problem.start, jac=True, method=method, **options
    )
    return problem.told(result)


def least_squares(
    f: Function,
    start: Any,
    *arguments: Any,
    named: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """`scipy.optimize.least_squares`: half the sum of the squares of the array `f(x, …)`."""
    problem = _Problem(function_of(f, "scipy.least_squares", None), start, arguments, named or {})
    result = optimize.least_squares(
        problem.residuals, problem.start, jac=problem.jacobian, **options
    )
    return problem.told(result)


def root(
    f: Function,
    start: Any,
    *arguments: Any,
    named: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """`scipy.optimize.root`: where the array `f(x, …)`, as large as `x`, is zero."""
    problem = _Problem(function_of(f, "scipy.root", None), start, arguments, named or {})
    result = optimize.root(problem.residuals, problem.start, jac=problem.jacobian, **options)
    return problem.told(result)


@dataclass(frozen=True)
class _Problem:
    """A function of its first parameter alone, as a function of a vector of f64."""

    function: Function
    origin: Tree
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    @property
    def start(self) -> Array:
        return flatten(self.origin)[0].astype(np.float64)

    @property
    def place(self) -> Callable[[Array], Tree]:
        return flatten(self.origin)[1]

    def value_and_gradient(self, vector: Array) -> tuple[float, Array]:
        value, gradient = self._run(value_and_grad(self.function), vector)
        return float(_first(value)), _vector(_first(gradient))

    def hessian_product(self, vector: Array, direction: Array) -> Array:
        along = flatten(params(self.origin))[1](np.asarray(direction).reshape(-1))
        return _vector(self._run(hvp(self.function, along), vector))

    def residuals(self, vector: Array) -> Array:
        return np.asarray(_first(self._run(self.function, vector)), np.float64).reshape(-1)

    def jacobian(self, vector: Array) -> Array:
        rows = tree_leaves(params(_first(self._run(jacobian(self.function), vector))))
        parts = tree_leaves(params(self.origin))
        columns = [
            np.asarray(row).reshape(-1, np.size(part))
            for row, part in zip(rows, parts, strict=True)
        ]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def told(self, result: Any) -> Any:
        """SciPy's result with its point like the start."""
        result.x = self.place(result.x)
        return result

    def _run(self, function: Function, vector: Array) -> Any:
        return function(self.place(vector), *self.arguments, **self.named)


def _first(result: Any) -> Any:
    """What is differentiated of a result."""
    return cast("tuple[Any, ...]", result)[0] if isinstance(result, tuple) else result


def _vector(gradient: Tree) -> Array:
    return flatten(gradient)[0].astype(np.float64)
