"""Minimisers by curvature, step by step: L-BFGS against PyTorch's, the others as published."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, jax, jnp, torch

pytestmark = pytest.mark.oracle
LIBRARY = dmc.load(HERE / "minimisers.dm")
SEARCH: Any = importlib.import_module("torch.optim.lbfgs")._strong_wolfe
STEPS = 100
Point = Any
"""A vector of f64."""


def problem() -> tuple[Point, Any, Any]:
    rng = np.random.default_rng(3)
    p, x, y = (rng.standard_normal(shape) for shape in (28, (16, 6), (16, 4)))
    return 0.3 * p, x, 0.8 * np.tanh(y)


_, X, Y = problem()


def residuals(p: Any) -> Any:
    return (jnp.tanh(X @ p[:24].reshape(6, 4) + p[24:]) - Y).reshape(-1)


def loss(p: Any) -> Any:
    """Large, since PyTorch's L-BFGS forgets steps of which the curvature is below 1e-10."""
    return 1e5 * (residuals(p) ** 2).sum()


SLOPE = jax.jit(jax.value_and_grad(loss))
RESIDUALS, JACOBIAN = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
TURNED = jax.jit(lambda p, d: jax.jvp(jax.grad(loss), (p,), (d,))[1])


def slope(p: Point) -> tuple[float, Point]:
    value, g = SLOPE(p)
    return float(value), np.asarray(g)


def path(step: Callable[[Point, int], Point]) -> Any:
    p, found = problem()[0], []
    for t in range(STEPS):
        p = step(p, t)
        found.append(p)
    return np.stack(found)


def test_lbfgs() -> None:
    p = torch.tensor(problem()[0], requires_grad=True)
    how: dict[str, Any] = {"max_iter": 1, "max_eval": 1000, "history_size": 5}
    how |= {"tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS([p], **how)

    def closure() -> Any:
        value, g = slope(p.detach().numpy())
        p.grad = torch.tensor(g)
        return torch.tensor(value, dtype=torch.float64)

    def step(_: Point, t: int) -> Point:
        optimizer.step(closure)
        return p.detach().numpy().copy()

    wanted = path(step)
    assert np.abs(wanted[-1] - problem()[0]).max() > 0.5
    close(LIBRARY.lbfgs[STEPS](*problem()), wanted, 1e-6)


def test_newton_cg() -> None:
    def step(p: Point, _: int) -> Point:
        value, g = slope(p)
        enough = min(0.05, np.linalg.norm(g)) * np.linalg.norm(g)
        z, r, d = np.zeros(28), g, -g
        for k in range(20):
            turned = np.asarray(TURNED(p, d))
            if d @ turned <= 0:
                z = d if k == 0 else z
                break
            along = r @ r / (d @ turned)
            z, after = z + along * d, r + along * turned
            if np.linalg.norm(after) <= enough:
                break
            r, d = after, -after + (after @ after) / (r @ r) * d

        def at(_: Any, t: Any, __: Any) -> Any:
            value, g = slope(p + float(t) * z)
            return value, torch.tensor(g)

        _, _, t, _ = SEARCH(at, None, 1.0, torch.tensor(z), value, torch.tensor(g), float(g @ z))
        return p + float(t) * z

    close(LIBRARY.newton_cg[STEPS](*problem()), path(step), 1e-6)


def test_gauss_newton() -> None:
    def step(p: Point, _: int) -> Point:
        e = np.asarray(RESIDUALS(p))
        d = np.linalg.lstsq(np.asarray(JACOBIAN(p)), e)[0]
        for halvings in range(31):
            after = np.asarray(RESIDUALS(p - d / 2**halvings))
            if after @ after <= e @ e:
                return p - d / 2**halvings
        return p

    close(LIBRARY.gauss_newton[STEPS](*problem()), path(step), 1e-6)


def test_levenberg_marquardt() -> None:
    mu = 0.001

    def step(p: Point, _: int) -> Point:
        nonlocal mu
        e, j = np.asarray(RESIDUALS(p)), np.asarray(JACOBIAN(p))
        a = j.T @ j
        moved = p - np.linalg.solve(a + mu * np.diag(np.diag(a)), j.T @ e)
        after = np.asarray(RESIDUALS(moved))
        better = after @ after < e @ e
        mu *= 0.3 if better else 4.0
        return moved if better else p

    close(LIBRARY.levenberg_marquardt[STEPS](*problem()), path(step), 1e-6)
