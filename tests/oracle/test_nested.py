"""Derivatives of derivatives against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, jax, jnp

pytestmark = pytest.mark.oracle
RNG = np.random.default_rng(3)
NESTED = dmc.load(HERE / "nested.dm")
X, V, W = RNG.standard_normal(5), RNG.standard_normal(5), RNG.standard_normal((3, 5))


def valley(x: Any) -> Any:
    a, b = x[:-1], x[1:]
    return jnp.sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 * jnp.exp(0.1 * b))


def bend(x: Any, w: Any) -> Any:
    return jnp.sin(w @ x**2) + w[:, 0]


def descended(x: Any, lr: Any) -> Any:
    for _ in range(4):
        x = x - lr * jax.grad(valley)(x)
    return valley(x)


def guarded(x: Any) -> Any:
    total = 0.0
    for element in x:
        positive = jnp.where(element > 0, element, 1.0)  # the usual detour around NaN
        root = jnp.where(element > 0, jnp.sqrt(positive), 0.0)
        total = total + jnp.where(element > 0.5, element**3, root)
        total = 0.9 * total + 0.1 * jnp.sin(total)
    return total


def test_hessian() -> None:
    close(dmc.hessian(NESTED.valley)(X), jax.hessian(valley)(X), 1e-12)


def test_jacobian_in_each_argument() -> None:
    close(dmc.jacobian(NESTED.bend)(X, W), jax.jacobian(bend)(X, W), 1e-12)
    close(dmc.jacobian(NESTED.bend, wrt="w")(X, W), jax.jacobian(bend, 1)(X, W), 1e-12)


def test_vjp_and_jvp() -> None:
    y, pull = dmc.vjp(NESTED.bend)(X, W)
    wanted, pull_of_jax = jax.vjp(lambda x: bend(x, W), X)
    close(y, wanted, 1e-14)
    for row in np.eye(3):
        close(pull(row), pull_of_jax(row)[0], 1e-12)
    close(
        dmc.jvp(NESTED.bend, along=V)(X, W)[1], jax.jvp(lambda x: bend(x, W), (X,), (V,))[1], 1e-12
    )


def test_gradient_of_a_gradient_in_the_language() -> None:
    def slope_squared(x: Any) -> Any:
        return jnp.sum(jax.grad(valley)(x) ** 2)

    close(dmc.grad(NESTED.slope_squared)(X), jax.grad(slope_squared)(X), 1e-12)
    close(
        dmc.hvp(NESTED.slope_squared, along=V)(X),
        jax.jvp(jax.grad(slope_squared), (X,), (V,))[1],
        1e-12,
    )


def test_derivatives_of_a_curvature() -> None:
    """Third derivatives contracted twice, by reverse over forward over reverse."""

    def curvature(x: Any, v: Any) -> Any:
        return v @ jax.jvp(jax.grad(valley), (x,), (v,))[1]

    close(NESTED.curvature(X, V), curvature(X, V), 1e-12)
    for i, name in enumerate("xv"):
        got = dmc.grad(NESTED.curvature, wrt=name)(X, V)
        close(got, jax.grad(curvature, i)(X, V), 1e-12)


def test_third_derivative() -> None:
    def f(x: Any) -> Any:
        return jnp.exp(jnp.sin(x)) * x**2

    wanted = jax.grad(jax.grad(jax.grad(f)))
    close(NESTED.third(0.7), wanted(0.7), 1e-12)
    close(dmc.grad(NESTED.third)(0.7), jax.grad(wanted)(0.7), 1e-12)
    close(dmc.grad(dmc.grad(NESTED.third))(0.7), jax.grad(jax.grad(wanted))(0.7), 1e-11)


@pytest.mark.parametrize("name", ["x0", "lr"])
def test_gradient_through_descent(name: str) -> None:
    x, lr = 0.1 * X, 1e-3
    got = dmc.grad(NESTED.descended[4], wrt=name)(x, lr)
    close(got, jax.grad(descended, ("x0", "lr").index(name))(x, lr), 1e-11)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_control_flow_to_third_order(order: int) -> None:
    x = np.array([0.9, -0.3, 0.2, 1.4, 0.45])
    ours: Any = NESTED.guarded
    theirs: Callable[[Any], Any] = guarded
    close(ours(x), theirs(x), 1e-14)
    mine, wanted = {
        1: (dmc.grad(ours), jax.grad(theirs)),
        2: (dmc.hessian(ours), jax.hessian(theirs)),
        3: (dmc.jacobian(dmc.hessian(ours)), jax.jacobian(jax.hessian(theirs))),
    }[order]
    close(mine(x), wanted(x), 1e-11)


def test_no_nan_comes_out_of_a_branch_not_taken() -> None:
    """Where JAX gives NaN, dmc gives the derivative."""
    at_zero = np.zeros(2)
    assert np.isfinite(dmc.grad(NESTED.guarded)(at_zero)).all()
    assert np.isfinite(dmc.hessian(NESTED.guarded)(at_zero)).all()
    assert np.isnan(jax.grad(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0))(0.0))
