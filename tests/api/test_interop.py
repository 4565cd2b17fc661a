"""What goes to other libraries and comes back: SciPy, scikit-learn, DLPack; programs reloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import dmc

PROGRAM = """
import optim
from nn import cross_entropy, Linear, mse

struct Point {
    x: f64
    rest: f64[2]
}

## Rosenbrock's function, summed.
fn valley(p: Point, a: f64) -> f64 = value(p.x, p.rest[0], a) + value(p.rest[0], p.rest[1], a)

fn value(x: f64, y: f64, a: f64) -> f64 = (a - x) ** 2 + 100.0 * (y - x * x) ** 2

fn residuals(p: Point, a: f64) -> f64[4] =
    [a - p.x, 10.0 * (p.rest[0] - p.x ** 2), a - p.rest[0], 10.0 * (p.rest[1] - p.rest[0] ** 2)]

## Room to a circle, and of the last below the first.
fn room(p: Point, r: f64 = 0.5) -> f64[2] = [r - p.x ** 2 - p.rest[0] ** 2, p.x - p.rest[1]]

## A circle and a line.
fn crossing(x: f64[2]) -> (f64[2], f64) = ([x @ x - 2.0, x[0] - x[1]], 0.0)

model Net[I, O] {
    l: Linear[I, O](std = 0.0)

    fn forward[B](x: f32[B, I]) -> f32[B, O] = l(x)
}

fn start(net: Net) -> optim.Adam[Net] = optim.adam_init(net)

fn step[B](net: Net, opt: optim.Adam[Net], x: f32[B, net.I], y: i32[B])
        -> (f32, Net, optim.Adam[Net]) {
    let (l, g) = value_and_grad(loss)(net, x, y)
    let (net2, opt2) = optim.adam_update(net, g, opt, 0.1)
    (l, net2, opt2)
}

