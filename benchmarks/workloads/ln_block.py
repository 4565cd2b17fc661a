"""Layer norm, a perceptron with GELU, a residual; the gradient in the parameters alone."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import (
    jax_entry,
    numpy_entry,
    program,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import (
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
    value_and_gradients,
)

N, D, F = 2048, 512, 2048


def inputs() -> Inputs:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 0.05) -> Foreign:
        return (scale * rng.standard_normal(shape)).astype("f4")

    params = {
        "gain": 1 + normal(D),
        "bias": normal(D),
        "w1": normal(D, F),
        "b1": normal(F),
        "w2": normal(F, D),
        "b2": normal(D),
    }
    return Inputs(params, {"x": normal(N, D, scale=1.0)})


def _dmc(inputs: Inputs) -> Contestant:
    module, p, x = program("ln_block"), inputs.params, inputs.data["x"]
    run = package("dmc").value_and_grad(module.loss)
    net = module.Block(
        norm=module.LayerNorm(gain=p["gain"], bias=p["bias"]),
        up=module.Linear(w=p["w1"], b=p["b1"]),
        down=module.Linear(w=p["w2"], b=p["b2"]),
    )

    def outputs(out: Foreign) -> Arrays:
        value, g = out
        layers = {"w1": g.up.w, "b1": g.up.b, "w2": g.down.w, "b2": g.down.b}
        return value_and_gradients(value, {"gain": g.norm.gain, "bias": g.norm.bias, **layers})

    return Contestant(lambda: run(net, x), outputs)


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax = package("jax")
    x = d["x"]
    c = x - x.mean(-1, keepdims=True)
    h = c * jax.lax.rsqrt((c * c).mean(-1, keepdims=True) + 1e-5) * p["gain"] + p["bias"]
    y = x + jax.nn.gelu(h @ p["w1"] + p["b1"], approximate=True) @ p["w2"] + p["b2"]
    return (y * y).mean()


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch, f = package("torch"), package("torch.nn.functional")
    h = f.layer_norm(d["x"], (D,), p["gain"], p["bias"])
    h = f.gelu(torch.addmm(p["b1"], h, p["w1"]), approximate="tanh")
    y = d["x"] + torch.addmm(p["b2"], h, p["w2"])
    return (y * y).mean()


def _numpy(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
    one, half, cubic, slope = (np.float32(c) for c in (1, 0.5, 0.044715, math.sqrt(2 / math.pi)))
    x = d["x"]
    c = x - x.mean(-1, keepdims=True)
    n = c / np.sqrt((c * c).mean(-1, keepdims=True) + np.float32(1e-5))
    h = n * p["gain"] + p["bias"]
    z = h @ p["w1"] + p["b1"]
    t = np.tanh(slope * (z + cubic * z * z * z))
    a = half * z * (one + t)
    y = x + a @ p["w2"] + p["b2"]
    gy = y * np.float32(2 / y.size)
    curve = half * z * (one - t * t) * slope * (one + 3 * cubic * z * z)
    gz = (gy @ p["w2"].T) * (half * (one + t) + curve)
    gh = gz @ p["w1"].T
    return (y * y).mean(), {
        "gain": (gh * n).sum(0),
        "bias": gh.sum(0),
        "w1": h.T @ gz,
        "b1": gz.sum(0),
        "w2": a.T @ gy,
        "b2": gy.sum(0),
    }


WORKLOAD = Workload(
    "ln_block",
    f"{N} rows of {D}: layer norm, dense {F}, gelu, dense {D}, residual, mean square",
    Precision.F32,
    3 * 2 * (2 * N * D * F),
    4 * (N * D * 8 + N * F * 6 + 3 * 2 * D * F),
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        numpy_entry(_numpy),
    ),
    Goal(1.2),
)
