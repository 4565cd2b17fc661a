"""Programs of science and their derivatives against JAX; the benchmarks also against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmc
from benchmarks.agreement import disagreement
from benchmarks.workload import System
from benchmarks.workloads import NAMES, load
from tests.oracle.peers import (
    HERE,
    all_close,
    close,
    jax,
    jnp,
    lax,
    leaves,
    value_and_grad_close,
)
from tests.programs import FOLDER

pytestmark = pytest.mark.oracle
RNG = np.random.default_rng(0)


def normal(*shape: int, scale: float = 1.0) -> Any:
    return scale * RNG.standard_normal(shape)


def narrow(*shape: int, scale: float = 1.0) -> Any:
    return normal(*shape, scale=scale).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_benchmarks_agree(name: str) -> None:
    """What is timed is held against JAX, and so is what runs fast in PyTorch."""
    workload = load(name)
    inputs = workload.inputs()
    outputs = {}
    for entry in workload.entries:
        if entry.name == "jax" or entry.system in (System.DMC, System.TORCH):
            contestant = entry.make(inputs)
            outputs[entry.name] = contestant.outputs(contestant.call())
    for who, found in outputs.items():
        assert disagreement(outputs["jax"], found, workload.tolerance(who)) is None, who


# Logistic regression


def logistic_loss(p: Any, x: Any, y: Any) -> Any:
    z = x @ p["w"] + p["b"]
    return jnp.mean(jnp.logaddexp(z, 0.0) - y * z) + 0.005 * jnp.sum(p["w"] ** 2)


def logistic() -> tuple[Any, Any, Any, Any]:
    m = dmc.load(FOLDER / "logistic.dm")
    x = normal(60, 5)
    y = (x @ normal(5) + normal(60) > 0).astype(float)
    return m, m.Weights(w=normal(5), b=0.3), x, y


def test_logistic_regression() -> None:
    m, p, x, y = logistic()
    got = dmc.value_and_grad(m.loss)(p, x, y)
    value_and_grad_close(got, lambda q: logistic_loss(q, x, y), p, 1e-13)


def test_logistic_regression_is_fitted_as_by_jax() -> None:
    m, _, x, y = logistic()
    gradient = jax.grad(logistic_loss)

    def step(_: Any, p: Any) -> Any:
        return jax.tree.map(lambda v, g: v - 0.5 * g, p, gradient(p, x, y))

    wanted = lax.fori_loop(0, 200, step, {"w": jnp.zeros(5), "b": jnp.zeros(())})
    all_close(m.fit(x, y, steps=200, lr=0.5), wanted, 1e-12)


def test_hessian_vector_product() -> None:
    m, p, x, y = logistic()
    v = m.Weights(w=normal(5), b=-0.4)

    def gradient(q: Any) -> Any:
        return jax.grad(lambda r: logistic_loss(r, x, y))(q)

    point, along = ({k: jnp.asarray(a) for k, a in leaves(r).items()} for r in (p, v))
    _, wanted = jax.jvp(gradient, (point,), (along,))
    all_close(dmc.hvp(m.loss, along=v)(p, x, y), wanted, 1e-12)


# The damped pendulum


def field(p: Any, y: Any) -> Any:
    return jnp.stack([y[1], -p["g_over_l"] * jnp.sin(y[0]) - p["damping"] * y[1]])


def simulate(p: Any, y0: Any, h: float, steps: int) -> Any:
    def step(y: Any, _: Any) -> Any:
        k1 = field(p, y)
        k2 = field(p, y + 0.5 * h * k1)
        k3 = field(p, y + 0.5 * h * k2)
        k4 = field(p, y + h * k3)
        y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return y, y

    return lax.scan(step, y0, None, steps)[1]


def pendulum_misfit(p: Any, y0: Any, h: float, angle: Any) -> Any:
    return jnp.mean((simulate(p, y0, h, len(angle))[:, 0] - angle) ** 2)


def pendulum() -> tuple[Any, Any, Any, float, Any]:
    m = dmc.load(HERE / "pendulum.dm")
    p = m.Pendulum(g_over_l=9.81, damping=0.2)
    return m, p, np.array([1.2, -0.1]), 0.01, np.sin(np.arange(1000) * 0.03)


def test_pendulum_path() -> None:
    m, p, y0, h, _ = pendulum()
    close(m.simulate[1000](p, y0, h), simulate(leaves(p), y0, h, 1000), 1e-12)


def test_pendulum_gradient() -> None:
    """Through 1,000 steps, in the parameters and in the initial state."""
    m, p, y0, h, angle = pendulum()
    value, gradient = dmc.value_and_grad(m.misfit, wrt=("p", "y0"))(p, y0, h, angle)
    both = jax.jit(jax.value_and_grad(pendulum_misfit, (0, 1)), static_argnums=2)
    wanted, (in_p, in_y0) = both(leaves(p), y0, h, angle)
    close(value, wanted, 1e-12)
    all_close(gradient[0], in_p, 1e-10)
    close(gradient[1], in_y0, 1e-10)


def test_pendulum_tangent() -> None:
    m, p, y0, h, angle = pendulum()
    dp = m.Pendulum(g_over_l=0.3, damping=-1.0)
    point, along = ({k: jnp.asarray(a) for k, a in leaves(r).items()} for r in (p, dp))
    wanted = jax.jvp(lambda q: pendulum_misfit(q, y0, h, angle), (point,), (along,))
    for got, expected in zip(dmc.jvp(m.misfit, along=dp)(p, y0, h, angle), wanted, strict=True):
        close(got, expected, 1e-10)


def test_pendulum_is_fitted_as_by_jax() -> None:
    m, _, y0, h, _ = pendulum()
    truth = m.Pendulum(g_over_l=9.81, damping=0.2)
    angle = m.simulate[100](truth, y0, h)[:, 0]
    start = m.Pendulum(g_over_l=9.0, damping=0.1)
    gradient = jax.grad(pendulum_misfit)

    def step(_: Any, p: Any) -> Any:
        return jax.tree.map(lambda v, g: v - 0.5 * g, p, gradient(p, y0, h, angle))

    first = {k: jnp.asarray(a) for k, a in leaves(start).items()}
    wanted = lax.fori_loop(0, 30, step, first)
    all_close(m.fit(start, y0, h, angle, lr=0.5, steps=30), wanted, 1e-9)


# Kepler's equation


def test_newton_on_keplers_equation() -> None:
    """Both modes through `while`, against the implicit function theorem."""
    m = dmc.load(HERE / "newton.dm")
    e, mean = 0.3, 1.1
    x = m.kepler(e, mean)
    assert abs(x - e * np.sin(x) - mean) < 1e-14
    slope = 1 / (1 - e * np.cos(x))
    close(dmc.jvp(m.kepler, along=1.0)(e, mean)[1], np.sin(x) * slope, 1e-10)
    close(dmc.jvp(m.kepler, along=1.0, wrt="m")(e, mean)[1], slope, 1e-10)
    close(dmc.grad(m.kepler, wrt=("e", "m"))(e, mean), (np.sin(x) * slope, slope), 1e-10)


def test_a_declared_derivative() -> None:
    """In both modes; reverse is the transpose of the rule."""
    m = dmc.load(HERE / "newton.dm")
    e, mean = 0.3, 1.1
    x = m.kepler_root(e, mean)
    slope = 1 / (1 - e * np.cos(x))
    close(dmc.grad(m.kepler_root, wrt=("e", "m"))(e, mean), (np.sin(x) * slope, slope), 1e-12)
    close(dmc.jvp(m.kepler_root, along=1.0, wrt="m")(e, mean)[1], slope, 1e-12)


def test_newton_of_a_function() -> None:
    m = dmc.load(HERE / "newton.dm")
    close(m.cube_root(27.0), 3.0, 1e-12)
    close(dmc.jvp(m.cube_root, along=1.0)(27.0)[1], 1 / 27, 1e-8)
    close(dmc.grad(m.cube_root)(27.0), 1 / 27, 1e-8)


# Bundle adjustment


def residual(cam: Any, x: Any, w: Any, feat: Any) -> Any:
    r = cam["rot"]
    t = jnp.sqrt(r @ r)
    axis, d = r / t, x - cam["center"]
    p = d * jnp.cos(t) + jnp.cross(axis, d) * jnp.sin(t)
    p = p + axis * ((axis @ d) * (1 - jnp.cos(t)))
    uv = p[:2] / p[2]
    r2 = uv @ uv
    bent = uv * (1.0 + cam["radial"][0] * r2 + cam["radial"][1] * r2**2)
    return w * (bent * cam["focal"] + cam["principal"] - feat)


def bundle() -> tuple[Any, ...]:
    m = dmc.load(HERE / "bundle.dm")
    cams = dmc.stack(
        [
            m.Camera(
                rot=normal(3, scale=0.3),
                center=normal(3, scale=0.2),
                focal=1.0 + 0.1 * i,
                principal=normal(2, scale=0.1),
                radial=normal(2, scale=0.05),
            )
            for i in range(3)
        ]
    )
    pts, w = normal(7, 3) + np.array([0.0, 0.0, 6.0]), 1 + normal(20, scale=0.1)
    obs = np.stack([RNG.integers(0, 3, 20), RNG.integers(0, 7, 20)], 1).astype(np.int32)
    return m, cams, pts, w, obs, normal(20, 2)


def test_bundle_adjustment() -> None:
    m, cams, pts, w, obs, feat = bundle()

    def misfit(c: Any) -> Any:
        chosen = {k: v[obs[:, 0]] for k, v in c.items()}
        r = jax.vmap(residual)(chosen, pts[obs[:, 1]], w, feat)
        return 0.5 * (jnp.sum(r * r) + jnp.sum((1 - w**2) ** 2))

    got = dmc.value_and_grad(m.misfit)(cams, pts, w, obs, feat)
    value_and_grad_close(got, misfit, cams, 1e-12)


def test_bundle_jacobian_blocks() -> None:
    m, cams, pts, w, obs, feat = bundle()
    blocks = m.jacobian_blocks(cams, pts, w, obs, feat)
    chosen = {k: v[obs[:, 0]] for k, v in leaves(cams).items()}
    wanted = jax.vmap(jax.jacobian(residual, (0, 1, 2)))(chosen, pts[obs[:, 1]], w, feat)
    for got, expected in zip(blocks, wanted, strict=True):
        all_close(got, expected if isinstance(expected, dict) else {"": expected}, 1e-11)
