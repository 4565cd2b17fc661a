"""A chain of elementwise functions on four million numbers, summed."""

from __future__ import annotations

import ctypes
import math

import numpy as np

from benchmarks import native
from benchmarks.systems import (
    ByHand,
    dmc_record,
    jax_entry,
    made_entry,
    numpy_entry,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import Arrays, Foreign, Goal, Inputs, Precision, System, Workload, package

N = 4 << 20
SLOPE, CUBIC = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(N).astype("f4")
    return Inputs({"x": x, "a": np.array(1.1, "f4"), "b": np.array(0.2, "f4")})


def _jax(p: Foreign, _: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    x = p["x"]
    gelu = jax.nn.gelu(x * p["a"] + p["b"], approximate=True)
    return jnp.sum(gelu * jax.nn.sigmoid(x) + jnp.log1p(jnp.exp(x)))


def _torch(p: Foreign, _: Foreign) -> Foreign:
    torch, f = package("torch"), package("torch.nn.functional")
    x = p["x"]
    gelu = f.gelu(x * p["a"] + p["b"], approximate="tanh")
    return (gelu * torch.sigmoid(x) + torch.log1p(torch.exp(x))).sum()


def _numpy(p: Arrays, _: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
    one, half, three = np.float32(1), np.float32(0.5), np.float32(3)
    x, a = p["x"], p["a"]
    z = x * a + p["b"]
    t = np.tanh(SLOPE * (z + CUBIC * z * z * z))
    gelu = half * z * (one + t)
    curve = half * z * (one - t * t) * SLOPE * (one + three * CUBIC * z * z)
    e = np.exp(x)
    s = e / (one + e)
    in_z = (half * (one + t) + curve) * s
    value = (gelu * s + np.log1p(e)).sum()
    in_x = in_z * a + gelu * s * (one - s) + s
    return value, {"x": in_x, "a": (in_z * x).sum(), "b": in_z.sum()}


def _numba(_: Inputs) -> ByHand:
    numba = package("numba")
    one, half, three, slope, cubic = np.float32(1), np.float32(0.5), np.float32(3), SLOPE, CUBIC

    @numba.njit(parallel=True, fastmath=True)
    def run(x: Foreign, a: Foreign, b: Foreign, in_x: Foreign) -> Foreign:
        value, in_a, in_b = 0.0, 0.0, 0.0
        for i in numba.prange(x.size):
            z = x[i] * a + b
            t = np.tanh(slope * (z + cubic * z * z * z))
            gelu = half * z * (one + t)
            curve = half * z * (one - t * t) * slope * (one + three * cubic * z * z)
            e = np.exp(x[i])
            s = e / (one + e)
            in_z = (half * (one + t) + curve) * s
            value += gelu * s + np.log(one + e)
            in_a += in_z * x[i]
            in_b += in_z
            in_x[i] = in_z * a + gelu * s * (one - s) + s
        return value, in_a, in_b

    def by_hand(p: Arrays, _: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        in_x = np.empty_like(p["x"])
        value, a, b = run(p["x"], p["a"][()], p["b"][()], in_x)
        return value, {"x": in_x, "a": a, "b": b}

    return by_hand


def _c(_: Inputs) -> ByHand:
    """The gradient is written to the same memory in each call."""
    library, in_x, out = native.library("elementwise"), np.empty(N, np.float32), np.zeros(3)

    def by_hand(p: Arrays, _: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        a, b = (ctypes.c_float(float(p[name])) for name in ("a", "b"))
        x, gradient, sums = map(native.pointer, (p["x"], in_x, out))
        library.elementwise(ctypes.c_long(N), x, a, b, gradient, sums)
        return out[0], {"x": in_x, "a": out[1], "b": out[2]}

    return by_hand


WORKLOAD = Workload(
    "elementwise",
    f"sum(gelu(a x + b) sigmoid(x) + log(1 + exp(x))) of {N:,} numbers",
    Precision.F32,
    N * 50,
    N * 8,
    inputs,
    (
        dmc_record("elementwise", "loss", "Line"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        numpy_entry(_numpy),
        made_entry(System.NUMBA, _numba),
        made_entry(System.C, _c),
    ),
    Goal(1.0, (System.C,)),
)
