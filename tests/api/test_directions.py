"""Several tangents or cotangents in one call are those of as many calls, stacked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc

PROGRAM: Any = dmc.load(Path(__file__).parent / "directions.dm")
RNG = np.random.default_rng(4)
X, COUNT = RNG.normal(size=3), 4
POINT = PROGRAM.Line(w=RNG.normal(size=3), b=0.7)
SINGLE = [PROGRAM.Line(w=RNG.normal(size=3), b=RNG.normal()) for _ in range(COUNT)]
STACKED, MOVES = dmc.stack(SINGLE), RNG.normal(size=(COUNT, 3))


def same(found: Any, wanted: list[Any]) -> None:
    """A list, or a stack of records."""
    for one, other in zip([found[i] for i in range(len(wanted))], wanted, strict=True):
        np.testing.assert_allclose(one.w, other.w, rtol=1e-14)
        np.testing.assert_allclose(one.b, other.b, rtol=1e-14)


def test_tangents() -> None:
    value, found = PROGRAM.pushed(POINT, X, STACKED, MOVES)
    both = ("p", "x")
    along = (STACKED, MOVES)
    outside = dmc.jvp(PROGRAM.turned, along=along, wrt=both, batch=True)(POINT, X)
    pairs = zip(SINGLE, MOVES, strict=True)
    wanted = [dmc.jvp(PROGRAM.turned, along=d, wrt=both)(POINT, X)[1] for d in pairs]
    for given, tangents in ((value, found), outside):
        same([given], [PROGRAM.turned(POINT, X)])
        same(tangents, wanted)


def test_cotangents() -> None:
    value, found, own = PROGRAM.pulled(POINT, X, STACKED)
    _, pull = dmc.vjp(PROGRAM.turned)(POINT, X)
    wanted = [pull(d) for d in SINGLE]
    same(found, wanted)
    same(pull(STACKED, batch=True), wanted)
    same([own], [pull(value)])


def test_products_with_the_hessian() -> None:
    wanted = [dmc.hvp(PROGRAM.size, along=d)(POINT, X) for d in SINGLE]
    same(PROGRAM.curved(POINT, X, STACKED), wanted)
    same(dmc.hvp(PROGRAM.size, along=STACKED, batch=True)(POINT, X), wanted)


def test_arrays() -> None:
    jacobian = dmc.jacobian(PROGRAM.pair)(X)
    np.testing.assert_allclose(PROGRAM.written(X), jacobian[:, [0, 2]].T)
    _, none = dmc.jvp(PROGRAM.pair, along=np.zeros((0, 3)), batch=True)(X)
    assert none.shape == (0, 2)
    step = 1e-6 * np.eye(3)
    differences = [PROGRAM.slopes(X + d, MOVES) - PROGRAM.slopes(X - d, MOVES) for d in step]
    found = dmc.grad(PROGRAM.slopes)(X, MOVES)
    np.testing.assert_allclose(found, np.array(differences) / 2e-6, rtol=1e-7)


def test_what_is_no_stack() -> None:
    with pytest.raises(dmc.Error, match="stacked along a leading axis"):
        dmc.jvp(PROGRAM.pair, along=1.0, batch=True)
    with pytest.raises(dmc.Error, match=r"the direction is f64\[2, 4\], not f64\[2, 3\]"):
        dmc.loads(
            "fn f(x: f64[3]) -> f64[3] = x * x\n"
            "fn g(x: f64[3], d: f64[2, 4]) -> (f64[3], f64[2, 3]) = jvp(f, along = d)(x)"
        )
