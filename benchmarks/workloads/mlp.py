"""A multilayer perceptron: the value and gradient of its loss. Others build on this file."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.systems import (
    jax_entry,
    numpy_entry,
    program,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import (
    Array,
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

BATCH, SIZES = 128, (784, 512, 512, 10)
LAYERS = tuple(itertools.pairwise(SIZES))
PRODUCTS = [2 * BATCH * a * b for a, b in LAYERS]
PARAMETERS = sum(a * b + b for a, b in LAYERS)
# The first layer needs no gradient of its input. Weights are read twice and their gradient is
# written; activations are written and read, and their gradients too.
FLOPS = 3 * sum(PRODUCTS) - PRODUCTS[0]
BYTES = 4 * (3 * PARAMETERS + BATCH * SIZES[0] + 6 * BATCH * sum(SIZES[1:]))
WHAT = f"B={BATCH}, {'-'.join(map(str, SIZES))}, relu, cross-entropy"


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params: Arrays = {}
    for i, (a, b) in enumerate(LAYERS):
        params[f"w{i}"] = (rng.standard_normal((a, b)) * (2 / a) ** 0.5).astype("f4")
        params[f"b{i}"] = (rng.standard_normal(b) * 0.1).astype("f4")
    x = rng.standard_normal((BATCH, SIZES[0])).astype("f4")
    return Inputs(params, {"x": x, "y": rng.integers(0, SIZES[-1], BATCH).astype("i4")})


def network(module: Foreign, params: Arrays) -> Foreign:
    """The record of the parameters."""
    return module.MLP(
        **{f"l{i}": module.Linear(w=params[f"w{i}"], b=params[f"b{i}"]) for i in range(len(LAYERS))}
    )


def leaves(net: Foreign) -> dict[str, Array]:
    """The parameters in a record, by name."""
    layers = [getattr(net, f"l{i}") for i in range(len(LAYERS))]
    return {
        f"{field}{i}": getattr(layer, field)
        for i, layer in enumerate(layers)
        for field in ("w", "b")
    }


def _dmc(inputs: Inputs) -> Contestant:
    module = program("mlp")
    net = network(module, inputs.params)
    run = package("dmc").value_and_grad(module.loss)
    x, y = inputs.data["x"], inputs.data["y"]
    return Contestant(
        lambda: run(net, x, y), lambda out: value_and_gradients(out[0], leaves(out[1]))
    )


def jax_loss(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    h = jax.nn.relu(d["x"] @ p["w0"] + p["b0"])
    h = jax.nn.relu(h @ p["w1"] + p["b1"])
    logp = jax.nn.log_softmax(h @ p["w2"] + p["b2"])
    return -jnp.mean(jnp.take_along_axis(logp, d["y"][:, None], 1))


def torch_loss(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    h = torch.relu(torch.addmm(p["b0"], d["x"], p["w0"]))
    h = torch.relu(torch.addmm(p["b1"], h, p["w1"]))
    logits = torch.addmm(p["b2"], h, p["w2"])
    return torch.nn.functional.cross_entropy(logits, d["y"])


def _numpy(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
    x, y = d["x"], d["y"]
    h0 = np.maximum(x @ p["w0"] + p["b0"], 0)
    h1 = np.maximum(h0 @ p["w1"] + p["b1"], 0)
    z = h1 @ p["w2"] + p["b2"]
    z -= z.max(1, keepdims=True)
    e = np.exp(z)
    total = e.sum(1, keepdims=True)
    rows = np.arange(BATCH)
    value = np.mean(np.log(total[:, 0]) - z[rows, y])
    g2 = e / total
    g2[rows, y] -= 1
    g2 /= np.float32(BATCH)
    g1 = (g2 @ p["w2"].T) * (h1 > 0)
    g0 = (g1 @ p["w1"].T) * (h0 > 0)
    before = ((x, g0), (h0, g1), (h1, g2))
    weights = {f"w{i}": h.T @ g for i, (h, g) in enumerate(before)}
    return value, weights | {f"b{i}": g.sum(0) for i, (_, g) in enumerate(before)}


WORKLOAD = Workload(
    "mlp",
    WHAT,
    Precision.F32,
    FLOPS,
    BYTES,
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(jax_loss),
        torch_entry(torch_loss),
        torch_compile_entry(torch_loss),
        numpy_entry(_numpy),
    ),
    Goal(1.2),
)
