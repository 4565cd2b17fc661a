"""A recurrence of 20,000 steps in 64 places that do not meet."""

from __future__ import annotations

import ctypes

import numpy as np

from benchmarks import native
from benchmarks.systems import (
    ByHand,
    Loss,
    dmc_record,
    jax_entry,
    made_entry,
    torch_entry,
    torch_maker,
)
from benchmarks.workload import (
    Arrays,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
)

T, W = 20_000, 64
SEGMENTS, CHUNK = 200, 50


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params = {
        "w": (rng.random(W) * 1.2 - 0.3).astype("f4"),
        "u": rng.standard_normal(W).astype("f4"),
    }
    return Inputs(params, {"x": rng.standard_normal((T, W)).astype("f4")})


def _jax(segments: int) -> Loss:
    """One scan; of more segments only the states between them are kept."""

    def loss(p: Foreign, d: Foreign) -> Foreign:
        jax, jnp = package("jax"), package("jax.numpy")

        def step(h: Foreign, x: Foreign) -> Foreign:
            h = jnp.tanh(p["w"] * h + p["u"] * x)
            return h, (h * h).sum()

        def segment(h: Foreign, xs: Foreign) -> Foreign:
            h, squares = jax.lax.scan(step, h, xs)
            return h, squares.sum()

        start = jnp.zeros(W, jnp.float32)
        if segments == 1:
            return segment(start, d["x"])[1] / (T * W)
        parts = d["x"].reshape(segments, T // segments, W)
        return jax.lax.scan(jax.checkpoint(segment), start, parts)[1].sum() / (T * W)

    return loss


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    h, hs = torch.zeros(W), []
    for x in (p["u"] * d["x"]).unbind(0):
        h = torch.tanh(torch.addcmul(x, p["w"], h))
        hs.append(h)
    return (torch.stack(hs) ** 2).sum() / (T * W)


def _torch_compile() -> Loss:
    """Fifty compiled steps at a time in a loop of Python: the whole takes too long to compile."""
    torch = package("torch")

    def chunk(h: Foreign, w: Foreign, u: Foreign, xs: Foreign) -> Foreign:
        squares = torch.zeros(W)
        for i in range(CHUNK):
            h = torch.tanh(w * h + u * xs[i])
            squares = squares + h * h
        return h, squares.sum()

    compiled = torch.compile(chunk)

    def loss(p: Foreign, d: Foreign) -> Foreign:
        h, total = torch.zeros(W), 0.0
        for xs in d["x"].split(CHUNK):
            h, squares = compiled(h, p["w"], p["u"], xs)
            total = total + squares
        return total / (T * W)

    return loss


def _numba(_: Inputs) -> ByHand:
    numba = package("numba")

    @numba.njit(fastmath=True)
    def run(w: Foreign, u: Foreign, x: Foreign) -> Foreign:
        one, scale, squares = np.float32(1), np.float32(2 / (T * W)), 0.0
        hs = np.zeros((T + 1, W), np.float32)
        for t in range(T):
            for j in range(W):
                hs[t + 1, j] = np.tanh(w[j] * hs[t, j] + u[j] * x[t, j])
            for j in range(W):
                squares += hs[t + 1, j] * hs[t + 1, j]
        g, in_w, in_u = np.zeros(W, np.float32), np.zeros(W, np.float32), np.zeros(W, np.float32)
        for t in range(T - 1, -1, -1):
            for j in range(W):
                h = hs[t + 1, j]
                z = (g[j] + scale * h) * (one - h * h)
                in_w[j] += z * hs[t, j]
                in_u[j] += z * x[t, j]
                g[j] = z * w[j]
        return squares / (T * W), in_w, in_u

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        value, w, u = run(p["w"], p["u"], d["x"])
        return value, {"w": w, "u": u}

    return by_hand


def _c(_: Inputs) -> ByHand:
    library, states = native.library("scan"), np.empty((T, W), np.float32)

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        value, w, u = np.zeros(1), np.empty(W, np.float32), np.empty(W, np.float32)
        arrays = (p["w"], p["u"], d["x"], states, w, u, value)
        library.scan(ctypes.c_long(T), *map(native.pointer, arrays))
        return value[0], {"w": w, "u": u}

    return by_hand


WORKLOAD = Workload(
    "scan",
    f"h = tanh(w h + u x), T={T:,}, width {W}, mean square",
    Precision.F32,
    T * W * (12 + 10),
    4 * T * W * 4,
    inputs,
    (
        dmc_record("scan", "loss", "Cell", ("x",)),
        jax_entry(_jax(1)),
        jax_entry(_jax(SEGMENTS), "checkpoint"),
        torch_entry(_torch),
        Entry(System.TORCH_COMPILE, torch_maker(_torch_compile)),
        made_entry(System.NUMBA, _numba),
        made_entry(System.C, _c),
    ),
    Goal(1.4, (System.C,)),
)