fn loss[B](net: Net, x: f32[B, net.I], y: i32[B]) -> f32 = cross_entropy(net(x), y)
"""
program = dmc.loads(PROGRAM, "interop.dm")
START = program.Point(x=-1.2, rest=np.array([1.0, 1.5]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["BFGS", "trust-ncg", "trust-exact", "Nelder-Mead"])
def test_scipy_minimizes_records(method: str) -> None:
    steps: list[Any] = []
    found = dmc.scipy.minimize(
        program.valley, START, 1.0, method=method, tol=1e-10, callback=steps.append
    )
    assert found.success
    assert type(steps[0]) is program.Point
    assert type(found.x) is program.Point
    np.testing.assert_allclose([found.x.x, *found.x.rest], 1.0, rtol=1e-7)


def test_scipy_solves_least_squares_and_roots() -> None:
    found = dmc.scipy.least_squares(program.residuals, START, named={"a": 1.0}, xtol=1e-14)
    np.testing.assert_allclose([found.x.x, *found.x.rest], 1.0, rtol=1e-7)
    assert found.nfev < 40
    sparse = dmc.scipy.least_squares(program.residuals, START, 1.0, sparse=True, xtol=1e-14)
    np.testing.assert_allclose([sparse.x.x, *sparse.x.rest], 1.0, rtol=1e-7)
    assert sparse.jac.nnz == 6
    low, high = START.replace(x=-2.0), program.Point(x=0.5, rest=np.array([2.0, 2.0]))
    held = dmc.scipy.minimize(program.valley, START, 1.0, bounds=(low - 9.0, high))
    assert held.x.x == pytest.approx(0.5)
    held = dmc.scipy.minimize(program.valley, START, 1.0, bounds=(None, high))
    assert held.x.x == pytest.approx(0.5)
    for method in ("hybr", "krylov"):
        found = dmc.scipy.root(program.crossing, [3, 1], method=method)
        np.testing.assert_allclose(found.x, [1.0, 1.0], rtol=1e-5)


def test_constraints_take_records() -> None:
    def inside(p: Any) -> Any:
        assert type(p) is program.Point
        return program.room(p)

    wanted = [0.6042115, 0.3673259, 0.1349266]
    exact = optimize.NonlinearConstraint(program.room, 0.0, np.inf)
    for method, constraints in [
        ("SLSQP", {"type": "ineq", "fun": program.room, "args": (0.5,)}),
        ("SLSQP", [{"type": "ineq", "fun": inside, "jac": dmc.jacobian(program.room)}]),
        ("trust-constr", [exact]),
    ]:
        found = dmc.scipy.minimize(
            program.valley, START, 1.0, method=method, constraints=constraints
        )
        np.testing.assert_allclose([found.x.x, *found.x.rest], wanted, rtol=1e-4)
        assert found.nfev < 40


def test_scipy_is_told_what_it_cannot_have() -> None:
    ask = dmc.scipy
    for wrong, message in [
        (lambda: ask.minimize(program.valley, START, args=(1.0,)), "come after the start"),
        (lambda: ask.minimize(program.valley, START, 1.0, jac=True), "leave out `jac`"),
        (lambda: ask.minimize(program.valley, START, 1.0, sparse=True), "trust-constr"),
        (lambda: ask.minimize(program.valley, START, 1.0, constraints=program.room), "NonlinearC"),
        (lambda: ask.root(program.residuals, START, 1.0), "gives 4 numbers for 3 unknowns"),
    ]:
        with pytest.raises(dmc.Error, match=message):
            wrong()


def test_arrays_of_others_come_in_by_dlpack() -> None:
    class Foreign:
        """An array that NumPy knows by DLPack alone."""

        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **how: Any) -> Any:
            return self.array.__dlpack__(**how)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    x = np.array([3.0, 0.5])
    np.testing.assert_array_equal(program.crossing(Foreign(x))[0], program.crossing(x)[0])
    point = program.Point(x=1.0, rest=Foreign(x))
    assert point.rest.tolist() == [3.0, 0.5]
    with pytest.raises(dmc.Error, match="is a Foreign that NumPy cannot see"):
        program.crossing(Foreign(np.array(["a"])))
    taken = np.from_dlpack(program.crossing(x)[0])
    assert taken.shape == (2,)


def test_records_of_a_program_that_is_loaded_again() -> None:
    again = dmc.loads(PROGRAM + "\n## Edited.\n", "interop.dm")
    net = program.Net.init(dmc.key(0), I=2, O=3)
    with pytest.raises(dmc.Error, match=r"dmc\.convert"):
        again.start(net)
    state = dmc.convert({"net": net, "opt": program.start(net)}, again)
    assert type(state["net"]) is again.Net
    assert type(state["opt"].m.l) is type(again.start(state["net"]).m.l)
    assert dict(state["net"].items()).keys() == dict(net.items()).keys()
    other = dmc.loads(PROGRAM.replace("rest: f64[2]", "rest: f64[2]\n    more: f64"), "interop.dm")
    with pytest.raises(
        dmc.Error, match=r"fields x, rest, more now, and not x, rest \(at `\[1\]`\)"
    ):
        dmc.convert((1.0, START), other)
    with pytest.raises(dmc.Error, match="has no Point in interop"):
        dmc.convert(START, dmc.loads("fn f(x: f64) -> f64 = x", "interop.dm"))


def test_estimators_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.base import clone
    from sklearn.datasets import load_iris
    from sklearn.exceptions import NotFittedError
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (tmp_path / "net.dm").write_text(PROGRAM)
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    made = dmc.sklearn.Classifier(tmp_path / "net.dm", "Net", epochs=15)
    pipeline: Any = clone(make_pipeline(StandardScaler(), made))
    pipeline.fit(x, names)
    assert pipeline.score(x, names) > 0.95
    assert np.allclose(pipeline.predict_proba(x).sum(axis=1), 1.0)
    assert pipeline[-1].get_params()["epochs"] == 15
    bare: Any = clone(made)
    with pytest.raises(NotFittedError):
        bare.predict(x)
    for wrong, message in [
        (lambda: pipeline[-1].predict(x[:, :3]), "X has 3 features, but Classifier is expecting 4"),
        (lambda: bare.fit(x[:, 0], y), "Reshape your data"),
        (lambda: bare.fit(np.where(x > 5, np.nan, x), y), "contains NaN"),
        (lambda: bare.fit(x, x[:, 0]), "Unknown label type"),
        (lambda: bare.fit(x, y[:5]), "inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()


def test_regressors_of_scikit_learn(tmp_path: Path) -> None:
    of_squares = PROGRAM.replace("y: i32[B]", "y: f32[B, net.O]").replace("cross_entropy(", "mse(")
    (tmp_path / "net.dm").write_text(of_squares)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]])
    made: Any = dmc.sklearn.Regressor(tmp_path / "net.dm", "Net", epochs=60)
    column = made.fit(x, y).predict(x)
    assert column.shape == y.shape
    assert column.dtype == np.float64
    assert made.score(x, y) > 0.99
    np.testing.assert_array_equal(made.fit(x, y[:, 0]).predict(x), column[:, 0])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "dmc.interop.jax", raising=False)
    monkeypatch.delitem(dmc.__dict__, "jax", raising=False)
    with pytest.raises(
        dmc.Error, match=r'`dmc.jax` needs the package `jax`: pip install "dmc\[jax'
    ):
        _ = dmc.jax
