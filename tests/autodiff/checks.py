"""Numerical checks of derivatives, through the reference interpreter only.

Every program is a textual function `@f` of f64 tensors (and integers, which carry no derivative).
"""

from __future__ import annotations

import itertools

import numpy as np

import dmc.dialects  # noqa: F401  (registers the operations that the parser knows)
from dmc.autodiff import differentiate
from dmc.dialects import func
from dmc.ir import Array, Interpreter, Module, dtype_of, shape_of, verify
from dmc.ir.parser import parse_module


def parse(text: str) -> Module:
    module = parse_module(text)
    verify(module)
    return module


def floats(function: func.Func) -> tuple[list[int], list[int]]:
    """Indexes of the float arguments and the float results."""
    inputs = [i for i, arg in enumerate(function.body.args) if dtype_of(arg.type).is_float]
    outputs = function.body.terminator.operands
    return inputs, [i for i, value in enumerate(outputs) if dtype_of(value.type).is_float]


def run(module: Module, name: str, arguments: list[Array]) -> list[Array]:
    return Interpreter(module).call(name, arguments)


def sample(function: func.Func, indexes: list[int], rng: np.random.Generator) -> list[Array]:
    types = [function.body.args[i].type for i in indexes]
    return [rng.uniform(0.3, 1.2, shape_of(type_)) for type_ in types]


def check(text: str, arguments: list[Array], order: int = 2, tolerance: float = 1e-6) -> None:
    """Tangent against central differences, adjoint against tangent, to the given order.

    Every way of mixing the modes up to `order` is applied, so third order means eight programs.
    """
    for modes in itertools.product("ta", repeat=order):
        module = parse(text)
        point = list(arguments)
        function = func.lookup(module, "f")
        for level, mode in enumerate(modes):
            rng = np.random.default_rng(level)
            tolerance_here = tolerance * 10**level
            function, point = check_once(module, function, point, mode, rng, tolerance_here)


def check_once(
    module: Module,
    function: func.Func,
    point: list[Array],
    mode: str,
    rng: np.random.Generator,
    tolerance: float,
) -> tuple[func.Func, list[Array]]:
    """Check one derivative of `function`; return it with a point to go on from."""
    wrt, of = floats(function)
    forward = differentiate.tangent(module, function, wrt, of)
    backward = differentiate.adjoint(module, function, wrt, of)
    verify(module)
    vectors = [rng.standard_normal(np.shape(point[i])) for i in wrt]
    primal = run(module, function.sym_name, point)
    covectors = [rng.standard_normal(np.shape(primal[i])) for i in of]

    out = run(module, forward.sym_name, [*point, *vectors])
    pushed = out[len(primal) :]
    for got, wanted in zip(out, primal, strict=False):
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(
        pushed, differences(module, function, point, wrt, of, vectors), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)

    back = run(module, backward.sym_name, [*point, *covectors])
    for got, wanted in zip(back, primal, strict=False):
        np.testing.assert_array_equal(got, wanted)
    pulled = back[len(primal) :]
    left = sum(float(np.sum(a * b)) for a, b in zip(pushed, covectors, strict=True))
    right = sum(float(np.sum(a * b)) for a, b in zip(vectors, pulled, strict=True))
    assert np.isclose(left, right, rtol=1e-9, atol=1e-9), f"<Jv, w> = {left}, <v, J'w> = {right}"
    if mode == "t":
        return forward, [*point, *vectors]
    return backward, [*point, *covectors]


def differences(
    module: Module,
    function: func.Func,
    point: list[Array],
    wrt: list[int],
    of: list[int],
    vectors: list[Array],
    step: float = 1e-6,
) -> list[Array]:
    """Central differences of the float results along `vectors`."""

    def moved(sign: float) -> list[Array]:
        there = list(point)
        for i, vector in zip(wrt, vectors, strict=True):
            there[i] = point[i] + sign * step * vector
        return run(module, function.sym_name, there)

    high, low = moved(1.0), moved(-1.0)
    return [(high[i] - low[i]) / (2 * step) for i in of]
