"""Soft dynamic time warping of two series: the gradient in both."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import ByHand, dmc_arrays, jax_entry, made_entry
from benchmarks.workload import (
    Arrays,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
)

N, SOFTNESS, FAR = 200, 0.1, 1e10


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, N))
    return Inputs({"x": x, "y": y}, {"g": np.array(SOFTNESS)})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    """Antidiagonal by antidiagonal: the places of one do not need each other."""
    jax, jnp = package("jax"), package("jax.numpy")
    g = d["g"]
    rows = jnp.arange(N)

    def step(state: Foreign, k: Foreign) -> tuple[Foreign, Foreign]:
        before, last = state
        columns = k - rows
        inside = (columns >= 0) & (columns < N)
        cost = (p["x"] - p["y"][jnp.clip(columns, 0, N - 1)]) ** 2
        above = jnp.concatenate([jnp.full(1, FAR), last[:-1]])
        corner = jnp.concatenate([jnp.where(k == 0, 0.0, FAR)[None], before[:-1]])
        three = jnp.stack([corner, above, last])
        now = jnp.where(inside, cost - g * jax.nn.logsumexp(-three / g, 0), FAR)
        return (last, now), None

    start = jnp.full(N, FAR)
    (_, last), _ = jax.lax.scan(step, (start, start), jnp.arange(2 * N - 1))
    return last[-1]


def _jax_rows(p: Foreign, d: Foreign) -> Foreign:
    """Row by row, place by place, as the program says it."""
    jax, jnp = package("jax"), package("jax.numpy")
    g = d["g"]

    def row(before: Foreign, x: Foreign) -> tuple[Foreign, None]:
        def place(left: Foreign, near: Foreign) -> Foreign:
            y, corner, above = near
            three = jnp.stack([corner, above, left])
            now = (x - y) ** 2 - g * jax.nn.logsumexp(-three / g)
            return now, now

        _, now = jax.lax.scan(place, jnp.array(FAR), (p["y"], before[:-1], before[1:]))
        return jnp.concatenate([jnp.full(1, FAR), now]), None

    start = jnp.full(N + 1, FAR).at[0].set(0.0)
    last, _ = jax.lax.scan(row, start, p["x"])
    return last[-1]


def _numba(_: Inputs) -> ByHand:
    """Each place passes its derivative on to three, weighted as the soft minimum weighed them."""
    numba = package("numba")

    @numba.njit
    def run(x: Foreign, y: Foreign, g: Foreign) -> Foreign:
        r = np.full((N + 1, N + 1), FAR)
        weights = np.empty((N, N, 3))
        r[0, 0] = 0.0
        for i in range(N):
            for j in range(N):
                a, b, c = r[i, j], r[i, j + 1], r[i + 1, j]
                m = min(a, b, c)
                ea, eb, ec = math.exp((m - a) / g), math.exp((m - b) / g), math.exp((m - c) / g)
                total = ea + eb + ec
                weights[i, j, 0], weights[i, j, 1], weights[i, j, 2] = ea, eb, ec
                for k in range(3):
                    weights[i, j, k] /= total
                r[i + 1, j + 1] = (x[i] - y[j]) ** 2 + m - g * math.log(total)
        e = np.zeros((N + 1, N + 1))
        in_x, in_y = np.zeros(N), np.zeros(N)
        e[N, N] = 1.0
        for i in range(N - 1, -1, -1):
            for j in range(N - 1, -1, -1):
                here = e[i + 1, j + 1]
                slope = 2 * here * (x[i] - y[j])
                in_x[i] += slope
                in_y[j] -= slope
                e[i, j] += here * weights[i, j, 0]
                e[i, j + 1] += here * weights[i, j, 1]
                e[i + 1, j] += here * weights[i, j, 2]
        return r[N, N], in_x, in_y

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        value, x, y = run(p["x"], p["y"], d["g"][()])
        return value, {"x": x, "y": y}

    return by_hand


WORKLOAD = Workload(
    "soft_dtw",
    f"soft dynamic time warping, N={N}",
    Precision.F64,
    N * N * (3 * 20 + 20),
    8 * N * N * 4,
    inputs,
    (
        dmc_arrays("soft_dtw", "distance"),
        jax_entry(_jax),
        jax_entry(_jax_rows, "rows"),
        made_entry(System.NUMBA, _numba),
    ),
    Goal(1.0, (System.JAX,)),
)
