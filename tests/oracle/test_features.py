"""Every construct of the language: value, gradient and Hessian-vector product against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from tests.oracle.peers import HERE, close, jax, jnp, lax

pytestmark = pytest.mark.oracle
FEATURES = dmc.load(HERE / "features.dm")
RNG = np.random.default_rng(4)
X, W = RNG.standard_normal((4, 6)), RNG.standard_normal(6)
V = RNG.standard_normal((4, 6))

Function = Callable[[Any, Any], Any]
MEANINGS: dict[str, Function] = {}


def meaning(function: Function) -> Function:
    MEANINGS[function.__name__] = function
    return function


@meaning
def reductions(x: Any, w: Any) -> Any:
    lse = jax.nn.logsumexp(x, 1)
    return x.max(-1).sum() * x.min(0).mean() + lse.sum() + x[0, :3].prod() + x.sum() * w[0]


@meaning
def softmax_rows(x: Any, w: Any) -> Any:
    return (jax.nn.softmax(3 * x) @ w).sum()


@meaning
def stretched(x: Any, w: Any) -> Any:
    m = x.mean(-1)
    c = x - m[:, None]
    return (c * c * w).sum() / jnp.exp(-m).sum()


@meaning
def triangular(x: Any, w: Any) -> Any:
    return sum((x[i, : i + 1] * w[: i + 1] ** 2).sum() * jnp.sin(x[i, i]) for i in range(4))


@meaning
def stencil(x: Any, w: Any) -> Any:
    kernel = w[:3, None] * w[None, 1:4]
    y = [[(x[i : i + 3, j : j + 3] * kernel).sum() for j in range(4)] for i in range(2)]
    return (jnp.array(y) ** 2).sum()


@meaning
def outer_and_trace(x: Any, w: Any) -> Any:
    g = x @ x.T
    return jnp.trace(g) + w[:4] @ g @ w[:4] + (x @ w) @ (x @ w)


@meaning
def gathered(x: Any, w: Any) -> Any:
    n = np.arange(9)
    ids = (n * n + 1) % 4
    return (jnp.tanh(x[ids]) @ w).sum() + (x[ids, n % 6] * w[n * 2 % 6]).sum()


@meaning
def slices(x: Any, w: Any) -> Any:
    pairs = (x[1:, :-2] * x[:-1, 2:]).sum()
    return pairs + (x[::2, 1::2] ** 3).sum() + (w[-3:] * x[3, :3]).sum()


@meaning
def assigned(x: Any, w: Any) -> Any:
    a = jnp.zeros((4, 6)).at[1].set(w * w).at[2, 1:4].set(x[0, :3] * w[2])
    a = a.at[0, 5].add(jnp.sin(x[3, 3])).at[1, 2].set(x[1, 1])
    return (a * x).sum() + jnp.exp(a[1]).sum()


@meaning
def scattered(x: Any, w: Any) -> Any:
    ids = np.arange(6) ** 2 % 5
    return (jnp.ones(5).at[ids].add(w).at[ids].add(x[0] * w) ** 3).sum()


@meaning
def recurrence(x: Any, w: Any) -> Any:
    a = list(w)
    for i in range(1, 6):
        a[i] = a[i] + jnp.sin(a[i - 1]) * x[i % 4, i]
    return sum(v * v for v in a)


@meaning
def folded(x: Any, w: Any) -> Any:
    def step(h: Any, row: Any) -> Any:
        h = jnp.tanh(h * row + 0.5 * w)
        return h, h.sum()

    h, hs = lax.scan(step, w, x)
    return hs @ hs + h[2]


@meaning
def nested_loops(x: Any, w: Any) -> Any:
    s = 1.0
    for i in range(4):
        t = s
        for j in range(6):
            t = jnp.where(x[i, j] > 0, t + x[i, j] * w[j], t * jnp.cos(w[j]))
        s = s + 0.1 * t
    return s


@meaning
def branches(x: Any, w: Any) -> Any:
    log = jnp.log(jnp.where(x > 0.3, x, 1.0)) * w
    other = jnp.where(np.arange(4)[:, None] < 2, x**3, w)
    return jnp.where(x > 0.3, log, other).sum()


@meaning
def selections(x: Any, w: Any) -> Any:
    chosen = jnp.where((x > 0) & (x < 1), jnp.sqrt(jnp.abs(x)), x * w)
    return chosen.sum() + jnp.maximum(x, w).sum() + jnp.clip(x, -0.5, 0.5).sum()


@meaning
def powers(x: Any, w: Any) -> Any:
    p = jnp.abs(x) + 0.5
    return (p**w).sum() + (p**2.5).sum() + (x**3).sum() + (2.0**w).sum() + (p**-1.5).sum()


@meaning
def angles(x: Any, w: Any) -> Any:
    return jnp.arctan2(x, w).sum() + jnp.hypot(x[0], w).sum() + jnp.tan(0.3 * x).sum()


@meaning
def cumulative(x: Any, w: Any) -> Any:
    sums = (jnp.cumsum(x, 1) ** 2 * w).sum()
    return sums + (jnp.flip(x, 0)[0] * w).sum() + (jnp.concatenate([x[0], w]) ** 2).sum()


@meaning
def picked(x: Any, w: Any) -> Any:
    ids = jnp.argmax(x, -1)
    taken = jnp.take_along_axis(x * w, ids[:, None], 1).sum()
    return taken + (jax.nn.one_hot(ids, 6) * x * x).sum()


@meaning
def reshaped(x: Any, w: Any) -> Any:
    y = x.reshape(3, 8)
    turned = ((x.T * 2).reshape(6, 4)[:, 1] * w).sum()
    return turned + (y[2] * y[0]).sum() + jnp.cross(w[:3], y[1, :3]).sum()


@meaning
def captured(x: Any, w: Any) -> Any:
    def f(a: Any) -> Any:
        return a * w[1] + jnp.sin(a)

    return f(f(x)).sum()


@meaning
def extremes(x: Any, w: Any) -> Any:
    p = x * w
    return p.max() + p.max(1).sum() + w.min() * x.min(0).sum()


@meaning
def records(x: Any, w: Any) -> Any:
    p = {"a": w, "b": x[0, 0]}
    q = {"a": 2 * w - x[1], "b": 2 * x[0, 0] - 3}
    r = jax.tree.map(jnp.tanh, q)
    total = (r["a"] * p["a"]).sum() + r["b"] * p["b"] + r["b"]
    return total + (q["a"] * q["a"]).sum() + x[2, 2] * q["b"]


@meaning
def counted(x: Any, w: Any) -> Any:
    i, j = np.indices((4, 6))
    weighted = ((i * 7 + j) // 3 * x).sum()
    return (x > 0).sum() * w.sum() + weighted + (jnp.floor(x) * w).sum()


@meaning
def stopped(x: Any, w: Any) -> Any:
    return (lax.stop_gradient(x) * x).sum() + lax.stop_gradient(w).sum() * w[0]


@meaning
def solved_by_iteration(x: Any, w: Any) -> Any:
    a = x[:, 0] ** 2
    z = 1.0 + a
    for _ in range(8):
        z = z - (z**3 - 1.0 - a - w[:4] ** 2) / (3 * z * z)
    return (z * z).sum()


@meaning
def saturated(x: Any, w: Any) -> Any:
    total = jax.nn.logsumexp(1000 * w) + jax.nn.softplus(500 * x).sum()
    smooth = jax.nn.silu(x) + jax.nn.gelu(x, approximate=True)
    return total + jax.nn.sigmoid(-800 * w).sum() + smooth.sum()


@meaning
def until(x: Any, w: Any) -> Any:
    """JAX has no reverse mode through loops without a bound: enough steps, of which some count."""
    y, n = x, 0
    for step in range(12):
        going = (y * y).sum() > 4.0
        new = 0.9 * y * jnp.cos(y * w) + 0.02 * jnp.roll(y, -step, 0)
        y, n = jnp.where(going, new, y), n + going
    for k in range(10):
        y = jnp.where(k < n - 2, y + 0.1 * jnp.sin(y) * k, y)
    z = x[:, 0] ** 2 + 0.1
    for _ in range(60):
        z = jnp.where(z < 5.0, z + 0.7 * z * jnp.cos(w[:4] * z) ** 2 + 0.1, z)
    return (y * w).sum() + z.sum()


def test_every_construct_has_a_meaning() -> None:
    functions = {name for name in dir(FEATURES) if name[0].islower()}
    assert functions == MEANINGS.keys()


@pytest.mark.parametrize("name", MEANINGS)
def test_construct(name: str) -> None:
    ours, theirs = getattr(FEATURES, name), MEANINGS[name]
    value, gradients = dmc.value_and_grad(ours, wrt=("x", "w"))(X, W)
    wanted, of_jax = jax.value_and_grad(theirs, (0, 1))(X, W)
    close(value, wanted, 1e-12)
    for got, expected, what in zip(gradients, of_jax, "xw", strict=True):
        close(got, expected, 1e-12, f"gradient in {what}")
    _, bent = jax.jvp(jax.grad(theirs), (X, W), (V, np.zeros(6)))
    close(dmc.hvp(ours, along=V)(X, W), bent, 1e-11, "hvp", least=1e-3)
