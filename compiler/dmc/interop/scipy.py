"""SciPy's minimisers and solvers on functions of dm, with exact derivatives.

The first parameter of a function is what is sought: an array, a number or a record of any depth,
of which the differentiable leaves move. What SciPy returns is returned, with `x` like the start.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from dmc.api.conversion import refuse
from dmc.api.differentiate import function_of, hessian, hvp, jacobian, value_and_grad
from dmc.api.function import Function
from dmc.api.operators import Pullback, Pushforward
from dmc.diagnostics.errors import Error
from dmc.interop.extras import extra
from dmc.ir.types import DType
from dmc.process import lazy
from dmc.semantics.types import TensorType, resolved
from dmc_runtime.arguments import shown
from dmc_runtime.flat import flatten
from dmc_runtime.leafwise import params
from dmc_runtime.records import Record, Tree, tree_leaves
from dmc_runtime.trees import Array

optimize = extra("scipy.optimize", "scipy", "scipy", "`dmc.scipy`")
linear = extra("scipy.sparse.linalg", "scipy", "scipy", "`dmc.scipy`")

_WITH_PRODUCTS = ("newton-cg", "trust-ncg", "trust-krylov", "trust-constr")
"""The methods of `minimize` that use products with the Hessian."""
_WITH_HESSIANS = ("dogleg", "trust-exact")
"""Those that use the whole Hessian."""
_WITH_CURVATURES = ("trust-constr",)
"""Those that use second derivatives of constraints."""
_WITHOUT_GRADIENTS = ("nelder-mead", "powell", "cobyla", "cobyqa")
_ROOTS_WITH_JACOBIANS = ("hybr", "lm")


def minimize(
    f: Function,
    start: Any,
    *arguments: Any,
    method: str | None = None,
    named: Mapping[str, Any] | None = None,
    sparse: bool = False,
    **options: Any,
) -> Any:
    """`scipy.optimize.minimize` of `f(x, *arguments, **named)`, from `start`.

    The gradient is exact, and so is what methods use of the Hessian: products with it (Newton-CG,
    trust-ncg, trust-krylov, trust-constr), all of it (dogleg, trust-exact), or with `sparse` the
    entries that are not always zero (trust-constr). `options` are those of SciPy; a `callback` gets
    points like the start, and so do the functions of `constraints`, in SciPy's forms; of those that
    are functions of dm derivatives are exact, too. `bounds` may be a pair of such points, of which
    one may be None. Matrices of linear constraints have columns in the order of `dmc.flatten`.
    """
    problem = _Problem.of(f, "minimize", start, arguments, named, options)
    kind = "" if method is None else method.lower()
    if sparse and kind != "trust-constr":
        raise _refused("minimize", '`sparse` is for `method="trust-constr"`')
    if "constraints" in options:
        options["constraints"] = problem.constraints(options["constraints"], kind)
    if kind in _WITHOUT_GRADIENTS:
        result = optimize.minimize(problem.value, problem.start, method=method, **options)
        return problem.told(result)
    if kind in _WITH_HESSIANS:
        options.setdefault("hess", problem.hessian)
    elif sparse:
        options.setdefault("hess", problem.sparse_hessian)
    elif kind in _WITH_PRODUCTS:
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
    sparse: bool = False,
    **options: Any,
) -> Any:
    """`scipy.optimize.least_squares`: half the sum of the squares of the array `f(x, …)`.

    With `sparse` the Jacobian has the entries that are not always zero, from few passes.
    """
    problem = _Problem.of(f, "least_squares", start, arguments, named, options)
    jacobian = problem.sparse_jacobian if sparse else problem.jacobian
    result = optimize.least_squares(problem.residuals, problem.start, jac=jacobian, **options)
    return problem.told(result)


def root(
    f: Function,
    start: Any,
    *arguments: Any,
    method: str = "hybr",
    named: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """`scipy.optimize.root`: where the array `f(x, …)`, as large as `x`, is zero."""
    problem = _Problem.of(f, "root", start, arguments, named, options)
    given, sought = problem.residuals(problem.start).size, problem.start.size
    if given != sought:
        message = f"{problem.function.__name__} gives {given} numbers for {sought} unknowns"
        raise _refused("root", message, "as many are needed; or `dmc.scipy.least_squares`")
    if method.lower() in _ROOTS_WITH_JACOBIANS:
        options["jac"] = problem.jacobian
    result = optimize.root(problem.residuals, problem.start, method=method, **options)
    return problem.told(result)


@dataclass(frozen=True)
class _Problem:
    """A function of its first parameter alone, as a function of a vector of f64."""

    function: Function
    origin: Tree
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        f: Function,
        caller: str,
        start: Any,
        arguments: tuple[Any, ...],
        named: Mapping[str, Any] | None,
        options: dict[str, Any],
    ) -> _Problem:
        """What a solver is asked; `options` become those of SciPy."""
        function = function_of(f, f"scipy.{caller}", None)
        if "args" in options:
            hint = f"as in `dmc.scipy.{caller}({function.__name__}, start, …)`, or in `named`"
            raise _refused(caller, "arguments of the function come after the start", hint)
        if "jac" in options:
            raise _refused(caller, "derivatives are exact already", "leave out `jac`")
        problem = cls(function, _begun(function, start), arguments, named or {})
        if "bounds" in options:
            options["bounds"] = problem.bounds(options["bounds"])
        if options.get("callback") is not None:
            options["callback"] = problem.callback(options["callback"])
        return problem

    def bounds(self, given: Any) -> Any:
        """Bounds as SciPy has them; a pair of points like the start, too."""
        match given:
            case (Record() | None as low, Record() | None as high) if given != (None, None):
                least = -np.inf if low is None else flatten(low)[0]
                most = np.inf if high is None else flatten(high)[0]
                return optimize.Bounds(least, most)
            case _:
                return given

    def constraints(self, given: Any, kind: str) -> list[Any]:
        """Constraints as SciPy has them, on vectors, of such on points like the start."""
        several = cast("Sequence[Any]", given if isinstance(given, list | tuple) else [given])
        return [self._constraint(each, kind) for each in several]

    def _constraint(self, given: Any, kind: str) -> Any:
        if isinstance(given, optimize.LinearConstraint):
            return given
        if isinstance(given, optimize.NonlinearConstraint):
            constraint = copy(given)
            fun, jac, hess = self._on_vectors(given.fun, (), given.jac, given.hess)
            constraint.fun, constraint.jac = fun, jac
            constraint.hess = hess if kind in _WITH_CURVATURES else given.hess
            return constraint
        if not isinstance(given, dict) or "fun" not in given:
            hint = "give `scipy.optimize.NonlinearConstraint(f, low, high)`, or a list of such"
            told = shown(cast("object", given))
            raise _refused("minimize", f"{told} is no constraint", hint)
        old = cast("dict[str, Any]", given)
        fun, jac, _ = self._on_vectors(old["fun"], old.get("args", ()), old.get("jac"), None)
        return {"type": old.get("type"), "fun": fun, **({} if jac is None else {"jac": jac})}

    def _on_vectors(
        self, fun: Any, arguments: Sequence[Any], jac: Any, hess: Any
    ) -> tuple[Any, Any, Any]:
        """The function of a constraint, with its first and second derivatives, on vectors."""
        if isinstance(fun, Function):
            own = replace(self, function=fun, arguments=tuple(arguments), named={})
            return own.residuals, own.jacobian, own.curvature

        def on_vectors(given: Any) -> Any:
            if not callable(given):
                return given

            def call(vector: Array, *rest: Any) -> Any:
                found = given(self.place(vector), *arguments, *rest)
                return self.matrix(found) if isinstance(found, Record) else found

            return call

        return on_vectors(fun), on_vectors(jac), on_vectors(hess)

    def callback(self, given: Callable[..., Any]) -> Callable[..., Any]:
        """What a solver calls at each step: `given` at points like the start."""
        if "intermediate_result" in inspect.signature(given).parameters:

            def told(*, intermediate_result: Any) -> Any:
                own = type(intermediate_result)(intermediate_result)
                return given(intermediate_result=self.told(own))

            return told

        def at(vector: Array, *rest: Any) -> Any:
            return given(self.place(vector), *rest)

        return at

    @lazy
    def start(self) -> Array:
        return flatten(self.origin)[0].astype(np.float64)

    @lazy
    def place(self) -> Callable[[Array], Tree]:
        return flatten(self.origin)[1]

    def value(self, vector: Array) -> float:
        return float(_first(self._run(self.function, vector)))

    def value_and_gradient(self, vector: Array) -> tuple[float, Array]:
        value, gradient = self._run(value_and_grad(self.function), vector)
        return float(_first(value)), _vector(_first(gradient))

    def hessian_product(self, vector: Array, direction: Array) -> Array:
        along = flatten(params(self.origin))[1](np.asarray(direction).reshape(-1))
        return _vector(self._run(hvp(self.function, along), vector))

    def sparse_hessian(self, vector: Array) -> Any:
        return self._run(hessian(self.function, sparse=True), vector)

    def hessian(self, vector: Array) -> Array:
        return self.sparse_hessian(vector).toarray().astype(np.float64)

    def residuals(self, vector: Array) -> Array:
        return np.asarray(_first(self._run(self.function, vector)), np.float64).reshape(-1)

    def jacobian(self, vector: Array) -> Array:
        return self.matrix(_first(self._run(jacobian(self.function), vector)))

    def matrix(self, rows: Tree) -> Array:
        """A Jacobian of records as a matrix."""
        leaves = zip(tree_leaves(params(rows)), tree_leaves(params(self.origin)), strict=True)
        columns = [np.asarray(row).reshape(-1, np.size(part)) for row, part in leaves]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def curvature(self, vector: Array, weights: Array) -> Any:
        """The Hessian of the weighted sum of the results, by products with it."""
        turned = self.function.derived(Pullback()).derived(Pushforward(with_value=False))
        shape = np.shape(_first(self._run(self.function, vector)))
        along = flatten(params(self.origin))[1]

        def product(direction: Array) -> Array:
            vectors = np.reshape(weights, shape), along(np.asarray(direction).reshape(-1))
            return _vector(self._run(turned.with_extras(*vectors), vector))

        size = self.start.size
        return linear.LinearOperator((size, size), matvec=product, dtype=np.float64)

    def sparse_jacobian(self, vector: Array) -> Any:
        return self._run(jacobian(self.function, sparse=True), vector).astype(np.float64)

    def told(self, result: Any) -> Any:
        """SciPy's result with its point like the start."""
        result.x = self.place(result.x)
        return result

    def _run(self, function: Callable[..., Any], vector: Array) -> Any:
        return function(self.place(vector), *self.arguments, **self.named)


def _begun(function: Function, start: Any) -> Tree:
    """The start; whole numbers and lists become floats, of the type that the function takes."""
    if isinstance(start, int):
        return float(start)
    if not isinstance(start, list | np.ndarray):
        return start
    array: Array = np.asarray(cast("Any", start))
    if array.dtype.kind not in "iu":
        return array
    wanted = function.checked.parameters[0].type if function.checked.parameters else None
    element = resolved(wanted.element) if isinstance(wanted, TensorType) else None
    return array.astype(element.numpy if isinstance(element, DType) else np.float64)


def _refused(caller: str, message: str, hint: str = "") -> Error:
    return refuse("call.value", f"dmc.scipy.{caller}: {message}", None, hint)


def _first(result: Any) -> Any:
    """What is differentiated of a result."""
    return cast("tuple[Any, ...]", result)[0] if isinstance(result, tuple) else result


def _vector(gradient: Tree) -> Array:
    return flatten(gradient)[0].astype(np.float64)
