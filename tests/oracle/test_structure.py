"""Programs written by their subscripts, and their gradients to second order, against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, jax, jnp, lax, leaves, value_and_grad_close

pytestmark = pytest.mark.oracle
RNG = np.random.default_rng(3)


def attention(p: Any) -> Any:
    s = jnp.einsum("hte,hue->htu", p["q"], p["k"]) / np.sqrt(p["q"].shape[-1])
    s = jnp.where(jnp.tril(jnp.ones(s.shape[-2:], bool)), s, -jnp.inf)
    return jnp.mean((jax.nn.softmax(s) @ p["v"]) ** 2)


def convolution(p: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(p["x"], p["k"], (1, 1), "SAME", dimension_numbers=numbers)
    z = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return jnp.sum(jnp.tanh(z))


def heat(p: Any) -> Any:
    u = p["u"]
    for _ in range(5):
        e = jnp.pad(u, 1, mode="edge")
        u = u + 0.1 * (e[:-2, 1:-1] + e[2:, 1:-1] + e[1:-1, :-2] + e[1:-1, 2:] - 4.0 * u)
    return jnp.sum(u**3)


def periodic(p: Any) -> Any:
    u = p["u"]
    return jnp.sum(jnp.sin(jnp.roll(u, -1, 0) * jnp.roll(u, 1, 1)) * u[::-1])


def lagged(p: Any) -> Any:
    x = p["x"]
    n = x.shape[0] - 2
    return sum(jnp.sum(jnp.exp(0.1 * x[j : j + n]) * x[:n]) for j in range(3))


def upsampled(p: Any) -> Any:
    x = p["x"]
    n = x.shape[0]
    return jnp.sum(jnp.sin(jnp.repeat(x, 3) * jnp.arange(3 * n)) * jnp.tile(x, 3))


def pairs(p: Any) -> Any:
    x = p["x"]
    return jnp.sum(jnp.triu(jnp.exp(-((x[:, None] - x[None, :]) ** 2)), 1))


def masked(p: Any) -> Any:
    u = p["u"]
    t, e = jnp.ix_(jnp.arange(len(u)), jnp.arange(len(u)))
    lower = jnp.sum(jnp.tril(u) * u.T, 1)
    band = jnp.where(abs(t - e) < 3, u, 0.0) @ u
    later = jnp.sum(jnp.where(e < t, jnp.sin(u), 0.0), 0)
    return jnp.sum(lower * later) + jnp.sum(band * band)


def history(p: Any) -> Any:
    x = p["x"]
    i = jnp.arange(x.shape[0])

    def step(s: Any, j: Any) -> Any:
        longer = jnp.where(x[j] > 0, s + jnp.sin(x[j] * x[jnp.maximum(i - j, 0)]), s * 0.9)
        return jnp.where(j < i, longer, s), None

    s, _ = jax.lax.scan(step, x, i)
    return jnp.sum(s * s)


def gated(p: Any) -> Any:
    x = p["x"]

    def step(h: Any, t: Any) -> Any:
        s = x[t] + x @ jnp.sin(h)
        one = h.at[t].set(jnp.tanh(s))
        two = one.at[0].set(one[t] * one[0])
        return jnp.where(s > 0, jnp.where(x[t] > 0.5, two, one), h), None

    h, _ = jax.lax.scan(step, jnp.full(x.shape, 0.1), jnp.arange(x.shape[0]))
    return jnp.sum(h * h)


def chosen(p: Any) -> Any:
    x = p["x"]
    s = jnp.max(x) * x[2]
    for t in range(3):
        s = jnp.sin(s + x[t]) * jnp.min(x[2:6])
        s = jnp.where(s > 0, s + x[1] * jnp.sum(x[3:5]), s)
    return s + x[2] ** 2 + x[0] * x[2]


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


Case = tuple[str, Callable[[Any], Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "attention": ("Heads", attention, {n: normal(2, 9, 4) for n in "qkv"}),
    "convolution": ("Filter", convolution, {"x": normal(2, 6, 8, 3), "k": normal(3, 3, 3, 5)}),
    "heat": ("Field", heat, {"u": normal(7, 7)}),
    "heat of two": ("Field", heat, {"u": normal(2, 2)}),
    "periodic": ("Field", periodic, {"u": normal(6, 6)}),
    "lagged": ("Series", lagged, {"x": normal(19)}),
    "upsampled": ("Series", upsampled, {"x": normal(11)}),
    "pairs": ("Series", pairs, {"x": normal(17)}),
    "masked": ("Field", masked, {"u": normal(37, 37)}),
    "history": ("Series", history, {"x": normal(19)}),
    "gated": ("Series", gated, {"x": normal(12)}),
    "chosen": ("Series", chosen, {"x": normal(7)}),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    record, oracle, arrays = CASES[name]
    m = dmc.load(HERE / "structure.dm")
    p = getattr(m, record)(**arrays)
    f = getattr(m, name.split()[0])
    value_and_grad_close(dmc.value_and_grad(f)(p), oracle, p, 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name: str) -> None:
    record, oracle, arrays = CASES[name]
    m = dmc.load(HERE / "structure.dm")
    make = getattr(m, record)
    along = {key: RNG.standard_normal(a.shape) for key, a in arrays.items()}
    got = dmc.hvp(getattr(m, name.split()[0]), along=make(**along))(make(**arrays))
    _, wanted = jax.jvp(jax.grad(oracle), (arrays,), (along,))
    for path, leaf in leaves(got).items():
        close(leaf, wanted[path], 1e-10, path)
